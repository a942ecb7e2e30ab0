//! The messages of remote execution that are written and read here, shaped after `proto/build/`; a
//! test compares the two.

use bytes::Bytes;
use opgate_core::Timestamp;
use opgate_rpc::proto::Status;

/// Full name of the service that starts executions and streams them.
pub(crate) const EXECUTION: &str = "build.bazel.remote.execution.v2.Execution";
/// Full name of the metadata of every operation of an instance.
pub(crate) const EXECUTE_METADATA: &str =
    "build.bazel.remote.execution.v2.ExecuteOperationMetadata";
/// Full name of the response of every operation of an instance.
pub(super) const EXECUTE_RESPONSE: &str = "build.bazel.remote.execution.v2.ExecuteResponse";
/// Full name of what a worker gives as its result.
pub(super) const ACTION_RESULT: &str = "build.bazel.remote.execution.v2.ActionResult";
/// Full name of the request that starts an operation.
pub(super) const EXECUTE_REQUEST: &str = "build.bazel.remote.execution.v2.ExecuteRequest";

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Digest {
    #[prost(string, tag = "1")]
    pub hash: String,
    #[prost(int64, tag = "2")]
    pub size_bytes: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExecuteMetadata {
    #[prost(int32, tag = "1")]
    pub stage: i32,
    #[prost(message, optional, tag = "2")]
    pub action_digest: Option<Digest>,
    #[prost(message, optional, tag = "5")]
    pub partial_execution_metadata: Option<Executed>,
}

/// `ExecutedActionMetadata`, as far as it is known here.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Executed {
    #[prost(string, tag = "1")]
    pub worker: String,
    #[prost(message, optional, tag = "2")]
    pub queued: Option<prost_types::Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub worker_start: Option<prost_types::Timestamp>,
    #[prost(message, optional, tag = "4")]
    pub worker_completed: Option<prost_types::Timestamp>,
}

/// An `ActionResult` of which nothing is known but when it was made, and by whom.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ActionResult {
    #[prost(message, optional, tag = "9")]
    pub execution_metadata: Option<Executed>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExecuteResponse {
    /// An encoded `ActionResult`, verbatim.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub result: Option<Bytes>,
    #[prost(message, optional, tag = "3")]
    pub status: Option<Status>,
}

/// A time as protobuf has it.
pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = time.seconds_and_nanos();
    prost_types::Timestamp { seconds, nanos }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_reflect::DynamicMessage;
    use serde_json::json;

    use super::*;
    use crate::sample::types;

    /// What is written here reads back by the descriptor without an unknown field, as JSON.
    fn read(full_name: &str, message: &impl prost::Message) -> serde_json::Value {
        let descriptor = types().message(full_name).unwrap();
        let dynamic = DynamicMessage::decode(descriptor, &*message.encode_to_vec()).unwrap();
        assert_eq!(dynamic.unknown_fields().count(), 0, "{full_name}");
        serde_json::to_value(&dynamic).unwrap()
    }

    #[test]
    fn every_field_is_where_the_descriptor_has_it() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let executed = Executed {
            worker: "w".to_owned(),
            queued: at(1),
            worker_start: at(2),
            worker_completed: at(3),
        };
        let executed_json = json!({
            "worker": "w",
            "queuedTimestamp": "1970-01-01T00:00:01Z",
            "workerStartTimestamp": "1970-01-01T00:00:02Z",
            "workerCompletedTimestamp": "1970-01-01T00:00:03Z",
        });
        let metadata = ExecuteMetadata {
            stage: 4,
            action_digest: Some(Digest { hash: "h".to_owned(), size_bytes: 5 }),
            partial_execution_metadata: Some(executed.clone()),
        };
        assert_eq!(
            read(EXECUTE_METADATA, &metadata),
            json!({
                "stage": "COMPLETED",
                "actionDigest": { "hash": "h", "sizeBytes": "5" },
                "partialExecutionMetadata": executed_json,
            })
        );
        let result = ActionResult { execution_metadata: Some(executed) };
        let response = ExecuteResponse {
            result: Some(result.encode_to_vec().into()),
            status: Some(Status { code: 1, message: "m".to_owned(), details: Vec::new() }),
        };
        assert_eq!(
            read(EXECUTE_RESPONSE, &response),
            json!({
                "result": { "executionMetadata": executed_json },
                "status": { "code": 1, "message": "m" },
            })
        );
        assert!(types().message(ACTION_RESULT).is_some());
        assert!(types().message(EXECUTE_REQUEST).is_some());
    }
}
