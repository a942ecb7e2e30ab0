//! Failures as maps: what an operation's attributes say of one, and the body of a reply that tells of
//! nothing else. Another opgate reads the latter back whole.
//!
//! | field | |
//! |---|---|
//! | `code`, `message`, `reason`, `retryable` | as the canonical failure has them |
//! | `statusCode`, `errorCondition` | as a reply has them |
//! | `retryAfter` | milliseconds |
//! | `cause` | such a map |
//! | `details` | a list of maps: `typeUrl`, `value` |
//! | `native` | a map: `protocol`, `code`, `http`, `body` |

use std::time::Duration;

use bytes::Bytes;
use opgate_core::{Code, Detail, Failure, Loss, Losses, Native, limits};
use serde_amqp::Value;
use serde_amqp::primitives::{Binary, OrderedMap, Symbol};

use super::encoded::Encoded;
use super::status::{PROTOCOL, Status};
use super::{content, json, text};

/// Largest details, in bytes, in a body.
const BYTES: usize = 4 * 1024 * 1024;

/// What a failure says, without what it brought along.
pub fn shown(failure: &Failure) -> Value {
    let status = Status::of_failure(failure);
    let condition = status.condition.as_deref().map(Symbol::from).map(Value::Symbol);
    let after = failure.retry_after.and_then(|after| u64::try_from(after.as_millis()).ok());
    map([
        ("code", Value::from(failure.code.name())),
        ("message", Value::from(&*failure.message)),
        ("statusCode", Value::Int(status.code)),
        ("errorCondition", condition.unwrap_or_default()),
        ("reason", optional(failure.reason.as_deref())),
        ("retryable", failure.retryable.map_or(Value::Null, Value::Bool)),
        ("retryAfter", after.map_or(Value::Null, Value::Ulong)),
        ("cause", failure.cause.as_deref().map_or(Value::Null, shown)),
    ])
}

/// What a failure brought along beside what it says: typed details, and the backend's own form.
pub fn details(failure: &Failure) -> Value {
    let bytes = |bytes: &[u8]| Value::Binary(Binary::from(bytes.to_vec()));
    let typed = failure.details.iter().map(|detail| {
        map([("typeUrl", Value::from(&*detail.type_url)), ("value", bytes(&detail.value))])
    });
    let typed: Vec<Value> = typed.collect();
    let native = failure.native.as_deref().map(|native| {
        map([
            ("protocol", Value::from(&*native.protocol)),
            ("code", optional(Some(&native.code))),
            ("http", native.http.map_or(Value::Null, Value::Ushort)),
            ("body", if native.bytes.is_empty() { Value::Null } else { bytes(&native.bytes) }),
        ])
    });
    if typed.is_empty() && native.is_none() {
        return Value::Null;
    }
    map([("details", Value::List(typed)), ("native", native.unwrap_or_default())])
}

/// What the two do not say: times are milliseconds, and of causes there are neither details nor forms of
/// others.
pub fn unsaid(failure: &Failure) -> Losses {
    let mut causes =
        std::iter::successors(failure.cause.as_deref(), |cause| cause.cause.as_deref());
    let late = |failure: &Failure| {
        failure.retry_after.is_some_and(|after| after.subsec_nanos() % 1_000_000 != 0)
    };
    let more = |cause: &Failure| !cause.details.is_empty() || cause.native.is_some() || late(cause);
    Losses::NONE.with(Loss::ErrorRetry, late(failure)).with(Loss::ErrorCauses, causes.any(more))
}

/// What an AMQP node said that failed, where JSON does not say all of it.
pub fn exact(failure: &Failure) -> Option<Encoded> {
    let native = failure.native.as_deref().filter(|native| native.protocol == PROTOCOL)?;
    content::exact_value(native.encoded.as_ref())
}

/// A failure as the body of a reply, and what is not said of it there or in its status. What an AMQP node
/// said is said again, as far as JSON says it: see [`exact`].
pub fn body(failure: &Failure) -> (Value, Losses) {
    if let Some(native) = failure.native.as_deref().filter(|native| native.protocol == PROTOCOL) {
        let said = serde_json::from_slice(&native.bytes).ok();
        let mut lost = Losses::of_bare(failure)
            .without(Loss::ErrorRetry.into())
            .with(Loss::ErrorNative, said.is_none() && !native.bytes.is_empty());
        if said.is_some() || native.bytes.is_empty() {
            lost = lost.without(Loss::ErrorNative.into());
        }
        if failure.reason.as_deref().is_none_or(|reason| *reason == *native.code) {
            lost = lost.without(Loss::ErrorReason.into());
        }
        let nothing = || Value::Map(OrderedMap::new());
        return (said.as_ref().map_or_else(nothing, json::value), lost);
    }
    let details = details(failure);
    let whole = serde_amqp::serialized_size(&details).is_ok_and(|size| size <= BYTES);
    let more = fields(details).filter(|_| whole);
    let all = Value::Map(fields(shown(failure)).chain(more).collect());
    let lost = unsaid(failure)
        .with(Loss::ErrorDetails, !whole && !failure.details.is_empty())
        .with(Loss::ErrorNative, !whole && failure.native.is_some());
    (all, lost)
}

/// The failure that a body of opgate's tells of; none of any other body, which means what its sender
/// pleases.
pub fn read(body: &Value) -> Option<Failure> {
    let failure = told(body, limits::FAILURE_DEPTH)?;
    let own = failure.native.as_ref().is_none_or(|native| native.protocol != PROTOCOL);
    (own && self::body(&failure).0 == *body).then_some(failure)
}

fn told(body: &Value, depth: usize) -> Option<Failure> {
    let Value::Map(fields) = body else { return None };
    let depth = depth.checked_sub(1)?;
    let at = |name: &str| fields.get(&Value::from(name));
    let words = |name: &str| at(name).and_then(text::of).map(str::to_owned);
    let flag = |name: &str| if let Some(Value::Bool(flag)) = at(name) { Some(*flag) } else { None };
    let mut failure = Failure::new(Code::from_name(&words("code")?)?, words("message")?);
    failure.reason = words("reason");
    failure.retryable = flag("retryable");
    failure.retry_after = at("retryAfter").and_then(text::count).map(Duration::from_millis);
    if let Some(cause) = at("cause").filter(|cause| **cause != Value::Null) {
        failure.cause = Some(Box::new(told(cause, depth)?));
    }
    if let Some(Value::List(details)) = at("details") {
        failure.details = details.iter().map(detail).collect::<Option<_>>()?;
    }
    if failure.details.len() > limits::FAILURE_DETAILS {
        return None;
    }
    failure.native = at("native").and_then(native).map(Box::new);
    Some(failure)
}

fn detail(value: &Value) -> Option<Detail> {
    let Value::Map(fields) = value else { return None };
    let type_url = text::of(fields.get(&Value::from("typeUrl"))?)?.to_owned();
    let Value::Binary(value) = fields.get(&Value::from("value"))? else { return None };
    Some(Detail { type_url, value: Bytes::copy_from_slice(value) })
}

fn native(value: &Value) -> Option<Native> {
    let Value::Map(fields) = value else { return None };
    let at = |name: &str| fields.get(&Value::from(name));
    let words = |name: &str| at(name).and_then(text::of).unwrap_or_default().to_owned();
    let body = if let Some(Value::Binary(body)) = at("body") { body.as_slice() } else { &[] };
    Some(Native {
        protocol: words("protocol"),
        code: words("code"),
        http: at("http").and_then(text::count).and_then(|http| u16::try_from(http).ok()),
        bytes: Bytes::copy_from_slice(body),
        encoded: None,
    })
}

fn fields(value: Value) -> impl Iterator<Item = (Value, Value)> {
    let fields = if let Value::Map(fields) = value { fields } else { OrderedMap::new() };
    let is_said = |value: &Value| *value != Value::Null && *value != Value::List(Vec::new());
    fields.into_iter().filter(move |(_, value)| is_said(value))
}

fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Map(fields.into_iter().map(|(name, value)| (Value::from(name), value)).collect())
}

fn optional(text: Option<&str>) -> Value {
    text.filter(|text| !text.is_empty()).map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use opgate_core::arbitrary;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_body_of_opgates_is_read_back_as_far_as_it_says(failure in arbitrary::failure()) {
            let (body, lost) = body(&failure);
            // Nulls and what has no bytes do not come back as such, so only what is sent is compared.
            if let Some(again) = read(&body) {
                prop_assert_eq!(again.code, failure.code);
                prop_assert_eq!(&again.message, &failure.message);
                if !lost.has(Loss::ErrorRetry) {
                    prop_assert_eq!(again.retry_after, failure.retry_after);
                }
                prop_assert_eq!(again.retryable, failure.retryable);
                prop_assert_eq!(&again.details, &failure.details);
            } else {
                prop_assert!(failure.native.is_some(), "{body:?}");
            }
        }
    }

    #[test]
    fn a_body_of_somebody_elses_is_none_of_opgates() {
        for body in [
            Value::Null,
            Value::Map(OrderedMap::new()),
            map([("code", Value::from("NOT_FOUND"))]),
            map([("code", Value::from("NOT_FOUND")), ("message", Value::from("gone"))]),
        ] {
            assert_eq!(read(&body), None, "{body:?}");
        }
    }
}
