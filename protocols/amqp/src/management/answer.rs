//! What is answered.

use fe2o3_amqp_types::messaging::{AmqpValue, Body};
use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_core::{Code, Error, Failure, Loss, Losses, Payload};
use opgate_rpc::loss;
use opgate_telemetry::Code as Counted;
use serde_amqp::Value;
use serde_amqp::primitives::OrderedMap;

use super::content::{self, Carried};
use super::shown::Shown;
use crate::node::{Content, Reply};
use crate::wire::status::{self, Status};
use crate::wire::{failure, names};

/// Room for what is shown of a node, which few need more of.
const SHORT: usize = 512;

/// An answer that is no error.
#[derive(Debug)]
pub(super) struct Answer {
    status: Status,
    body: Body<Content>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    /// What it could not carry of the operation that it shows.
    lost: Losses,
    /// How many rows there are, where there are rows.
    count: Option<usize>,
    counted: Counted,
}

/// An answer, or why there is none.
pub(super) type Answered = Result<Answer, Error>;

/// An empty map.
pub(super) fn nothing() -> Value {
    Value::Map(OrderedMap::new())
}

/// A map of these.
pub(super) fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Map(fields.into_iter().map(|(name, value)| (Value::from(name), value)).collect())
}

impl Answer {
    /// A served request.
    pub(super) const fn new(status: Status, body: Value) -> Self {
        Self::of(status, Content::Value(body))
    }

    const fn of(status: Status, body: Content) -> Self {
        let body = Body::Value(AmqpValue(body));
        Self {
            status,
            body,
            content_type: None,
            content_encoding: None,
            lost: Losses::NONE,
            count: None,
            counted: Counted::Ok,
        }
    }

    /// Served, with what is shown.
    pub(super) fn shown(body: &Shown<'_>) -> Self {
        let mut bytes = Vec::with_capacity(SHORT);
        body.write(&mut bytes);
        Self::of(Status::OK, Content::Written(bytes.into()))
    }

    /// Served, with an operation.
    pub(super) fn operation(status: Status, (operation, lost): (Content, Losses)) -> Self {
        Self { lost, ..Self::of(status, operation) }
    }

    /// Served, with this body.
    pub(super) const fn ok(body: Value) -> Self {
        Self::new(Status::OK, body)
    }

    /// Rows.
    pub(super) fn rows(names: Vec<Value>, rows: Vec<Value>) -> Self {
        let count = Some(rows.len());
        let (names, rows) = (Value::List(names), Value::List(rows));
        let body = map([(names::ATTRIBUTE_NAMES, names), (names::RESULTS, rows)]);
        Self { count, ..Self::ok(body) }
    }

    /// The result of an operation. `before`: what was lost of it before.
    pub(super) fn result(status: Status, result: Option<&Payload>, before: Losses) -> Self {
        let Carried { body, content_type, content_encoding, lost, kept } = content::body(result);
        let lost = lost | before.without(kept);
        Self { body, content_type, content_encoding, lost, ..Self::new(status, Value::Null) }
    }

    /// The failure of an operation that its caller has waited for.
    pub(super) fn failed(failed: &Failure, before: Losses) -> Self {
        // The request was served: what failed is the operation, which is counted elsewhere.
        let status = Status::of_failure(failed);
        let (body, lost) = failure::body(failed);
        match failure::exact(failed) {
            Some(exact) => {
                let lost = lost | before.without(Loss::ErrorNative.into());
                Self { lost, ..Self::of(status, Content::Written(exact.into_bytes())) }
            }
            None => Self { lost: lost | before, ..Self::new(status, body) },
        }
    }

    pub(super) const fn counted(&self) -> Counted {
        self.counted
    }

    /// What it could not carry.
    #[cfg(feature = "fidelity")]
    pub(super) const fn lost(&self) -> Losses {
        self.lost
    }

    pub(super) fn reply(self) -> Reply {
        let mut application_properties = self.status.properties();
        if let Some(count) = self.count.and_then(|count| u32::try_from(count).ok()) {
            // The client of fe2o3-amqp-management reads no other type.
            application_properties.insert(names::COUNT.to_owned(), SimpleValue::Uint(count));
        }
        if !self.lost.is_empty() {
            let lost = SimpleValue::String(self.lost.to_string());
            application_properties.insert(loss::NAME.to_owned(), lost);
        }
        let Self { body, content_type, content_encoding, .. } = self;
        Reply { subject: None, content_type, content_encoding, application_properties, body }
    }
}

/// The reply to a request that was not served: an empty map, and what was wrong in the description.
pub(super) fn refusal(error: &Error) -> Reply {
    Answer::new(Status::of_error(error), nothing()).reply()
}

/// As what a refusal is counted.
pub(super) fn counted(error: &Error) -> Counted {
    let (status, condition) = status::kind(error.kind);
    let code: Code = status::code(status, Some(condition));
    Counted::from_number(code.number())
}
