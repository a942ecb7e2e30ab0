//! The attributes of an operation.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use opgate_bus::Snapshot;
use opgate_core::{
    Callback, Cancel, Conflict, Failure, Link, LogEntry, Loss, Losses, Operation, Outcome, Payload,
    Progress, Resource,
};
use serde::{Serialize, Serializer};
use serde_amqp::Value;

use super::Names;
use super::content;
use super::shown::Shown;
use crate::wire::status::Status;
use crate::wire::{self, failure as failed, names, written};

/// Largest map of attributes, in bytes: what is larger gives up what can be asked for elsewhere.
pub(super) const BYTES: usize = 4 * 1024 * 1024;
/// What names the attributes that gave way.
const OMITTED: &str = "omitted";

type Of = for<'a> fn(&'a Operation, &Names) -> Shown<'a>;

/// One attribute.
struct Attribute {
    name: &'static str,
    /// Whether it is among those of a row where nobody names any.
    in_rows: bool,
    of: Of,
}

const fn short(name: &'static str, of: Of) -> Attribute {
    Attribute { name, in_rows: true, of }
}

const fn long(name: &'static str, of: Of) -> Attribute {
    Attribute { name, in_rows: false, of }
}

/// Every attribute there is, in the order in which they are shown.
static ATTRIBUTES: [Attribute; 39] = [
    short(names::IDENTITY, |operation, _| Shown::Text(operation.id.to_string().into())),
    short(names::NAME, |operation, names| Shown::Text(names.name(operation).into())),
    short(names::TYPE, |_, _| Shown::text(names::OPERATION_TYPE)),
    short("state", |operation, _| Shown::text(operation.state.name())),
    short("done", |operation, _| Shown::Bool(operation.is_done())),
    short("version", |operation, _| Shown::Ulong(operation.version.0)),
    short("service", |operation, _| Shown::text(operation.kind.service())),
    short("operation", |operation, _| Shown::text(operation.kind.operation())),
    short("route", |operation, _| Shown::text(&operation.routed.route)),
    short("backend", |operation, _| Shown::text(&operation.routed.backend)),
    short("parent", |operation, _| Shown::text(operation.parent.as_str())),
    short("createTime", |operation, _| Shown::Time(operation.times.accepted)),
    short("startTime", |operation, _| Shown::optional_time(operation.times.started)),
    short("updateTime", |operation, _| Shown::Time(operation.times.updated)),
    short("endTime", |operation, _| Shown::optional_time(operation.times.closed)),
    short("deadline", |operation, _| Shown::optional_time(operation.deadline)),
    short("expireTime", |operation, _| Shown::optional_time(operation.times.expires)),
    short("epoch", |operation, _| Shown::Uint(operation.epoch.0)),
    short("progress", |operation, _| operation.progress.as_deref().map_or(Shown::Null, progress)),
    short("nativeState", |operation, _| Shown::optional_text(&operation.native_state)),
    short("waiting", |operation, _| Shown::optional_text(&operation.waiting)),
    short("cancelRequested", |operation, _| Shown::Bool(operation.cancel.is_some())),
    short("cancel", |operation, _| operation.cancel.as_deref().map_or(Shown::Null, cancel)),
    short("error", error),
    short("origin", |operation, _| {
        let origin = &operation.origin;
        Shown::map([
            ("face", Shown::text(origin.face.name())),
            ("endpoint", Shown::text(&origin.endpoint)),
            ("principal", Shown::text(&origin.principal)),
            ("requestId", Shown::optional_text(origin.request_id.as_deref().unwrap_or_default())),
        ])
    }),
    short("names", |operation, names| {
        let all = names.all(operation).into_iter();
        Shown::Map(
            all.map(|(face, name)| (Cow::Borrowed(face), Shown::Text(name.into()))).collect(),
        )
    }),
    long("errorDetails", |operation, _| {
        match failure(operation) {
            Some(Cow::Borrowed(failure)) => details(failure),
            // What was made of a cancel has none.
            Some(Cow::Owned(_)) | None => Shown::Null,
        }
    }),
    long("resources", |operation, _| Shown::list(&operation.resources, resource)),
    long("linksIn", |operation, _| Shown::list(&operation.links_in, link)),
    long("linksOut", |operation, _| Shown::list(&operation.links_out, link)),
    long("callbacks", |operation, _| Shown::list(&operation.callbacks, callback)),
    long("conflicts", |operation, _| Shown::list(&operation.conflicts, conflict)),
    long("log", |operation, _| Shown::list(&operation.log, entry)),
    long("logDropped", |operation, _| Shown::Uint(operation.log_dropped)),
    long("inputType", |operation, _| Shown::optional_text(&operation.input.media_type)),
    long("inputEncoding", |operation, _| encoding(Some(&operation.input))),
    long("input", |operation, _| content::shown(&operation.input)),
    long("resultType", |operation, _| {
        result(operation).map_or(Shown::Null, |payload| Shown::optional_text(&payload.media_type))
    }),
    long("resultEncoding", |operation, _| encoding(result(operation))),
];

/// Shown last, as it is the last to give way.
static RESULT: Attribute =
    long("result", |operation, _| result(operation).map_or(Shown::Null, content::shown));

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
    found.map_or(Value::Null, |attribute| (attribute.of)(operation, names).into())
}

/// Every attribute of an operation that is not null, as a map: written when it is sent. Of what is larger than
/// [`BYTES`] some give way, and `omitted` names them.
#[derive(Clone)]
pub struct Attributes {
    operation: Arc<Snapshot>,
    names: Names,
    omitted: Vec<&'static str>,
    bytes: usize,
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attributes").field("of", &self.operation.id).finish_non_exhaustive()
    }
}

impl Attributes {
    pub(super) fn new(operation: Arc<Snapshot>, names: Names) -> Self {
        let mut bytes = about(&operation);
        let mut omitted = Vec::new();
        // A number of JSON's takes twice and a half as many bytes as it has digits; nothing else takes more than twice.
        if bytes.saturating_mul(3) > BYTES {
            let size = |attribute: &Attribute| {
                let mut bytes = Vec::new();
                (attribute.of)(&operation, &names).write(&mut bytes);
                bytes.len() + attribute.name.len() + 2
            };
            bytes = all().map(size).sum();
            for name in GIVING_WAY {
                if bytes <= BYTES {
                    break;
                }
                if let Some(attribute) = all().find(|attribute| attribute.name == name)
                    && (attribute.of)(&operation, &names) != Shown::Null
                {
                    bytes -= size(attribute);
                    omitted.push(name);
                }
            }
        }
        Self { operation, names, omitted, bytes }
    }

    /// What they do not say of the operation, and what was lost before.
    pub(super) fn lost(&self) -> Losses {
        let omitted = self.omitted.iter().map(|name| match *name {
            "input" => Losses::NONE,
            "errorDetails" => Losses::from(Loss::ErrorDetails) | Loss::ErrorNative.into(),
            "log" => Loss::Log.into(),
            "result" => Loss::Result.into(),
            _ => Loss::Metadata.into(),
        });
        let encoded = result(&self.operation).and_then(|result| result.encoded.as_ref());
        // As an attribute a sequence is the list that JSON has.
        let exact = wire::content::exact_value(encoded).is_some();
        let kept = Losses::NONE.with(Loss::ResultValues, exact);
        let before = self.operation.lost.without(kept);
        omitted.fold(unsaid(&self.operation) | before, |lost, one| lost | one)
    }

    /// The map as it is written.
    pub(super) fn written(&self) -> Vec<u8> {
        // About as much as it takes is known, not less than half.
        let mut bytes = Vec::with_capacity(self.bytes.min(BYTES) / 2);
        written::map(&mut bytes, |out| {
            let mut count = 0;
            for attribute in all().filter(|attribute| !self.omitted.contains(&attribute.name)) {
                let shown = (attribute.of)(&self.operation, &self.names);
                if shown != Shown::Null {
                    written::text(attribute.name, out);
                    shown.write(out);
                    count += 1;
                }
            }
            if !self.omitted.is_empty() {
                written::text(OMITTED, out);
                Shown::list(&self.omitted, |name| Shown::text(name)).write(out);
                count += 1;
            }
            count
        });
        bytes
    }

    /// About how many bytes it takes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        written::raw(&self.written(), serializer)
    }
}

/// What the attributes of an operation do not say, however much room there is.
pub(super) fn unsaid(operation: &Operation) -> Losses {
    let outcome = operation.outcome.as_ref();
    let result = outcome.and_then(Outcome::result).map(content::lost);
    let failure = outcome.and_then(Outcome::failure).map(failed::unsaid);
    let progress = operation.progress.as_deref();
    let clamped = progress.is_some_and(|progress| progress.percent_shown() != progress.percent);
    (result.unwrap_or_default() | failure.unwrap_or_default()).with(Loss::PercentRounded, clamped)
}

fn encoding(payload: Option<&Payload>) -> Shown<'_> {
    Shown::optional_text(
        payload.and_then(|payload| payload.encoding.as_deref()).unwrap_or_default(),
    )
}

/// The bytes that a value takes on the wire.
pub(super) fn size(value: &impl Serialize) -> usize {
    // What cannot be written is as large as it can be: it is not sent.
    serde_amqp::serialized_size(value).unwrap_or(usize::MAX / 64)
}

/// About how many bytes all attributes of an operation take, without looking at each.
fn about(operation: &Operation) -> usize {
    /// What an attribute, or an entry of one, takes beside its texts.
    const EACH: usize = 64;
    let payload = |payload: &Payload| payload.weight() + payload.media_type.len();
    let texts = [
        // In its names, too.
        4 * operation.parent.as_str().len(),
        operation.kind.service().len() + operation.kind.operation().len(),
        operation.routed.route.len() + operation.routed.backend.len(),
        operation.origin.endpoint.len() + operation.origin.principal.len(),
        operation.origin.request_id.as_deref().map_or(0, str::len),
        operation.native_state.len() + operation.waiting.len(),
        operation.progress.as_deref().map_or(0, |progress| progress.message.len()),
        operation
            .cancel
            .as_deref()
            .map_or(0, |cancel| cancel.by.len() + 2 * cancel.reason.len() + cancel.problem.len()),
        payload(&operation.input),
        match &operation.outcome {
            Some(Outcome::Succeeded(result)) => result.as_ref().map_or(0, payload),
            Some(Outcome::Failed(failure) | Outcome::Canceled(Some(failure))) => {
                of_failure(failure)
            }
            Some(Outcome::Canceled(None)) | None => 0,
        },
    ];
    let entries = [
        operation.log.iter().map(|entry| entry.code.len() + entry.message.len() + EACH).sum(),
        operation.resources.iter().map(of_resource).map(|bytes| bytes + EACH).sum(),
        operation.links_in.iter().map(|link| link.url.len() + link.kind.len() + EACH).sum(),
        operation.links_out.iter().map(|link| link.url.len() + link.kind.len() + EACH).sum(),
        operation.callbacks.iter().map(|it| it.url.len() + it.delivery.problem.len() + EACH).sum(),
        operation.conflicts.iter().map(|conflict| conflict.message.len() + EACH).sum::<usize>(),
    ];
    (ATTRIBUTES.len() + 1) * EACH + texts.iter().sum::<usize>() + entries.iter().sum::<usize>()
}

fn of_failure(failure: &Failure) -> usize {
    let details = failure.details.iter();
    let details = details.map(|detail| detail.type_url.len() + detail.value.len() + 64);
    let native = failure.native.as_deref();
    let native = native.map_or(0, |it| it.protocol.len() + it.code.len() + it.weight());
    let reason = failure.reason.as_deref().map_or(0, str::len);
    let own = failure.message.len() + reason + native + details.sum::<usize>();
    own + failure.cause.as_deref().map_or(0, |cause| 256 + of_failure(cause))
}

fn of_resource(resource: &Resource) -> usize {
    resource.entity_type.len()
        + resource.action.len()
        + resource.identifier.len()
        + resource.uri.len()
}

fn result(operation: &Operation) -> Option<&Payload> {
    match operation.outcome.as_ref()? {
        Outcome::Succeeded(result) => result.as_ref(),
        Outcome::Failed(_) | Outcome::Canceled(_) => None,
    }
}

/// The failure of an operation that ended without success; one is made for a cancel that brought none.
pub(super) fn failure(operation: &Operation) -> Option<Cow<'_, Failure>> {
    match operation.outcome.as_ref()? {
        Outcome::Succeeded(_) => None,
        Outcome::Failed(failure) | Outcome::Canceled(Some(failure)) => Some(Cow::Borrowed(failure)),
        Outcome::Canceled(None) => {
            let reason = operation.cancel.as_ref().map_or("", |cancel| &cancel.reason);
            let text = match reason {
                "" => "the operation was canceled".to_owned(),
                reason => format!("the operation was canceled: {reason}"),
            };
            Some(Cow::Owned(Failure::new(opgate_core::Code::Cancelled, text)))
        }
    }
}

fn error<'a>(operation: &'a Operation, _: &Names) -> Shown<'a> {
    match failure(operation) {
        Some(Cow::Borrowed(failure)) => shown(failure),
        Some(Cow::Owned(failure)) => Shown::Made(shown(&failure).into()),
        None => Shown::Null,
    }
}

fn shown(failure: &Failure) -> Shown<'_> {
    let status = Status::of_failure(failure);
    let after = failure.retry_after.and_then(|after| u64::try_from(after.as_millis()).ok());
    Shown::map([
        ("code", Shown::text(failure.code.name())),
        ("message", Shown::text(&failure.message)),
        ("statusCode", Shown::Int(status.code)),
        (
            "errorCondition",
            status
                .condition
                .map_or(Shown::Null, |text| Shown::Symbol(Cow::Owned(text.to_string()))),
        ),
        ("reason", Shown::optional_text(failure.reason.as_deref().unwrap_or_default())),
        ("retryable", failure.retryable.map_or(Shown::Null, Shown::Bool)),
        ("retryAfter", after.map_or(Shown::Null, Shown::Ulong)),
        ("cause", failure.cause.as_deref().map_or(Shown::Null, shown)),
    ])
}

/// What a failure brought along beside what `error` says: typed details, and the backend's own form.
fn details(failure: &Failure) -> Shown<'_> {
    let typed = failure.details.iter().map(|detail| {
        Shown::map([
            ("typeUrl", Shown::text(&detail.type_url)),
            ("value", Shown::Bytes(&detail.value)),
        ])
    });
    let typed: Vec<Shown<'_>> = typed.collect();
    let native = failure.native.as_deref().map(|native| {
        Shown::map([
            ("protocol", Shown::text(&native.protocol)),
            ("code", Shown::optional_text(&native.code)),
            ("http", native.http.map_or(Shown::Null, Shown::Ushort)),
            (
                "body",
                if native.bytes.is_empty() { Shown::Null } else { Shown::Bytes(&native.bytes) },
            ),
        ])
    });
    if typed.is_empty() && native.is_none() {
        return Shown::Null;
    }
    Shown::map([("details", Shown::List(typed)), ("native", native.unwrap_or(Shown::Null))])
}

fn progress(progress: &Progress) -> Shown<'_> {
    Shown::map([
        (
            "percent",
            progress
                .percent_shown()
                .map_or(Shown::Null, |percent| Shown::Made(Value::from(percent))),
        ),
        ("done", progress.done.map_or(Shown::Null, Shown::Ulong)),
        ("total", progress.total.map_or(Shown::Null, Shown::Ulong)),
        ("message", Shown::optional_text(&progress.message)),
    ])
}

fn cancel(cancel: &Cancel) -> Shown<'_> {
    Shown::map([
        ("requestTime", Shown::Time(cancel.requested)),
        ("by", Shown::text(&cancel.by)),
        ("reason", Shown::optional_text(&cancel.reason)),
        ("delivery", Shown::text(cancel.delivery.name())),
        ("deliveryTime", Shown::Time(cancel.changed)),
        ("attempts", Shown::Uint(cancel.attempts)),
        ("problem", Shown::optional_text(&cancel.problem)),
    ])
}

fn entry(entry: &LogEntry) -> Shown<'_> {
    Shown::map([
        ("time", Shown::Time(entry.at)),
        ("error", Shown::Bool(entry.error)),
        ("code", Shown::optional_text(&entry.code)),
        ("message", Shown::text(&entry.message)),
    ])
}

fn resource(resource: &Resource) -> Shown<'_> {
    Shown::map([
        ("entityType", Shown::text(&resource.entity_type)),
        ("action", Shown::text(&resource.action)),
        ("identifier", Shown::text(&resource.identifier)),
        ("uri", Shown::optional_text(&resource.uri)),
    ])
}

fn link(link: &Link) -> Shown<'_> {
    Shown::map([("url", Shown::text(&link.url)), ("type", Shown::text(&link.kind))])
}

/// Without its headers, which hold secrets.
fn callback(callback: &Callback) -> Shown<'_> {
    let delivery = &callback.delivery;
    Shown::map([
        ("url", Shown::text(&callback.url)),
        ("state", Shown::text(delivery.state.name())),
        ("attempts", Shown::Uint(delivery.attempts)),
        ("problem", Shown::optional_text(&delivery.problem)),
    ])
}

fn conflict(conflict: &Conflict) -> Shown<'_> {
    Shown::map([
        ("time", Shown::Time(conflict.at)),
        ("state", Shown::text(conflict.state.name())),
        ("message", Shown::optional_text(&conflict.message)),
    ])
}
