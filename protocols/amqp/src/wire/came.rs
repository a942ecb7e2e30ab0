//! Values in the bytes in which they came: but for the descriptor of a body that is described, which is encoded anew.

use std::fmt;

use bytes::Bytes;
use fe2o3_amqp_types::messaging::{AmqpSequence, AmqpValue, Body, Message};
use serde::de::{Deserialize, Deserializer, EnumAccess, Error, VariantAccess, Visitor};
use serde_amqp::__constants::VALUE;
use serde_amqp::Value;
use serde_amqp::described::Described;

use super::encoded::Encoded;
use super::written::LAZY_VALUE;

/// The values of a body in the bytes in which they came.
pub type Values = Body<Encoded>;

/// What came holds a value that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its body holds a value that cannot be read")]
pub struct Unreadable;

/// A message that came, and the values of its body in the bytes in which they came; none where it has no values.
///
/// # Errors
/// A value is none: its text is not UTF-8, and the like.
pub fn parted(
    message: Message<Values>,
) -> Result<(Message<Body<Value>>, Option<Values>), Unreadable> {
    let value = |encoded: &Encoded| encoded.value().ok_or(Unreadable);
    let body = match &message.body {
        Body::Value(AmqpValue(encoded)) => Body::Value(AmqpValue(value(encoded)?)),
        Body::Sequence(lists) => {
            let list = |list: &AmqpSequence<Encoded>| {
                list.0.iter().map(value).collect::<Result<_, _>>().map(AmqpSequence)
            };
            Body::Sequence(lists.iter().map(list).collect::<Result<Vec<_>, _>>()?.into())
        }
        Body::Data(_) | Body::Empty => Body::Empty,
    };
    let mut values = None;
    let message = message.map_body(|came| match came {
        Body::Data(sections) => Body::Data(sections),
        Body::Empty => Body::Empty,
        came @ (Body::Value(_) | Body::Sequence(_)) => {
            values = Some(came);
            body
        }
    });
    Ok((message, values))
}

impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_enum(VALUE, &[], Taken)
    }
}

struct Taken;

impl<'de> Visitor<'de> for Taken {
    type Value = Encoded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Encoded, A::Error> {
        let (Code(code), variant) = data.variant()?;
        if code == 0 {
            // The crate does not take what is described twice as it is.
            let described: Described<Encoded> = variant.newtype_variant()?;
            return Ok(Encoded::described(&described.descriptor, &described.value));
        }
        let Raw(bytes) = variant.newtype_variant()?;
        Ok(Encoded::of_bytes(bytes))
    }
}

/// The bytes of a value that is not described. The crate's own `LazyValue` takes them from one piece of memory only,
/// not from the frames of a message.
struct Raw(Bytes);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Raw, E> {
                Ok(Raw(Bytes::copy_from_slice(bytes)))
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Raw, E> {
                Ok(Raw(bytes.into()))
            }
        }
        deserializer.deserialize_newtype_struct(LAZY_VALUE, Read)
    }
}

/// A format code, of which nothing is taken.
struct Code(u8);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Code;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a format code")
            }

            fn visit_u8<E: Error>(self, code: u8) -> Result<Code, E> {
                Ok(Code(code))
            }
        }
        deserializer.deserialize_identifier(Read)
    }
}

#[cfg(test)]
mod tests;
