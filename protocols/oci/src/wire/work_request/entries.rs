//! Errors and log entries.

use std::borrow::Cow;

use opgate_core::{Code, Failure, LogEntry, Operation, Outcome};
use serde::Serialize;

use crate::wire::time;

/// How the protocol is called in failures that came in its own form.
const PROTOCOL: &str = "oci";

/// One error of a work request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorEntry<'a> {
    /// The code; never empty.
    pub code: Cow<'a, str>,
    /// The text; never empty.
    pub message: Cow<'a, str>,
    /// When.
    pub timestamp: String,
}

impl ErrorEntry<'_> {
    /// Whether what was asked for is to blame.
    pub(super) fn is_input(&self) -> bool {
        [Code::InvalidArgument, Code::OutOfRange, Code::FailedPrecondition, Code::NotFound]
            .iter()
            .any(|code| code_word(*code) == self.code)
    }
}

/// One line of a work request's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log<'a> {
    /// The text; never empty.
    pub message: &'a str,
    /// When.
    pub timestamp: String,
}

/// The errors of an operation, the oldest first: those in its log, then how it ended, each cause
/// behind what it led to.
pub fn errors(operation: &Operation) -> Vec<ErrorEntry<'_>> {
    let ended = operation.times.closed.unwrap_or(operation.times.updated);
    let logged = operation.log.iter().filter(|entry| entry.error).map(|entry| ErrorEntry {
        code: word(&entry.code).unwrap_or(Cow::Borrowed("Error")),
        message: or(&entry.message, "Error"),
        timestamp: time::write(entry.at),
    });
    let mut errors: Vec<_> = logged.collect();
    let failure = operation.outcome.as_ref().and_then(Outcome::failure);
    for failure in std::iter::successors(failure, |failure| failure.cause.as_deref()) {
        let (code, message) = (code(failure), or(&failure.message, failure.code.name()));
        // What ended it may have been told while it ran.
        if !errors.iter().any(|error| error.code == code && error.message == message) {
            errors.push(ErrorEntry { code, message, timestamp: time::write(ended) });
        }
    }
    errors
}

/// The log of an operation, the oldest first.
pub fn logs(operation: &Operation) -> Vec<Log<'_>> {
    let line = |entry: &LogEntry| !entry.message.is_empty();
    let lines = operation.log.iter().filter(|entry| line(entry));
    lines.map(|entry| Log { message: &entry.message, timestamp: time::write(entry.at) }).collect()
}

fn code(failure: &Failure) -> Cow<'_, str> {
    let native = failure.native.as_ref().filter(|native| native.protocol == PROTOCOL);
    native.and_then(|native| word(&native.code)).unwrap_or(Cow::Borrowed(code_word(failure.code)))
}

/// A code that somebody gave; opgate's own names are put in OCI's manner.
fn word(code: &str) -> Option<Cow<'_, str>> {
    let own = Code::ALL.into_iter().find(|known| known.name() == code);
    (!code.is_empty()).then_some(Cow::Borrowed(own.map_or(code, |own| code_word(own))))
}

fn or<'a>(text: &'a str, other: &'a str) -> Cow<'a, str> {
    Cow::Borrowed(if text.is_empty() { other } else { text })
}

/// The canonical code in OCI's manner: its own word where there is one.
pub const fn code_word(code: Code) -> &'static str {
    match code {
        Code::Cancelled => "Canceled",
        Code::Unknown => "UnknownError",
        Code::InvalidArgument => "InvalidParameter",
        Code::DeadlineExceeded => "Timeout",
        Code::NotFound => "NotAuthorizedOrNotFound",
        Code::AlreadyExists => "NotAuthorizedOrResourceAlreadyExists",
        Code::PermissionDenied => "NotAuthorized",
        Code::ResourceExhausted => "LimitExceeded",
        Code::FailedPrecondition => "IncorrectState",
        Code::Aborted => "Conflict",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "MethodNotImplemented",
        Code::Internal => "InternalServerError",
        Code::Unavailable => "ServiceUnavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "NotAuthenticated",
    }
}
