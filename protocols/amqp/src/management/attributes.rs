//! The attributes of an operation.

use opgate_core::{
    Callback, Cancel, CancelDelivery, Conflict, Failure, Link, LogEntry, Operation, Outcome,
    Progress, Resource, Timestamp,
};
use serde_amqp::Value;
use serde_amqp::primitives::{Binary, Symbol, Timestamp as AmqpTimestamp};

use super::Names;
use super::answer::map;
use super::content;
use crate::wire::names;
use crate::wire::status::Status;

/// Largest map of attributes, in bytes: what is larger gives up what can be asked for elsewhere.
pub(super) const BYTES: usize = 4 * 1024 * 1024;
/// What names the attributes that gave way.
const OMITTED: &str = "omitted";

/// One attribute.
struct Attribute {
    name: &'static str,
    /// Whether it is among those of a row where nobody names any.
    in_rows: bool,
    of: fn(&Operation, &Names) -> Value,
}

const fn short(name: &'static str, of: fn(&Operation, &Names) -> Value) -> Attribute {
    Attribute { name, in_rows: true, of }
}

const fn long(name: &'static str, of: fn(&Operation, &Names) -> Value) -> Attribute {
    Attribute { name, in_rows: false, of }
}

/// Every attribute there is, in the order in which they are shown.
static ATTRIBUTES: [Attribute; 37] = [
    short(names::IDENTITY, |operation, _| Value::String(operation.id.to_string())),
    short(names::NAME, |operation, names| Value::String(names.name(operation))),
    short(names::TYPE, |_, _| Value::from(names::OPERATION_TYPE)),
    short("state", |operation, _| Value::from(operation.state.name())),
    short("done", |operation, _| Value::Bool(operation.is_done())),
    short("version", |operation, _| Value::Ulong(operation.version.0)),
    short("service", |operation, _| Value::from(operation.kind.service())),
    short("operation", |operation, _| Value::from(operation.kind.operation())),
    short("route", |operation, _| Value::from(&*operation.routed.route)),
    short("backend", |operation, _| Value::from(&*operation.routed.backend)),
    short("parent", |operation, _| Value::from(operation.parent.as_str())),
    short("createTime", |operation, _| time(operation.times.accepted)),
    short("startTime", |operation, _| optional_time(operation.times.started)),
    short("updateTime", |operation, _| time(operation.times.updated)),
    short("endTime", |operation, _| optional_time(operation.times.closed)),
    short("deadline", |operation, _| optional_time(operation.deadline)),
    short("expireTime", |operation, _| optional_time(operation.times.expires)),
    short("epoch", |operation, _| Value::Uint(operation.epoch.0)),
    short("progress", |operation, _| operation.progress.as_deref().map_or(Value::Null, progress)),
    short("nativeState", |operation, _| optional_text(&operation.native_state)),
    short("waiting", |operation, _| optional_text(&operation.waiting)),
    short("cancelRequested", |operation, _| Value::Bool(operation.cancel.is_some())),
    short("cancel", |operation, _| operation.cancel.as_deref().map_or(Value::Null, cancel)),
    short("error", error),
    short("origin", |operation, _| {
        let origin = &operation.origin;
        map([
            ("face", Value::from(origin.face.name())),
            ("endpoint", Value::from(&*origin.endpoint)),
            ("principal", Value::from(&*origin.principal)),
            ("requestId", optional_text(origin.request_id.as_deref().unwrap_or_default())),
        ])
    }),
    short("names", |operation, names| {
        let all = names.all(operation).into_iter();
        Value::Map(all.map(|(face, name)| (Value::from(&*face), Value::String(name))).collect())
    }),
    long("errorDetails", |operation, _| {
        failure(operation).map_or(Value::Null, |failure| details(&failure))
    }),
    long("resources", |operation, _| list(&operation.resources, resource)),
    long("linksIn", |operation, _| list(&operation.links_in, link)),
    long("linksOut", |operation, _| list(&operation.links_out, link)),
    long("callbacks", |operation, _| list(&operation.callbacks, callback)),
    long("conflicts", |operation, _| list(&operation.conflicts, conflict)),
    long("log", |operation, _| list(&operation.log, entry)),
    long("logDropped", |operation, _| Value::Uint(operation.log_dropped)),
    long("inputType", |operation, _| optional_text(&operation.input.media_type)),
    long("input", |operation, _| content::value(&operation.input)),
    long("resultType", |operation, _| {
        result(operation).map_or(Value::Null, |payload| optional_text(&payload.media_type))
    }),
];

/// Shown last, as it is the last to give way.
static RESULT: Attribute =
    long("result", |operation, _| result(operation).map_or(Value::Null, content::value));

/// What gives way, first to last.
const GIVING_WAY: [&str; 8] =
    ["input", "errorDetails", "log", "resources", "linksIn", "linksOut", "callbacks", "result"];

fn all() -> impl Iterator<Item = &'static Attribute> {
    ATTRIBUTES.iter().chain([&RESULT])
}

/// The names of all attributes.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    all().map(|attribute| attribute.name)
}

/// The names of those in a row where nobody names any.
pub(super) fn of_rows() -> impl Iterator<Item = &'static str> {
    all().filter(|attribute| attribute.in_rows).map(|attribute| attribute.name)
}

/// One attribute; null where there is none of this name.
pub(super) fn one(operation: &Operation, names: &Names, name: &str) -> Value {
    let found = all().find(|attribute| attribute.name == name);
    found.map_or(Value::Null, |attribute| (attribute.of)(operation, names))
}

/// Every attribute that is not null. Of what is larger than [`BYTES`] some give way, and `omitted` names
/// them.
pub(super) fn map_of(operation: &Operation, names: &Names) -> Value {
    let made = all().map(|attribute| (attribute.name, (attribute.of)(operation, names)));
    let mut fields: Vec<(&str, Value, usize)> = made
        .filter(|(_, value)| *value != Value::Null)
        .map(|(name, value)| {
            let bytes = size(&value) + name.len() + 2;
            (name, value, bytes)
        })
        .collect();
    let mut bytes: usize = fields.iter().map(|(_, _, bytes)| bytes).sum();
    let mut omitted = Vec::new();
    for name in GIVING_WAY {
        if bytes <= BYTES {
            break;
        }
        if let Some(place) = fields.iter().position(|(field, ..)| *field == name) {
            bytes -= fields.remove(place).2;
            omitted.push(Value::from(name));
        }
    }
    let mut shown: Vec<(&str, Value)> =
        fields.into_iter().map(|(name, value, _)| (name, value)).collect();
    if !omitted.is_empty() {
        shown.push((OMITTED, Value::List(omitted)));
    }
    Value::Map(shown.into_iter().map(|(name, value)| (Value::from(name), value)).collect())
}

/// The bytes that a value takes on the wire.
pub(super) fn size(value: &Value) -> usize {
    // What cannot be written is as large as it can be: it is not sent.
    serde_amqp::serialized_size(value).unwrap_or(usize::MAX / 64)
}

fn result(operation: &Operation) -> Option<&opgate_core::Payload> {
    match operation.outcome.as_ref()? {
        Outcome::Succeeded(result) => result.as_ref(),
        Outcome::Failed(_) | Outcome::Canceled(_) => None,
    }
}

/// The failure of an operation that ended without success.
pub(super) fn failure(operation: &Operation) -> Option<Failure> {
    match operation.outcome.as_ref()? {
        Outcome::Succeeded(_) => None,
        Outcome::Failed(failure) | Outcome::Canceled(Some(failure)) => Some(failure.clone()),
        Outcome::Canceled(None) => {
            let reason = operation.cancel.as_ref().map_or("", |cancel| &cancel.reason);
            let text = match reason {
                "" => "the operation was canceled".to_owned(),
                reason => format!("the operation was canceled: {reason}"),
            };
            Some(Failure::new(opgate_core::Code::Cancelled, text))
        }
    }
}

fn error(operation: &Operation, _: &Names) -> Value {
    failure(operation).as_ref().map_or(Value::Null, shown)
}

fn shown(failure: &Failure) -> Value {
    let status = Status::of_failure(failure);
    let condition = status.condition.as_deref().map(Symbol::from).map(Value::Symbol);
    let after = failure.retry_after.and_then(|after| u64::try_from(after.as_millis()).ok());
    map([
        ("code", Value::from(failure.code.name())),
        ("message", Value::from(&*failure.message)),
        ("statusCode", Value::Int(status.code)),
        ("errorCondition", condition.unwrap_or_default()),
        ("reason", optional_text(failure.reason.as_deref().unwrap_or_default())),
        ("retryable", failure.retryable.map_or(Value::Null, Value::Bool)),
        ("retryAfter", after.map_or(Value::Null, Value::Ulong)),
        ("cause", failure.cause.as_deref().map_or(Value::Null, shown)),
    ])
}

/// What a failure brought along beside what `error` says: typed details, and the backend's own form.
fn details(failure: &Failure) -> Value {
    let bytes = |bytes: &[u8]| Value::Binary(Binary::from(bytes.to_vec()));
    let typed = failure.details.iter().map(|detail| {
        map([("typeUrl", Value::from(&*detail.type_url)), ("value", bytes(&detail.value))])
    });
    let typed: Vec<Value> = typed.collect();
    let native = failure.native.as_deref().map(|native| {
        map([
            ("protocol", Value::from(&*native.protocol)),
            ("code", optional_text(&native.code)),
            ("http", native.http.map_or(Value::Null, Value::Ushort)),
            ("body", if native.bytes.is_empty() { Value::Null } else { bytes(&native.bytes) }),
        ])
    });
    if typed.is_empty() && native.is_none() {
        return Value::Null;
    }
    map([("details", Value::List(typed)), ("native", native.unwrap_or_default())])
}

fn time(time: Timestamp) -> Value {
    Value::Timestamp(AmqpTimestamp::from_milliseconds(time.millis()))
}

fn optional_time(instant: Option<Timestamp>) -> Value {
    instant.map_or(Value::Null, time)
}

fn optional_text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { Value::from(text) }
}

fn list<T>(items: &[T], shown: fn(&T) -> Value) -> Value {
    Value::List(items.iter().map(shown).collect())
}

fn progress(progress: &Progress) -> Value {
    map([
        ("percent", progress.percent_shown().map_or(Value::Null, Value::from)),
        ("done", progress.done.map_or(Value::Null, Value::Ulong)),
        ("total", progress.total.map_or(Value::Null, Value::Ulong)),
        ("message", optional_text(&progress.message)),
    ])
}

fn cancel(cancel: &Cancel) -> Value {
    let delivery = match cancel.delivery {
        CancelDelivery::Queued => "queued",
        CancelDelivery::Sent => "sent",
        CancelDelivery::Acked => "acked",
        CancelDelivery::Refused => "refused",
        CancelDelivery::GaveUp => "gave_up",
    };
    map([
        ("requestTime", time(cancel.requested)),
        ("by", Value::from(&*cancel.by)),
        ("reason", optional_text(&cancel.reason)),
        ("delivery", Value::from(delivery)),
        ("attempts", Value::Uint(cancel.attempts)),
    ])
}

fn entry(entry: &LogEntry) -> Value {
    map([
        ("time", time(entry.at)),
        ("error", Value::Bool(entry.error)),
        ("code", optional_text(&entry.code)),
        ("message", Value::from(&*entry.message)),
    ])
}

fn resource(resource: &Resource) -> Value {
    map([
        ("entityType", Value::from(&*resource.entity_type)),
        ("action", Value::from(&*resource.action)),
        ("identifier", Value::from(&*resource.identifier)),
        ("uri", optional_text(&resource.uri)),
    ])
}

fn link(link: &Link) -> Value {
    map([("url", Value::from(&*link.url)), ("type", Value::from(&*link.kind))])
}

/// Without its headers, which hold secrets.
fn callback(callback: &Callback) -> Value {
    let delivery = &callback.delivery;
    map([
        ("url", Value::from(&*callback.url)),
        ("state", Value::from(delivery.state.name())),
        ("attempts", Value::Uint(delivery.attempts)),
        ("problem", optional_text(&delivery.problem)),
    ])
}

fn conflict(conflict: &Conflict) -> Value {
    map([
        ("time", time(conflict.at)),
        ("state", Value::from(conflict.state.name())),
        ("message", optional_text(&conflict.message)),
    ])
}
