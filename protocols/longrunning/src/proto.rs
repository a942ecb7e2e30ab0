//! The messages this crate itself reads and writes, shaped after `proto/`; a test compares the two.

pub(crate) use opgate_rpc::proto::{Any, Duration, HTTP_BODY, HttpBody, Status};

/// Full name of the message a result without content is packed in.
pub(crate) const EMPTY: &str = "google.protobuf.Empty";
/// Full name of the message that holds a JSON object.
pub(crate) const STRUCT: &str = "google.protobuf.Struct";
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Operation {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<Any>,
    #[prost(bool, tag = "3")]
    pub done: bool,
    #[prost(oneof = "Outcome", tags = "4, 5")]
    pub outcome: Option<Outcome>,
}

/// The oneof `result` of [`Operation`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Outcome {
    #[prost(message, tag = "4")]
    Error(Status),
    #[prost(message, tag = "5")]
    Response(Any),
}

/// Get, Cancel and Delete ask with the same shape.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NameRequest {
    #[prost(string, tag = "1")]
    pub name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WaitRequest {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub timeout: Option<Duration>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListRequest {
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(string, tag = "1")]
    pub filter: String,
    #[prost(int32, tag = "2")]
    pub page_size: i32,
    #[prost(string, tag = "3")]
    pub page_token: String,
    #[prost(bool, tag = "5")]
    pub return_partial_success: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListResponse {
    #[prost(message, repeated, tag = "1")]
    pub operations: Vec<Operation>,
    #[prost(string, tag = "2")]
    pub next_page_token: String,
    #[prost(string, repeated, tag = "3")]
    pub unreachable: Vec<String>,
}

#[cfg(test)]
mod tests {
    use prost_reflect::DynamicMessage;

    use bytes::Bytes;
    use opgate_rpc::proto::{BadRequest, DebugInfo, ErrorInfo, FieldViolation, RetryInfo};

    use super::*;
    use crate::sample::types;

    /// What is written here reads back by the descriptor without an unknown field, as JSON.
    fn json(full_name: &str, message: &impl prost::Message) -> serde_json::Value {
        let descriptor = types().message(full_name).unwrap();
        let dynamic = DynamicMessage::decode(descriptor, &*message.encode_to_vec()).unwrap();
        assert_eq!(dynamic.unknown_fields().count(), 0, "{full_name}");
        serde_json::to_value(&dynamic).unwrap()
    }

    #[test]
    fn every_field_is_where_the_descriptor_has_it() {
        let second = Duration { seconds: 1, nanos: 500_000_000 };
        let any = Any::pack("google.protobuf.Duration", &second);
        let any_json = serde_json::json!({
            "@type": "type.googleapis.com/google.protobuf.Duration", "value": "1.500s"
        });
        let status = Status { code: 5, message: "m".to_owned(), details: vec![any.clone()] };
        let operation = |outcome| Operation {
            name: "n".to_owned(),
            metadata: Some(any.clone()),
            done: true,
            outcome: Some(outcome),
        };
        let longrunning = |name: &str| format!("google.longrunning.{name}");
        let cases = [
            (
                json(&longrunning("Operation"), &operation(Outcome::Response(any.clone()))),
                serde_json::json!({
                    "name": "n", "metadata": any_json, "done": true, "response": any_json
                }),
            ),
            (
                json(&longrunning("Operation"), &operation(Outcome::Error(status))),
                serde_json::json!({
                    "name": "n", "metadata": any_json, "done": true,
                    "error": { "code": 5, "message": "m", "details": [any_json] }
                }),
            ),
            (
                json(
                    &longrunning("WaitOperationRequest"),
                    &WaitRequest { name: "n".to_owned(), timeout: Some(second) },
                ),
                serde_json::json!({ "name": "n", "timeout": "1.500s" }),
            ),
            (
                json(
                    &longrunning("ListOperationsRequest"),
                    &ListRequest {
                        name: "n".to_owned(),
                        filter: "f".to_owned(),
                        page_size: 2,
                        page_token: "t".to_owned(),
                        return_partial_success: true,
                    },
                ),
                serde_json::json!({
                    "name": "n", "filter": "f", "pageSize": 2, "pageToken": "t",
                    "returnPartialSuccess": true
                }),
            ),
            (
                json(
                    &longrunning("ListOperationsResponse"),
                    &ListResponse {
                        operations: vec![Operation {
                            name: "n".to_owned(),
                            ..Operation::default()
                        }],
                        next_page_token: "t".to_owned(),
                        unreachable: vec!["u".to_owned()],
                    },
                ),
                serde_json::json!({
                    "operations": [{ "name": "n" }], "nextPageToken": "t", "unreachable": ["u"]
                }),
            ),
            (
                json(
                    ErrorInfo::NAME,
                    &ErrorInfo {
                        reason: "R".to_owned(),
                        domain: "d".to_owned(),
                        metadata: [("k".to_owned(), "v".to_owned())].into(),
                    },
                ),
                serde_json::json!({ "reason": "R", "domain": "d", "metadata": { "k": "v" } }),
            ),
            (
                json(RetryInfo::NAME, &RetryInfo { retry_delay: Some(second) }),
                serde_json::json!({ "retryDelay": "1.500s" }),
            ),
            (
                json(DebugInfo::NAME, &DebugInfo { stack_entries: vec!["s".to_owned()] }),
                serde_json::json!({ "stackEntries": ["s"] }),
            ),
            (
                json(
                    BadRequest::NAME,
                    &BadRequest {
                        field_violations: vec![FieldViolation {
                            field: "f".to_owned(),
                            description: "d".to_owned(),
                        }],
                    },
                ),
                serde_json::json!({ "fieldViolations": [{ "field": "f", "description": "d" }] }),
            ),
            (
                json(
                    HTTP_BODY,
                    &HttpBody {
                        content_type: "c".to_owned(),
                        data: Bytes::from_static(b"d"),
                        extensions: vec![any],
                    },
                ),
                serde_json::json!({ "contentType": "c", "data": "ZA==", "extensions": [any_json] }),
            ),
        ];
        for (written, expected) in cases {
            assert_eq!(written, expected);
        }
        for request in ["GetOperationRequest", "CancelOperationRequest", "DeleteOperationRequest"] {
            let request = json(&longrunning(request), &NameRequest { name: "n".to_owned() });
            assert_eq!(request, serde_json::json!({ "name": "n" }));
        }
    }

    #[test]
    fn the_longest_duration_is_within_protobufs() {
        let longest = Duration::from(std::time::Duration::MAX);
        assert_eq!(longest.seconds, 315_576_000_000);
    }
}
