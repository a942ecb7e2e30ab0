use http::HeaderValue;
use opgate_core::arbitrary;
use opgate_core::{Detail, Native};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn headers(state: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static(OPERATION_STATE),
        HeaderValue::from_static(state),
    )])
}

fn said(body: &str) -> Failure {
    read(&headers("failed"), &Bytes::copy_from_slice(body.as_bytes())).failure().unwrap().clone()
}

#[test]
fn a_failure_of_elsewhere_is_the_body_that_all_read_and_carries_everything() {
    let mut failure = Failure::new(Code::NotFound, "no such scene");
    failure.reason = Some("scene".to_owned());
    failure.retryable = Some(false);
    failure.details =
        vec![Detail { type_url: "t/a.B".to_owned(), value: Bytes::from_static(b"\x01") }];
    failure.cause = Some(Box::new(Failure::new(Code::Internal, "disk")));
    let (state, body) = write(&Outcome::Failed(failure.clone())).unwrap();
    assert_eq!(state, "failed");
    let value: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(value["message"], "no such scene");
    assert_eq!(value["metadata"], json!({"type": "nexus.OperationError"}));
    let told =
        json!({"state": "failed", "code": "NOT_FOUND", "reason": "scene", "retryable": false});
    assert_eq!(value["details"], told);
    assert_eq!(value["cause"]["message"], "no such scene");
    assert_eq!(value["cause"]["metadata"], json!({"type": "opgate.v1.Failure"}));
    let details = json!({
        "code": "NOT_FOUND", "reason": "scene", "retryable": false,
        "details": [{"typeUrl": "t/a.B", "value": "AQ=="}],
    });
    assert_eq!(value["cause"]["details"], details);
    assert_eq!(value["cause"]["cause"]["details"], json!({"code": "INTERNAL"}));
}

#[test]
fn what_lost_its_cause_on_the_way_keeps_its_code() {
    let failure = said(
        r#"{"message":"m","metadata":{"type":"nexus.OperationError"},"details":{"state":"failed","code":"UNAVAILABLE","retryable":true}}"#,
    );
    assert_eq!((failure.code, failure.retryable), (Code::Unavailable, Some(true)));
}

#[test]
fn a_cancellation_says_who_wanted_it_where_nothing_else_is_said() {
    let (state, body) = write(&Outcome::Canceled(None)).unwrap();
    assert_eq!(state, "canceled");
    let value: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(value["message"], "the operation was canceled");
    assert_eq!(value["details"], json!({"state": "canceled"}));
    let read = read(&HeaderMap::new(), &body);
    assert!(matches!(&read, Outcome::Canceled(Some(failure)) if failure.code == Code::Cancelled));
}

#[test]
fn what_nexus_said_returns_byte_for_byte() {
    for body in [
        r#"{"message":"boom"}"#,
        r#"{ "details" : [1e400, {"a":1,"a":2}], "message":"boom", "x":null }"#,
        r#"{"message":"boom","metadata":{"type":"nexus.OperationError"},"details":{"state":"failed"}}"#,
        r#"{"message":"boom","metadata":{"type":"temporal.api.failure.v1.Failure"},"details":{"applicationFailureInfo":{"nonRetryable":true,"type":"BadThing"}}}"#,
    ] {
        let body = Bytes::from_static(body.as_bytes());
        let outcome = read(&headers("failed"), &body);
        assert_eq!(write(&outcome), Some(("failed", body)));
        assert_eq!(outcome.failure().unwrap().message, "boom");
    }
}

#[test]
fn a_body_that_would_be_read_as_something_else_is_wrapped() {
    let body = r#"{"message":"gone","metadata":{"type":"nexus.HandlerError"},"details":{"type":"NOT_FOUND"}}"#;
    let failure = said(body);
    assert_eq!((failure.code, failure.retryable), (Code::NotFound, Some(false)));
    let (_, wrapped) = write(&Outcome::Failed(failure.clone())).unwrap();
    let value: Value = serde_json::from_slice(&wrapped).unwrap();
    assert_eq!(value["message"], "gone");
    assert_eq!(value["metadata"]["type"], "nexus.OperationError");
    assert_eq!(value["cause"], serde_json::from_str::<Value>(body).unwrap());
    let again = said(std::str::from_utf8(&wrapped).unwrap());
    assert_eq!((again.code, again.retryable), (Code::NotFound, Some(false)));
    // The same failure where it was canceled after all.
    let (state, body) = write(&Outcome::Canceled(Some(said(r#"{"message":"m"}"#)))).unwrap();
    assert_eq!(state, "canceled");
    let value: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(value["details"]["state"], "canceled");
    assert_eq!(value["cause"], json!({"message": "m"}));
}

#[test]
fn a_type_that_is_empty_or_has_no_name_is_none() {
    for details in [r#"[null,"NOT_FOUND"]"#, r#"{"type":""}"#] {
        let body = format!(
            r#"{{"message":"m","details":{details},"metadata":{{"type":"nexus.HandlerError"}}}}"#
        );
        assert_eq!(said(&body).reason, None, "{details}");
    }
}

#[test]
fn what_says_nothing_is_a_failure_that_says_so() {
    let failure = said("");
    assert_eq!(failure.code, Code::Unknown);
    assert!(failure.message.contains("did not say why"), "{failure:?}");
}

#[test]
fn what_is_no_failure_is_text() {
    for body in ["boom", "[1]", "[\"m\"]", "{\"message\":1}", "{\"message\":\"a\"", "\u{e9}"] {
        let failure = said(body);
        assert_eq!((failure.code, &*failure.message), (Code::Unknown, body));
        let (_, written) = write(&Outcome::Failed(failure)).unwrap();
        let value: Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(value["message"], body);
        assert_eq!(value["metadata"]["type"], "nexus.OperationError");
    }
}

#[test]
fn the_tag_wins_over_the_header() {
    let body = Bytes::from_static(
        br#"{"message":"m","metadata":{"type":"nexus.OperationError"},"details":{"state":"canceled"}}"#,
    );
    assert!(matches!(read(&headers("failed"), &body), Outcome::Canceled(_)));
    assert!(matches!(read(&headers("canceled"), &Bytes::new()), Outcome::Canceled(_)));
    assert!(matches!(read(&HeaderMap::new(), &Bytes::new()), Outcome::Failed(_)));
}

#[test]
fn temporals_wrapper_shows_what_it_wraps_and_its_kinds_have_codes() {
    let failure = said(
        r#"{"message":"operation error","metadata":{"type":"nexus.OperationError","unwrap-error":"true"},"details":{"state":"failed"},"cause":{"message":"boom","metadata":{"type":"temporal.api.failure.v1.Failure"},"details":{"applicationFailureInfo":{"nonRetryable":true,"type":"BadThing"}},"cause":{"message":"inner"}}}"#,
    );
    assert_eq!((&*failure.message, failure.reason.as_deref()), ("boom", Some("BadThing")));
    assert_eq!(failure.retryable, Some(false));
    assert_eq!(failure.cause.unwrap().message, "inner");
    for (info, code) in [
        ("timeoutFailureInfo", Code::DeadlineExceeded),
        ("canceledFailureInfo", Code::Cancelled),
        ("terminatedFailureInfo", Code::Aborted),
        ("serverFailureInfo", Code::Unknown),
    ] {
        let body = json!({
            "message": "m", "metadata": {"type": "temporal.api.failure.v1.Failure"},
            "details": {info: {}},
        });
        assert_eq!(said(&body.to_string()).code, code, "{info}");
    }
}

#[test]
fn a_chain_without_end_is_cut_and_kept_in_the_body() {
    let mut body = r#"{"message":"0"}"#.to_owned();
    for level in 1..2_000 {
        body = format!(r#"{{"message":"{level}","cause":{body}}}"#);
    }
    let failure = said(&body);
    assert_eq!(failure.depth(), limits::FAILURE_DEPTH);
    assert_eq!(failure.native.unwrap().bytes, body);
}

#[test]
fn what_is_too_large_goes_without_its_details_and_says_so() {
    let mut failure = Failure::new(Code::Aborted, "\u{1}".repeat(100_000));
    failure.details =
        vec![Detail { type_url: "t/a.B".to_owned(), value: vec![0; BYTES_MAX].into() }];
    failure.native = Some(Box::new(Native {
        protocol: "oci".to_owned(),
        code: "X".to_owned(),
        http: None,
        bytes: Bytes::new(),
        encoded: None,
    }));
    let (_, body) = write(&Outcome::Failed(failure)).unwrap();
    assert!(body.len() <= BYTES_MAX, "{}", body.len());
    let value: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(value["cause"]["details"], json!({"code": "ABORTED", "detailsOmitted": 2}));
}

/// The outermost form is the body itself then, and what only AMQP reads goes to AMQP alone.
fn comparable(mut failure: Failure) -> Failure {
    failure.native = None;
    let mut next = failure.cause.as_deref_mut();
    while let Some(cause) = next {
        if let Some(native) = &mut cause.native {
            native.encoded = None;
        }
        next = cause.cause.as_deref_mut();
    }
    failure
}

proptest! {
    #[test]
    fn a_failure_comes_through_whole(failure in arbitrary::failure(), canceled: bool) {
        let outcome = if canceled {
            Outcome::Canceled(Some(failure.clone()))
        } else {
            Outcome::Failed(failure.clone())
        };
        let (state, body) = write(&outcome).unwrap();
        let again = read(&headers(state), &body);
        prop_assert_eq!(again.state(), outcome.state());
        let read = again.failure().unwrap().clone();
        prop_assert_eq!(write(&again), Some((state, body)));
        prop_assert_eq!(comparable(read), comparable(failure));
    }
}
