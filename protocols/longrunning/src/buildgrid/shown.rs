//! Metadata and outcome of an instance's operations.
//!
//! | outcome | `ExecuteResponse` |
//! |---|---|
//! | a result that is one, or JSON that is | verbatim |
//! | a result that is an `ActionResult`, or JSON that is | that as its `result` |
//! | none | a `result` that says when and where |
//! | a failure | `status`: its code, message and details |
//! | canceled | `status` with code 1 |
//!
//! `Operation.error` is never used: BuildGrid's client looks at the response alone, and takes an
//! operation without one for a success. A result of any other type keeps that type.

use opgate_core::{Losses, Operation, Outcome};
use opgate_rpc::status;
use prost::Message as _;

use super::messages::{
    ACTION_RESULT, ActionResult, EXECUTE_METADATA, EXECUTE_RESPONSE, ExecuteMetadata,
    ExecuteResponse, Executed, timestamp,
};
use super::request;
use super::stage::Stage;
use crate::map::content;
use crate::proto::{Any, Status};
use crate::types::Types;

/// What wrapping a result or a status in a response adds, at most.
const WRAPPING_ROOM: usize = 256;

/// The metadata: the stage, what is executed, when and where. There are no stream names, as no log
/// is streamed.
pub(crate) fn metadata(operation: &Operation) -> Any {
    let metadata = ExecuteMetadata {
        stage: Stage::of(operation).number(),
        action_digest: request::action_digest(operation),
        partial_execution_metadata: Some(executed(operation)),
    };
    Any::pack(EXECUTE_METADATA, &metadata)
}

/// How it ended, in at most `room` bytes, and what that does not say.
pub(crate) fn outcome(
    types: &Types,
    operation: &Operation,
    outcome: &Outcome,
    room: usize,
) -> (Any, Losses) {
    let room_within = room.saturating_sub(WRAPPING_ROOM);
    let (status, lost) = match outcome {
        Outcome::Succeeded(None) => {
            let result = ActionResult { execution_metadata: Some(executed(operation)) };
            return (response(Some(result.encode_to_vec().into()), None), Losses::NONE);
        }
        Outcome::Succeeded(Some(payload)) => {
            let whole = content::within(room, types, Some(payload), Some(EXECUTE_RESPONSE));
            let lost = |shown: &Any| content::lost(types, Some(payload), shown);
            let of_whole = lost(&whole);
            if whole.is(EXECUTE_RESPONSE) {
                return (whole, of_whole);
            }
            let part = content::within(room_within, types, Some(payload), Some(ACTION_RESULT));
            let of_part = lost(&part);
            return if part.is(ACTION_RESULT) {
                (response(Some(part.value), None), of_part)
            } else {
                (whole, of_whole)
            };
        }
        Outcome::Failed(failure) => {
            let status = status::of_failure(failure, room_within);
            let lost = status::lost(failure, &status);
            (status, lost)
        }
        Outcome::Canceled(failure) => {
            let reason = operation.cancel.as_ref().map_or("", |cancel| &cancel.reason);
            let status = status::of_cancellation(failure.as_ref(), reason, room_within);
            let lost = failure.as_ref().map(|failure| status::lost(failure, &status));
            (status, lost.unwrap_or_default())
        }
    };
    (response(None, Some(status)), lost)
}

fn response(result: Option<bytes::Bytes>, status: Option<Status>) -> Any {
    Any::pack(EXECUTE_RESPONSE, &ExecuteResponse { result, status })
}

fn executed(operation: &Operation) -> Executed {
    let times = &operation.times;
    Executed {
        worker: operation.routed.backend.as_ref().to_owned(),
        queued: Some(timestamp(times.accepted)),
        worker_start: times.started.map(timestamp),
        worker_completed: times.closed.map(timestamp),
    }
}

#[cfg(test)]
mod tests {
    use opgate_core::{Code, Failure, Payload, State};
    use prost_reflect::DynamicMessage;
    use serde_json::json;

    use super::*;
    use crate::buildgrid::Profile;
    use crate::proto::{HTTP_BODY, Outcome as Ended};
    use crate::sample::{POLICY, busy, ended, operation, types};

    const ROOM: usize = 1 << 20;

    fn json(any: &Any) -> serde_json::Value {
        let name = any.type_url.strip_prefix("type.googleapis.com/").unwrap();
        let descriptor = types().message(name).unwrap();
        serde_json::to_value(DynamicMessage::decode(descriptor, &*any.value).unwrap()).unwrap()
    }

    fn shown(outcome: Outcome) -> Any {
        let operation = ended(operation(Some(POLICY), None), outcome);
        super::outcome(types(), &operation, operation.outcome.as_ref().unwrap(), ROOM).0
    }

    #[test]
    fn metadata_says_the_stage_and_the_times_whatever_was_declared() {
        let running = busy(POLICY);
        let mapped = crate::map::operation(types(), Profile::BuildGrid, &running);
        let metadata = mapped.metadata.unwrap();
        assert!(metadata.is(EXECUTE_METADATA));
        assert_eq!(
            json(&metadata),
            json!({
                "stage": "EXECUTING",
                "partialExecutionMetadata": {
                    "worker": "showcase",
                    "queuedTimestamp": "1970-01-01T00:00:01Z",
                    "workerStartTimestamp": "1970-01-01T00:00:02Z",
                },
            })
        );
        assert_eq!(mapped.name, "projects/p/00000000000000000000000007");
    }

    #[test]
    fn metadata_of_an_execution_has_its_digest_also_for_google() {
        let mut execution = operation(None, Some(EXECUTE_METADATA));
        execution.input = Payload::json(r#"{"actionDigest":{"hash":"ab","sizeBytes":"3"}}"#);
        let mapped = crate::map::operation(types(), Profile::Google, &execution);
        let metadata = json(&mapped.metadata.unwrap());
        assert_eq!(metadata["actionDigest"], json!({ "hash": "ab", "sizeBytes": "3" }));
        assert_eq!(metadata["stage"], "QUEUED");
    }

    #[test]
    fn a_result_is_an_execute_response_if_it_can_be_one() {
        let nothing = json(&shown(Outcome::Succeeded(None)));
        assert_eq!(nothing["result"]["executionMetadata"]["worker"], "showcase");
        assert_eq!(nothing.get("status"), None);

        let whole = r#"{"result":{"exitCode":3},"cachedResult":true}"#;
        let part = r#"{"exitCode":3}"#;
        for (payload, expected) in [
            (Payload::json(whole), json!({ "result": { "exitCode": 3 }, "cachedResult": true })),
            (Payload::json(part), json!({ "result": { "exitCode": 3 } })),
            (
                Payload::protobuf(EXECUTE_RESPONSE, b"\x10\x01".as_slice()),
                json!({ "cachedResult": true }),
            ),
            (
                Payload::protobuf(ACTION_RESULT, b"\x20\x03".as_slice()),
                json!({ "result": { "exitCode": 3 } }),
            ),
        ] {
            let any = shown(Outcome::Succeeded(Some(payload)));
            assert!(any.is(EXECUTE_RESPONSE));
            assert_eq!(json(&any), expected);
        }
    }

    #[test]
    fn a_result_that_is_none_keeps_its_type() {
        let policy = shown(Outcome::Succeeded(Some(Payload::protobuf(POLICY, "\u{1a}\u{1}t"))));
        assert!(policy.is(POLICY));
        let other = shown(Outcome::Succeeded(Some(Payload::json(r#"{"size":3}"#))));
        assert!(other.is(HTTP_BODY));
    }

    #[test]
    fn a_failure_and_a_cancellation_are_a_status_within_the_response() {
        let failed = shown(Outcome::Failed(Failure::new(Code::NotFound, "no such blob")));
        assert!(failed.is(EXECUTE_RESPONSE));
        let status = &json(&failed)["status"];
        assert_eq!((&status["code"], &status["message"]), (&json!(5), &json!("no such blob")));
        for failure in [None, Some(Failure::new(Code::Internal, "stopped"))] {
            let canceled = json(&shown(Outcome::Canceled(failure)));
            assert_eq!(canceled["status"]["code"], 1);
            assert_eq!(canceled.get("result"), None);
        }
    }

    #[test]
    fn what_has_ended_has_a_response_and_is_completed() {
        for outcome in [
            Outcome::Succeeded(None),
            Outcome::Failed(Failure::new(Code::Internal, "")),
            Outcome::Canceled(None),
        ] {
            let operation = ended(operation(None, None), outcome);
            assert!(State::is_terminal(operation.state));
            let mapped = crate::map::operation(types(), Profile::BuildGrid, &operation);
            assert!(mapped.done && matches!(mapped.outcome, Some(Ended::Response(_))));
            assert_eq!(json(&mapped.metadata.unwrap())["stage"], "COMPLETED");
        }
    }

    #[test]
    fn a_response_takes_no_more_room_than_there_is() {
        for outcome in [
            Outcome::Failed(Failure {
                details: vec![opgate_core::Detail {
                    type_url: String::new(),
                    value: vec![0; 4096].into(),
                }],
                ..Failure::new(Code::Internal, "m".repeat(1024))
            }),
            Outcome::Succeeded(Some(Payload::new("a/b", vec![0; 3000]))),
        ] {
            let operation = ended(operation(None, None), outcome);
            let ended = operation.outcome.as_ref().unwrap();
            let any = super::outcome(types(), &operation, ended, 4096).0;
            assert!(any.encoded_len() <= 4096, "{}", any.encoded_len());
        }
    }
}
