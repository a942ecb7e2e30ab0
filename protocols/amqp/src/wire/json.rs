//! AMQP's values as JSON, and JSON as AMQP's values.
//!
//! What JSON has a word for is that: numbers of every width, texts (strings, symbols, characters),
//! truth, lists (arrays too) and maps with texts for keys. What it has none for is an object of one
//! field: `$binary` (base64), `$timestamp` (milliseconds), `$uuid`, `$decimal32`, `$decimal64`,
//! `$decimal128` (hex), `$double` (`NaN`, `Infinity`, `-Infinity`), `$described` (descriptor and value)
//! and `$map` (pairs). A map that would be taken for one of these is a `$map` too.
//!
//! JSON comes back as it was. Of a value its width is lost, and that a text was a symbol, and maps whose keys are time
//! stamps come back as what JSON has for them; nothing else.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_amqp::Value;
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;
use serde_amqp::primitives::{Binary, OrderedMap, Symbol, Timestamp};
use serde_json::{Map, Number, Value as Json};

use super::text;

const BINARY: &str = "$binary";
const TIMESTAMP: &str = "$timestamp";
const UUID: &str = "$uuid";
const DECIMAL32: &str = "$decimal32";
const DECIMAL64: &str = "$decimal64";
const DECIMAL128: &str = "$decimal128";
const DOUBLE: &str = "$double";
const DESCRIBED: &str = "$described";
const MAP: &str = "$map";

/// Values of JSON that is shown as values; JSON of more is shown as the bytes that it is.
pub const ELEMENTS: usize = 65_535;

/// Whether JSON has no more values than one list may have for the clients that have a limit (pyamqp,
/// uAMQP, fe2o3-amqp): as values it takes many times as much memory as it has bytes.
pub fn is_small(json: &[u8]) -> bool {
    json.split(|byte| *byte == b',').count() <= ELEMENTS
}

/// The JSON of a value. It is as deep as the value, whose depth its reader has bounded.
pub fn of(value: &Value) -> Json {
    if let Some(text) = plain_text(value) {
        return Json::String(text);
    }
    if let Some(number) = text::integer(value) {
        return integer(number);
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest are texts and integers, and done")]
    match value {
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Float(number) => double(f64::from(number.0)),
        Value::Double(number) => double(number.0),
        Value::Decimal32(number) => tagged(DECIMAL32, hex(number.as_inner())),
        Value::Decimal64(number) => tagged(DECIMAL64, hex(number.as_inner())),
        Value::Decimal128(number) => tagged(DECIMAL128, hex(number.as_inner())),
        Value::Timestamp(time) => tagged(TIMESTAMP, time.milliseconds()),
        Value::Uuid(id) => tagged(UUID, uuid(id.as_inner())),
        Value::Binary(bytes) => tagged(BINARY, STANDARD.encode(bytes)),
        Value::List(items) => items.iter().map(of).collect(),
        Value::Array(items) => items.0.iter().map(of).collect(),
        Value::Map(pairs) => map(pairs),
        Value::Described(described) => {
            let descriptor = match &described.descriptor {
                Descriptor::Name(name) => Json::from(name.as_str()),
                Descriptor::Code(code) => Json::from(*code),
            };
            tagged(DESCRIBED, vec![descriptor, of(&described.value)])
        }
        _ => Json::Null,
    }
}

/// The milliseconds of what was a timestamp.
pub fn milliseconds(json: &Json) -> Option<i64> {
    json.as_object().filter(|fields| fields.len() == 1)?.get(TIMESTAMP)?.as_i64()
}

/// Whether a value is the same again once it was JSON: as integers it has longs, as texts strings.
pub fn is_kept(value: &Value) -> bool {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others come back as another type")]
    match value {
        Value::Null
        | Value::Bool(_)
        | Value::Long(_)
        | Value::String(_)
        | Value::Binary(_)
        | Value::Timestamp(_)
        | Value::Uuid(_)
        | Value::Decimal32(_)
        | Value::Decimal64(_)
        | Value::Decimal128(_)
        | Value::Double(_) => true,
        // A smaller one comes back as a long.
        Value::Ulong(number) => i64::try_from(*number).is_err(),
        Value::List(items) => items.iter().all(is_kept),
        Value::Map(pairs) => pairs.iter().all(|(key, value)| {
            let writable = is_writable_key(&of(key));
            writable && is_kept(key) && is_kept(value)
        }),
        Value::Described(described) => is_kept(&described.value),
        _ => false,
    }
}

/// The value of JSON.
pub fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => self::number(number),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(value).collect()),
        Json::Object(fields) => {
            let tagged = tag(fields).and_then(|(tag, content)| untagged(tag, content));
            tagged.unwrap_or_else(|| {
                let pair = |(name, field): (&String, &Json)| (Value::from(&**name), value(field));
                Value::Map(fields.iter().map(pair).collect())
            })
        }
    }
}

/// The usual text of a UUID.
pub fn uuid(bytes: &[u8; 16]) -> String {
    let mut text = hex(bytes);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

fn plain_text(value: &Value) -> Option<String> {
    if let Value::String(text) = value {
        Some(text.clone())
    } else if let Value::Symbol(symbol) = value {
        Some(symbol.as_str().to_owned())
    } else if let Value::Char(character) = value {
        Some(character.to_string())
    } else {
        None
    }
}

/// All integers of AMQP's are integers of JSON's.
fn integer(number: i128) -> Json {
    match (i64::try_from(number), u64::try_from(number)) {
        (Ok(number), _) => Json::from(number),
        (Err(_), Ok(number)) => Json::from(number),
        (Err(_), Err(_)) => Json::Null,
    }
}

fn double(number: f64) -> Json {
    match Number::from_f64(number) {
        Some(number) => Json::Number(number),
        None if number.is_nan() => tagged(DOUBLE, "NaN"),
        None if number > 0.0 => tagged(DOUBLE, "Infinity"),
        None => tagged(DOUBLE, "-Infinity"),
    }
}

fn number(number: &Number) -> Value {
    if let Some(number) = number.as_i64() {
        Value::Long(number)
    } else if let Some(number) = number.as_u64() {
        Value::Ulong(number)
    } else {
        Value::from(number.as_f64().unwrap_or(f64::NAN))
    }
}

fn tagged(tag: &str, content: impl Into<Json>) -> Json {
    Json::Object(Map::from_iter([(tag.to_owned(), content.into())]))
}

/// Of two keys that are alike in JSON the last one counts. Each value is written once: what is written
/// twice on every level is written without end.
fn map(pairs: &OrderedMap<Value, Value>) -> Json {
    let names: Option<Vec<String>> = pairs.keys().map(plain_text).collect();
    if let Some(names) = names {
        let fields: Map<String, Json> = names.into_iter().zip(pairs.values().map(of)).collect();
        if tag(&fields).is_none() {
            return Json::Object(fields);
        }
        let pairs = fields.into_iter().map(|(name, value)| vec![Json::String(name), value]);
        return tagged(MAP, pairs.map(Json::Array).collect::<Vec<_>>());
    }
    let mut written: OrderedMap<String, Json> = OrderedMap::with_capacity(pairs.len());
    for (key, value) in pairs {
        let key = of(key);
        written.insert(key.to_string(), Json::Array(vec![key, of(value)]));
    }
    tagged(MAP, written.into_values().collect::<Vec<_>>())
}

/// The tag of an object of one field that stands for something else, and what stands behind it. It does
/// only if it is exactly as [`of`] writes it.
fn tag(fields: &Map<String, Json>) -> Option<(&str, &Json)> {
    let mut all = fields.iter();
    let (Some((tag, content)), None) = (all.next(), all.next()) else { return None };
    is_tag(tag, content).then_some((tag, content))
}

/// Looks at one level only, but for a map of one pair whose key is a tag itself.
fn is_tag(tag: &str, content: &Json) -> bool {
    let text = || content.as_str().unwrap_or_default();
    match tag {
        BINARY => content.as_str().is_some_and(|text| STANDARD.decode(text).is_ok()),
        TIMESTAMP => content.as_i64().is_some(),
        UUID => from_uuid(text()).is_some(),
        DECIMAL32 => unhex::<4>(text()).is_some(),
        DECIMAL64 => unhex::<8>(text()).is_some(),
        DECIMAL128 => unhex::<16>(text()).is_some(),
        DOUBLE => infinite(text()).is_some(),
        DESCRIBED => {
            let parts = content.as_array().map(Vec::as_slice);
            matches!(parts, Some([descriptor, _]) if descriptor.is_string() || descriptor.is_u64())
        }
        MAP => pairs(content).is_some_and(|pairs| needs_pairs(&pairs)),
        _ => false,
    }
}

fn pairs(content: &Json) -> Option<Vec<(&Json, &Json)>> {
    let pairs = content.as_array()?.iter().map(|pair| match pair.as_array()?.as_slice() {
        [key, value] if is_writable_key(key) => Some((key, value)),
        _ => None,
    });
    pairs.collect()
}

/// Whether the crate writes a map with such a key: after a time stamp it panics at most values and takes a long for
/// another time (`serde_amqp` 0.18, `SerializeMap::serialize_entry`). A map with one stays as JSON has it.
fn is_writable_key(key: &Json) -> bool {
    match key.as_object().and_then(tag) {
        Some((TIMESTAMP, _)) => false,
        Some((DESCRIBED, parts)) => parts.get(1).is_none_or(is_writable_key),
        Some(_) | None => true,
    }
}

/// Whether a map cannot be written as an object.
fn needs_pairs(pairs: &[(&Json, &Json)]) -> bool {
    let mut seen = HashSet::with_capacity(pairs.len());
    if !pairs.iter().all(|(key, _)| seen.insert(key.to_string())) {
        return false;
    }
    match pairs {
        [(Json::String(key), value)] => is_tag(key, value),
        _ => pairs.iter().any(|(key, _)| !key.is_string()),
    }
}

/// The value that a tag and what stands behind it stand for.
fn untagged(tag: &str, content: &Json) -> Option<Value> {
    let text = || content.as_str().unwrap_or_default();
    Some(match tag {
        BINARY => Value::Binary(Binary::from(STANDARD.decode(text()).ok()?)),
        TIMESTAMP => Value::Timestamp(Timestamp::from_milliseconds(content.as_i64()?)),
        UUID => Value::Uuid(from_uuid(text())?.into()),
        DECIMAL32 => Value::Decimal32(unhex::<4>(text())?.into()),
        DECIMAL64 => Value::Decimal64(unhex::<8>(text())?.into()),
        DECIMAL128 => Value::Decimal128(unhex::<16>(text())?.into()),
        DOUBLE => Value::from(infinite(text())?),
        DESCRIBED => {
            let [descriptor, described] = content.as_array()?.as_slice() else { return None };
            let descriptor = match descriptor.as_str() {
                Some(name) => Descriptor::Name(Symbol::from(name)),
                None => Descriptor::Code(descriptor.as_u64()?),
            };
            Value::Described(Box::new(Described { descriptor, value: value(described) }))
        }
        MAP => {
            let pairs = pairs(content)?.into_iter();
            Value::Map(pairs.map(|(key, item)| (value(key), value(item))).collect())
        }
        _ => return None,
    })
}

fn infinite(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn from_uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = unhex(&text.replace('-', ""))?;
    (uuid(&bytes) == text).then_some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Bytes from lower-case hex.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut bytes = [0; N];
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
pub(in crate::wire) mod tests;
