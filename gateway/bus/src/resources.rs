//! What an operation works on, as its route says when it starts.

use std::collections::BTreeSet;

use opgate_core::{OperationId, Payload, Resource, limits};
use opgate_template::{Placeholder, Problem, Source, text};
use serde_json::Value;

use crate::router::{IN_PROGRESS, ResourceRule, Route};

/// The action of what an operation leaves as it is.
const RELATED: &str = "RELATED";

/// The resources that a route names for an operation. What cannot be said, or is longer than a record
/// holds, is left out: a start does not fail for it.
pub(crate) fn named(route: &Route, id: OperationId, input: &Payload) -> Vec<Resource> {
    if route.resources.is_empty() {
        return Vec::new();
    }
    let input: Option<Value> =
        if input.is_json() { serde_json::from_slice(&input.bytes).ok() } else { None };
    let source = Source { input: input.as_ref(), id: Some(id) };
    let found = route.resources.iter().flat_map(|rule| applied(rule, &source));
    found.take(limits::RESOURCES).collect()
}

/// What one rule names: one thing, or one for each entry of the list that its identifier looks into.
fn applied(rule: &ResourceRule, source: &Source<'_>) -> Vec<Resource> {
    let Some(list) = lists(&rule.identifier).pop_first() else {
        return Vec::from_iter(resource(rule, source));
    };
    let entries = source.input.and_then(|input| input.pointer(&list)?.as_array());
    let entries = entries.map_or(0, Vec::len).min(limits::RESOURCES);
    (0..entries).filter_map(|index| resource(&rule.at(index), source)).collect()
}

impl ResourceRule {
    /// Whether this can be a rule.
    ///
    /// # Errors
    /// The name of the field at fault, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let Self { entity_type, action, identifier, uri } = self;
        let fields = [
            ("entity_type", entity_type),
            ("action", action),
            ("identifier", identifier),
            ("uri", uri),
        ];
        let of = lists(identifier);
        for (field, template) in fields {
            opgate_template::check(&Value::String(template.clone()))
                .map_err(|problem| (field, problem.to_string()))?;
            if lists(template).iter().any(|list| !of.contains(list)) {
                let problem = "looks into each entry of a list that the identifier does not";
                return Err((field, problem.to_owned()));
            }
        }
        if of.len() > 1 {
            return Err(("identifier", "looks into each entry of more than one list".to_owned()));
        }
        Ok(())
    }

    /// The rule for one entry of the list.
    fn at(&self, index: usize) -> Self {
        let at = |template: &str| {
            let mut made = String::with_capacity(template.len());
            let mut parts = template.split("${");
            made.push_str(parts.next().unwrap_or_default());
            for part in parts {
                let (pointer, text) = part.split_once('}').unwrap_or((part, ""));
                let pointer = match each(pointer) {
                    Some((list, rest)) => format!("{list}/{index}{rest}"),
                    None => pointer.to_owned(),
                };
                made.extend(["${", &pointer, "}", text]);
            }
            made
        };
        Self {
            entity_type: at(&self.entity_type),
            action: at(&self.action),
            identifier: at(&self.identifier),
            uri: at(&self.uri),
        }
    }
}

/// The lists that a template looks into each entry of.
fn lists(template: &str) -> BTreeSet<String> {
    let template = Value::String(template.to_owned());
    let placeholders = opgate_template::placeholders(&template).unwrap_or_default();
    let list = |placeholder| match placeholder {
        Placeholder::Pointer(pointer) => each(pointer).map(|(list, _)| list.to_owned()),
        Placeholder::Whole | Placeholder::Id | Placeholder::Uuid => None,
    };
    placeholders.into_iter().filter_map(list).collect()
}

/// What stands before and behind the first step of a pointer that is every entry of a list.
fn each(pointer: &str) -> Option<(&str, &str)> {
    pointer.match_indices("/*").find_map(|(at, step)| {
        let (list, rest) = (pointer.get(..at)?, pointer.get(at + step.len()..)?);
        (rest.is_empty() || rest.starts_with('/')).then_some((list, rest))
    })
}

fn resource(rule: &ResourceRule, source: &Source<'_>) -> Option<Resource> {
    let fitting = |made: Result<Option<String>, Problem>| {
        let text = made.ok().flatten()?;
        (text.len() <= limits::TEXT_BYTES).then(|| text.into_boxed_str())
    };
    let made = |template: &str| fitting(text(template, source));
    let action = made(&rule.action)?;
    // What is only related is neither worked on nor changed by any end.
    let (action, becomes) =
        if &*action == RELATED { (action, Box::default()) } else { (IN_PROGRESS.into(), action) };
    Some(Resource {
        entity_type: made(&rule.entity_type)?,
        action,
        becomes,
        identifier: made(&rule.identifier).filter(|identifier| !identifier.is_empty())?,
        uri: fitting(opgate_template::uri(&rule.uri, source)).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opgate_core::{Expects, Kind};

    use super::*;

    fn route(rules: &[[&str; 4]]) -> Route {
        let rule = |[entity_type, action, identifier, uri]: &[&str; 4]| ResourceRule {
            entity_type: (*entity_type).into(),
            action: (*action).into(),
            identifier: (*identifier).into(),
            uri: (*uri).into(),
        };
        Route {
            name: "r".into(),
            kind: Kind::new("s", "o").unwrap(),
            backend: "b".into(),
            retention: Duration::ZERO,
            timeout: None,
            options: std::collections::BTreeMap::new(),
            expects: Expects::default(),
            resources: rules.iter().map(rule).collect(),
        }
    }

    #[test]
    fn a_route_names_what_an_operation_works_on() {
        let id = OperationId::from_bits(1);
        let rules = [
            ["compartment", "DELETED", "${/compartmentId}", "/c/${/compartmentId}"],
            ["cluster", "CREATED", "c-${id}", "${/absent}"],
            ["nothing", "CREATED", "${/absent}", ""],
            ["vcn", "RELATED", "v", ""],
        ];
        let found = named(&route(&rules), id, &Payload::json(r#"{"compartmentId": "x"}"#));
        let [compartment, cluster, vcn] = &*found else { panic!("{found:?}") };
        assert_eq!(
            (&*compartment.entity_type, &*compartment.action, &*compartment.becomes),
            ("compartment", "IN_PROGRESS", "DELETED")
        );
        assert_eq!((&*compartment.identifier, &*compartment.uri), ("x", "/c/x"));
        assert_eq!((&*vcn.action, &*vcn.becomes), ("RELATED", ""));
        assert_eq!((&*cluster.identifier, &*cluster.uri), (&*format!("c-{id}"), ""));
    }

    #[test]
    fn a_rule_names_each_entry_of_a_list() {
        let rules = [
            ["${/resources/*/kind}", "DELETED", "${/resources/*/id}", "/x/*/${/resources/*/id}"],
            ["tag", "DELETED", "${/tags/*}", ""],
            ["none", "DELETED", "${/absent/*}", ""],
            ["none", "DELETED", "${/text/*}", ""],
        ];
        let input = r#"{
            "resources": [{"kind": "a", "id": "1"}, {"kind": "b"}, {"kind": "c", "id": 3}],
            "tags": ["t", "u"],
            "text": "x"
        }"#;
        let found = named(&route(&rules), OperationId::from_bits(1), &Payload::json(input));
        let shown: Vec<[&str; 3]> = found
            .iter()
            .map(|resource| [&*resource.entity_type, &*resource.identifier, &*resource.uri])
            .collect();
        let expected =
            [["a", "1", "/x/*/1"], ["c", "3", "/x/*/3"], ["tag", "t", ""], ["tag", "u", ""]];
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_cannot_be_a_rule_is_told_by_its_field() {
        let checked = |texts: [&str; 4]| {
            let rule = route(&[texts]).resources.remove(0);
            rule.check().map_err(|(field, _)| field)
        };
        let (good, list) = ("${/a/*/id}", "${/b/*}");
        assert_eq!(checked(["${/a/*/kind}", "D", good, "/x/*/${/a/*}"]), Ok(()));
        assert_eq!(checked(["t", "D", "${/a/*b}", "${/a/*b/c}"]), Ok(()));
        assert_eq!(checked(["${a}", "D", good, ""]), Err("entity_type"));
        assert_eq!(checked([list, "D", good, ""]), Err("entity_type"));
        assert_eq!(checked(["t", "${/a/*}", "i", ""]), Err("action"));
        assert_eq!(checked(["t", "D", "${/a/*}${/b/*}", ""]), Err("identifier"));
        assert_eq!(checked(["t", "D", good, list]), Err("uri"));
    }

    #[test]
    fn a_long_list_is_named_as_far_as_a_record_holds_it() {
        let many: Vec<usize> = (0..=limits::RESOURCES).collect();
        let input = serde_json::json!({ "a": many }).to_string();
        let rules = [["t", "DELETED", "${/a/*}", ""], ["u", "DELETED", "${/a/*}", ""]];
        let found = named(&route(&rules), OperationId::from_bits(1), &Payload::json(input));
        assert_eq!(found.len(), limits::RESOURCES);
        assert_eq!(&*found.last().unwrap().identifier, "255");
    }

    #[test]
    fn an_input_that_is_not_json_names_nothing_by_its_fields() {
        let rules = [["a", "CREATED", "${/id}", ""], ["b", "CREATED", "${id}", ""]];
        let found =
            named(&route(&rules), OperationId::from_bits(1), &Payload::new("text/plain", "{}"));
        assert_eq!(found.len(), 1);
    }
}
