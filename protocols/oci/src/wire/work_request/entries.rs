//! Errors and log entries.

use std::borrow::Cow;

use opgate_core::{
    CancelDelivery, Code, Failure, LogEntry, Native, Operation, Outcome, Timestamp, limits,
};
use serde::Serialize;

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
    pub message: Cow<'a, str>,
    /// When.
    pub timestamp: String,
}

/// The errors of an operation, the oldest first: those in its log, then how it ended, each cause
/// behind what it led to.
///
/// Of the log, those are errors that have a code, as who does the work reports its own. A line
/// without one is among the logs alone: such are opgate's, of its trouble with an upstream or a
/// worker, which passes, and of who ended an operation by hand. What several of these errors came to
/// in an upstream of this protocol is not told beside them.
pub fn errors(operation: &Operation) -> Vec<ErrorEntry<'_>> {
    let ended = operation.times.closed.unwrap_or(operation.times.updated);
    let entry = |entry: &LogEntry| entry.error && !entry.code.is_empty();
    let logged: Vec<&LogEntry> = operation.log.iter().filter(|line| entry(line)).collect();
    let errors = logged.iter().filter_map(|entry| {
        let (code, message) = (word(&entry.code)?, or(&entry.message, "Error"));
        Some(ErrorEntry { code, message, timestamp: entry.at.to_rfc3339() })
    });
    let mut errors: Vec<_> = errors.collect();
    let failure = operation.outcome.as_ref().and_then(Outcome::failure);
    for failure in std::iter::successors(failure, |failure| failure.cause.as_deref()) {
        let (code, message) = (code(failure), or(&failure.message, failure.code.name()));
        // What ended it may have been told while it ran.
        let told = errors.iter().any(|error| error.code == code && error.message == message);
        if !told && !is_sum(failure, &logged) {
            errors.push(ErrorEntry { code, message, timestamp: ended.to_rfc3339() });
        }
    }
    errors
}

/// Whether a failure says no more than these errors do.
fn is_sum(failure: &Failure, errors: &[&LogEntry]) -> bool {
    let mut errors = errors.to_vec();
    errors.sort_by_key(|entry| entry.at);
    let sum = joined(errors.iter().map(|entry| (&*entry.code, &*entry.message)));
    native(failure).is_some() && !sum.is_empty() && limits::clip(&sum) == failure.message
}

/// What several errors, each a code and a text, come to in one text: each once, in their order.
pub(crate) fn joined<'a>(errors: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut texts: Vec<&str> = Vec::new();
    for (code, message) in errors {
        let text = if message.is_empty() { code } else { message };
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.join("; ")
}

/// The log of an operation, the oldest first. Who asked for its end, and how far that got, are lines of it: there is
/// no other place for them.
pub fn logs(operation: &Operation) -> Vec<Log<'_>> {
    let line = |entry: &LogEntry| !entry.message.is_empty();
    let lines = operation.log.iter().filter(|entry| line(entry));
    let mut lines: Vec<(Timestamp, Cow<'_, str>)> =
        lines.map(|entry| (entry.at, Cow::Borrowed(&*entry.message))).collect();
    if let Some(cancel) = operation.cancel.as_deref() {
        lines.push((cancel.requested, cancel.asked().into()));
        // Why it came to nothing was told in the log, where anybody said so.
        if cancel.delivery != CancelDelivery::Requested && cancel.problem.is_empty() {
            lines.push((cancel.changed, cancel.stands().into()));
        }
        lines.sort_by_key(|(at, _)| *at);
    }
    let lines = lines.into_iter();
    lines.map(|(at, message)| Log { message, timestamp: at.to_rfc3339() }).collect()
}

pub(super) fn code(failure: &Failure) -> Cow<'_, str> {
    let native = native(failure).and_then(|native| word(&native.code));
    native.unwrap_or(Cow::Borrowed(code_word(failure.code)))
}

pub(super) fn native(failure: &Failure) -> Option<&Native> {
    failure.native.as_deref().filter(|native| native.protocol == PROTOCOL)
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
