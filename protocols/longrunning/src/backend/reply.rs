//! What the answers of a service mean.

use opgate_bus::{CancelAttempt, outcome_unknown, record_lost};
use opgate_core::{Code, Error, ErrorKind, Failure, Loss, Losses, Outcome, Payload, Retry, limits};
use opgate_rpc::proto::Status;
use opgate_rpc::status;
use opgate_rpc::transcode::{self, Json};
use prost_reflect::MessageDescriptor;

use super::call::{Unanswered, refusal};
use super::plan::Plan;
use crate::map;
use crate::proto::{self, Any, Operation, STRUCT};
use crate::types::Types;

/// What became of a start that was answered.
#[derive(Debug, PartialEq)]
pub(super) enum Started {
    /// It is over, and there is no operation.
    Ended(Outcome),
    /// It is done already.
    Done(Operation),
    /// It goes on, and has a name.
    Running(Operation),
}

/// A start that is worth a repeat.
#[derive(Debug)]
pub(super) struct Unstarted {
    pub(super) error: Error,
    /// Whether it certainly did nothing.
    pub(super) undone: bool,
}

/// What became of a look.
#[derive(Debug, PartialEq)]
pub(super) enum Looked {
    /// This was seen.
    Seen(Operation),
    /// Nothing was, and that may stay so.
    Blind(Box<Failure>),
}

/// A start that was answered with an operation.
pub(super) fn started(operation: Operation, idempotent: bool) -> Result<Started, Unstarted> {
    if operation.done {
        return Ok(Started::Done(operation));
    }
    let problem = if operation.name.is_empty() {
        "the upstream answered with an operation that is not done and has no name: it cannot be \
         looked at"
            .to_owned()
    } else if operation.name.len() > limits::NATIVE_REF_BYTES {
        format!(
            "the name that the upstream gave is longer than {} bytes: it cannot be looked at",
            limits::NATIVE_REF_BYTES
        )
    } else {
        return Ok(Started::Running(operation));
    };
    unsure(&Unanswered::Broken(problem), idempotent).map(Started::Ended)
}

/// A start that was not: how the operation ends, or that it is worth a repeat.
pub(super) fn unstarted(unanswered: &Unanswered, idempotent: bool) -> Result<Outcome, Unstarted> {
    match unanswered {
        Unanswered::Unsent(_) => {
            Err(Unstarted { error: unanswered.error(Retry::SameRequest), undone: true })
        }
        Unanswered::Lost { .. } | Unanswered::Broken(_) => unsure(unanswered, idempotent),
        // It will be the next time as well.
        Unanswered::TooLarge(_) => Ok(Outcome::Failed(too_large(unanswered))),
        Unanswered::Refused(refused) => {
            let code = Code::from_number(refused.code);
            let passing = matches!(code, Some(Code::Unavailable | Code::ResourceExhausted));
            if let Some(delay) = status::retry_after(refused).filter(|_| passing) {
                // Who says when to come again has done nothing.
                let kind = if code == Some(Code::Unavailable) {
                    ErrorKind::Unavailable
                } else {
                    ErrorKind::TooManyRequests
                };
                let error = Error::new(kind, refusal(refused)).with_retry(Retry::After(delay));
                return Err(Unstarted { error, undone: true });
            }
            match code {
                // What answers may be a proxy that lost the service, and the call may have come through:
                // "not always safe to retry non-idempotent operations", as code.proto says.
                Some(Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled) => {
                    unsure(unanswered, idempotent)
                }
                _ => Ok(Outcome::Failed(status::failure(refused))),
            }
        }
    }
}

/// A start of which nobody knows what became.
fn unsure(unanswered: &Unanswered, idempotent: bool) -> Result<Outcome, Unstarted> {
    if idempotent {
        return Err(Unstarted { error: unanswered.error(Retry::Unknown), undone: false });
    }
    let mut failure = outcome_unknown(&unanswered.text());
    if let Unanswered::Refused(refused) = unanswered {
        failure.details = status::failure(refused).details;
    }
    Ok(Outcome::Failed(failure))
}

/// A look: an error says that nothing was learnt.
pub(super) fn looked(answer: Result<Operation, Unanswered>) -> Result<Looked, Unanswered> {
    let unanswered = match answer {
        Ok(operation) => return Ok(Looked::Seen(operation)),
        Err(unanswered) => unanswered,
    };
    let failure = match &unanswered {
        Unanswered::Refused(refused) if refused.code == Code::NotFound.number() => {
            let text = format!("the operation is not found upstream: {}", refused.message);
            let mut failure = record_lost(&text);
            failure.details = status::failure(refused).details;
            failure
        }
        // It has no such method, which will not change while anybody waits.
        Unanswered::Refused(refused) if refused.code == Code::Unimplemented.number() => {
            let mut failure = Failure::new(Code::Unimplemented, unanswered.text());
            failure.reason = Some("unreadable".to_owned());
            failure
        }
        Unanswered::TooLarge(_) => too_large(&unanswered),
        Unanswered::Broken(_) => {
            let mut failure = Failure::new(Code::Unknown, unanswered.text());
            failure.reason = Some("unreadable".to_owned());
            failure
        }
        Unanswered::Refused(_) | Unanswered::Unsent(_) | Unanswered::Lost { .. } => {
            return Err(unanswered);
        }
    };
    Ok(Looked::Blind(Box::new(failure)))
}

fn too_large(unanswered: &Unanswered) -> Failure {
    let mut failure = Failure::new(Code::ResourceExhausted, unanswered.text());
    failure.reason = Some("too_large".to_owned());
    failure.retryable = Some(false);
    failure
}

/// What became of asking for a cancel.
pub(super) fn canceled(answer: Result<(), Unanswered>) -> CancelAttempt {
    let Err(unanswered) = answer else { return CancelAttempt::Acknowledged };
    let Unanswered::Refused(refused) = &unanswered else {
        return CancelAttempt::Retry(unanswered.error(Retry::Unknown));
    };
    match Code::from_number(refused.code) {
        Some(Code::NotFound) => CancelAttempt::Gone(unanswered.text()),
        Some(
            Code::Unimplemented
            | Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::OutOfRange,
        ) => CancelAttempt::Refused(unanswered.text()),
        _ => {
            let asked = status::retry_after(refused).map_or(Retry::Unknown, Retry::After);
            CancelAttempt::Retry(unanswered.error(asked))
        }
    }
}

/// How an operation ends that is done upstream, and what of that was lost on the way.
pub(super) fn outcome(types: &Types, plan: &Plan<'_>, operation: Operation) -> (Outcome, Losses) {
    match operation.outcome {
        Some(proto::Outcome::Error(error)) => (failed(&error), status::lost_of(&error)),
        Some(proto::Outcome::Response(response)) => {
            let (result, lost) = payload(types, plan.json, &response);
            (Outcome::Succeeded(result), lost)
        }
        // Some services say nothing of a success without a result.
        None => (Outcome::Succeeded(None), Losses::NONE),
    }
}

/// How an operation ends that an error tells of.
pub(crate) fn failed(error: &Status) -> Outcome {
    let failure = status::failure(error);
    if failure.code == Code::Cancelled {
        Outcome::Canceled(Some(failure))
    } else {
        Outcome::Failed(failure)
    }
}

/// A result, and what was lost of it. Its bytes are kept, and its type. What the service did not make itself
/// is unpacked.
fn payload(types: &Types, json: bool, response: &Any) -> (Option<Payload>, Losses) {
    let payload = map::read(types, response.clone());
    let is_message = payload.as_ref().is_some_and(|payload| payload.message_type().is_some());
    if json
        && is_message
        && let Some((kind, text)) = as_json(types, response)
    {
        let again = transcode::from_json(&kind, &text).map(|message| transcode::encode(&message));
        let whole = again.is_ok_and(|again| again == response.value);
        let lost = Losses::NONE.with(Loss::ResultFields, !whole);
        return (Some(Payload::json(text)), lost);
    }
    (payload, Losses::NONE)
}

/// The JSON of a message of a type that is known.
fn as_json(types: &Types, message: &Any) -> Option<(MessageDescriptor, Vec<u8>)> {
    let kind = types.message(message.type_url.rsplit('/').next()?)?;
    let text = if message.is(STRUCT) {
        map::to_json(&message.value).ok()
    } else {
        Json::default().encoded(&kind, message.value.clone()).ok()
    };
    Some((kind, text?))
}

#[cfg(test)]
mod tests;
