//! Scalar values as text: in a query, in a path, as JSON strings and as keys.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost_reflect::{DynamicMessage, EnumDescriptor, Kind, MapKey, MessageDescriptor, Value};
use serde::de::DeserializeSeed as _;
use serde::de::IntoDeserializer as _;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Whether the message is one of the wrappers of a scalar, whose JSON is the scalar's.
pub fn is_wrapper(full_name: &str) -> bool {
    full_name
        .strip_prefix("google.protobuf.")
        .and_then(|name| name.strip_suffix("Value"))
        .is_some_and(|name| {
            matches!(name, "Double" | "Float" | "Int64" | "UInt64" | "Int32" | "UInt32")
                || matches!(name, "Bool" | "String" | "Bytes")
        })
}

/// The key of a map entry as JSON has it.
pub(super) fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

/// The key of a map entry from its text.
pub(super) fn key(kind: &Kind, text: &str) -> Result<MapKey, String> {
    Ok(match from_text(kind, text)? {
        Value::Bool(key) => MapKey::Bool(key),
        Value::I32(key) => MapKey::I32(key),
        Value::I64(key) => MapKey::I64(key),
        Value::U32(key) => MapKey::U32(key),
        Value::U64(key) => MapKey::U64(key),
        Value::String(key) => MapKey::String(key),
        Value::F32(_)
        | Value::F64(_)
        | Value::Bytes(_)
        | Value::EnumNumber(_)
        | Value::Message(_)
        | Value::List(_)
        | Value::Map(_) => return Err("cannot be a key".to_owned()),
    })
}

/// `snake_case` as `camelCase`; `None` where the way back would lead elsewhere.
pub(super) fn camel(path: &str) -> Option<String> {
    let mut camel = String::with_capacity(path.len());
    let mut after_underscore = false;
    for letter in path.chars() {
        match letter {
            '_' if after_underscore => return None,
            '_' => after_underscore = true,
            letter if letter.is_ascii_uppercase() => return None,
            letter if !after_underscore => camel.push(letter),
            letter if letter.is_ascii_lowercase() => {
                camel.push(letter.to_ascii_uppercase());
                after_underscore = false;
            }
            _ => return None,
        }
    }
    (!after_underscore).then_some(camel)
}

/// A path of `camelCase` or `snake_case` names as `snake_case`.
pub(super) fn snake(path: &str) -> String {
    let mut snake = String::with_capacity(path.len());
    for letter in path.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The value of a field of this kind from its text.
///
/// Messages are those whose JSON is one string, and the wrappers.
///
/// # Errors
/// What the text has to be, in words that follow the name of the field.
pub(super) fn from_text(kind: &Kind, text: &str) -> Result<Value, String> {
    let wrong = |wanted: &str| format!("{wanted} is expected, not `{}`", clip(text));
    match kind {
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bool => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(wrong("`true` or `false`")),
        },
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            text.parse().map(Value::I32).map_err(|_| wrong("a 32-bit whole number"))
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            text.parse().map(Value::I64).map_err(|_| wrong("a 64-bit whole number"))
        }
        Kind::Uint32 | Kind::Fixed32 => text
            .parse()
            .map(Value::U32)
            .map_err(|_| wrong("a 32-bit whole number that is not negative")),
        Kind::Uint64 | Kind::Fixed64 => text
            .parse()
            .map(Value::U64)
            .map_err(|_| wrong("a 64-bit whole number that is not negative")),
        Kind::Double => {
            number(text).map(Value::F64).ok_or_else(|| wrong("a number, `NaN` or `Infinity`"))
        }
        Kind::Float => number(text)
            .map(Value::F32)
            .ok_or_else(|| wrong("a 32-bit number, `NaN` or `Infinity`")),
        Kind::Bytes => bytes(text).map(Value::Bytes).ok_or_else(|| wrong("base64")),
        Kind::Enum(kind) => enumeration(kind, text).map(Value::EnumNumber),
        Kind::Message(message) => message_from_text(message, text),
    }
}

/// An enum by name or number.
fn enumeration(kind: &EnumDescriptor, text: &str) -> Result<i32, String> {
    let named = kind.get_value_by_name(text).map(|value| value.number());
    named.or_else(|| text.parse().ok()).ok_or_else(|| no_such_value(kind, text))
}

/// What is said of a name an enum does not have.
pub(super) fn no_such_value(kind: &EnumDescriptor, text: &str) -> String {
    format!("{} has no value `{}`", kind.full_name(), clip(text))
}

/// A finite number, or one of the three names JSON has for others.
fn number<N: std::str::FromStr + Into<f64> + Copy>(text: &str) -> Option<N> {
    // `parse` takes more names than JSON has.
    let special = matches!(text, "NaN" | "Infinity" | "-Infinity");
    let number: N = text.parse().ok()?;
    (special || number.into().is_finite()).then_some(number)
}

/// Base64 of either alphabet, padded or not.
pub(super) fn bytes(text: &str) -> Option<bytes::Bytes> {
    let engine = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    engine.decode(text).ok().map(bytes::Bytes::from)
}

fn message_from_text(message: &MessageDescriptor, text: &str) -> Result<Value, String> {
    let name = message.full_name();
    let wanted = match name {
        "google.protobuf.Timestamp" => "a time as RFC 3339 has it, such as 2026-01-02T03:04:05Z,",
        "google.protobuf.Duration" => "a number of seconds, such as 1.5s,",
        "google.protobuf.FieldMask" => return Ok(Value::Message(field_mask(message, text))),
        _ if is_wrapper(name) => {
            let field = message.get_field(1).ok_or("is no wrapper")?;
            let value = from_text(&field.kind(), text)?;
            let mut wrapper = DynamicMessage::new(message.clone());
            wrapper.try_set_field(&field, value).map_err(|error| error.to_string())?;
            return Ok(Value::Message(wrapper));
        }
        _ => return Err(format!("a {name} cannot be given as text")),
    };
    let reader = text.into_deserializer();
    let read: Result<_, serde::de::value::Error> = message.clone().deserialize(reader);
    read.map(Value::Message).map_err(|_| format!("{wanted} is expected, not `{}`", clip(text)))
}

fn field_mask(message: &MessageDescriptor, text: &str) -> DynamicMessage {
    let paths = text.split(',').map(str::trim).filter(|path| !path.is_empty());
    let paths = paths.map(|path| Value::String(snake(path))).collect();
    let mut mask = DynamicMessage::new(message.clone());
    mask.set_field_by_number(1, Value::List(paths));
    mask
}

/// As much of a text as an error repeats.
pub(super) fn clip(text: &str) -> &str {
    text.get(..text.floor_char_boundary(64)).unwrap_or(text)
}
