//! What the replies of a node mean: status codes as HTTP has them, in either spelling (amqp.md, 1 and 2).

mod told;

use bytes::Bytes;
use fe2o3_amqp_types::definitions;
use fe2o3_amqp_types::messaging::{AmqpValue, Body, Message};
use opgate_bus::{CancelAttempt, Line, outcome_unknown, record_lost};
use opgate_core::{
    Code, Error, ErrorKind, Failure, Loss, Losses, Native, Outcome, Payload, Resource, Retry,
    limits,
};
use serde_amqp::Value;
use serde_json::Value as Json;

use super::plan::{Phase, Poll};
use crate::wire::came::Values;
use crate::wire::{content, failure, json, status, text};

/// Where the status is, in both spellings.
const STATUS: [&str; 2] = ["statusCode", "status-code"];
const DESCRIPTION: [&str; 2] = ["statusDescription", "status-description"];
const CONDITION: [&str; 2] = ["errorCondition", "error-condition"];
/// Largest body of a failure, in both forms, that is kept as AMQP has it.
const FAILURE_BYTES: usize = limits::PAYLOAD_BYTES / 2;
/// The status of work that is begun.
const ACCEPTED: i32 = 202;

/// A reply, as far as it is understood.
#[derive(Debug)]
pub(super) struct Reply {
    status: i32,
    description: String,
    condition: Option<String>,
    body: Body<Value>,
    /// Its values in the bytes in which they came.
    values: Option<Values>,
    content_type: Option<String>,
    content_encoding: Option<String>,
}

/// What became of a start.
#[derive(Debug, PartialEq)]
pub(super) enum Started {
    /// It is over.
    Ended(Outcome),
    /// It is over although the node spoke of work to come, and did not name it.
    Unnamed(Outcome),
    /// It goes on under this identity, in this state.
    Running(String, Option<String>),
}

/// What was seen of an operation upstream.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    /// The state, verbatim.
    pub(super) state: String,
    /// What it means.
    pub(super) phase: Phase,
    /// How far it is, verbatim.
    pub(super) percent: Option<f64>,
    /// What it says for people.
    pub(super) message: Option<String>,
    /// The lines of its log, as many as it shows.
    pub(super) lines: Vec<Line>,
    /// What it works on. At most [`limits::RESOURCES`].
    pub(super) resources: Vec<Resource>,
    /// Its attributes.
    attributes: Json,
    /// Its result as JSON, with what that does not say.
    result: Option<Payload>,
    /// What these do not say.
    pub(super) lost: Losses,
}

/// What became of a look.
#[derive(Debug, PartialEq)]
pub(super) enum Looked {
    /// This was seen.
    Seen(Box<Seen>),
    /// It is not there, or is not to be understood; that may stay so.
    Blind(Box<Failure>),
}

impl Reply {
    /// Reads any message whatever.
    ///
    /// # Errors
    /// What is wrong: it tells no status.
    pub(super) fn read(
        message: Message<Body<Value>>,
        values: Option<Values>,
    ) -> Result<Self, String> {
        let properties = message.application_properties.unwrap_or_default();
        let found = |spellings: [&str; 2]| {
            spellings.into_iter().find_map(|name| properties.get(name).cloned()).map(text::value)
        };
        let words = |spellings| {
            let value = found(spellings)?;
            text::of(&value).filter(|text| !text.is_empty()).map(limits::clip).map(str::to_owned)
        };
        let status = found(STATUS).ok_or("it has neither statusCode nor status-code")?;
        let status = text::integer(&status)
            .and_then(|status| i32::try_from(status).ok())
            .or_else(|| text::of(&status)?.parse().ok())
            .ok_or_else(|| format!("its status code is {status:?}"))?;
        let labels = message.properties.unwrap_or_default();
        Ok(Self {
            status,
            description: words(DESCRIPTION).unwrap_or_default(),
            condition: words(CONDITION),
            body: message.body,
            values,
            content_type: labels.content_type.map(|label| label.as_str().to_owned()),
            content_encoding: labels.content_encoding.map(|label| label.as_str().to_owned()),
        })
    }

    /// What a result or a failure that is made of it does not say.
    pub(super) fn lost(&self) -> Losses {
        let lost = content::lost(&self.body);
        if self.is_success() || !lost.has(Loss::ResultValues) {
            return lost;
        }
        // Of opgate's own nothing is lost.
        let own =
            matches!(&self.body, Body::Value(AmqpValue(value)) if failure::read(value).is_some());
        Losses::NONE.with(Loss::ErrorNative, !own)
    }

    const fn is_success(&self) -> bool {
        matches!(self.status, 200..300)
    }

    /// Whether nothing was done, and the same request may be taken later.
    fn is_busy(&self) -> bool {
        matches!(self.status, 429 | 503)
    }

    /// Whether it may have been done all the same.
    const fn is_vague(&self) -> bool {
        matches!(self.status, 408 | 500 | 502 | 504)
    }

    /// Whether the node does not know what is asked about, or not any more.
    const fn is_absence(&self) -> bool {
        matches!(self.status, 404 | 410)
    }

    /// In one line, for people.
    fn text(&self) -> String {
        let mut text = self.status.to_string();
        for part in [self.condition.as_deref(), Some(&*self.description)] {
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                text.push(' ');
                text.push_str(part);
            }
        }
        text
    }

    /// What it means for an operation that it ended.
    fn failure(self) -> Failure {
        if let Body::Value(AmqpValue(body)) = &self.body
            && let Some(told) = failure::read(body)
        {
            return told;
        }
        let body = self.payload(None, None);
        let described = if self.description.is_empty() { self.text() } else { self.description };
        let mut failure = status::failure(self.status, &described, self.condition.as_deref());
        failure.reason = self.condition;
        if let (Some(native), Some(body)) = (&mut failure.native, body) {
            native.bytes = body.bytes;
            let fits = |encoded: &Bytes| {
                !encoded.is_empty() && native.bytes.len() + encoded.len() <= FAILURE_BYTES
            };
            native.encoded = body.encoded.filter(fits);
        }
        failure
    }

    /// How an operation ends that it is the answer to.
    pub(super) fn outcome(self) -> Outcome {
        if self.is_success() {
            let label = (self.content_type.as_deref(), self.content_encoding.as_deref());
            return Outcome::Succeeded(self.payload(label.0, label.1));
        }
        let failure = self.failure();
        if failure.code == Code::Cancelled {
            Outcome::Canceled(Some(failure))
        } else {
            Outcome::Failed(failure)
        }
    }

    /// What it means for the request that was made.
    fn error(&self, retry: Retry) -> Error {
        let kind = match self.status {
            429 => ErrorKind::TooManyRequests,
            502 | 503 => ErrorKind::Unavailable,
            408 | 504 => ErrorKind::DeadlineExceeded,
            _ => ErrorKind::Internal,
        };
        Error::new(kind, format!("the node answered {}", self.text())).with_retry(retry)
    }

    /// What is at a place of the attributes, and what it does not say as JSON; nothing where there is nothing but null.
    fn at(&self, attributes: &Json, pointer: &str) -> Option<(Payload, Losses)> {
        let said = attributes.pointer(pointer).filter(|said| !said.is_null())?;
        let came = match &self.values {
            Some(Body::Value(AmqpValue(whole))) => whole.at(pointer),
            Some(Body::Sequence(_) | Body::Data(_) | Body::Empty) | None => None,
        };
        let came = came.and_then(|came| Some((came.value()?, came)));
        match came.filter(|(value, _)| json::of(value) == *said) {
            Some((value, came)) => {
                let lost = Losses::NONE.with(Loss::ResultValues, !json::is_kept(&value));
                Some((content::value(&value, Some(&came)), lost))
            }
            None => Some((Payload::json(said.to_string()), content::lost(&self.body))),
        }
    }

    /// The body as a payload: data as it came, all else as JSON. An empty map says nothing.
    fn payload(&self, kind: Option<&str>, encoding: Option<&str>) -> Option<Payload> {
        match &self.body {
            Body::Data(sections) => {
                Some(content::as_data(content::data(sections, kind.unwrap_or_default(), encoding)))
            }
            Body::Value(AmqpValue(Value::Null)) | Body::Empty => None,
            Body::Value(AmqpValue(Value::Map(fields))) if fields.is_empty() => None,
            Body::Value(_) | Body::Sequence(_) => content::values(&self.body, self.values.as_ref()),
        }
    }

    /// The body as JSON; `null` where it is none.
    fn attributes(&self) -> Json {
        match &self.body {
            Body::Value(AmqpValue(value)) => json::of(value),
            Body::Sequence(sections) => {
                sections.iter().flat_map(|section| section.0.iter()).map(json::of).collect()
            }
            Body::Data(sections) => {
                let bytes: Vec<u8> = sections.iter().flat_map(|data| data.0.to_vec()).collect();
                serde_json::from_slice(&bytes).unwrap_or_default()
            }
            Body::Empty => Json::Null,
        }
    }
}

/// A start: an error is worth a repeat.
pub(super) fn started(
    reply: Reply,
    poll: Option<&Poll<'_>>,
    idempotent: bool,
) -> Result<Started, Error> {
    if reply.is_busy() {
        return Err(reply.error(Retry::SameRequest));
    }
    if idempotent && reply.is_vague() {
        return Err(reply.error(Retry::Unknown));
    }
    if !reply.is_success() {
        return Ok(Started::Ended(reply.outcome()));
    }
    if let Some(poll) = poll {
        let attributes = reply.attributes();
        let identity = attributes.pointer(poll.identity).and_then(scalar);
        if let Some(identity) = identity.filter(|identity| !identity.is_empty()) {
            if identity.len() > limits::NATIVE_REF_BYTES {
                let text = format!(
                    "the identity that the node gave is longer than {} bytes: it cannot be looked at",
                    limits::NATIVE_REF_BYTES
                );
                return Ok(Started::Ended(Outcome::Failed(outcome_unknown(&text))));
            }
            let state = attributes.pointer(poll.state).and_then(scalar);
            return Ok(Started::Running(identity, state));
        }
    }
    let begun = reply.status == ACCEPTED;
    let ended = reply.outcome();
    Ok(if begun { Started::Unnamed(ended) } else { Started::Ended(ended) })
}

/// A look: an error says that nothing was learnt.
pub(super) fn looked(reply: Reply, poll: &Poll<'_>) -> Result<Looked, Error> {
    if reply.is_absence() {
        let text = format!("the operation is not found upstream: {}", reply.text());
        let failure = Failure { native: reply.failure().native, ..record_lost(&text) };
        return Ok(Looked::Blind(Box::new(failure)));
    }
    if !reply.is_success() {
        return Err(reply.error(Retry::Unknown));
    }
    let attributes = reply.attributes();
    let result = reply.at(&attributes, poll.result);
    let (result, lost) = result.unzip();
    let Some(state) = attributes.pointer(poll.state).and_then(scalar) else {
        let text = format!("what the node says of the operation has no state at {:?}", poll.state);
        let mut failure = Failure::new(Code::Unknown, text);
        failure.reason = Some("unreadable".to_owned());
        return Ok(Looked::Blind(Box::new(failure)));
    };
    let state = limits::clip(&state).to_owned();
    Ok(Looked::Seen(Box::new(Seen {
        phase: poll.phase(&state),
        state,
        percent: attributes.pointer(poll.percent).and_then(number),
        message: attributes
            .pointer(poll.message)
            .and_then(Json::as_str)
            .map(|text| limits::clip(text).to_owned()),
        lines: told::lines(attributes.pointer(poll.log)),
        resources: told::resources(attributes.pointer(poll.resources)),
        attributes,
        result,
        lost: lost.unwrap_or_default(),
    })))
}

/// A cancel.
pub(super) fn canceled(reply: &Reply) -> CancelAttempt {
    if reply.is_success() {
        CancelAttempt::Acknowledged
    } else if reply.is_busy() || reply.is_vague() {
        CancelAttempt::Retry(reply.error(Retry::Unknown))
    } else if reply.is_absence() {
        CancelAttempt::Gone(reply.text())
    } else {
        CancelAttempt::Refused(reply.text())
    }
}

impl Seen {
    /// How the operation ended; nothing where it goes on.
    pub(super) fn outcome(&self, poll: &Poll<'_>) -> Option<Outcome> {
        let at = |pointer| self.attributes.pointer(pointer).filter(|found| !found.is_null());
        Some(match self.phase {
            Phase::Running => return None,
            Phase::Succeeded => Outcome::Succeeded(self.result.clone()),
            Phase::Failed => Outcome::Failed(self.failure(at(poll.error), Code::Unknown)),
            Phase::Canceled => Outcome::Canceled(
                at(poll.error).map(|error| self.failure(Some(error), Code::Cancelled)),
            ),
        })
    }

    /// The failure that an error upstream tells of: a text, or fields that say what it is.
    fn failure(&self, error: Option<&Json>, otherwise: Code) -> Failure {
        let field = |names: &[&str]| names.iter().find_map(|name| error?.get(name));
        let words = |names| field(names).and_then(Json::as_str);
        let code = match field(&["code", "status"]) {
            Some(Json::String(name)) => Code::from_name(name),
            Some(Json::Number(number)) => {
                number.as_i64().and_then(|number| Code::from_number(i32::try_from(number).ok()?))
            }
            _ => None,
        };
        let text = match error {
            Some(Json::String(text)) => text.clone(),
            Some(error) => words(&["message", "description", "statusDescription"])
                .map_or_else(|| error.to_string(), str::to_owned),
            None => format!("it ended as {} and does not say why", self.state),
        };
        let mut failure = Failure::new(code.unwrap_or(otherwise), limits::clip(&text));
        failure.reason = words(&["reason", "condition", "errorCondition"])
            .map(|reason| limits::clip(reason).to_owned());
        failure.retryable = field(&["retryable"]).and_then(Json::as_bool);
        failure.native = Some(Box::new(Native {
            protocol: status::PROTOCOL.to_owned(),
            code: words(&["condition", "errorCondition"])
                .map(|condition| limits::clip(condition).to_owned())
                .unwrap_or_default(),
            http: None,
            bytes: Bytes::from(error.map(Json::to_string).unwrap_or_default()),
            encoded: None,
        }));
        failure
    }
}

/// The failure of an operation whose request the node rejected.
pub(super) fn rejected(error: Option<definitions::Error>) -> Failure {
    let condition = error.as_ref().map(|error| {
        // Its variants are as many as there are conditions; on the wire it is one symbol.
        let symbol = serde_amqp::to_value(&error.condition).unwrap_or_default();
        limits::clip(text::of(&symbol).unwrap_or_default()).to_owned()
    });
    let condition = condition.filter(|condition| !condition.is_empty());
    let said = error.and_then(|error| error.description).unwrap_or_default();
    let text = match (&condition, said.is_empty()) {
        (Some(condition), true) => format!("the node rejected the request: {condition}"),
        (_, false) => format!("the node rejected the request: {}", limits::clip(&said)),
        (None, true) => "the node rejected the request and does not say why".to_owned(),
    };
    let mut failure = status::failure(0, &text, condition.as_deref());
    if failure.code == Code::Unknown {
        failure.code = Code::FailedPrecondition;
        failure.retryable = Some(false);
    }
    failure.reason = condition;
    failure
}

fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

fn number(value: &Json) -> Option<f64> {
    match value {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
