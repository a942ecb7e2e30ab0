//! What the replies of an API mean.

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use opgate_bus::{CancelAttempt, Line};
use opgate_core::{
    Code, Error, ErrorKind, Failure, Loss, Losses, Native, Outcome, Payload, Retry, limits,
};
use opgate_egress::Problem;

use super::read::WorkRequest;
use super::read::phase::Phase;
use super::read::refusal::{PROTOCOL, Refusal, canonical};
use crate::wire::names::{NEXT_PAGE, WORK_REQUEST_ID};
use crate::wire::work_request::joined;

/// What became of a start.
#[derive(Debug, PartialEq)]
pub(super) enum Started {
    /// It is over.
    Ended(Outcome),
    /// It goes on as this work request.
    Running(String),
}

/// What became of a look.
#[derive(Debug, PartialEq)]
pub(super) enum Looked {
    /// This was seen.
    Seen(Box<WorkRequest>),
    /// Nothing was, and that may stay so.
    Blind(Blind),
}

/// Why nothing is seen of a work request, nor may ever be.
#[derive(Debug, PartialEq)]
pub(super) struct Blind {
    /// The code of the failure that it becomes.
    pub(super) code: Code,
    /// Its reason.
    pub(super) reason: &'static str,
    /// What is wrong.
    pub(super) text: String,
    /// The last that was said, where that tells more.
    pub(super) said: Bytes,
}

/// What became of asking for a list of a work request.
#[derive(Debug, PartialEq)]
pub(super) enum Listed {
    /// A page, and the token of the one behind it.
    Page(Option<String>),
    /// The API has no such list.
    Absent,
}

/// A start: an error is worth a repeat. `repeated`: an earlier one may have arrived.
pub(super) fn started(
    method: &Method,
    repeated: bool,
    reply: Response<Bytes>,
) -> Result<Started, Error> {
    if reply.status().is_success() {
        return match reply.headers().get(WORK_REQUEST_ID) {
            Some(id) => work_request_id(id).map(Started::Running).map_err(|text| broken(&text)),
            None => Ok(Started::Ended(Outcome::Succeeded(result(reply)?))),
        };
    }
    let refusal = Refusal::read(&reply);
    if refusal.is_passing() {
        return Err(refusal.to_error());
    }
    let gone = method == Method::DELETE && refusal.status == StatusCode::NOT_FOUND;
    let hint = if gone && repeated { "; an earlier attempt may have deleted it" } else { "" };
    Ok(Started::Ended(Outcome::Failed(refusal.into_failure(hint))))
}

/// Whether a start was accepted as work to come, without a name for it.
pub(super) fn is_unnamed(reply: &Response<Bytes>) -> bool {
    reply.status() == StatusCode::ACCEPTED && !reply.headers().contains_key(WORK_REQUEST_ID)
}

/// A look at a work request: an error says that nothing was learnt.
pub(super) fn looked(reply: &Response<Bytes>) -> Result<Looked, Error> {
    if reply.status().is_success() {
        let seen = match WorkRequest::read(reply.body()) {
            Ok(seen) => seen,
            Err(problem) => return Ok(Looked::Blind(Blind::unreadable(&problem, reply.body()))),
        };
        if seen.phase == Phase::Unknown && seen.finished {
            return Ok(Looked::Blind(Blind {
                code: Code::Unknown,
                reason: "unknown_status",
                text: format!(
                    "the work request has a time at which it ended, and the status {:?}, which \
                     opgate does not know",
                    seen.status
                ),
                said: reply.body().clone(),
            }));
        }
        return Ok(Looked::Seen(Box::new(seen)));
    }
    let refusal = Refusal::read(reply);
    if refusal.status != StatusCode::NOT_FOUND {
        return Err(refusal.to_error());
    }
    Ok(Looked::Blind(Blind {
        code: Code::Unavailable,
        reason: "record_lost",
        text: format!("the work request is not found upstream: {}", refusal.text()),
        said: reply.body().clone(),
    }))
}

/// A list of a work request: an error says that nothing was learnt.
pub(super) fn listed(reply: &Response<Bytes>) -> Result<Listed, Error> {
    if reply.status().is_success() {
        return Ok(Listed::Page(next_page(reply.headers())));
    }
    let refusal = Refusal::read(reply);
    match refusal.status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            Ok(Listed::Absent)
        }
        _ => Err(refusal.to_error()),
    }
}

/// A cancel.
pub(super) fn canceled(reply: &Response<Bytes>) -> CancelAttempt {
    if reply.status().is_success() {
        return CancelAttempt::Acknowledged;
    }
    let refusal = Refusal::read(reply);
    // What passes only once it has ended is no reason to go on asking.
    if refusal.is_passing() && refusal.status != StatusCode::CONFLICT {
        CancelAttempt::Retry(refusal.to_error())
    } else if refusal.status == StatusCode::NOT_FOUND {
        CancelAttempt::Gone(refusal.text())
    } else {
        CancelAttempt::Refused(refusal.text())
    }
}

/// What it means that there was no reply to a start: an error is worth a repeat.
pub(super) fn unanswered(error: Error) -> Result<Outcome, Error> {
    if error.retry != Retry::Never {
        return Err(error);
    }
    let mut failure = opgate_bus::failure(&error);
    if error.kind == ErrorKind::PayloadTooLarge {
        failure.code = Code::ResourceExhausted;
    }
    Ok(Outcome::Failed(failure))
}

/// A request without a reply, as an error.
pub(super) fn lost(problem: &Problem) -> Error {
    let sent = problem.sent();
    let text = format!("the upstream did not answer: {problem}");
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

/// How an operation ends whose work request has ended with this phase, and what of that no record holds.
/// `lines`: all errors and logs that are known at its end.
pub(super) fn outcome(seen: &WorkRequest, lines: &[Line], body: &Bytes) -> (Outcome, Losses) {
    let outcome = ended(seen, lines, body);
    // What is cut is as long as a text may be, but for the end of a character.
    let cut = |failure: &Failure| failure.message.len() > limits::TEXT_BYTES - 4;
    let lost = Losses::NONE
        .with(Loss::Metadata, seen.is_more)
        .with(Loss::ErrorText, outcome.failure().is_some_and(cut));
    (outcome, lost)
}

fn ended(seen: &WorkRequest, lines: &[Line], body: &Bytes) -> Outcome {
    match seen.phase {
        Phase::Canceled => {
            let failure = lines.iter().any(|line| line.error);
            Outcome::Canceled(failure.then(|| failed(seen, lines, body)))
        }
        Phase::Failed | Phase::Partial => Outcome::Failed(failed(seen, lines, body)),
        Phase::Succeeded | Phase::Running | Phase::Waiting | Phase::Unknown => {
            Outcome::Succeeded(Some(Payload::json(body.clone())))
        }
    }
}

/// The failure that a work request tells of: its errors in one text, and the code of the first.
fn failed(seen: &WorkRequest, lines: &[Line], body: &Bytes) -> Failure {
    let mut errors: Vec<&Line> = lines.iter().filter(|line| line.error).collect();
    // As in the log, those without a time come last.
    errors.sort_by_key(|line| (line.at.is_none(), line.at));
    let mut text = joined(errors.iter().map(|line| (&*line.code, &*line.message)));
    if text.is_empty() {
        text = format!("the work request ended as {} and does not say why", seen.status);
    }
    let code = errors.iter().map(|line| line.code.as_str()).find(|code| !code.is_empty());
    let canceled = seen.phase == Phase::Canceled;
    let canonical = if canceled { Code::Cancelled } else { code.map_or(Code::Unknown, canonical) };
    let mut failure = Failure::new(canonical, limits::clip(&text));
    let partial = (seen.phase == Phase::Partial).then_some("partial");
    failure.reason = partial.or(code).map(str::to_owned);
    failure.native = Some(Box::new(Native {
        protocol: PROTOCOL.to_owned(),
        code: code.unwrap_or_default().to_owned(),
        http: None,
        bytes: body.clone(),
        encoded: None,
    }));
    failure
}

impl Blind {
    /// An answer that does not fit.
    pub(super) fn too_large(error: &Error) -> Self {
        Self {
            code: Code::ResourceExhausted,
            reason: "too_large",
            text: error.message.to_string(),
            said: Bytes::new(),
        }
    }

    /// An answer that tells no status: of a proxy, or of another API than was expected.
    fn unreadable(problem: &str, said: &Bytes) -> Self {
        Self {
            code: Code::Unknown,
            reason: "unreadable",
            text: unreadable(problem),
            said: said.clone(),
        }
    }

    /// The failure of an operation of which nothing was to be seen for too long.
    pub(super) fn into_failure(self) -> Failure {
        let mut failure = Failure::new(self.code, limits::clip(&self.text));
        failure.reason = Some(self.reason.to_owned());
        failure.native = Some(Box::new(Native {
            protocol: PROTOCOL.to_owned(),
            code: String::new(),
            http: None,
            bytes: self.said,
            encoded: None,
        }));
        failure
    }
}

/// The result in a reply without a work request: its body, as it came.
fn result(reply: Response<Bytes>) -> Result<Option<Payload>, Error> {
    let (head, body) = reply.into_parts();
    if body.is_empty() {
        return Ok(None);
    }
    let label = |name| match head.headers.get(&name).map(http::HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => Err(broken(&format!("its {name} is no text"))),
    };
    let mut payload = Payload::new(label(header::CONTENT_TYPE)?.unwrap_or_default(), body);
    payload.encoding = label(header::CONTENT_ENCODING)?.map(Into::into);
    Ok(Some(payload))
}

fn work_request_id(value: &http::HeaderValue) -> Result<String, String> {
    let id = value.to_str().unwrap_or_default().trim();
    if id.is_empty() || matches!(id, "." | "..") {
        return Err(format!("its {WORK_REQUEST_ID} is {value:?}"));
    }
    let allowed = limits::NATIVE_REF_BYTES;
    if id.len() > allowed {
        let bytes = id.len();
        return Err(format!("its {WORK_REQUEST_ID} has {bytes} bytes, at most {allowed} are kept"));
    }
    Ok(id.to_owned())
}

/// The token of the next page; an empty one, as some services send on the last page, is none.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let token = headers.get(NEXT_PAGE)?.to_str().ok()?.trim();
    (!token.is_empty()).then(|| token.to_owned())
}

/// The same request once more is answered alike or better: the retry token makes sure of it.
pub(super) fn broken(problem: &str) -> Error {
    Error::new(ErrorKind::Internal, unreadable(problem)).with_retry(Retry::Unknown)
}

fn unreadable(problem: &str) -> String {
    format!("the upstream's reply cannot be read: {problem}")
}

#[cfg(test)]
mod tests;
