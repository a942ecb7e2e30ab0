//! Every kind of error, as each face tells it.

use std::time::Duration;

use http::Response;
use http_body_util::BodyExt as _;
use opgate_core::{Error, ErrorKind, Retry};
use opgate_edge::Body;
use opgate_rpc::transcode::{ErrorFormat, Parameters, refused};
use opgate_rpc::wire;
use serde_json::{Value, json};

use crate::map;
use crate::sample::types;

/// The kind; gRPC's code; the HTTP status; the status' name; the word of format 1.
const TABLE: [(ErrorKind, u32, u16, &str, &str); 16] = [
    (ErrorKind::InvalidArgument, 3, 400, "INVALID_ARGUMENT", "badRequest"),
    (ErrorKind::OutOfRange, 11, 400, "OUT_OF_RANGE", "badRequest"),
    (ErrorKind::Unauthenticated, 16, 401, "UNAUTHENTICATED", "authError"),
    (ErrorKind::PermissionDenied, 7, 403, "PERMISSION_DENIED", "forbidden"),
    (ErrorKind::NotFound, 5, 404, "NOT_FOUND", "notFound"),
    (ErrorKind::AlreadyExists, 6, 409, "ALREADY_EXISTS", "alreadyExists"),
    (ErrorKind::Conflict, 10, 409, "ABORTED", "aborted"),
    (ErrorKind::FailedPrecondition, 9, 400, "FAILED_PRECONDITION", "failedPrecondition"),
    (ErrorKind::TooManyRequests, 8, 429, "RESOURCE_EXHAUSTED", "rateLimitExceeded"),
    (ErrorKind::QuotaExceeded, 8, 429, "RESOURCE_EXHAUSTED", "rateLimitExceeded"),
    (ErrorKind::PayloadTooLarge, 8, 413, "RESOURCE_EXHAUSTED", "rateLimitExceeded"),
    (ErrorKind::DeadlineExceeded, 4, 504, "DEADLINE_EXCEEDED", "backendError"),
    (ErrorKind::Unavailable, 14, 503, "UNAVAILABLE", "backendError"),
    (ErrorKind::Unsupported, 12, 501, "UNIMPLEMENTED", "notImplemented"),
    (ErrorKind::Internal, 13, 500, "INTERNAL", "backendError"),
    (ErrorKind::DataLoss, 15, 500, "DATA_LOSS", "backendError"),
];

async fn read(response: Response<Body>) -> (u16, Option<String>, Value) {
    let (head, body) = response.into_parts();
    let retry = head.headers.get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), retry, serde_json::from_slice(&body).unwrap())
}

fn detail(error: &Value, name: &str) -> Option<Value> {
    let named = |detail: &&Value| detail["@type"] == format!("type.googleapis.com/{name}");
    let mut named = error["details"].as_array().unwrap().iter().filter(named);
    let found = named.next().cloned();
    assert!(named.next().is_none(), "each type at most once");
    found
}

#[tokio::test]
async fn each_kind_has_its_row() {
    assert_eq!(TABLE.map(|(kind, ..)| kind), ErrorKind::ALL);
    for (kind, grpc, http, word, legacy) in TABLE {
        let mut error = Error::invalid("page_size", "must not be negative")
            .with_retry(Retry::After(Duration::from_millis(1500)));
        error.kind = kind;

        let status = map::of_error(&error, None);
        let over_grpc = wire::refused(&status);
        assert_eq!(over_grpc.headers()["grpc-status"], grpc.to_string(), "{kind:?}");

        for format in [ErrorFormat::V2, ErrorFormat::V1] {
            let form = Parameters { errors: format, ..Parameters::default() };
            let response = refused(&error, None, &form, types().pool());
            let (status, retry, body) = read(response).await;
            assert_eq!((status, retry.as_deref()), (http, Some("2")), "{kind:?}");
            let error = &body["error"];
            assert_eq!(error["code"], http, "{kind:?}");
            assert_eq!(error["status"], word, "{kind:?}");
            assert_eq!(error["message"], "page_size: must not be negative");
            let info = detail(error, "google.rpc.ErrorInfo").unwrap();
            assert_eq!((&info["reason"], &info["domain"]), (&json!(kind.name()), &json!("opgate")));
            let request = detail(error, "google.rpc.BadRequest").unwrap();
            assert_eq!(
                request["fieldViolations"],
                json!([{ "field": "page_size", "description": "must not be negative" }])
            );
            let retry = detail(error, "google.rpc.RetryInfo").unwrap();
            assert_eq!(retry["retryDelay"], "1.500s");
            match format {
                ErrorFormat::V2 => assert_eq!(error.get("errors"), None),
                ErrorFormat::V1 => assert_eq!(
                    error["errors"],
                    json!([{
                        "message": "page_size: must not be negative",
                        "domain": "global",
                        "reason": legacy,
                    }]),
                    "{kind:?}"
                ),
            }
        }
    }
}
