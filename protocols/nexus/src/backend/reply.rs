//! What the replies of a handler mean.

use bytes::Bytes;
use http::{Response, StatusCode};
use opgate_bus::CancelAttempt;
use opgate_core::{Code, Error, ErrorKind, Failure, Link, Loss, Losses, Outcome, Retry, limits};
use opgate_egress::Problem;
use serde::Deserialize;

use crate::wire::handler_error::{self, HandlerError};
use crate::wire::{content, failure, link, names};

/// What became of a start.
#[derive(Debug, PartialEq)]
pub(super) enum Started {
    /// It is over.
    Ended(Outcome, Vec<Link>),
    /// It goes on under this token. `by_id`: the handler calls it an id, as handlers of before
    /// 2025-02 do.
    Running { token: String, by_id: bool, links: Vec<Link> },
}

/// What became of a look for the result.
#[derive(Debug, PartialEq)]
pub(super) enum Looked {
    /// It has ended.
    Ended(Outcome),
    /// It has not.
    Running,
    /// The handler has no get-result, or none in this form, or not of this operation.
    Absent(String),
}

/// What of a result in a reply is not kept.
pub(super) fn unkept(reply: &Response<Bytes>) -> Losses {
    let lost = reply.status() == StatusCode::OK && content::is_more(reply.headers());
    Losses::NONE.with(Loss::ResultType, lost)
}

/// A start: an error is worth a repeat, whatever its retry says beyond that.
pub(super) fn started(reply: &Response<Bytes>) -> Result<Started, Error> {
    if let Some(outcome) = ended(reply) {
        return Ok(Started::Ended(outcome, Vec::new()));
    }
    let links = || link::read(reply.headers()).map_err(|error| broken(&error.message));
    match reply.status() {
        StatusCode::OK => {
            let result = content::read_result(reply.headers(), reply.body().clone());
            let result = result.map_err(|error| broken(&error.message))?;
            Ok(Started::Ended(Outcome::Succeeded(result), links()?))
        }
        StatusCode::CREATED => {
            let (token, by_id) = token(reply).map_err(broken)?;
            Ok(Started::Running { token, by_id, links: links()? })
        }
        _ => {
            let refusal = refusal(reply);
            if refusal.retryable {
                return Err(refusal.into_error());
            }
            Ok(Started::Ended(Outcome::Failed(refusal.into_failure()), Vec::new()))
        }
    }
}

/// A look for the result: an error says that nothing was learnt.
pub(super) fn looked(reply: &Response<Bytes>) -> Result<Looked, Error> {
    if let Some(outcome) = ended(reply) {
        return Ok(Looked::Ended(outcome));
    }
    match reply.status() {
        StatusCode::OK => {
            let result = content::read_result(reply.headers(), reply.body().clone());
            let result = result.map_err(|error| broken(&error.message))?;
            Ok(Looked::Ended(Outcome::Succeeded(result)))
        }
        // It was still running when the wait was over, or when the handler would wait no longer.
        StatusCode::PRECONDITION_FAILED | StatusCode::REQUEST_TIMEOUT => Ok(Looked::Running),
        status if is_absence(status) => Ok(Looked::Absent(refusal(reply).message)),
        _ => Err(refusal(reply).into_error()),
    }
}

/// A cancel. What is gone may be known in another form.
pub(super) fn canceled(reply: &Response<Bytes>) -> CancelAttempt {
    let status = reply.status();
    if status.is_success() {
        return CancelAttempt::Acknowledged;
    }
    let refusal = refusal(reply);
    if is_absence(status) {
        CancelAttempt::Gone(refusal.message)
    } else if refusal.retryable {
        CancelAttempt::Retry(refusal.into_error())
    } else {
        CancelAttempt::Refused(refusal.message)
    }
}

/// What it means that there was no reply to a start: an error is worth a repeat.
pub(super) fn unanswered(problem: &Problem) -> Result<Outcome, Error> {
    match lost(problem) {
        error if error.retry == Retry::Never => Ok(Outcome::Failed(hopeless(&error))),
        error => Err(error),
    }
}

/// The failure of an operation that an error has ended.
pub(super) fn hopeless(error: &Error) -> Failure {
    let mut failure = opgate_bus::failure(error);
    if error.kind == ErrorKind::PayloadTooLarge {
        failure.code = Code::ResourceExhausted;
    }
    failure
}

/// A request without a reply, as an error.
pub(super) fn lost(problem: &Problem) -> Error {
    let sent = problem.sent();
    let text = format!("the handler did not answer: {problem}");
    match problem {
        Problem::Refused(_) => Error::new(ErrorKind::FailedPrecondition, text),
        Problem::TooLarge(_) => Error::new(ErrorKind::PayloadTooLarge, text),
        Problem::TimedOut { .. } => Error::new(ErrorKind::DeadlineExceeded, text),
        Problem::Cut { problem, .. } => lost(problem),
        Problem::Unreachable(_) | Problem::Broken(_) => {
            let retry = if sent { Retry::Unknown } else { Retry::SameRequest };
            Error::new(ErrorKind::Unavailable, text).with_retry(retry)
        }
    }
}

/// The end without a result that a reply tells of: by its status, or by the tag of its body, which
/// wins.
fn ended(reply: &Response<Bytes>) -> Option<Outcome> {
    let by_status = reply.status() == StatusCode::FAILED_DEPENDENCY
        && !handler_error::is_handler_error(reply.body());
    let by_tag = || !reply.status().is_success() && failure::is_operation_error(reply.body());
    (by_status || by_tag()).then(|| failure::read(reply.headers(), reply.body()))
}

fn refusal(reply: &Response<Bytes>) -> HandlerError {
    HandlerError::read(reply.status(), reply.headers(), reply.body())
}

/// Whether a handler may say by this status that it has no such method or operation.
fn is_absence(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED
    )
}

/// The same start once more is answered alike or better: the request id makes sure of it.
fn broken(problem: impl std::fmt::Display) -> Error {
    let text = format!("the handler's reply cannot be read: {problem}");
    Error::new(ErrorKind::Internal, text).with_retry(Retry::Unknown)
}

#[derive(Deserialize)]
struct Running<'a> {
    #[serde(borrow, default)]
    token: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    state: std::borrow::Cow<'a, str>,
}

/// The token of a 201, and whether it is called an id.
fn token(reply: &Response<Bytes>) -> Result<(String, bool), String> {
    let media_type = content::read(reply.headers(), Bytes::new());
    if !media_type.is_ok_and(|content| content.is_json()) {
        return Err("201 without application/json".to_owned());
    }
    let running: Running<'_> = serde_json::from_slice(reply.body())
        .map_err(|error| format!("201 with a body that is not as it must be: {error}"))?;
    if running.state != names::RUNNING {
        return Err(format!("201 with the state {:?}", limits::clip(&running.state)));
    }
    let by_id = running.token.as_deref().is_none_or(str::is_empty);
    let token = if by_id { running.id } else { running.token }.unwrap_or_default();
    if token.is_empty() {
        return Err("201 without a token".to_owned());
    }
    if token.len() > limits::NATIVE_REF_BYTES {
        let allowed = limits::NATIVE_REF_BYTES;
        return Err(format!("a token of {} bytes, at most {allowed} are allowed", token.len()));
    }
    // It goes into a header.
    if !token.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err("a token with other characters than ASCII has to be seen".to_owned());
    }
    Ok((token.into_owned(), by_id))
}

/// The failure of an operation of which nothing can be learnt any more.
pub(super) fn out_of_sight(problem: &str) -> Failure {
    let text = format!(
        "the operation runs upstream and nothing tells of its end: there is no callback, and \
         get-result is answered with: {problem}"
    );
    let mut failure = Failure::new(Code::FailedPrecondition, limits::clip(&text));
    failure.reason = Some("out_of_sight".to_owned());
    failure.retryable = Some(false);
    failure
}

#[cfg(test)]
mod tests;
