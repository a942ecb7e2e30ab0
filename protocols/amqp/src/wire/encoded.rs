//! Values as AMQP encodes them (section 1.6 of the specification), each in as few bytes as it needs.
//!
//! `serde_amqp` 0.18 is not asked to: it panics at the value of a map's entry whose key is a time stamp, or writes
//! another, counts the characters of an array's texts where their bytes are meant, and sets room aside for a list as
//! if all of it were as large as its first item.

use bytes::Bytes;
use fe2o3_amqp_types::messaging::{AmqpSequence, AmqpValue, Body};
use serde::{Serialize, Serializer};
use serde_amqp::Value;
use serde_amqp::descriptor::Descriptor;

use super::{text, written};
use crate::fence;

/// A value that is encoded already. Within a message it is written as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded(Bytes);

impl Encoded {
    /// What bytes hold that are a value and nothing else.
    pub const fn of_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// A value that is described.
    pub fn described(descriptor: &Descriptor, value: &Self) -> Self {
        let mut out = Vec::new();
        describe(&mut out, descriptor);
        out.extend(&value.0);
        Self(out.into())
    }

    /// The bytes.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The value; none of bytes that are none.
    pub fn value(&self) -> Option<Value> {
        serde_amqp::from_slice(&self.0).ok()
    }

    /// What is at a JSON pointer (RFC 6901) in it; nothing in arrays, whose elements are no values by themselves.
    pub fn at(&self, pointer: &str) -> Option<Self> {
        let mut parts = pointer.split('/');
        if parts.next() != Some("") {
            return None;
        }
        parts.try_fold(self.clone(), |value, part| {
            let name = part.replace("~1", "/").replace("~0", "~");
            let items = value.items()?;
            if matches!(value.0.first(), Some(0xc1 | 0xd1)) {
                let (pairs, _) = items.as_chunks::<2>();
                // Of keys that are alike the last counts.
                let named = |key: &Self| key.value().as_ref().and_then(text::of) == Some(&*name);
                let found = pairs.iter().rev().find(|[key, _]| named(key));
                found.map(|[_, item]| item.clone())
            } else {
                items.get(name.parse::<usize>().ok()?).cloned()
            }
        })
    }

    /// What a list or map is made of.
    fn items(&self) -> Option<Vec<Self>> {
        let head = match self.0.first()? {
            0x45 => 1,
            0xc0 | 0xc1 => 3,
            0xd0 | 0xd1 => 9,
            _ => return None,
        };
        let mut rest = self.0.get(head..).map(|rest| self.0.slice_ref(rest))?;
        let mut items = Vec::new();
        while !rest.is_empty() {
            let length = fence::length_of(&rest)?;
            items.push(Self(rest.split_to(length)));
        }
        Some(items)
    }
}

/// A body whose values are encoded.
pub fn body(body: Body<Value>) -> Body<Encoded> {
    match body {
        Body::Value(AmqpValue(value)) => Body::Value(AmqpValue(Encoded::from(&value))),
        Body::Sequence(sections) => {
            let section = |section: AmqpSequence<Value>| {
                AmqpSequence(section.0.iter().map(Encoded::from).collect())
            };
            let sections: Vec<AmqpSequence<Encoded>> = sections.into_iter().map(section).collect();
            Body::Sequence(sections.into())
        }
        Body::Data(sections) => Body::Data(sections),
        Body::Empty => Body::Empty,
    }
}

impl From<&Value> for Encoded {
    fn from(value: &Value) -> Self {
        let mut out = Vec::new();
        write(&mut out, value);
        Self(out.into())
    }
}

impl Serialize for Encoded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        written::raw(&self.0, serializer)
    }
}

/// Writes a value. It goes as deep as that, whose depth its reader has bounded.
pub fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => written::null(out),
        Value::Bool(truth) => written::boolean(*truth, out),
        Value::Ushort(number) => written::ushort(*number, out),
        Value::Uint(number) => written::uint(*number, out),
        Value::Ulong(number) => written::ulong(*number, out),
        Value::Int(number) => written::int(*number, out),
        Value::Long(number) => match i8::try_from(*number) {
            Ok(small) => out.extend([[0x55], small.to_be_bytes()].concat()),
            Err(_) => wide(out, value),
        },
        Value::Timestamp(time) => written::timestamp(time.milliseconds(), out),
        Value::Ubyte(_)
        | Value::Byte(_)
        | Value::Short(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Decimal32(_)
        | Value::Decimal64(_)
        | Value::Decimal128(_)
        | Value::Char(_)
        | Value::Uuid(_) => wide(out, value),
        Value::Binary(bytes) => written::binary(bytes, out),
        Value::String(text) => written::text(text, out),
        Value::Symbol(text) => written::symbol(text.as_str(), out),
        Value::List(items) => written::list(out, |out| {
            for item in items {
                write(out, item);
            }
            items.len()
        }),
        Value::Map(pairs) => written::map(out, |out| {
            for (key, value) in pairs {
                write(out, key);
                write(out, value);
            }
            pairs.len()
        }),
        Value::Array(items) => array(out, &items.0),
        Value::Described(described) => {
            describe(out, &described.descriptor);
            write(out, &described.value);
        }
    }
}

fn describe(out: &mut Vec<u8>, descriptor: &Descriptor) {
    out.push(0x00);
    match descriptor {
        Descriptor::Code(code) => written::ulong(*code, out),
        Descriptor::Name(name) => written::symbol(name.as_str(), out),
    }
}

/// Format code and content of a value of fixed width.
fn wide(out: &mut Vec<u8>, value: &Value) {
    out.extend(code(value));
    content(out, value, 0);
}

/// The code of a value's type where all values of it are as wide, or, of texts and bytes, where lengths have one byte.
/// None for what is made of others.
fn code(value: &Value) -> Option<u8> {
    Some(match value {
        Value::Null => 0x40,
        Value::Bool(_) => 0x56,
        Value::Ubyte(_) => 0x50,
        Value::Ushort(_) => 0x60,
        Value::Uint(_) => 0x70,
        Value::Ulong(_) => 0x80,
        Value::Byte(_) => 0x51,
        Value::Short(_) => 0x61,
        Value::Int(_) => 0x71,
        Value::Long(_) => 0x81,
        Value::Float(_) => 0x72,
        Value::Double(_) => 0x82,
        Value::Decimal32(_) => 0x74,
        Value::Decimal64(_) => 0x84,
        Value::Decimal128(_) => 0x94,
        Value::Char(_) => 0x73,
        Value::Timestamp(_) => 0x83,
        Value::Uuid(_) => 0x98,
        Value::Binary(_) => 0xa0,
        Value::String(_) => 0xa1,
        Value::Symbol(_) => 0xa3,
        Value::List(_) | Value::Map(_) | Value::Array(_) | Value::Described(_) => return None,
    })
}

/// What follows the code of [`code`]. `large`: what makes a code one whose lengths have four bytes.
fn content(out: &mut Vec<u8>, value: &Value, large: u8) {
    match value {
        Value::Bool(truth) => out.push(u8::from(*truth)),
        Value::Ubyte(number) => out.push(*number),
        Value::Ushort(number) => out.extend(number.to_be_bytes()),
        Value::Uint(number) => out.extend(number.to_be_bytes()),
        Value::Ulong(number) => out.extend(number.to_be_bytes()),
        Value::Byte(number) => out.extend(number.to_be_bytes()),
        Value::Short(number) => out.extend(number.to_be_bytes()),
        Value::Int(number) => out.extend(number.to_be_bytes()),
        Value::Long(number) => out.extend(number.to_be_bytes()),
        Value::Float(number) => out.extend(number.0.to_be_bytes()),
        Value::Double(number) => out.extend(number.0.to_be_bytes()),
        Value::Decimal32(number) => out.extend(number.as_inner()),
        Value::Decimal64(number) => out.extend(number.as_inner()),
        Value::Decimal128(number) => out.extend(number.as_inner()),
        Value::Char(character) => out.extend(u32::from(*character).to_be_bytes()),
        Value::Timestamp(time) => out.extend(time.milliseconds().to_be_bytes()),
        Value::Uuid(id) => out.extend(id.as_inner()),
        Value::Binary(bytes) => sized(out, bytes, large),
        Value::String(text) => sized(out, text.as_bytes(), large),
        Value::Symbol(text) => sized(out, text.as_str().as_bytes(), large),
        // Null has none; of the rest see `code`.
        Value::Null | Value::List(_) | Value::Map(_) | Value::Array(_) | Value::Described(_) => {}
    }
}

/// What a code of lengths of one byte has beyond it where they have four.
const LARGE: u8 = 0x10;

fn sized(out: &mut Vec<u8>, bytes: &[u8], large: u8) {
    match u8::try_from(bytes.len()) {
        Ok(length) if large == 0 => out.push(length),
        // Nothing is longer: payloads and messages are bounded far below.
        Ok(_) | Err(_) => out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()),
    }
    out.extend(bytes);
}

/// Elements of one type follow one code. Of several, which no peer can have sent, it is a list.
fn array(out: &mut Vec<u8>, items: &[Value]) {
    let first = items.first().and_then(code);
    if !items.iter().all(|item| first.is_some() && code(item) == first) {
        return write(out, &Value::List(items.to_vec()));
    }
    let short = |item: &Value| {
        let length = if let Value::Binary(bytes) = item {
            bytes.len()
        } else if let Value::String(text) = item {
            text.len()
        } else if let Value::Symbol(text) = item {
            text.as_str().len()
        } else {
            0
        };
        u8::try_from(length).is_ok()
    };
    let large = if items.iter().all(short) { 0 } else { LARGE };
    written::compound(0xe0, out, |out| {
        out.extend(first.map(|code| code | large));
        for item in items {
            content(out, item, large);
        }
        items.len()
    });
}

#[cfg(test)]
mod tests;
