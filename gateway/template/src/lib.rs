//! JSON made from other JSON: results, inputs, requests and resources that a configuration spells out.
//!
//! This crate must never know where a template stands or what it is for. In a template, a string may
//! hold placeholders: `${/a/b}` is what the JSON pointer finds in the
//! source, which is most often an operation's input, `${}` the whole of it, `${id}` the operation's id and `${uuid}` the same id written as a
//! UUID; `$${` is a plain `${`. A placeholder that is the whole string is replaced by the value,
//! one within text by its text. `{"$merge": [a, b]}` is one object with the fields of all, the last
//! winning. What is not found is left out of an object or a merge, `null` in an array and nothing
//! within text.

use opgate_core::{Error, ErrorKind, OperationId, limits};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

const MERGE: &str = "$merge";
const ALONE: Problem = Problem::Malformed("`$merge` stands alone in its object and holds an array");

/// What is encoded in segments of a path: all but slashes and what is unreserved.
const SEGMENTS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What placeholders refer to.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What pointers point into, where it is JSON.
    pub input: Option<&'a Value>,
    /// The operation; none where there is none yet: `${id}` and `${uuid}` then find nothing.
    pub id: Option<OperationId>,
}

/// What is wrong with a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is none.
    #[error("{0}")]
    Malformed(&'static str),
    /// It would make more than a payload may hold.
    #[error("is more than {} bytes long once the placeholders are replaced", limits::PAYLOAD_BYTES)]
    TooLarge,
}

impl Problem {
    /// The error of a request, where `field` is what the template makes.
    pub fn of(self, field: &str) -> Error {
        match self {
            Self::Malformed(problem) => Error::invalid(field.to_owned(), problem),
            Self::TooLarge => Error::new(ErrorKind::PayloadTooLarge, format!("{field}: {self}")),
        }
    }
}

/// Whether `template` is one, whatever it is given.
///
/// # Errors
/// The first problem.
pub fn check(template: &Value) -> Result<(), Problem> {
    visit(template, &mut |_| {})
}

/// What a placeholder refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder<'a> {
    /// `${}`: the whole of the source.
    Whole,
    /// `${/a/b}`: what this JSON pointer finds there.
    Pointer(&'a str),
    /// `${id}`.
    Id,
    /// `${uuid}`.
    Uuid,
}

/// Every placeholder of a template, for those who know what there is to be found.
///
/// # Errors
/// As [`check`].
pub fn placeholders(template: &Value) -> Result<Vec<Placeholder<'_>>, Problem> {
    let mut found = Vec::new();
    visit(template, &mut |placeholder| found.push(placeholder))?;
    Ok(found)
}

fn visit<'a>(template: &'a Value, see: &mut impl FnMut(Placeholder<'a>)) -> Result<(), Problem> {
    match template {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(text) => {
            for piece in pieces(text)? {
                if let Piece::Of(placeholder) = piece {
                    see(placeholder);
                }
            }
            Ok(())
        }
        Value::Array(items) => items.iter().try_for_each(|item| visit(item, see)),
        Value::Object(fields) => match fields.get(MERGE) {
            Some(Value::Array(parts)) if fields.len() == 1 => {
                parts.iter().try_for_each(|part| visit(part, see))
            }
            Some(_) => Err(ALONE),
            None => fields.values().try_for_each(|value| visit(value, see)),
        },
    }
}

/// The text that a template in one string makes; `None` when one of its placeholders finds nothing,
/// or something that is neither text, number nor truth value.
///
/// # Errors
/// It is no template.
pub fn text(template: &str, source: &Source<'_>) -> Result<Option<String>, Problem> {
    joined(&pieces(template)?, source, |_, part, whole| whole.push_str(part))
}

/// As [`text`], of a template that makes a URI: what is put behind other text is percent-encoded (RFC 3986, section 2.1), but
/// for what is unreserved and for slashes, as names of several segments have them. What a template begins with is a URI
/// already, or the beginning of one.
///
/// # Errors
/// It is no template.
pub fn uri(template: &str, source: &Source<'_>) -> Result<Option<String>, Problem> {
    joined(&pieces(template)?, source, |piece, part, whole| match piece {
        Piece::Of(_) if !whole.is_empty() => whole.extend(utf8_percent_encode(part, SEGMENTS)),
        Piece::Of(_) | Piece::Text(_) => whole.push_str(part),
    })
}

/// The text of all pieces, each put there as `put` does.
fn joined(
    pieces: &[Piece<'_>],
    source: &Source<'_>,
    put: impl Fn(&Piece<'_>, &str, &mut String),
) -> Result<Option<String>, Problem> {
    let mut expansion = Expansion { source, room: limits::PAYLOAD_BYTES };
    let mut whole = String::new();
    for piece in pieces {
        match expansion.replacement(piece)? {
            Some(Value::String(part)) => put(piece, &part, &mut whole),
            Some(part @ (Value::Number(_) | Value::Bool(_))) => {
                put(piece, &part.to_string(), &mut whole);
            }
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => return Ok(None),
        }
    }
    Ok(Some(whole))
}

/// Whether `template` has a placeholder that refers to the input.
pub fn reads_input(template: &Value) -> bool {
    let mut reads = false;
    let understood = visit(template, &mut |placeholder| {
        reads |= matches!(placeholder, Placeholder::Whole | Placeholder::Pointer(_));
    });
    understood.is_ok() && reads
}

/// The template with its placeholders replaced; `null` when it was one that finds nothing.
///
/// Refused where a placeholder is not understood, and where the result would be larger than a
/// payload may be: a short template can repeat a long input many times.
///
/// # Errors
/// Why not.
pub fn expand(template: &Value, source: &Source<'_>) -> Result<Value, Problem> {
    let mut expansion = Expansion { source, room: limits::PAYLOAD_BYTES };
    Ok(expansion.value(template)?.unwrap_or(Value::Null))
}

struct Expansion<'a> {
    source: &'a Source<'a>,
    room: usize,
}

impl Expansion<'_> {
    fn value(&mut self, template: &Value) -> Result<Option<Value>, Problem> {
        match template {
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(Some(template.clone())),
            Value::String(text) => self.string(text),
            Value::Array(items) => {
                let items = items.iter().map(|item| Ok(self.value(item)?.unwrap_or(Value::Null)));
                Ok(Some(Value::Array(items.collect::<Result<_, Problem>>()?)))
            }
            Value::Object(fields) => match fields.get(MERGE) {
                Some(Value::Array(parts)) if fields.len() == 1 => self.merge(parts).map(Some),
                Some(_) => Err(ALONE),
                None => self.object(fields).map(Some),
            },
        }
    }

    fn object(&mut self, fields: &Map<String, Value>) -> Result<Value, Problem> {
        let mut object = Map::with_capacity(fields.len());
        for (name, value) in fields {
            if let Some(value) = self.value(value)? {
                object.insert(name.clone(), value);
            }
        }
        Ok(Value::Object(object))
    }

    fn merge(&mut self, parts: &[Value]) -> Result<Value, Problem> {
        let mut merged = Map::new();
        for part in parts {
            match self.value(part)? {
                Some(Value::Object(fields)) => merged.extend(fields),
                None | Some(Value::Null) => {}
                Some(_) => return Err(Problem::Malformed("each part of `$merge` is an object")),
            }
        }
        Ok(Value::Object(merged))
    }

    fn string(&mut self, text: &str) -> Result<Option<Value>, Problem> {
        let pieces = pieces(text)?;
        if let [only] = pieces.as_slice() {
            return self.replacement(only);
        }
        let mut whole = String::new();
        for piece in &pieces {
            match self.replacement(piece)? {
                None | Some(Value::Null) => {}
                Some(Value::String(part)) => whole.push_str(&part),
                Some(other) => whole.push_str(&other.to_string()),
            }
        }
        Ok(Some(Value::String(whole)))
    }

    fn replacement(&mut self, piece: &Piece<'_>) -> Result<Option<Value>, Problem> {
        let found = match piece {
            Piece::Text(text) => return Ok(Some(Value::String((*text).to_owned()))),
            Piece::Of(Placeholder::Id) => {
                return Ok(self.source.id.map(|id| Value::String(id.to_string())));
            }
            Piece::Of(Placeholder::Uuid) => {
                return Ok(self.source.id.map(|id| Value::String(uuid(id))));
            }
            Piece::Of(Placeholder::Whole) => self.source.input,
            Piece::Of(Placeholder::Pointer(pointer)) => {
                self.source.input.and_then(|input| input.pointer(pointer))
            }
        };
        let Some(found) = found else { return Ok(None) };
        let Some(room) = self.room.checked_sub(weight(found)) else {
            return Err(Problem::TooLarge);
        };
        self.room = room;
        Ok(Some(found.clone()))
    }
}

/// About the length of the value's text; what counts is that it grows with it.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => {
            2 + fields.iter().map(|(name, value)| name.len() + 4 + weight(value)).sum::<usize>()
        }
    }
}

/// A string's plain text and placeholders, in order.
enum Piece<'a> {
    Text(&'a str),
    Of(Placeholder<'a>),
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, Problem> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once("${") {
        // `$${`: the first `$` only says that the next is plain text.
        if let Some(plain) = plain.strip_suffix('$') {
            found.extend([Piece::Text(plain), Piece::Text("${")]);
            rest = after;
            continue;
        }
        if !plain.is_empty() {
            found.push(Piece::Text(plain));
        }
        let (inner, after) =
            after.split_once('}').ok_or(Problem::Malformed("a placeholder ends with `}`"))?;
        found.push(Piece::Of(placeholder(inner)?));
        rest = after;
    }
    if !rest.is_empty() || found.is_empty() {
        found.push(Piece::Text(rest));
    }
    Ok(found)
}

fn placeholder(inner: &str) -> Result<Placeholder<'_>, Problem> {
    match inner {
        "id" => Ok(Placeholder::Id),
        "uuid" => Ok(Placeholder::Uuid),
        "" => Ok(Placeholder::Whole),
        pointer if pointer.starts_with('/') => Ok(Placeholder::Pointer(pointer)),
        _ => {
            Err(Problem::Malformed("a placeholder is one of ${/json/pointer}, ${}, ${id}, ${uuid}"))
        }
    }
}

/// The id in the form of a UUID of version 8 (its own layout), so that a repeat gives the same.
fn uuid(id: OperationId) -> String {
    const VERSION: u128 = 0xf << 76;
    const VARIANT: u128 = 0b11 << 62;
    let bits = (id.to_bits() & !VERSION & !VARIANT) | (8 << 76) | (0b10 << 62);
    let text = format!("{bits:032x}");
    let mut grouped = String::with_capacity(36);
    for (at, digit) in text.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            grouped.push('-');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expanded(template: &Value, input: &Value) -> Result<Value, Problem> {
        expand(
            template,
            &Source { input: Some(input), id: Some(OperationId::from_bits(u128::MAX)) },
        )
    }

    #[test]
    fn a_placeholder_alone_is_the_value_and_within_text_its_text() {
        let input = json!({"name": "n", "list": [1, 2.50], "a/b": {"c": true}});
        for (template, result) in [
            (json!("${/name}"), json!("n")),
            (json!("${/list}"), json!([1, 2.50])),
            (json!("${/a~1b/c}"), json!(true)),
            (json!("${}"), input.clone()),
            (json!("x-${/name}-${/list/0}${/absent}."), json!("x-n-1.")),
            (json!("$${/name}"), json!("${/name}")),
            (json!("a$${b"), json!("a${b")),
            (json!("cost: $5"), json!("cost: $5")),
            (json!(""), json!("")),
            (json!([1, "${/name}", "${/absent}"]), json!([1, "n", null])),
            (json!({"a": "${/name}", "b": "${/absent}", "c": null}), json!({"a": "n", "c": null})),
            (json!("${/absent}"), json!(null)),
            (json!("${id}"), json!("7zzzzzzzzzzzzzzzzzzzzzzzzz")),
            (json!("${uuid}"), json!("ffffffff-ffff-8fff-bfff-ffffffffffff")),
        ] {
            assert_eq!(expanded(&template, &input).unwrap(), result, "{template}");
        }
    }

    #[test]
    fn what_is_put_into_a_uri_is_encoded() {
        let input = json!({"id": "x/y?z# \u{fc}", "n": 2.5, "uri": "https://h/a?b=c"});
        let source = Source { input: Some(&input), id: None };
        for (template, made) in [
            ("/things/${/id}/parts/${/n}", Some("/things/x/y%3Fz%23%20%C3%BC/parts/2.5")),
            ("${/uri}", Some("https://h/a?b=c")),
            ("${/uri}&c=${/id}", Some("https://h/a?b=c&c=x/y%3Fz%23%20%C3%BC")),
            ("/all?of=${/n}", Some("/all?of=2.5")),
            ("/things/${/absent}", None),
        ] {
            assert_eq!(uri(template, &source).unwrap().as_deref(), made, "{template}");
        }
    }

    #[test]
    fn a_merge_takes_the_last_of_equal_fields() {
        let template = json!({"$merge": ["${/workflow}", "${/absent}", {"name": "w", "state": 1}]});
        let input = json!({"workflow": {"name": "old", "labels": {"a": "b"}}});
        let result = json!({"name": "w", "labels": {"a": "b"}, "state": 1});
        assert_eq!(expanded(&template, &input).unwrap(), result);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for template in [
            json!("${name}"),
            json!("${/name"),
            json!({"$merge": {}}),
            json!({"$merge": [], "x": 1}),
            json!({"$merge": ["${/name}"]}),
        ] {
            let problem = expanded(&template, &json!({"name": "n"})).unwrap_err();
            assert!(matches!(problem, Problem::Malformed(_)), "{template}");
        }
    }

    #[test]
    fn a_short_template_cannot_make_a_huge_result() {
        let input = json!("x".repeat(limits::PAYLOAD_BYTES / 4));
        let template = json!(vec!["${}"; 5]);
        assert_eq!(expanded(&template, &input), Err(Problem::TooLarge));
        assert!(expanded(&json!(vec!["${}"; 3]), &input).is_ok());
    }

    #[test]
    fn only_placeholders_for_the_input_need_one() {
        assert!(!reads_input(&json!({"a": ["${id}", "text", 1]})));
        assert!(reads_input(&json!({"a": ["${id}-${/b}"]})));
    }

    #[test]
    fn every_placeholder_is_told() {
        let template = json!({"a": ["${}", "x${/b}y${id}"], "c": {"$merge": ["${uuid}"]}});
        let found = placeholders(&template).unwrap();
        let all =
            [Placeholder::Whole, Placeholder::Pointer("/b"), Placeholder::Id, Placeholder::Uuid];
        assert_eq!(found, all);
        assert!(placeholders(&json!(["${}", "${b}"])).is_err());
    }

    #[test]
    fn a_text_is_whole_or_not_at_all() {
        let input = json!({"name": "n", "size": 3, "list": []});
        let source = Source { input: Some(&input), id: None };
        assert_eq!(text("a/${/name}/${/size}", &source), Ok(Some("a/n/3".to_owned())));
        for template in ["a/${/absent}", "${/list}", "${id}"] {
            assert_eq!(text(template, &source), Ok(None), "{template}");
        }
    }

    #[test]
    fn what_a_check_finds_an_expansion_would() {
        assert!(check(&json!({"a": ["${/b}", "$${", 1, {"$merge": ["${}"]}]})).is_ok());
        for template in [json!("${name}"), json!([{"$merge": 1}]), json!({"a": "${"})] {
            assert!(check(&template).is_err(), "{template}");
        }
    }
}
