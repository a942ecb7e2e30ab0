//! A message as bytes, the same message always as the same bytes.

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage as _, Value};

use super::scalar;

/// The bytes of a message that was read from a request, entries of maps in the order of their keys.
///
/// [`DynamicMessage`] itself writes them in an order that is another each time, so that a request that
/// is sent again would not be the same request.
pub fn encode(message: &DynamicMessage) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (field, value) in message.fields() {
        add(&mut bytes, message, &field, value);
    }
    bytes
}

fn add(bytes: &mut Vec<u8>, message: &DynamicMessage, field: &FieldDescriptor, value: &Value) {
    match value {
        Value::Message(within) if !field.is_group() => nested(bytes, field.number(), within),
        Value::List(values) if !field.is_group() && field.kind().as_message().is_some() => {
            for within in values.iter().filter_map(Value::as_message) {
                nested(bytes, field.number(), within);
            }
        }
        Value::Map(entries) => {
            let kind = field.kind();
            let Some(entry) = kind.as_message() else { return };
            let mut entries: Vec<_> =
                entries.iter().map(|(key, value)| (scalar::key_text(key), key, value)).collect();
            entries.sort_unstable_by(|(one, ..), (other, ..)| one.cmp(other));
            for (_, key, value) in entries {
                let mut made = DynamicMessage::new(entry.clone());
                made.set_field(&entry.map_entry_key_field(), key.clone().into());
                made.set_field(&entry.map_entry_value_field(), value.clone());
                nested(bytes, field.number(), &made);
            }
        }
        Value::Bool(_)
        | Value::I32(_)
        | Value::I64(_)
        | Value::U32(_)
        | Value::U64(_)
        | Value::F32(_)
        | Value::F64(_)
        | Value::String(_)
        | Value::Bytes(_)
        | Value::EnumNumber(_)
        | Value::Message(_)
        | Value::List(_) => {
            let mut alone = DynamicMessage::new(message.descriptor());
            alone.set_field(field, value.clone());
            bytes.extend_from_slice(&alone.encode_to_vec());
        }
    }
}

fn nested(bytes: &mut Vec<u8>, number: u32, message: &DynamicMessage) {
    let within = encode(message);
    encode_key(number, WireType::LengthDelimited, bytes);
    encode_varint(within.len() as u64, bytes);
    bytes.extend_from_slice(&within);
}

#[cfg(test)]
mod tests {
    use super::super::from_json;
    use super::super::testing::kinds;
    use super::*;

    #[test]
    fn the_same_message_is_the_same_bytes() {
        let json = r#"{
            "flag": true, "small": -1, "twice": 0.5, "data": "AQI=", "color": "RED",
            "inner": {"labels": {"z": "1", "y": "2", "x": "3", "w": "4", "": ""}},
            "names": ["a", "b"], "numbers": ["1", "-1"], "colors": ["RED", "BLUE"],
            "inners": [{}, {"labels": {"b": "", "a": ""}}],
            "labels": {"c": "", "b": "", "a": "", "d": "", "e": "", "f": ""},
            "byNumber": {"1": {"labels": {"b": "", "a": ""}}, "-1": {}, "0": {"small": 1}},
            "object": {"z": {"b": 1, "a": [null, true]}, "y": 2}, "maybe": 0, "one": "",
            "time": "2026-01-02T03:04:05Z", "wrapped": "0", "byFlag": {"true": 1, "false": 2}
        }"#;
        let message = from_json(&kinds(), json.as_bytes()).unwrap();
        let bytes = encode(&message);
        for _ in 0..20 {
            let again = from_json(&kinds(), json.as_bytes()).unwrap();
            assert_eq!(encode(&again), bytes);
        }
        let decoded = DynamicMessage::decode(kinds(), &*bytes).unwrap();
        assert_eq!(encode(&decoded), bytes);
        // What prost-reflect writes is the same but for the order of entries.
        let theirs = message.encode_to_vec();
        assert_eq!(theirs.len(), bytes.len());
        let theirs = DynamicMessage::decode(kinds(), &*theirs).unwrap();
        assert_eq!(encode(&theirs), bytes);
    }
}
