use opgate_core::Payload;
use opgate_egress::Problem;
use std::time::Duration;

use super::*;

fn reply(status: u16, headers: &[(&'static str, &str)], body: &'static str) -> Response<Bytes> {
    let mut reply = Response::new(Bytes::from_static(body.as_bytes()));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        reply.headers_mut().append(*name, value.parse().unwrap());
    }
    reply
}

const JSON: (&str, &str) = ("content-type", "application/json");
const TAGGED: &str = r#"{"message":"refused","metadata":{"type":"nexus.HandlerError"},"details":{"type":"NOT_FOUND","retryableOverride":false}}"#;

fn failure_of(started: Started) -> Failure {
    match started {
        Started::Ended(Outcome::Failed(failure), _) => failure,
        other @ (Started::Ended(..) | Started::Running { .. }) => panic!("{other:?}"),
    }
}

#[test]
fn a_200_is_the_result_with_its_links() {
    let link = ("nexus-link", r#"<opgate:///operations/1>; type="opgate.v1.Operation""#);
    let started = started(&reply(200, &[JSON, link], r#"{"a": 1e400}"#)).unwrap();
    let Started::Ended(Outcome::Succeeded(Some(result)), links) = started else { panic!() };
    assert_eq!(result, Payload::json(r#"{"a": 1e400}"#));
    assert_eq!(&*links[0].url, "opgate:///operations/1");
    let nothing = super::started(&reply(200, &[], "")).unwrap();
    assert_eq!(nothing, Started::Ended(Outcome::Succeeded(None), Vec::new()));
}

#[test]
fn a_201_gives_the_token_whatever_it_is_called() {
    for (body, token, by_id) in [
        (r#"{"id":"a","token":"b","state":"running"}"#, "b", false),
        (r#"{"token":"b","state":"running","more":[1]}"#, "b", false),
        (r#"{"id":"a","state":"running"}"#, "a", true),
        (r#"{"id":"a","token":"","state":"running"}"#, "a", true),
    ] {
        let expected = Started::Running { token: token.into(), by_id, links: Vec::new() };
        assert_eq!(started(&reply(201, &[JSON], body)).unwrap(), expected, "{body}");
    }
}

#[test]
fn a_201_that_cannot_be_read_is_asked_for_again() {
    let long = format!(r#"{{"token":"{}","state":"running"}}"#, "x".repeat(4097));
    for (headers, body) in [
        (&[JSON][..], r#"{"state":"running"}"#),
        (&[JSON], r#"{"token":"a","state":"succeeded"}"#),
        (&[JSON], r#"{"token":"a"}"#),
        (&[JSON], "running"),
        (&[JSON], r#"{"token":"a\nb","state":"running"}"#),
        (&[JSON], &*long.leak()),
        (&[("content-type", "text/plain")], r#"{"token":"a","state":"running"}"#),
        (&[], r#"{"token":"a","state":"running"}"#),
        (&[JSON, ("nexus-link", "broken")], r#"{"token":"a","state":"running"}"#),
    ] {
        let error = started(&reply(201, headers, body)).unwrap_err();
        assert_eq!(error.retry, Retry::Unknown, "{body}");
    }
}

#[test]
fn a_424_is_an_end_in_either_form() {
    let state = |state| ("nexus-operation-state", state);
    let failed = started(&reply(424, &[JSON, state("failed")], r#"{"message":"boom"}"#)).unwrap();
    assert_eq!(failure_of(failed).message, "boom");
    let tagged = r#"{"message":"m","metadata":{"type":"nexus.OperationError"},"details":{"state":"canceled"}}"#;
    // The tag wins over the header, and over another status.
    for (status, header) in [(424, "failed"), (424, "canceled"), (500, "canceled")] {
        let started = started(&reply(status, &[JSON, state(header)], tagged)).unwrap();
        let Started::Ended(Outcome::Canceled(Some(failure)), _) = started else { panic!() };
        assert_eq!(failure.message, "m");
    }
    // A handler error under this status is one.
    let refused = started(&reply(424, &[JSON], TAGGED)).unwrap();
    assert_eq!(failure_of(refused).code, Code::NotFound);
}

#[test]
fn a_refusal_for_good_ends_the_operation_in_the_handlers_words() {
    let failure = failure_of(started(&reply(404, &[JSON], TAGGED)).unwrap());
    assert_eq!((failure.code, failure.retryable), (Code::NotFound, Some(false)));
    assert_eq!(failure.message, "refused");
    let native = failure.native.unwrap();
    assert_eq!((&*native.code, native.http), ("NOT_FOUND", Some(404)));
    assert_eq!(native.bytes, TAGGED);
    for status in [400, 401, 403, 409, 501, 302, 410] {
        failure_of(started(&reply(status, &[], "")).unwrap());
    }
}

#[test]
fn a_refusal_for_now_is_an_error_worth_a_repeat() {
    for status in [408, 429, 500, 503, 520, 502, 504] {
        let error = started(&reply(status, &[], "")).unwrap_err();
        assert_ne!(error.retry, Retry::Never, "{status}");
    }
    let override_ = ("nexus-request-retryable", "true");
    assert!(started(&reply(404, &[JSON, override_], r#"{"message":"m"}"#)).is_err());
    let later = started(&reply(503, &[("retry-after", "7")], "")).unwrap_err();
    assert_eq!(later.retry, Retry::After(Duration::from_secs(7)));
}

#[test]
fn a_look_tells_the_end_from_running_and_from_no_such_thing() {
    for status in [408, 412] {
        assert_eq!(looked(&reply(status, &[], "")).unwrap(), Looked::Running);
    }
    for status in [400, 404, 405, 501] {
        assert!(matches!(looked(&reply(status, &[], "")).unwrap(), Looked::Absent(_)));
    }
    for status in [401, 403, 429, 500, 503, 301] {
        assert!(looked(&reply(status, &[], "")).is_err(), "{status}");
    }
    let result = looked(&reply(200, &[JSON], "1")).unwrap();
    assert_eq!(result, Looked::Ended(Outcome::Succeeded(Some(Payload::json("1")))));
    let failed = looked(&reply(424, &[JSON], r#"{"message":"boom"}"#)).unwrap();
    assert!(matches!(failed, Looked::Ended(Outcome::Failed(_))));
}

#[test]
fn a_cancel_is_taken_refused_unknown_or_worth_a_repeat() {
    for status in [200, 202] {
        assert!(matches!(canceled(&reply(status, &[], "")), CancelAttempt::Acknowledged));
    }
    for status in [400, 404, 405, 501] {
        assert!(matches!(canceled(&reply(status, &[], "")), CancelAttempt::Gone(_)));
    }
    for status in [401, 403, 409] {
        assert!(matches!(canceled(&reply(status, &[], "")), CancelAttempt::Refused(_)));
    }
    assert!(matches!(canceled(&reply(503, &[], "")), CancelAttempt::Retry(_)));
}

#[test]
fn without_a_reply_only_what_can_never_come_is_the_end() {
    let unreachable = unanswered(&Problem::Unreachable("nobody".into())).unwrap_err();
    assert_eq!((unreachable.kind, unreachable.retry), (ErrorKind::Unavailable, Retry::SameRequest));
    let broken = unanswered(&Problem::Broken("cut".into())).unwrap_err();
    assert_eq!((broken.kind, broken.retry), (ErrorKind::Unavailable, Retry::Unknown));
    let late = Problem::TimedOut { within: Duration::from_secs(1), sent: true };
    assert_eq!(unanswered(&late).unwrap_err().retry, Retry::Unknown);
    let Ok(Outcome::Failed(failure)) = unanswered(&Problem::TooLarge("9 bytes".into())) else {
        panic!()
    };
    assert_eq!((failure.code, failure.retryable), (Code::ResourceExhausted, Some(false)));
}

#[test]
fn fuzz_no_reply_is_worse_than_an_error() {
    bolero::check!().with_type::<(u16, Vec<u8>, Vec<u8>)>().for_each(|(status, header, body)| {
        let mut reply = Response::new(Bytes::copy_from_slice(body));
        *reply.status_mut() = StatusCode::from_u16(200 + status % 400).unwrap();
        let headers = reply.headers_mut();
        headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        if let Ok(value) = http::HeaderValue::from_bytes(header) {
            headers.insert("nexus-link", value.clone());
            headers.insert("nexus-operation-state", value);
        }
        if let Ok(Started::Running { token, .. }) = started(&reply) {
            assert!(!token.is_empty() && token.len() <= limits::NATIVE_REF_BYTES);
        }
        drop((looked(&reply), canceled(&reply)));
    });
}
