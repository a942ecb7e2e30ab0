//! What an operation works on, as its route says when it starts.

use opgate_core::{OperationId, Payload, Resource, limits};
use opgate_template::{Source, text};
use serde_json::Value;

use crate::router::{IN_PROGRESS, ResourceRule, Route};

/// The resources that a route names for an operation. What cannot be said, or is longer than a record
/// holds, is left out: a start does not fail for it.
pub(crate) fn named(route: &Route, id: OperationId, input: &Payload) -> Vec<Resource> {
    if route.resources.is_empty() {
        return Vec::new();
    }
    let input: Option<Value> =
        if input.is_json() { serde_json::from_slice(&input.bytes).ok() } else { None };
    let source = Source { input: input.as_ref(), id: Some(id) };
    let rules = route.resources.iter().take(limits::RESOURCES);
    rules.filter_map(|rule| resource(rule, &source)).collect()
}

fn resource(rule: &ResourceRule, source: &Source<'_>) -> Option<Resource> {
    let made = |template: &str| {
        let text = text(template, source).ok().flatten()?;
        (text.len() <= limits::TEXT_BYTES).then(|| text.into_boxed_str())
    };
    Some(Resource {
        entity_type: made(&rule.entity_type)?,
        action: IN_PROGRESS.into(),
        becomes: made(&rule.action)?,
        identifier: made(&rule.identifier).filter(|identifier| !identifier.is_empty())?,
        uri: made(&rule.uri).unwrap_or_default(),
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
        ];
        let found = named(&route(&rules), id, &Payload::json(r#"{"compartmentId": "x"}"#));
        let [compartment, cluster] = &*found else { panic!("{found:?}") };
        assert_eq!(
            (&*compartment.entity_type, &*compartment.action, &*compartment.becomes),
            ("compartment", "IN_PROGRESS", "DELETED")
        );
        assert_eq!((&*compartment.identifier, &*compartment.uri), ("x", "/c/x"));
        assert_eq!((&*cluster.identifier, &*cluster.uri), (&*format!("c-{id}"), ""));
    }

    #[test]
    fn an_input_that_is_not_json_names_nothing_by_its_fields() {
        let rules = [["a", "CREATED", "${/id}", ""], ["b", "CREATED", "${id}", ""]];
        let found =
            named(&route(&rules), OperationId::from_bits(1), &Payload::new("text/plain", "{}"));
        assert_eq!(found.len(), 1);
    }
}
