//! A path through JSON.

use opgate_core::filter::{Found, Keys, Value};
use serde_json::{Map, Value as Json};

use super::means;

/// Shows every value the path leads to, until the test says true.
pub(super) fn any(value: &Json, path: &[String], test: &mut dyn FnMut(Found<'_>) -> bool) -> bool {
    walk(value, path, false, test)
}

pub(super) fn walk(
    value: &Json,
    path: &[String],
    listed: bool,
    test: &mut dyn FnMut(Found<'_>) -> bool,
) -> bool {
    match (value, path) {
        (Json::Array(items), _) => items.iter().any(|item| walk(item, path, true, test)),
        (Json::Object(object), [segment, rest @ ..]) => {
            find(object, segment).is_some_and(|value| walk(value, rest, listed, test))
        }
        (Json::Null, _) | (_, [_, ..]) => false,
        (Json::Object(object), []) => {
            test(Found { value: Value::Message(&Object(object)), listed })
        }
        (Json::Bool(truth), []) => test(Found { value: Value::Bool(*truth), listed }),
        (Json::Number(number), []) => {
            let value = match (number.as_i128(), number.as_f64()) {
                (Some(integer), _) => Value::Int(integer),
                (None, Some(float)) => Value::Float(float),
                (None, None) => return false,
            };
            test(Found { value, listed })
        }
        // An empty text is not set.
        (Json::String(text), []) => {
            !text.is_empty() && test(Found { value: Value::Untyped(text), listed })
        }
    }
}

fn find<'a>(object: &'a Map<String, Json>, segment: &str) -> Option<&'a Json> {
    object
        .get(segment)
        .or_else(|| object.iter().find(|(key, _)| means(segment, key)).map(|(_, value)| value))
}

#[derive(Debug)]
struct Object<'a>(&'a Map<String, Json>);

impl Keys for Object<'_> {
    fn has(&self, key: &str) -> bool {
        find(self.0, key).is_some_and(|value| !value.is_null())
    }
}
