//! Single values, and the messages that have a JSON of their own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DynamicMessage, Kind, ReflectMessage as _, Value};

use super::super::mask::Wanted;
use super::super::scalar;
use super::{NoJson, Writer, Written};

/// 0001-01-01 to 9999-12-31, in seconds since 1970.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// 10,000 years.
const DURATION_SECONDS_MAX: u64 = 315_576_000_000;
const NANOS_MAX: u32 = 999_999_999;

impl Writer<'_> {
    pub(super) fn base64(&mut self, bytes: &[u8]) {
        self.raw("\"");
        let start = self.out.len();
        let length = bytes.len().div_ceil(3) * 4;
        self.out.resize(start + length, 0);
        if let Some(room) = self.out.get_mut(start..) {
            // The room is exactly what it takes.
            drop(STANDARD.encode_slice(bytes, room));
        }
        self.raw("\"");
    }

    pub(super) fn value(&mut self, kind: &Kind, value: &Value, wanted: &Wanted<'_>) -> Written {
        match value {
            Value::Bool(value) => self.raw(if *value { "true" } else { "false" }),
            Value::I32(value) => self.raw(&value.to_string()),
            Value::U32(value) => self.raw(&value.to_string()),
            Value::I64(value) => self.text(&value.to_string()),
            Value::U64(value) => self.text(&value.to_string()),
            Value::F32(value) if value.is_finite() => {
                drop(serde_json::to_writer(&mut self.out, value));
            }
            Value::F32(value) => self.not_finite(f64::from(*value)),
            Value::F64(value) if value.is_finite() => {
                drop(serde_json::to_writer(&mut self.out, value));
            }
            Value::F64(value) => self.not_finite(*value),
            Value::String(value) => self.text(value),
            Value::Bytes(value) => self.base64(value),
            Value::EnumNumber(number) => self.enumeration(kind, *number),
            Value::Message(message) => return self.message(message, wanted),
            Value::List(values) => {
                self.open("[")?;
                let mut first = true;
                for value in values {
                    self.next(&mut first);
                    self.value(kind, value, wanted)?;
                    self.check()?;
                }
                self.close(first, "]");
            }
            Value::Map(entries) => {
                let kind = kind.as_message().map(|entry| entry.map_entry_value_field().kind());
                let kind = kind.ok_or(NoJson::Value("a map that is none"))?;
                return self.entries(entries.iter(), wanted, |writer, value, wanted| {
                    writer.value(&kind, value, wanted)
                });
            }
        }
        Ok(())
    }

    fn not_finite(&mut self, value: f64) {
        self.raw(if value.is_nan() {
            "\"NaN\""
        } else if value > 0.0 {
            "\"Infinity\""
        } else {
            "\"-Infinity\""
        });
    }

    /// A number that no name is known for stays a number.
    fn enumeration(&mut self, kind: &Kind, number: i32) {
        let kind = kind.as_enum();
        if kind.is_some_and(|kind| kind.full_name() == "google.protobuf.NullValue") {
            self.raw("null");
            return;
        }
        let named = kind.filter(|_| !self.enum_numbers).and_then(|kind| kind.get_value(number));
        match named {
            Some(value) => self.text(value.name()),
            None => self.raw(&number.to_string()),
        }
    }

    /// A message with a JSON of its own.
    pub(super) fn own_json(&mut self, message: &DynamicMessage, wanted: &Wanted<'_>) -> Written {
        let descriptor = message.descriptor();
        match descriptor.full_name() {
            "google.protobuf.Any" => {
                let (url, bytes) = (get(message, 1), get(message, 2));
                let url = url.as_str().unwrap_or_default();
                self.any(url, bytes.as_bytes().unwrap_or(&bytes::Bytes::new()), wanted)
            }
            "google.protobuf.Empty" => {
                self.open("{")?;
                self.close(true, "}");
                Ok(())
            }
            "google.protobuf.Timestamp" => {
                let text = timestamp(message).ok_or(NoJson::Value("a time stamp out of range"))?;
                self.text(&text);
                Ok(())
            }
            "google.protobuf.Duration" => {
                let text = duration(message).ok_or(NoJson::Value("a duration out of range"))?;
                self.text(&text);
                Ok(())
            }
            "google.protobuf.FieldMask" => {
                let text = field_mask(message).ok_or(NoJson::Value("an odd field mask"))?;
                self.text(&text);
                Ok(())
            }
            "google.protobuf.Struct" => self.fields_of_struct(message, wanted),
            "google.protobuf.ListValue" => self.values_of_list(message, wanted),
            "google.protobuf.Value" => self.json_value(message, wanted),
            _ => match descriptor.get_field(1) {
                Some(field) => self.value(&field.kind(), &message.get_field(&field), wanted),
                None => Err(NoJson::Value("a wrapper of nothing")),
            },
        }
    }

    fn fields_of_struct(&mut self, message: &DynamicMessage, wanted: &Wanted<'_>) -> Written {
        let fields = get(message, 1);
        let entries = fields.as_map().into_iter().flatten();
        self.entries(entries, wanted, |writer, value, wanted| match value.as_message() {
            Some(value) => writer.json_value(value, wanted),
            None => Err(NoJson::Value("a Struct of no values")),
        })
    }

    fn values_of_list(&mut self, message: &DynamicMessage, wanted: &Wanted<'_>) -> Written {
        let values = get(message, 1);
        self.open("[")?;
        let mut first = true;
        for value in values.as_list().unwrap_or_default().iter().filter_map(Value::as_message) {
            self.next(&mut first);
            self.json_value(value, wanted)?;
            self.check()?;
        }
        self.close(first, "]");
        Ok(())
    }

    /// `google.protobuf.Value`. One that says nothing is null.
    fn json_value(&mut self, message: &DynamicMessage, wanted: &Wanted<'_>) -> Written {
        let Some((field, value)) = message.fields().next() else {
            self.raw("null");
            return Ok(());
        };
        if value.as_f64().is_some_and(|number| !number.is_finite()) {
            return Err(NoJson::Value("a number that JSON does not have"));
        }
        match value.as_message() {
            Some(within) if field.number() == 5 => self.fields_of_struct(within, wanted),
            Some(within) => self.values_of_list(within, wanted),
            None => self.value(&field.kind(), value, wanted),
        }
    }
}

/// The field of this number of a well-known message, its default where it is not set.
fn get(message: &DynamicMessage, number: u32) -> std::borrow::Cow<'_, Value> {
    message.get_field_by_number(number).unwrap_or(std::borrow::Cow::Owned(Value::Bool(false)))
}

/// Seconds and nanoseconds.
fn instant(message: &DynamicMessage) -> (i64, i32) {
    let (seconds, nanos) = (get(message, 1), get(message, 2));
    (seconds.as_i64().unwrap_or_default(), nanos.as_i32().unwrap_or_default())
}

fn timestamp(message: &DynamicMessage) -> Option<String> {
    let (seconds, nanos) = instant(message);
    let fits = TIMESTAMP_SECONDS.contains(&seconds)
        && u32::try_from(nanos).is_ok_and(|nanos| nanos <= NANOS_MAX);
    fits.then(|| prost_types::Timestamp { seconds, nanos }.to_string())
}

fn duration(message: &DynamicMessage) -> Option<String> {
    let (seconds, nanos) = instant(message);
    let fits = seconds.unsigned_abs() <= DURATION_SECONDS_MAX
        && nanos.unsigned_abs() <= NANOS_MAX
        && seconds.signum() * i64::from(nanos.signum()) >= 0;
    fits.then(|| prost_types::Duration { seconds, nanos }.to_string())
}

fn field_mask(message: &DynamicMessage) -> Option<String> {
    let paths = get(message, 1);
    let paths = paths.as_list().unwrap_or_default().iter().filter_map(Value::as_str);
    paths.map(scalar::camel).collect::<Option<Vec<_>>>().map(|paths| paths.join(","))
}
