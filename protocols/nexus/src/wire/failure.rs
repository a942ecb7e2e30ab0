//! Failure bodies: of an operation that failed or was canceled.
//!
//! A failure that a Nexus peer told is kept as it came, beside what it means to the other faces, and
//! goes back to Nexus byte for byte. Any other becomes the tagged `nexus.OperationError`, whose
//! `cause` says everything that the canonical failure does, so that another opgate reads it back
//! whole:
//!
//! ```text
//! { "message": m, "metadata": {"type": "nexus.OperationError"},
//!   "details": {"state": "failed", "code": "NOT_FOUND", "reason"?, "retryable"?, "retryAfter"?},
//!   "cause": { "message": m, "metadata": {"type": "opgate.v1.Failure"},
//!     "details": { "code": "NOT_FOUND", "reason"?, "retryable"?, "retryAfter"?: "1500ms",
//!                  "details"?: [{"typeUrl", "value"}], "native"?: {"protocol", "code", "http"?, "body"} },
//!     "cause"?: … } }
//! ```
//!
//! `value` and `body` are base64. The message stands in both, as Temporal may keep one of them only; so do the code and
//! what goes with it, as the failures of sdk-go up to v0.4 have no cause.

mod own;
mod said;

use bytes::Bytes;
use http::HeaderMap;
use opgate_core::{Code, Failure, Losses, Native, Operation, Outcome, limits};

use self::said::Said;
use super::names::{CANCELED, FAILED, OPERATION_ERROR, OPERATION_STATE};

/// The protocol that a failure kept verbatim names.
pub const PROTOCOL: &str = "nexus";

/// Largest body made of a failure that came from elsewhere: half of what Temporal takes. Details and
/// foreign forms that would exceed it are left out, which is said then.
pub const BYTES_MAX: usize = 1024 * 1024;

/// The body of an operation that ended without a result, and what that does not say of the failure; none of
/// any other.
pub fn of(operation: &Operation) -> Option<(Bytes, Losses)> {
    let outcome = operation.outcome.as_ref()?;
    if let Outcome::Canceled(None) = outcome {
        let reason = operation.cancel.as_ref().map_or("", |cancel| &cancel.reason);
        return Some((canceled(reason), Losses::NONE));
    }
    written(outcome).map(|(_, body, lost)| (body, lost))
}

/// The state and the body of an outcome that is no result.
pub fn write(outcome: &Outcome) -> Option<(&'static str, Bytes)> {
    written(outcome).map(|(state, body, _)| (state, body))
}

fn written(outcome: &Outcome) -> Option<(&'static str, Bytes, Losses)> {
    let of = |state, failure| {
        let (body, lost) = body(state, failure);
        (state, body, lost)
    };
    match outcome {
        Outcome::Succeeded(_) => None,
        Outcome::Failed(failure) => Some(of(FAILED, failure)),
        Outcome::Canceled(Some(failure)) => Some(of(CANCELED, failure)),
        Outcome::Canceled(None) => Some((CANCELED, canceled(""), Losses::NONE)),
    }
}

fn canceled(reason: &str) -> Bytes {
    let message = match reason {
        "" => "the operation was canceled".to_owned(),
        reason => format!("the operation was canceled: {reason}"),
    };
    own::plain(CANCELED, &message)
}

fn body(state: &'static str, failure: &Failure) -> (Bytes, Losses) {
    let native = failure.native.as_deref().filter(|native| native.protocol == PROTOCOL);
    let said = native.and_then(|native| Some((native, Said::read(&native.bytes)?)));
    match said {
        Some((native, said)) if said.ends_in(state) && native.code == state => {
            (native.bytes.clone(), Losses::NONE)
        }
        Some((native, _)) => (own::wrapping(state, failure, &native.bytes), Losses::NONE),
        None => own::tagged(state, failure),
    }
}

/// How the operation ended that a 424 or a completion tells of. A tag in the body wins over the
/// state in the headers; without either it failed.
pub fn read(headers: &HeaderMap, body: &Bytes) -> Outcome {
    let said = Said::read(body);
    let header = headers.get(OPERATION_STATE).map(http::HeaderValue::as_bytes);
    let canceled = match said.as_ref().and_then(Said::state) {
        Some(state) => state == CANCELED,
        None => header.is_some_and(|state| state.eq_ignore_ascii_case(CANCELED.as_bytes())),
    };
    let state = if canceled { CANCELED } else { FAILED };
    let failure = if let Some(said) = &said {
        said.failure(state, limits::FAILURE_DEPTH)
    } else {
        let (code, silent) = if canceled {
            (Code::Cancelled, "the operation was canceled")
        } else {
            (Code::Unknown, "the operation failed, and its handler did not say why")
        };
        let said = String::from_utf8_lossy(body);
        Failure::new(code, if body.is_empty() { silent } else { limits::clip(&said) })
    };
    // What opgate itself has written so is what it was before.
    let own = if canceled { Outcome::Canceled(Some(failure)) } else { Outcome::Failed(failure) };
    if is_own(said.as_ref()) && write(&own).is_some_and(|(_, written)| written == *body) {
        return own;
    }
    let (Outcome::Canceled(Some(mut failure)) | Outcome::Failed(mut failure)) = own else {
        return own;
    };
    failure.native = Some(Box::new(Native {
        protocol: PROTOCOL.to_owned(),
        code: state.to_owned(),
        http: None,
        bytes: body.clone(),
        encoded: None,
    }));
    if canceled { Outcome::Canceled(Some(failure)) } else { Outcome::Failed(failure) }
}

fn is_own(said: Option<&Said<'_>>) -> bool {
    said.is_some_and(Said::is_own)
}

/// Whether a body says that it is an operation's failure, whatever status it came with.
pub fn is_operation_error(body: &[u8]) -> bool {
    Said::read(body).is_some_and(|said| said.tag() == Some(OPERATION_ERROR))
}

pub(super) use said::HandlerTold;

#[cfg(test)]
mod tests;
