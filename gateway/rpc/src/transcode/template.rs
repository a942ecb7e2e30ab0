//! Path templates, such as `/v1/{name=projects/*/operations/*}:cancel`.
//!
//! Grammar: `google/api/http.proto`. Beyond it: a segment is never empty, and a variable that stands
//! for exactly one segment may hold an escaped slash.

use opgate_core::Error;

use super::percent::{Decode, decode};

/// Longest template, in bytes: its depth bounds what matching costs.
const TEMPLATE_BYTES_MAX: usize = 2048;

/// A path template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    segments: Vec<Segment>,
    variables: Vec<Variable>,
    verb: Option<String>,
}

/// What one part of a path has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text.
    Literal(String),
    /// `*`: any one segment.
    One,
    /// `**`: the rest, which may be nothing.
    Rest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Variable {
    /// The path of the field, such as `workflow.name`.
    field: String,
    /// The segments it spans.
    from: usize,
    to: usize,
}

/// What the variables of a template stand for in one path, in the order of the template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured<'t>(Vec<(&'t str, String)>);

impl<'t> Captured<'t> {
    /// The value of the variable of this field path, escapes resolved.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| *name == field).map(|(_, value)| &**value)
    }

    /// Every variable with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'t str, &str)> {
        self.0.iter().map(|(name, value)| (*name, &**value))
    }
}

/// A request path cut at its slashes.
#[derive(Clone, Debug)]
pub(super) struct Path<'p> {
    /// With the verb as part of the last one.
    pub(super) whole: Vec<&'p str>,
    /// The last segment without its verb, and the verb.
    pub(super) verb: Option<(&'p str, &'p str)>,
}

impl<'p> Path<'p> {
    /// `None` for what no template can match.
    pub(super) fn new(path: &'p str) -> Option<Self> {
        let whole: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let verb = whole.last().and_then(|last| last.rsplit_once(':'));
        let verb = verb.filter(|(segment, verb)| !segment.is_empty() && !verb.is_empty());
        let empty = whole.iter().any(|segment| segment.is_empty());
        (!empty).then_some(Self { whole, verb })
    }

    /// The segments with the verb taken off, and the verb.
    pub(super) fn with_verb(&self) -> Option<(Vec<&'p str>, &'p str)> {
        let (segment, verb) = self.verb?;
        let mut segments = self.whole.clone();
        *segments.last_mut()? = segment;
        Some((segments, verb))
    }
}

/// Whether a segment of a path, escapes and all, is this literal.
fn is_literal(literal: &str, segment: &str) -> bool {
    if segment.contains('%') {
        decode(segment, Decode::All).is_ok_and(|decoded| decoded == literal)
    } else {
        segment == literal
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, for the one who wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(format!("the template is longer than {TEMPLATE_BYTES_MAX} bytes"));
        }
        let wrong = |problem: String| format!("`{text}`: {problem}");
        let rest = text.strip_prefix('/').ok_or_else(|| wrong("must begin with `/`".to_owned()))?;
        let template =
            Self { text: text.to_owned(), segments: Vec::new(), variables: Vec::new(), verb: None };
        let mut parser = Parser { rest, template };
        parser.path().map_err(wrong)?;
        Ok(parser.template)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The field paths of its variables.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|variable| &*variable.field)
    }

    /// The part after the last colon, if it has one.
    pub fn verb(&self) -> Option<&str> {
        self.verb.as_deref()
    }

    /// A path of this form, with `one` for each `*` and `rest` for `**`.
    pub fn filled(&self, one: &str, rest: &str) -> String {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => text,
            Segment::One => one,
            Segment::Rest => rest,
        });
        let mut path = String::new();
        for segment in segments {
            path.push('/');
            path.push_str(segment);
        }
        if let Some(verb) = &self.verb {
            path.push(':');
            path.push_str(verb);
        }
        path
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What its variables stand for in this raw path; `None` where the path is another.
    ///
    /// # Errors
    /// The path is of this shape, and a variable's escapes are broken or not UTF-8.
    pub fn matches(&self, path: &str) -> Result<Option<Captured<'_>>, Error> {
        let Some(path) = Path::new(path) else { return Ok(None) };
        let segments = match &self.verb {
            None => path.whole,
            Some(wanted) => match path.with_verb() {
                Some((segments, verb)) if verb == wanted => segments,
                Some(_) | None => return Ok(None),
            },
        };
        let rest = matches!(self.segments.last(), Some(Segment::Rest));
        let fixed = self.segments.len() - usize::from(rest);
        let length = if rest { segments.len() >= fixed } else { segments.len() == fixed };
        let fits = |(wanted, segment): (&Segment, &&str)| match wanted {
            Segment::Literal(literal) => is_literal(literal, segment),
            Segment::One | Segment::Rest => true,
        };
        if length && self.segments.iter().zip(&segments).all(fits) {
            self.capture(&segments).map(Some)
        } else {
            Ok(None)
        }
    }

    /// What the variables stand for in segments that match.
    pub(super) fn capture(&self, segments: &[&str]) -> Result<Captured<'_>, Error> {
        let mut captured = Vec::with_capacity(self.variables.len());
        for variable in &self.variables {
            let pattern = self.segments.get(variable.from..variable.to).unwrap_or_default();
            let to = match pattern.last() {
                Some(Segment::Rest) => segments.len(),
                Some(Segment::Literal(_) | Segment::One) | None => variable.to,
            };
            let one = matches!(pattern, [Segment::One | Segment::Literal(_)]);
            let how = if one { Decode::All } else { Decode::KeepSlash };
            let raw = segments.get(variable.from..to).unwrap_or_default().join("/");
            let value = decode(&raw, how)
                .map_err(|problem| Error::invalid(variable.field.clone(), problem))?;
            captured.push((&*variable.field, value));
        }
        Ok(Captured(captured))
    }
}

struct Parser<'a> {
    rest: &'a str,
    template: Template,
}

impl Parser<'_> {
    fn path(&mut self) -> Result<(), String> {
        self.segments(false)?;
        if self.take(':') {
            let verb = self.word();
            if verb.is_empty() || verb.contains('*') {
                return Err("a verb is a word after `:`".to_owned());
            }
            self.template.verb = Some(verb);
        }
        match self.rest.chars().next() {
            None => Ok(()),
            Some(odd) => Err(format!("`{odd}` is out of place")),
        }
    }

    fn segments(&mut self, within: bool) -> Result<(), String> {
        loop {
            if !self.take('{') {
                self.segment()?;
            } else if within {
                return Err("a variable cannot hold another".to_owned());
            } else {
                self.variable()?;
            }
            if !self.take('/') {
                return Ok(());
            }
        }
    }

    fn segment(&mut self) -> Result<(), String> {
        let word = self.word();
        self.push(match &*word {
            "" => return Err("a segment is empty".to_owned()),
            "*" => Segment::One,
            "**" => Segment::Rest,
            word if word.contains('*') => {
                return Err(format!("`{word}`: `*` stands alone in its segment"));
            }
            word => Segment::Literal(
                decode(word, Decode::All).map_err(|problem| format!("`{word}`: {problem}"))?,
            ),
        })
    }

    fn push(&mut self, segment: Segment) -> Result<(), String> {
        if matches!(self.template.segments.last(), Some(Segment::Rest)) {
            return Err("`**` must be the last segment".to_owned());
        }
        self.template.segments.push(segment);
        Ok(())
    }

    fn variable(&mut self) -> Result<(), String> {
        let field = self.word();
        if !field.split('.').all(is_identifier) {
            return Err(format!("`{field}` is not the path of a field"));
        }
        if self.template.variables().any(|other| other == field) {
            return Err(format!("the variable `{field}` is there twice"));
        }
        let from = self.template.segments.len();
        if self.take('=') {
            self.segments(true)?;
        } else {
            self.push(Segment::One)?;
        }
        if !self.take('}') {
            return Err(format!("the variable `{field}` has no `}}` in its place"));
        }
        let to = self.template.segments.len();
        self.template.variables.push(Variable { field, from, to });
        Ok(())
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// All up to the next sign that means something.
    fn word(&mut self) -> String {
        let end = self.rest.find(['/', '{', '}', ':', '=']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        word.to_owned()
    }
}

fn is_identifier(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the template's variables are in the path; `None` where it does not match.
    fn captured(template: &str, path: &str) -> Option<Vec<(String, String)>> {
        let template = Template::parse(template).unwrap();
        let found = template.matches(path).unwrap()?;
        Some(found.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn name(template: &str, path: &str) -> Option<String> {
        Some(captured(template, path)?.into_iter().next()?.1)
    }

    #[test]
    fn variables_take_what_they_span() {
        let template = "/v1/{parent=projects/*/locations/*}/workflows";
        let parent = name(template, "/v1/projects/p/locations/l/workflows");
        assert_eq!(parent.as_deref(), Some("projects/p/locations/l"));
        assert_eq!(name(template, "/v1/projects/p/locations/l/other"), None);
        assert_eq!(name(template, "/v1/projects/p/locations/l"), None);
        assert_eq!(name(template, "/v1/projects/p/locations/l/workflows/w"), None);
        let both = captured("/v1/{a.b}/x/{c=y/**}", "/v1/1/x/y/2/3").unwrap();
        let both: Vec<_> = both.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(both, [("a.b", "1"), ("c", "y/2/3")]);
        assert_eq!(captured("/v1/accessPolicies", "/v1/accessPolicies"), Some(vec![]));
    }

    #[test]
    fn a_rest_may_be_nothing_and_a_verb_ends_it() {
        assert_eq!(
            name("/v1/{name=operations/**}", "/v1/operations").as_deref(),
            Some("operations")
        );
        assert_eq!(name("/v1/{name=**}", "/v1").as_deref(), Some(""));
        let cancel = "/v1/{name=operations/**}:cancel";
        assert_eq!(name(cancel, "/v1/operations/a/b:cancel").as_deref(), Some("operations/a/b"));
        assert_eq!(name(cancel, "/v1/operations/a:b:cancel").as_deref(), Some("operations/a:b"));
        assert_eq!(name(cancel, "/v1/operations/a/b"), None);
        assert_eq!(name(cancel, "/v1/operations/:cancel"), None);
        assert_eq!(name(cancel, "/v1/operations/a/b%3Acancel"), None);
        // A template without a verb takes a colon as any other letter.
        let get = name("/v1/{name=operations/**}", "/v1/operations/a:cancel");
        assert_eq!(get.as_deref(), Some("operations/a:cancel"));
    }

    #[test]
    fn escapes_are_resolved_and_a_slash_only_within_one_segment() {
        assert_eq!(name("/v1/{name}", "/v1/a%2Fb%20c").as_deref(), Some("a/b c"));
        assert_eq!(name("/v1/{name=x/*}", "/v1/x/a%2Fb%20c").as_deref(), Some("x/a%2Fb c"));
        assert_eq!(name("/v1/{name=**}", "/v1/a%2fb/c").as_deref(), Some("a%2fb/c"));
        assert_eq!(captured("/v1/operations", "/v1/%6fperations"), Some(vec![]));
        let template = Template::parse("/v1/{name=**}").unwrap();
        for broken in ["/v1/%zz", "/v1/%", "/v1/a/%ff"] {
            let error = template.matches(broken).unwrap_err();
            assert_eq!(error.field.unwrap().field, "name", "{broken}");
        }
    }

    #[test]
    fn empty_segments_match_nothing() {
        for path in ["/v1/operations/", "/v1//operations/x", "/v1/operations//x", "", "/", "v1"] {
            assert_eq!(name("/v1/{name=operations/**}", path), None, "{path}");
        }
    }

    #[test]
    fn bad_templates_are_explained() {
        for (template, problem) in [
            ("v1/x", "must begin with `/`"),
            ("", "must begin with `/`"),
            ("/", "a segment is empty"),
            ("/v1//x", "a segment is empty"),
            ("/v1/x/", "a segment is empty"),
            ("/v1/{name", "the variable `name` has no `}` in its place"),
            ("/v1/{name=a{b}}", "the variable `name` has no `}` in its place"),
            ("/v1/{name=a/{b}}", "a variable cannot hold another"),
            ("/v1/{}", "`` is not the path of a field"),
            ("/v1/{+name}", "`+name` is not the path of a field"),
            ("/v1/{a..b}", "`a..b` is not the path of a field"),
            ("/v1/{a}/{a}", "the variable `a` is there twice"),
            ("/v1/{a=**}/x", "`**` must be the last segment"),
            ("/v1/**/*", "`**` must be the last segment"),
            ("/v1/a*", "`a*`: `*` stands alone in its segment"),
            ("/v1/x:", "a verb is a word after `:`"),
            ("/v1/x:a:b", "`:` is out of place"),
            ("/v1/x:a/b", "`/` is out of place"),
            ("/v1/x}", "`}` is out of place"),
            ("/v1/%zz", "`%zz`: `%` is not followed by two hex digits"),
        ] {
            let found = Template::parse(template).unwrap_err();
            assert_eq!(found, format!("`{template}`: {problem}"));
        }
        assert!(Template::parse(&format!("/{}", "a".repeat(TEMPLATE_BYTES_MAX))).is_err());
    }
}
