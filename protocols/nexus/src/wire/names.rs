//! Names of headers, parameters and types, in the lower case in which HTTP/2 carries them.

/// Dedupe key of a start.
pub const REQUEST_ID: &str = "nexus-request-id";
/// The reference of an operation that runs.
pub const OPERATION_TOKEN: &str = "nexus-operation-token";
/// The same, as it was called until 2025-02.
pub const OPERATION_ID: &str = "nexus-operation-id";
/// `succeeded`, `failed` or `canceled`.
pub const OPERATION_STATE: &str = "nexus-operation-state";
/// When the operation of a completion was started: an HTTP date.
pub const OPERATION_START_TIME: &str = "nexus-operation-start-time";
/// When it ended: RFC 3339.
pub const OPERATION_CLOSE_TIME: &str = "nexus-operation-close-time";
/// Links, one to a header line.
pub const LINK: &str = "nexus-link";
/// Whether a handler error is worth a retry, where that is not what its type says.
pub const REQUEST_RETRYABLE: &str = "nexus-request-retryable";
/// How long the caller waits for the reply.
pub const REQUEST_TIMEOUT: &str = "request-timeout";
/// How long the caller waits for the operation.
pub const OPERATION_TIMEOUT: &str = "operation-timeout";
/// What begins so is sent with the completion, without this prefix.
pub const CALLBACK_PREFIX: &str = "nexus-callback-";
/// What begins so describes the body.
pub const CONTENT_PREFIX: &str = "content-";
/// Asks a Temporal frontend for the whole chain of a failure.
pub const TEMPORAL_FAILURE_SUPPORT: &str = "temporal-nexus-failure-support";

/// The query parameter with the callback URL.
pub const CALLBACK: &str = "callback";
/// The query parameter with the operation token.
pub const TOKEN: &str = "token";
/// The query parameter with the time a get-result may wait.
pub const WAIT: &str = "wait";

/// `metadata.type` of a failure that ended an operation.
pub const OPERATION_ERROR: &str = "nexus.OperationError";
/// `metadata.type` of a request that could not be served.
pub const HANDLER_ERROR: &str = "nexus.HandlerError";
/// `metadata.type` of Temporal's own failures.
pub const TEMPORAL_FAILURE: &str = "temporal.api.failure.v1.Failure";
/// `metadata.type` of opgate's own failures: everything the canonical failure says, in `details`.
pub const OPGATE_FAILURE: &str = "opgate.v1.Failure";
/// Metadata key that Temporal sets to `true` where an operation error says no more than its cause.
pub const UNWRAP_ERROR: &str = "unwrap-error";

/// State of an operation that has not ended.
pub const RUNNING: &str = "running";
/// State of an operation that ended with a result.
pub const SUCCEEDED: &str = "succeeded";
/// State of an operation that ended with a failure.
pub const FAILED: &str = "failed";
/// State of an operation that ended because somebody asked.
pub const CANCELED: &str = "canceled";

/// How Nexus calls a state.
pub const fn state(state: opgate_core::State) -> &'static str {
    use opgate_core::State;
    match state {
        State::Accepted | State::Running => RUNNING,
        State::Succeeded => SUCCEEDED,
        State::Failed => FAILED,
        State::Canceled => CANCELED,
    }
}
