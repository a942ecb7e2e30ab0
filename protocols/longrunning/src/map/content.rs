//! Payloads as `google.protobuf.Any`.
//!
//! | payload | declared type | Any of |
//! |---|---|---|
//! | none, or no bytes of no type | none | `google.protobuf.Empty` |
//! | none | one | the declared type, without a field set: clients unpack nothing else |
//! | protobuf of a named type | any | that type, bytes verbatim |
//! | protobuf of no named type | known, and the bytes fit | the declared type |
//! | JSON `null` | other than HttpBody and Value | as none |
//! | JSON | known, and the JSON fits it | the declared type, transcoded |
//! | anything that would be too large so | any | `google.api.HttpBody`, as below |
//! | anything else | any | `google.api.HttpBody`: media type and bytes verbatim |

use bytes::Bytes;
use std::borrow::Cow;

use opgate_core::{Loss, Losses, Payload, limits};
use opgate_rpc::exact;
use opgate_rpc::transcode::Parameters;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor};
use serde_json::{Map, Value};

use super::structure;
use crate::proto::{Any, EMPTY, HTTP_BODY, HttpBody, STRUCT};
use crate::scan;
use crate::types::Types;

const VALUE: &str = "google.protobuf.Value";
/// What the URLs of types begin with, unless somebody has others.
const HOST: &str = "type.googleapis.com/";
/// Labels that `HttpBody` has no field for.
const ENCODING: &str = "contentEncoding";
const SECTIONS: &str = "sections";
/// What would end a parameter of a media type.
const QUOTED: &AsciiSet = &CONTROLS.add(b'"').add(b';').add(b'%');
/// The parameter of a media type that names another.
const TYPE_URL: &str = "type-url";
/// The media type of bytes of which no more is said.
const OCTETS: &str = "application/octet-stream";

/// The payload as an Any of at most `room` bytes: JSON can grow fivefold as a message, the bytes
/// themselves cannot.
pub(crate) fn within(
    room: usize,
    types: &Types,
    payload: Option<&Payload>,
    declared: Option<&str>,
) -> Any {
    let any = packed(types, payload, declared);
    match payload {
        Some(payload) if any.encoded_len() > room => {
            Some(wrapped(payload)).filter(|any| any.encoded_len() <= room).unwrap_or_else(|| {
                let mut bare = Payload::new(OCTETS, payload.bytes.clone());
                if payload.encoding.is_none() && payload.media_type.len() <= limits::NAME_BYTES {
                    bare.media_type = payload.media_type.clone();
                }
                wrapped(&bare)
            })
        }
        Some(_) | None => any,
    }
}

/// The payload as an Any whose type tells the truth.
fn packed(types: &Types, payload: Option<&Payload>, declared: Option<&str>) -> Any {
    let Some(payload) = payload.filter(|payload| !payload.is_nothing()) else {
        return nothing(declared);
    };
    // A content encoding is part of the payload: only the holder of the payload resolves it.
    let plain = payload.encoding.is_none();
    match payload.message_type() {
        Some(named) if plain && !named.is_empty() => {
            let type_url = type_url(payload).filter(|url| is_of(url, named));
            let type_url = type_url.unwrap_or_else(|| format!("{HOST}{named}"));
            Any { type_url, value: payload.bytes.clone() }
        }
        Some(_) if plain => match type_url(payload) {
            Some(type_url) => Any { type_url, value: payload.bytes.clone() },
            None => unnamed(types, payload, declared),
        },
        None if plain && payload.is_json() => json(types, payload, declared),
        Some(_) | None => wrapped(payload),
    }
}

/// A message of a named type as a payload. Its URL is kept where it is not the usual one; where that does
/// not end in a name, it alone.
pub(crate) fn typed(any: Any) -> Payload {
    let named = any.type_url.rsplit('/').next().unwrap_or_default();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.');
    let is_name = !named.is_empty() && named.chars().all(plain);
    if is_name && any.type_url.strip_suffix(named) == Some(HOST) {
        return Payload::protobuf(named, any.value);
    }
    let url = utf8_percent_encode(&any.type_url, QUOTED);
    let essence = Payload::PROTOBUF;
    let media_type = if is_name {
        format!("{essence}; message-type=\"{named}\"; {TYPE_URL}=\"{url}\"")
    } else {
        format!("{essence}; {TYPE_URL}=\"{url}\"")
    };
    Payload::new(media_type, any.value)
}

/// The URL that a payload of a message names.
fn type_url(payload: &Payload) -> Option<String> {
    let url = parameter(payload, TYPE_URL)?;
    Some(percent_decode_str(url).decode_utf8().map_or_else(|_| url.to_owned(), Cow::into_owned))
}

/// The payload that an Any holds. What is packed as opgate packs it is unpacked; all else stays a message
/// of its type, byte for byte.
pub(crate) fn read(types: &Types, any: Any) -> Option<Payload> {
    if any == nothing(None) {
        return None;
    }
    let unpacked = Some(&any).filter(|any| any.is(HTTP_BODY)).and_then(unwrapped);
    let again = unpacked.filter(|payload| packed(types, Some(payload), None) == any);
    Some(again.unwrap_or_else(|| typed(any)))
}

/// The content in an `HttpBody`, where a record can hold its labels.
fn unwrapped(any: &Any) -> Option<Payload> {
    let body = HttpBody::decode(any.value.clone()).ok()?;
    if body.content_type.len() > limits::MEDIA_TYPE_BYTES {
        return None;
    }
    let mut payload = Payload::new(body.content_type, body.data);
    match &*body.extensions {
        [] => {}
        [labels] if labels.is(STRUCT) => {
            let labels = structure::read(&labels.value).ok()?;
            let encoding = labels.get(ENCODING).and_then(Value::as_str);
            if encoding.is_some_and(|encoding| encoding.len() > limits::MEDIA_TYPE_BYTES) {
                return None;
            }
            payload.encoding = encoding.map(Into::into);
            let sections = labels.get(SECTIONS).and_then(Value::as_array).into_iter().flatten();
            let length = |length: &Value| u32::try_from(length.as_u64()?).ok();
            payload.sections = sections.map(length).collect::<Option<_>>()?;
            if payload.sections.len() > limits::SECTIONS {
                return None;
            }
        }
        _ => return None,
    }
    Some(payload)
}

/// What an Any does not say of the payload that it was made of.
pub(crate) fn lost(types: &Types, payload: Option<&Payload>, any: &Any) -> Losses {
    let Some(payload) = payload.filter(|payload| !payload.is_nothing()) else {
        return Losses::NONE;
    };
    let rewritten = payload.is_json() && payload.encoding.is_none() && !any.is(HTTP_BODY);
    if !rewritten {
        return Losses::of_result(Some(payload), read(types, any.clone()).as_ref());
    }
    let labels = Losses::NONE
        .with(Loss::ResultType, *payload.media_type != *Payload::JSON)
        .with(Loss::ResultSections, !payload.sections.is_empty());
    let Ok(value) = serde_json::from_slice::<Value>(&payload.bytes) else {
        return labels.with(Loss::ResultText, true);
    };
    labels
        | if any.is(STRUCT) {
            exact::of_struct(&payload.bytes, &value)
        } else {
            of_message(types, payload, any)
        }
}

/// What JSON loses that became a message.
fn of_message(types: &Types, payload: &Payload, any: &Any) -> Losses {
    let name = any.type_url.rsplit('/').next().unwrap_or_default();
    let kind = types.message(name);
    let compact = Parameters { pretty: false, ..Parameters::default() };
    let text = kind.and_then(|kind| compact.json().encoded(&kind, any.value.clone()).ok());
    let Some(text) = text else { return Loss::ResultText.into() };
    if text == payload.bytes {
        return Losses::NONE;
    }
    // Fields whose values are usual are left out, and large integers are texts.
    let is_kept = |number: &str| number.parse() == Ok(0.0) || exact::has_number(&text, number);
    let kept = exact::numbers(&payload.bytes).all(is_kept);
    Losses::from(Loss::ResultText).with(Loss::ResultNumbers, !kept)
}

fn is_of(url: &str, named: &str) -> bool {
    url.rsplit('/').next() == Some(named)
}

/// A parameter of a payload's media type.
fn parameter<'a>(payload: &'a Payload, wanted: &str) -> Option<&'a str> {
    payload.media_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
    })
}

/// A success without a result.
pub(super) fn nothing(declared: Option<&str>) -> Any {
    Any::new(declared.unwrap_or(EMPTY), Bytes::new())
}

fn unnamed(types: &Types, payload: &Payload, declared: Option<&str>) -> Any {
    let known = declared.and_then(|declared| types.message(declared));
    match known {
        Some(message) if scan::check(&message, &payload.bytes).is_ok() => {
            Any::new(message.full_name(), payload.bytes.clone())
        }
        Some(_) | None => wrapped(payload),
    }
}

fn json(types: &Types, payload: &Payload, declared: Option<&str>) -> Any {
    let declared = declared.unwrap_or(HTTP_BODY);
    let transcoded = match declared {
        HTTP_BODY => None,
        STRUCT => structure::from_json(&payload.bytes),
        _ => types.message(declared).and_then(|message| transcode(&message, &payload.bytes)),
    };
    match transcoded {
        Some(value) => Any::new(declared, value),
        None if declared != HTTP_BODY && payload.bytes.trim_ascii() == b"null" => {
            nothing(Some(declared))
        }
        None => wrapped(payload),
    }
}

/// Proto JSON as the message, `None` where it is not exactly that: a field the message does not
/// have would be lost.
fn transcode(message: &MessageDescriptor, json: &[u8]) -> Option<Bytes> {
    // The null of a Value is content; of any other message it is absence.
    if message.full_name() != VALUE && json.trim_ascii() == b"null" {
        return None;
    }
    let strict = DeserializeOptions::new().deny_unknown_fields(true);
    let mut reader = serde_json::Deserializer::from_slice(json);
    let message =
        DynamicMessage::deserialize_with_options(message.clone(), &mut reader, &strict).ok()?;
    reader.end().ok()?;
    Some(message.encode_to_vec().into())
}

/// The content with its labels; the ones `HttpBody` has no field for go along as a Struct.
fn wrapped(payload: &Payload) -> Any {
    let mut labels = Map::new();
    if let Some(encoding) = &payload.encoding {
        labels.insert(ENCODING.to_owned(), (**encoding).into());
    }
    if !payload.sections.is_empty() {
        let sections: Vec<Value> = payload.sections.iter().map(|length| (*length).into()).collect();
        labels.insert(SECTIONS.to_owned(), sections.into());
    }
    let labels = (!labels.is_empty()).then(|| Any::new(STRUCT, structure::encode(&labels)));
    let body = HttpBody {
        content_type: payload.media_type.as_ref().to_owned(),
        data: payload.bytes.clone(),
        extensions: labels.into_iter().collect(),
    };
    Any::pack(HTTP_BODY, &body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample::types;

    fn body(any: &Any) -> HttpBody {
        assert!(any.is(HTTP_BODY), "{any:?}");
        HttpBody::decode(&*any.value).unwrap()
    }

    const POLICY: &str = "google.identity.accesscontextmanager.v1.AccessPolicy";

    #[test]
    fn no_content_is_the_declared_type_without_a_field_set() {
        assert_eq!(packed(types(), None, None), Any::new(EMPTY, ""));
        for declared in [POLICY, EMPTY, "unknown.Type"] {
            assert_eq!(packed(types(), None, Some(declared)), Any::new(declared, ""));
            let untyped = Payload::new("", "");
            assert_eq!(packed(types(), Some(&untyped), Some(declared)), Any::new(declared, ""));
        }
    }

    #[test]
    fn protobuf_is_verbatim_whatever_was_declared() {
        // Field 99 twice, out of order, unknown to the type: bytes are bytes.
        let bytes: &[u8] = b"\x98\x06\x01\x1a\x01t\x98\x06\x02";
        let payload = Payload::protobuf(POLICY, bytes);
        for declared in [None, Some(POLICY), Some(STRUCT)] {
            assert_eq!(packed(types(), Some(&payload), declared), Any::new(POLICY, bytes));
        }
    }

    #[test]
    fn unnamed_protobuf_takes_the_declared_type_only_where_it_fits() {
        let payload = |bytes: &'static [u8]| Payload::new(Payload::PROTOBUF, bytes);
        let fits = payload(b"\x1a\x01t");
        assert_eq!(
            packed(types(), Some(&fits), Some(POLICY)),
            Any::new(POLICY, fits.bytes.clone())
        );
        for (payload, declared) in
            [(payload(b"\x18\x01"), Some(POLICY)), (fits, None), (payload(b""), Some("unknown.T"))]
        {
            let any = packed(types(), Some(&payload), declared);
            assert_eq!(body(&any).content_type, Payload::PROTOBUF);
            assert_eq!(body(&any).data, payload.bytes);
        }
    }

    #[test]
    fn json_becomes_the_declared_type_or_stays_json() {
        let title = Payload::json(r#"{"title":"t"}"#);
        assert_eq!(
            packed(types(), Some(&title), Some(POLICY)),
            Any::new(POLICY, Bytes::from_static(b"\x1a\x01t"))
        );
        assert!(packed(types(), Some(&title), Some(STRUCT)).is(STRUCT));
        for (json, declared) in [
            (r#"{"title":"t"}"#, None),
            (r#"{"title":"t"}"#, Some("unknown.Type")),
            (r#"{"title":"t"}"#, Some(HTTP_BODY)),
            (r#"{"title":"t","no_such_field":1}"#, Some(POLICY)),
            (r#"{"title":1}"#, Some(POLICY)),
            (r#"{"title":"t"} x"#, Some(POLICY)),
            ("[1]", Some(STRUCT)),
            ("[1]", Some(POLICY)),
            (r#"{"x":1}"#, Some(EMPTY)),
            ("null", None),
            ("null", Some(HTTP_BODY)),
            ("", Some(POLICY)),
        ] {
            let any = packed(types(), Some(&Payload::json(json)), declared);
            assert_eq!(body(&any).content_type, Payload::JSON, "{json} {declared:?}");
            assert_eq!(body(&any).data, json);
        }
    }

    #[test]
    fn json_null_is_no_content_except_where_null_is_a_value() {
        let null = Payload::json(" null\n");
        for declared in [POLICY, STRUCT, EMPTY, "unknown.Type"] {
            assert_eq!(packed(types(), Some(&null), Some(declared)), Any::new(declared, ""));
        }
        assert!(packed(types(), Some(&null), Some(VALUE)).is(VALUE));
        assert!(packed(types(), Some(&Payload::json("{}")), Some(EMPTY)).is(EMPTY));
    }

    #[test]
    fn labels_without_a_field_go_along() {
        let mut payload = Payload::json("\x1f\u{8}");
        payload.encoding = Some("gzip".into());
        payload.sections = vec![1, 1];
        let body = body(&packed(types(), Some(&payload), Some(STRUCT)));
        assert_eq!(body.data, payload.bytes);
        let labels = structure::to_json(&body.extensions[0].value).unwrap();
        assert_eq!(labels, br#"{"contentEncoding":"gzip","sections":[1,1]}"#);
        let mut named = Payload::protobuf(POLICY, "");
        named.encoding = Some("gzip".into());
        assert!(packed(types(), Some(&named), None).is(HTTP_BODY));
    }

    proptest! {
        #[test]
        fn no_payload_panics_and_no_type_lies(
            media in prop_oneof![
                Just("application/json".to_owned()),
                Just("application/x-protobuf".to_owned()),
                Just(format!("application/x-protobuf; message-type={POLICY}")),
                ".*",
            ],
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..100),
                r#"\{"(title|name|x)":("[a-z]*"|[0-9]+|null)\}|null"#.prop_map(String::into_bytes),
            ],
            declared in prop_oneof![
                Just(None),
                Just(Some(POLICY)),
                Just(Some(STRUCT)),
                Just(Some(EMPTY)),
                Just(Some(VALUE)),
                Just(Some("google.protobuf.Any")),
                Just(Some("google.protobuf.Timestamp")),
            ],
        ) {
            let types = types();
            let payload = Payload::new(media, bytes);
            let any = packed(types, Some(&payload), declared);
            let verbatim = payload.message_type().is_some_and(|named| !named.is_empty());
            let name = any.type_url.strip_prefix("type.googleapis.com/").unwrap();
            if !verbatim {
                let message = types.message(name).unwrap();
                prop_assert_eq!(scan::check(&message, &any.value).err(), None);
            }
        }
    }
}
