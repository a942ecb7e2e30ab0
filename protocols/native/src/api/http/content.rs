//! JSON content in requests, taken as the bytes it is: read as `google.protobuf.Value` it would lose
//! its digits, its order and names that are there twice.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::api::method::Method;

/// Where the content of a method's request is.
const fn place(method: Method) -> Option<&'static [&'static str]> {
    match method {
        Method::Start => Some(&["input"]),
        Method::Complete | Method::Finish => Some(&["outcome", "succeeded"]),
        Method::Get
        | Method::List
        | Method::Wait
        | Method::Watch
        | Method::WatchAll
        | Method::Cancel
        | Method::Delete
        | Method::Redrive
        | Method::Lease
        | Method::Report
        | Method::Release => None,
    }
}

/// The body with its content's `json` as `data`. What is not as expected stays as it is: the reader
/// of the message says what is wrong.
pub(super) fn carried(method: Method, body: Bytes) -> Bytes {
    let changed = place(method).and_then(|place| within(&body, place));
    changed.map_or(body, Bytes::from)
}

fn within(json: &[u8], place: &[&str]) -> Option<String> {
    let mut object: Object<'_> = serde_json::from_slice(json).ok()?;
    let Some((name, place)) = place.split_first() else { return object.as_data() };
    let mut named = object.0.iter_mut().filter(|(known, _)| known == name);
    let (_, value) = named.next().filter(|_| named.next().is_none())?;
    let changed = within(value.as_bytes(), place)?;
    *value = Part::Made(changed);
    Some(object.text())
}

/// An object whose values are not read.
struct Object<'a>(Vec<(String, Part<'a>)>);

/// A value, as it came or as it was made.
enum Part<'a> {
    Came(&'a RawValue),
    Made(String),
}

impl Part<'_> {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Came(raw) => raw.get().as_bytes(),
            Self::Made(text) => text.as_bytes(),
        }
    }
}

impl Object<'_> {
    /// The object with `data` and a media type in the place of its `json`; none if that is not its
    /// only content.
    fn as_data(&mut self) -> Option<String> {
        let is = |names: &[&str], name: &str| names.contains(&name);
        let bodies = self.0.iter().filter(|(name, _)| is(&["json", "data", "text"], name)).count();
        let (name, value) = self.0.iter_mut().find(|(name, _)| name == "json")?;
        if bodies != 1 {
            return None;
        }
        let data = STANDARD.encode(value.as_bytes());
        (*name, *value) = ("data".to_owned(), Part::Made(format!("\"{data}\"")));
        if !self.0.iter().any(|(name, _)| is(&["mediaType", "media_type"], name)) {
            let json = Part::Made("\"application/json\"".to_owned());
            self.0.push(("mediaType".to_owned(), json));
        }
        Some(self.text())
    }

    fn text(&self) -> String {
        let mut text = String::from("{");
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(name.as_str()).to_string());
            text.push(':');
            text.push_str(match value {
                Part::Came(raw) => raw.get(),
                Part::Made(made) => made,
            });
        }
        text.push('}');
        text
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<(String, Part<'de>)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    fields.push((name, Part::Came(value)));
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Fields).map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(method: Method, body: &str) -> String {
        String::from_utf8(super::carried(method, Bytes::from(body.to_owned())).to_vec()).unwrap()
    }

    #[test]
    fn json_becomes_the_bytes_it_is() {
        let data = STANDARD.encode(r#"{"n": 12345678901234567890, "n": 1}"#);
        for (method, body, expected) in [
            (
                Method::Start,
                r#"{"route":"r","input":{"json":{"n": 12345678901234567890, "n": 1}}}"#,
                format!(
                    r#"{{"route":"r","input":{{"data":"{data}","mediaType":"application/json"}}}}"#
                ),
            ),
            (
                Method::Finish,
                r#"{ "outcome" : { "succeeded" : { "media_type": "a/x+json", "json": null } } }"#,
                r#"{"outcome":{"succeeded":{"media_type":"a/x+json","data":"bnVsbA=="}}}"#
                    .to_owned(),
            ),
        ] {
            assert_eq!(carried(method, body), expected);
        }
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for (method, body) in [
            (Method::Cancel, r#"{"input":{"json":1}}"#),
            (Method::Start, ""),
            (Method::Start, "{"),
            (Method::Start, "[1]"),
            (Method::Start, r#"{"input":1}"#),
            (Method::Start, r#"{"input":{"text":"a"}}"#),
            (Method::Start, r#"{"input":{"json":1,"text":"a"}}"#),
            (Method::Start, r#"{"input":{"json":1,"json":2}}"#),
            (Method::Start, r#"{"input":{"json":1},"input":{"json":2}}"#),
            (Method::Complete, r#"{"outcome":{"failed":{"code":"x"}}}"#),
        ] {
            assert_eq!(carried(method, body), body);
        }
    }
}
