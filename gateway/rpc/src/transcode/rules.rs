//! Many templates at once: which one a request's method and path mean.

use std::collections::HashMap;

use http::Method;
use opgate_core::Error;

use super::percent::{Decode, decode};
use super::template::{Captured, Path, Segment, Template};

/// Templates with what each leads to.
///
/// The most specific one wins, segment by segment from the left: a literal before `*` before `**`; a
/// template with the path's verb before one without; one for this method before one for any. What it
/// costs to find it is bounded by the segments and by the templates that share them.
#[derive(Clone, Debug)]
pub struct Rules<T> {
    root: Node,
    entries: Vec<Entry<T>>,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    template: Template,
    value: T,
}

/// The templates that share their first segments.
#[derive(Clone, Debug, Default)]
struct Node {
    literals: HashMap<String, Self>,
    one: Option<Box<Self>>,
    /// Those that end here.
    ends: Vec<End>,
    /// Those that end with `**` here.
    rests: Vec<End>,
}

#[derive(Clone, Debug)]
struct End {
    /// None is any.
    method: Option<Method>,
    verb: Option<String>,
    entry: usize,
}

/// What a request means.
#[derive(Debug)]
pub struct Found<'r, T> {
    /// What the template leads to.
    pub value: &'r T,
    /// The template that matched.
    pub template: &'r Template,
    /// What its variables stand for.
    pub captured: Captured<'r>,
}

/// Two templates match the same requests.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{template}` matches the same requests as `{other}`")]
pub struct Conflict {
    /// The one that was to be added.
    pub template: String,
    /// The one that is there.
    pub other: String,
}

impl<T> Default for Rules<T> {
    fn default() -> Self {
        Self { root: Node::default(), entries: Vec::new() }
    }
}

impl<T> Rules<T> {
    /// Adds what requests of a method, none being any, and a path of this template lead to.
    ///
    /// # Errors
    /// Another template matches exactly the same requests; nothing has changed then.
    pub fn insert(
        &mut self,
        method: Option<Method>,
        template: Template,
        value: T,
    ) -> Result<(), Conflict> {
        let mut node = &mut self.root;
        let mut rest = false;
        for segment in template.segments() {
            match segment {
                Segment::Literal(text) => node = node.literals.entry(text.clone()).or_default(),
                Segment::One => node = node.one.get_or_insert_default(),
                Segment::Rest => rest = true,
            }
        }
        let ends = if rest { &mut node.rests } else { &mut node.ends };
        let same = |end: &&End| end.method == method && end.verb.as_deref() == template.verb();
        if let Some(other) = ends.iter().find(same).and_then(|end| self.entries.get(end.entry)) {
            return Err(Conflict {
                template: template.text().to_owned(),
                other: other.template.text().to_owned(),
            });
        }
        let verb = template.verb().map(str::to_owned);
        ends.push(End { method, verb, entry: self.entries.len() });
        self.entries.push(Entry { template, value });
        Ok(())
    }

    /// What a request of this method and raw path means; `None` where no template matches.
    ///
    /// # Errors
    /// A variable's escapes are broken or not UTF-8.
    pub fn find(&self, method: &Method, path: &str) -> Result<Option<Found<'_, T>>, Error> {
        let Some(path) = Path::new(path) else { return Ok(None) };
        let with_verb = path.with_verb();
        let found = with_verb
            .as_ref()
            .and_then(|(segments, verb)| {
                let entry = self.root.find(method, Some(verb), segments)?;
                Some((entry, &**segments))
            })
            .or_else(|| Some((self.root.find(method, None, &path.whole)?, &*path.whole)));
        let found = found.and_then(|(entry, segments)| Some((self.entries.get(entry)?, segments)));
        let Some((entry, segments)) = found else { return Ok(None) };
        let captured = entry.template.capture(segments)?;
        Ok(Some(Found { value: &entry.value, template: &entry.template, captured }))
    }

    /// Every template with what it leads to, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&Template, &T)> {
        self.entries.iter().map(|entry| (&entry.template, &entry.value))
    }
}

impl Node {
    /// Visits each node at most once, as deep as the longest template.
    fn find(&self, method: &Method, verb: Option<&str>, segments: &[&str]) -> Option<usize> {
        let Some((first, after)) = segments.split_first() else {
            return end(&self.ends, method, verb).or_else(|| end(&self.rests, method, verb));
        };
        let literal = if first.contains('%') {
            let escaped = decode(first, Decode::All).ok();
            escaped.and_then(|text| self.literals.get(&text))
        } else {
            self.literals.get(*first)
        };
        literal
            .and_then(|node| node.find(method, verb, after))
            .or_else(|| self.one.as_ref()?.find(method, verb, after))
            .or_else(|| end(&self.rests, method, verb))
    }
}

fn end(ends: &[End], method: &Method, verb: Option<&str>) -> Option<usize> {
    let of = |wanted: Option<&Method>| {
        ends.iter().find(|end| end.method.as_ref() == wanted && end.verb.as_deref() == verb)
    };
    of(Some(method)).or_else(|| of(None)).map(|end| end.entry)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(templates: &[(&str, &str)]) -> Rules<String> {
        let mut rules = Rules::default();
        for (method, template) in templates {
            let method = (*method != "*").then(|| method.parse().unwrap());
            let parsed = Template::parse(template).unwrap();
            rules.insert(method, parsed, (*template).to_owned()).unwrap();
        }
        rules
    }

    fn found(rules: &Rules<String>, request: &str) -> Option<String> {
        let (method, path) = request.split_once(' ').unwrap();
        rules.find(&method.parse().unwrap(), path).unwrap().map(|found| found.value.clone())
    }

    #[test]
    fn the_most_specific_template_wins_whatever_the_order() {
        let mut templates = vec![
            ("GET", "/v1/{name=**}"),
            ("GET", "/v1/{name=operations/**}"),
            ("GET", "/v1/operations"),
            ("GET", "/v1/{name=operations/*}"),
            ("GET", "/v1/operations/special"),
            ("POST", "/v1/{name=operations/**}"),
            ("POST", "/v1/{name=operations/**}:cancel"),
            ("*", "/v1/operations/any"),
            ("GET", "/v1/{parent=projects/*}/things"),
            ("GET", "/v1/projects/{project}/{collection}"),
        ];
        for _ in 0..templates.len() {
            templates.rotate_left(1);
            let rules = rules(&templates);
            for (request, expected) in [
                ("GET /v1/operations", Some("/v1/operations")),
                ("GET /v1/operations/special", Some("/v1/operations/special")),
                ("GET /v1/operations/x", Some("/v1/{name=operations/*}")),
                ("GET /v1/operations/x/y", Some("/v1/{name=operations/**}")),
                ("GET /v1/other/x/y", Some("/v1/{name=**}")),
                ("POST /v1/operations/x:cancel", Some("/v1/{name=operations/**}:cancel")),
                ("POST /v1/operations/x:other", Some("/v1/{name=operations/**}")),
                ("POST /v1/operations/any", Some("/v1/operations/any")),
                ("PUT /v1/operations/any", Some("/v1/operations/any")),
                ("PUT /v1/operations/x", None),
                ("GET /v2/operations/x", None),
                ("GET /v1/projects/p/things", Some("/v1/{parent=projects/*}/things")),
                ("GET /v1/projects/p/others", Some("/v1/projects/{project}/{collection}")),
                ("GET /v1/projects/p/others/x", Some("/v1/{name=**}")),
                ("GET /v1/%6Fperations", Some("/v1/operations")),
            ] {
                assert_eq!(found(&rules, request).as_deref(), expected, "{request}");
            }
        }
    }

    #[test]
    fn a_template_for_the_same_requests_is_a_conflict() {
        let mut rules = rules(&[("GET", "/v1/{name=operations/*}"), ("GET", "/v1/{a=**}:go")]);
        let mut add = |method: Method, template: &str| {
            rules.insert(Some(method), Template::parse(template).unwrap(), String::new())
        };
        let conflict = add(Method::GET, "/v1/operations/{operation}").unwrap_err();
        assert_eq!(
            conflict.to_string(),
            "`/v1/operations/{operation}` matches the same requests as `/v1/{name=operations/*}`"
        );
        assert!(add(Method::GET, "/v1/**:go").is_err());
        assert!(add(Method::GET, "/v1/**").is_ok());
        assert!(add(Method::POST, "/v1/operations/{operation}").is_ok());
        assert!(add(Method::GET, "/v1/operations/{operation}:cancel").is_ok());
    }

    proptest! {
        /// One template alone and the same among others agree on what matches.
        #[test]
        fn rules_agree_with_the_template(
            template in "(/(a|b|\\*)){1,4}(/\\*\\*)?(:v)?", path in "(/(a|b|%61|)){0,5}(:v|:w)?",
        ) {
            let one = Template::parse(&template).unwrap();
            let rules = rules(&[("GET", &template)]);
            let alone = one.matches(&path).unwrap().is_some();
            prop_assert_eq!(alone, rules.find(&Method::GET, &path).unwrap().is_some());
        }
    }
}
