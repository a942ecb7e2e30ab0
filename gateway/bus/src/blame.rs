//! What an error of the carrying side means for the operation, and for the count of calls.

use opgate_core::{Code, Error, ErrorKind, Failure, Retry};
use opgate_telemetry as telemetry;

/// The canonical code of a refusal.
pub(crate) const fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidArgument | ErrorKind::PayloadTooLarge => Code::InvalidArgument,
        ErrorKind::OutOfRange => Code::OutOfRange,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::FailedPrecondition => Code::FailedPrecondition,
        ErrorKind::TooManyRequests | ErrorKind::QuotaExceeded => Code::ResourceExhausted,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Internal => Code::Internal,
        ErrorKind::DataLoss => Code::DataLoss,
    }
}

/// The failure an operation ends in when its backend could not carry it out: what a backend makes
/// of an error itself where it has more to say than the error holds.
pub fn failure(error: &Error) -> Failure {
    let mut failure = Failure::new(code(error.kind), error.message.clone());
    failure.reason = Some("backend".to_owned());
    (failure.retryable, failure.retry_after) = match error.retry {
        Retry::Never => (Some(false), None),
        Retry::SameRequest => (Some(true), None),
        Retry::After(delay) => (Some(true), Some(delay)),
        Retry::Unknown => (None, None),
    };
    failure
}

/// The label a call that ended with this error is counted under.
pub(crate) fn label(error: &Error) -> telemetry::Code {
    telemetry::Code::from_number(code(error.kind).number())
}
