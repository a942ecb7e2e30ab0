//! How a request ended: a code as HTTP has them, an error condition, a description.
//!
//! One table, [`row`] for what an operation failed with and [`kind`] for why a request was not served,
//! read back by [`code`]. The conditions are those of AMQP 1.0 (part 2.8.14 and following) and those
//! that Azure's clients know by name; `opgate:` marks the two that neither has a word for.

use std::borrow::Cow;

use fe2o3_amqp_types::messaging::ApplicationProperties;
use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_core::{Code, Error, ErrorKind, Failure, Native};
use serde_amqp::primitives::Symbol;

/// The protocol of a failure that an AMQP node told.
pub const PROTOCOL: &str = "amqp";

const INTERNAL_ERROR: &str = "amqp:internal-error";
const NOT_FOUND: &str = "amqp:not-found";
const UNAUTHORIZED: &str = "amqp:unauthorized-access";
const DECODE_ERROR: &str = "amqp:decode-error";
const RESOURCE_LIMIT: &str = "amqp:resource-limit-exceeded";
const NOT_ALLOWED: &str = "amqp:not-allowed";
const INVALID_FIELD: &str = "amqp:invalid-field";
const NOT_IMPLEMENTED: &str = "amqp:not-implemented";
const PRECONDITION: &str = "amqp:precondition-failed";
const ILLEGAL_STATE: &str = "amqp:illegal-state";
const TOO_LARGE: &str = "amqp:link:message-size-exceeded";
const TIMEOUT: &str = "com.microsoft:timeout";
const BUSY: &str = "com.microsoft:server-busy";
const EXISTS: &str = "com.microsoft:entity-already-exists";
const OUT_OF_RANGE: &str = "com.microsoft:argument-out-of-range";
const CANCELLED: &str = "opgate:cancelled";
const UNKNOWN: &str = "opgate:unknown";

/// How a request ended, as its reply tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// A status code of HTTP.
    pub code: i32,
    /// The text.
    pub description: Cow<'static, str>,
    /// What went wrong, by a name; none where nothing did.
    pub condition: Option<Cow<'static, str>>,
}

impl Status {
    /// The request was served.
    pub const OK: Self = Self::served(200, "OK");
    /// Something was made.
    pub const CREATED: Self = Self::served(201, "Created");
    /// Something was begun.
    pub const ACCEPTED: Self = Self::served(202, "Accepted");
    /// Something is gone.
    pub const NO_CONTENT: Self = Self::served(204, "No Content");

    const fn served(code: i32, description: &'static str) -> Self {
        Self { code, description: Cow::Borrowed(description), condition: None }
    }

    /// Of a request that could not be served.
    pub fn of_error(error: &Error) -> Self {
        // Of another version than was expected: as HTTP answers an If-Match.
        let stale = error.kind == ErrorKind::Conflict && error.current.is_some();
        let (code, condition) =
            if stale { row(Code::FailedPrecondition) } else { kind(error.kind) };
        let description = error.message.clone();
        Self { code, description, condition: Some(Cow::Borrowed(condition)) }
    }

    /// Of an operation's failure. What an AMQP node told is told again as it was.
    pub fn of_failure(failure: &Failure) -> Self {
        let (code, condition) = row(failure.code);
        let native = failure.native.as_deref().filter(|native| native.protocol == PROTOCOL);
        let told = native.and_then(|native| {
            let code = native.http.filter(|code| !(200..300).contains(code))?;
            Some((i32::from(code), Cow::Owned(native.code.clone())))
        });
        let (code, condition) = told.unwrap_or((code, Cow::Borrowed(condition)));
        let condition = Some(condition).filter(|condition| !condition.is_empty());
        Self { code, description: Cow::Owned(failure.message.clone()), condition }
    }

    /// Whether the request was served: all of 200 to 299.
    pub const fn is_success(&self) -> bool {
        matches!(self.code, 200..300)
    }

    /// The application properties of a reply. Each is there in both of its spellings: that of the drafts
    /// and of Service Bus, and that of Event Hubs and CBS. The code is an int: uAMQP takes nothing
    /// else.
    pub fn properties(&self) -> ApplicationProperties {
        let mut properties = ApplicationProperties::default();
        let mut both = |names: [&str; 2], value: SimpleValue| {
            let [first, second] = names.map(str::to_owned);
            properties.insert(first, value.clone());
            properties.insert(second, value);
        };
        both(["statusCode", "status-code"], SimpleValue::Int(self.code));
        let description = SimpleValue::String(self.description.clone().into_owned());
        both(["statusDescription", "status-description"], description);
        if let Some(condition) = &self.condition {
            let condition = SimpleValue::Symbol(Symbol::from(&**condition));
            both(["errorCondition", "error-condition"], condition);
        }
        properties
    }
}

/// The status code and error condition of a request that was not served.
pub const fn kind(kind: ErrorKind) -> (i32, &'static str) {
    match kind {
        ErrorKind::InvalidArgument => row(Code::InvalidArgument),
        ErrorKind::OutOfRange => row(Code::OutOfRange),
        ErrorKind::Unauthenticated => row(Code::Unauthenticated),
        ErrorKind::PermissionDenied => row(Code::PermissionDenied),
        ErrorKind::NotFound => row(Code::NotFound),
        ErrorKind::AlreadyExists => row(Code::AlreadyExists),
        ErrorKind::Conflict => row(Code::Aborted),
        ErrorKind::FailedPrecondition => row(Code::FailedPrecondition),
        ErrorKind::TooManyRequests => row(Code::ResourceExhausted),
        ErrorKind::QuotaExceeded => (403, RESOURCE_LIMIT),
        ErrorKind::PayloadTooLarge => (413, TOO_LARGE),
        // The time of the request ran out here, not that of the work elsewhere.
        ErrorKind::DeadlineExceeded => (408, TIMEOUT),
        ErrorKind::Unavailable => row(Code::Unavailable),
        ErrorKind::Unsupported => row(Code::Unimplemented),
        ErrorKind::Internal => row(Code::Internal),
        ErrorKind::DataLoss => row(Code::DataLoss),
    }
}

/// The status code and error condition of a failure.
pub const fn row(code: Code) -> (i32, &'static str) {
    match code {
        Code::Cancelled => (409, CANCELLED),
        Code::Unknown => (500, UNKNOWN),
        Code::InvalidArgument => (400, INVALID_FIELD),
        Code::DeadlineExceeded => (504, TIMEOUT),
        Code::NotFound => (404, NOT_FOUND),
        Code::AlreadyExists => (409, EXISTS),
        Code::PermissionDenied => (403, UNAUTHORIZED),
        Code::ResourceExhausted => (429, BUSY),
        Code::FailedPrecondition => (412, PRECONDITION),
        Code::Aborted => (409, ILLEGAL_STATE),
        Code::OutOfRange => (400, OUT_OF_RANGE),
        Code::Unimplemented => (501, NOT_IMPLEMENTED),
        Code::Internal => (500, INTERNAL_ERROR),
        Code::Unavailable => (503, BUSY),
        Code::DataLoss => (500, DECODE_ERROR),
        Code::Unauthenticated => (401, UNAUTHORIZED),
    }
}

/// The canonical code of what an AMQP node answers: as this table has it, else by the condition, which
/// says more than the code, else by the code.
pub fn code(status: i32, condition: Option<&str>) -> Code {
    let condition = condition.unwrap_or_default();
    let exact = Code::ALL.into_iter().find(|code| row(*code) == (status, condition));
    let told = exact.or_else(|| by_condition(condition));
    // A settled delivery has no status code that could say more of who is busy.
    let busy = (status == 0 && condition == BUSY).then_some(Code::Unavailable);
    told.or(busy).unwrap_or_else(|| by_status(status))
}

/// Conditions that mean one thing whatever the status code; those of Service Bus and Event Hubs are in
/// their clients' sources.
fn by_condition(condition: &str) -> Option<Code> {
    Some(match condition {
        CANCELLED | "com.microsoft:operation-cancelled" => Code::Cancelled,
        INVALID_FIELD | "com.microsoft:argument-error" => Code::InvalidArgument,
        TIMEOUT => Code::DeadlineExceeded,
        NOT_FOUND
        | "com.microsoft:message-not-found"
        | "com.microsoft:no-matching-subscription" => Code::NotFound,
        EXISTS => Code::AlreadyExists,
        RESOURCE_LIMIT | TOO_LARGE => Code::ResourceExhausted,
        PRECONDITION
        | "com.microsoft:entity-disabled"
        | "com.microsoft:message-lock-lost"
        | "com.microsoft:session-lock-lost" => Code::FailedPrecondition,
        ILLEGAL_STATE | "com.microsoft:session-cannot-be-locked" => Code::Aborted,
        OUT_OF_RANGE => Code::OutOfRange,
        NOT_IMPLEMENTED | NOT_ALLOWED => Code::Unimplemented,
        DECODE_ERROR => Code::DataLoss,
        "com.microsoft:auth-failed" => Code::Unauthenticated,
        // With a status code that says more.
        _ => return None,
    })
}

const fn by_status(status: i32) -> Code {
    match status {
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 | 410 => Code::NotFound,
        405 | 501 => Code::Unimplemented,
        408 | 504 => Code::DeadlineExceeded,
        // The drafts have it for a name in use.
        409 => Code::AlreadyExists,
        416 => Code::OutOfRange,
        413 | 429 => Code::ResourceExhausted,
        499 => Code::Cancelled,
        500 => Code::Internal,
        502 | 503 => Code::Unavailable,
        402..500 => Code::FailedPrecondition,
        _ => Code::Unknown,
    }
}

/// The failure that an AMQP node told: its code and condition stay beside the canonical code.
pub fn failure(status: i32, description: &str, condition: Option<&str>) -> Failure {
    let code = code(status, condition);
    let mut failure = Failure::new(code, description);
    failure.retryable = match code {
        Code::Unavailable => Some(true),
        Code::ResourceExhausted => Some(condition == Some(BUSY) || status == 429),
        // It may have taken effect, or nobody said.
        Code::DeadlineExceeded | Code::Unknown | Code::Internal | Code::Aborted => None,
        Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => Some(false),
    };
    failure.native = Some(Box::new(Native {
        protocol: PROTOCOL.to_owned(),
        code: condition.unwrap_or_default().to_owned(),
        http: u16::try_from(status).ok(),
        bytes: bytes::Bytes::new(),
        encoded: None,
    }));
    failure
}

#[cfg(test)]
mod tests;
