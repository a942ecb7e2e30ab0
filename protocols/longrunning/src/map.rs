//! Between the canonical operation and google.longrunning: pure, total, and without a type that
//! lies about its content.

mod content;
mod metadata;
mod name;
mod report;
mod status;
mod structure;

use bytes::Bytes;
use opgate_core::{Operation, Outcome};

use crate::proto;
use crate::types::Types;
use crate::wire;

pub(crate) use name::{Name, check_parent, scope};
pub(crate) use status::{of_error, validated};
pub(crate) use structure::{NoJson, to_json};

/// The message frame of an operation: what Get, Wait and a start answer with.
pub(crate) fn framed(types: &Types, operation: &Operation) -> Bytes {
    wire::frame(&self::operation(types, operation))
}

/// The operation as google.longrunning says it. Done means exactly one of error and response.
pub(crate) fn operation(types: &Types, operation: &Operation) -> proto::Operation {
    let response_type = operation.expects.response_type.as_deref();
    let outcome = operation.outcome.as_ref().map(|outcome| match outcome {
        Outcome::Succeeded(payload) => {
            let response = content::packed(types, payload.as_ref(), response_type);
            proto::Outcome::Response(response)
        }
        Outcome::Failed(failure) => proto::Outcome::Error(status::of_failure(failure)),
        Outcome::Canceled(failure) => {
            let reason = operation.cancel.as_ref().map_or("", |cancel| &cancel.reason);
            proto::Outcome::Error(status::of_cancellation(failure.as_ref(), reason))
        }
    });
    proto::Operation {
        name: name::print(&operation.parent, operation.id),
        metadata: metadata::metadata(types, operation),
        done: outcome.is_some(),
        outcome,
    }
}

#[cfg(test)]
mod tests {
    use opgate_core::{Code, Failure, Payload};

    use super::*;
    use crate::sample::{POLICY, ended, operation, types};

    fn mapped(outcome: Outcome) -> proto::Operation {
        super::operation(types(), &ended(operation(Some(POLICY), None), outcome))
    }

    #[test]
    fn what_has_not_ended_has_neither_error_nor_response() {
        let running = super::operation(types(), &operation(Some(POLICY), None));
        assert_eq!(running.name, "projects/p/operations/00000000000000000000000007");
        assert_eq!((running.done, running.outcome, running.metadata), (false, None, None));
    }

    #[test]
    fn what_has_ended_has_exactly_one() {
        let empty = proto::Any::new(proto::EMPTY, "");
        let cases = [
            (Outcome::Succeeded(None), Ok(empty)),
            (
                Outcome::Succeeded(Some(Payload::json(r#"{"title":"t"}"#))),
                Ok(proto::Any::new(POLICY, Bytes::from_static(b"\x1a\x01t"))),
            ),
            (Outcome::Failed(Failure::new(Code::NotFound, "gone")), Err(5)),
            (Outcome::Canceled(None), Err(1)),
            (Outcome::Canceled(Some(Failure::new(Code::Internal, "x"))), Err(1)),
        ];
        for (outcome, expected) in cases {
            let mapped = mapped(outcome);
            assert!(mapped.done);
            let result = match mapped.outcome.unwrap() {
                proto::Outcome::Response(any) => Ok(any),
                proto::Outcome::Error(status) => Err(status.code),
            };
            assert_eq!(result, expected);
        }
    }

    #[test]
    fn a_validated_start_is_done_without_a_name() {
        let validated = validated();
        assert!(validated.done && validated.name.is_empty() && validated.outcome.is_some());
    }
}
