//! What workers send: results, and how it goes.

use std::borrow::Cow;
use std::future::ready;
use std::sync::Arc;

use fe2o3_amqp_types::definitions::{AmqpError, Error as Refusal, ErrorCondition, LinkError};
use fe2o3_amqp_types::messaging::{AmqpValue, Body, Message, MessageId};
use opgate_bus::Bus;
use opgate_core::{Error, ErrorKind, LogEntry, Progress, Report, Timestamp, limits};
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;
use serde_json::{Map, Value as Json};

use super::delivery::late;
use super::open::key;
use super::{Shared, told};
use crate::node::{ConnectionId, Taking};
use crate::wire::came::Values;
use crate::wire::{json, status};

/// The subject of a message that tells how it goes; any other is a result.
const REPORT: &str = "opgate:report";
/// What a report is rejected with when it was taken, and the cancellation of its operation is asked for.
const CANCELED: &str = "opgate:cancelled";

/// Takes what a worker sent to a queue. A result is there before this returns: the delivery may be settled
/// the moment after.
pub(super) fn take(
    shared: &Shared,
    connection: ConnectionId,
    message: Message<Body<Value>>,
    values: Option<&Values>,
) -> Taking {
    let token = match token(&message) {
        Ok(token) => token.into_owned(),
        Err(error) => return Box::pin(ready(Err(refusal(&error)))),
    };
    let key = key(connection, &token);
    let subject = message.properties.as_ref().and_then(|properties| properties.subject.as_deref());
    if subject == Some(REPORT) {
        let (bus, open) = (shared.bus.clone(), Arc::clone(&shared.open));
        return Box::pin(async move {
            if !open.has(&key) {
                let why = "no delivery of this connection with such a message id is open";
                return Err(refusal(&Error::new(ErrorKind::FailedPrecondition, why)));
            }
            report(&bus, &token, &message.body).await
        });
    }
    let lost = told::lost(&message.body);
    let taken = match told::payload(message, values) {
        None if shared.open.has(&key) => Ok(()),
        None => Err(Error::new(ErrorKind::FailedPrecondition, "no such delivery is open")),
        Some(result) if result.bytes.len() > limits::PAYLOAD_BYTES => {
            let text = format!("is larger than {} bytes", limits::PAYLOAD_BYTES);
            shared.open.tell(&key, Err(Error::new(ErrorKind::PayloadTooLarge, text)))
        }
        Some(result) => shared.open.tell(&key, Ok((result, lost))),
    };
    Box::pin(ready(taken.map_err(|error| refusal(&error))))
}

/// The message id of the delivery that a message is about.
fn token(message: &Message<Body<Value>>) -> Result<Cow<'_, str>, Error> {
    let properties = message.properties.as_ref();
    match properties.and_then(|properties| properties.correlation_id.as_ref()) {
        Some(MessageId::String(token)) => Ok(Cow::Borrowed(token)),
        Some(MessageId::Binary(token)) => Ok(String::from_utf8_lossy(token)),
        Some(MessageId::Ulong(_) | MessageId::Uuid(_)) | None => {
            let problem = "must be the message-id of an open delivery";
            Err(Error::invalid("properties.correlation-id", problem))
        }
    }
}

async fn report(bus: &Bus, token: &str, body: &Body<Value>) -> Result<(), Refusal> {
    let report = read(body, bus.now()).map_err(|error| refusal(&error))?;
    let held = bus.report(token, report, None).await.map_err(|error| refusal(&late(error)))?;
    match held.snapshot.cancel.as_deref() {
        // Its sender hears in no other way.
        Some(cancel) => {
            let condition = ErrorCondition::Custom(Symbol::from(CANCELED));
            Err(Refusal::new(condition, Some(cancel.reason.to_string()), None))
        }
        None => Ok(()),
    }
}

/// A report, from a map.
fn read(body: &Body<Value>, now: Timestamp) -> Result<Report, Error> {
    let content = match body {
        Body::Empty => return Ok(Report::default()),
        Body::Value(AmqpValue(value)) => json::of(value),
        Body::Data(sections) => {
            let bytes: Vec<u8> =
                sections.iter().flat_map(|section| section.0.iter().copied()).collect();
            serde_json::from_slice(&bytes)
                .map_err(|error| Error::invalid("body", format!("is no JSON: {error}")))?
        }
        Body::Sequence(_) => Json::Array(Vec::new()),
    };
    match content {
        Json::Null => Ok(Report::default()),
        Json::Object(fields) => told_fields(fields, now),
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            Err(Error::invalid("body", "must be a map"))
        }
    }
}

fn told_fields(fields: Map<String, Json>, now: Timestamp) -> Result<Report, Error> {
    let mut report = Report::default();
    let mut progress = Progress::default();
    for (name, value) in fields {
        match name.as_str() {
            "percent" => {
                let percent = value.as_f64().filter(|percent| (0.0..=100.0).contains(percent));
                let problem = || Error::invalid("body.percent", "must be a number from 0 to 100");
                progress.percent = Some(percent.ok_or_else(problem)?);
            }
            "done" => progress.done = Some(count("body.done", &value)?),
            "total" => progress.total = Some(count("body.total", &value)?),
            "message" => progress.message = text("body.message", &value)?,
            "state" => report.native_state = Some(text("body.state", &value)?),
            "waiting" => report.waiting = Some(text("body.waiting", &value)?),
            "log" => {
                let lines = value.as_array().map_or(std::slice::from_ref(&value), Vec::as_slice);
                for line in lines {
                    let message = text("body.log", line)?;
                    report.log.push(LogEntry {
                        at: now,
                        error: false,
                        code: Box::default(),
                        message,
                    });
                }
            }
            unknown => {
                let known = "percent, done, total, message, state, waiting and log";
                let problem = format!("is not known; a report may have {known}");
                return Err(Error::invalid(format!("body.{unknown}"), problem));
            }
        }
    }
    report.progress = (progress != Progress::default()).then_some(progress);
    Ok(report)
}

fn count(field: &'static str, value: &Json) -> Result<u64, Error> {
    value.as_u64().ok_or_else(|| Error::invalid(field, "must be an integer from 0 on"))
}

fn text(field: &'static str, value: &Json) -> Result<Box<str>, Error> {
    value.as_str().map(Into::into).ok_or_else(|| Error::invalid(field, "must be a text"))
}

/// What a message is rejected with.
pub(super) fn refusal(error: &Error) -> Refusal {
    let (_, condition) = status::kind(error.kind);
    let known = AmqpError::try_from(condition).map(ErrorCondition::from);
    let known = known.or_else(|_| LinkError::try_from(condition).map(ErrorCondition::from));
    let condition = known.unwrap_or_else(|_| ErrorCondition::Custom(Symbol::from(condition)));
    Refusal::new(condition, Some(error.message.to_string()), None)
}
