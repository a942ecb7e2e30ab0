//! What is answered.

use fe2o3_amqp_types::messaging::{AmqpValue, Body};
use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_core::{Code, Error, Failure};
use opgate_telemetry::Code as Counted;
use serde_amqp::Value;
use serde_amqp::primitives::OrderedMap;

use super::attributes::Attributes;
use super::content;
use crate::node::{Content, Reply};
use crate::wire::names;
use crate::wire::status::{self, Status};

/// An answer that is no error.
#[derive(Debug)]
pub(super) struct Answer {
    status: Status,
    body: Body<Content>,
    content_type: Option<String>,
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
        Self { status, body, content_type: None, count: None, counted: Counted::Ok }
    }

    /// Served, with an operation.
    pub(super) const fn operation(status: Status, operation: Attributes) -> Self {
        Self::of(status, Content::Operation(operation))
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

    /// The result of an operation.
    pub(super) fn result(status: Status, result: Option<&opgate_core::Payload>) -> Self {
        let (body, content_type) = content::body(result);
        Self { status, body, content_type, count: None, counted: Counted::Ok }
    }

    /// The failure of an operation that its caller has waited for.
    pub(super) fn failed(failure: &Failure) -> Self {
        // The request was served: what failed is the operation, which is counted elsewhere.
        Self::new(Status::of_failure(failure), nothing())
    }

    pub(super) const fn counted(&self) -> Counted {
        self.counted
    }

    pub(super) fn reply(self) -> Reply {
        let mut application_properties = self.status.properties();
        if let Some(count) = self.count.and_then(|count| u32::try_from(count).ok()) {
            // The client of fe2o3-amqp-management reads no other type.
            application_properties.insert(names::COUNT.to_owned(), SimpleValue::Uint(count));
        }
        let Self { body, content_type, .. } = self;
        Reply { subject: None, content_type, application_properties, body }
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
