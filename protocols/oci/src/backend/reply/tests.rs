use opgate_core::Timestamp;

use super::*;

fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
    let mut reply = Response::builder().status(status);
    for (name, value) in headers {
        reply = reply.header(*name, *value);
    }
    reply.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn failure(outcome: &Outcome) -> &Failure {
    outcome.failure().unwrap()
}

#[test]
fn any_success_with_a_work_request_is_a_start() {
    for status in [200, 201, 202, 204] {
        let reply = reply(status, &[("opc-work-request-id", " ocid1.x ")], r#"{"id":"c"}"#);
        let found = started(&Method::POST, false, reply).unwrap();
        assert_eq!(found, Started::Running("ocid1.x".to_owned()));
    }
}

#[test]
fn without_one_it_is_done() {
    let json = [("content-type", "application/json")];
    let found = started(&Method::POST, false, reply(200, &json, "[1]")).unwrap();
    assert_eq!(found, Started::Ended(Outcome::Succeeded(Some(Payload::json("[1]")))));
    let found = started(&Method::DELETE, false, reply(204, &[], "")).unwrap();
    assert_eq!(found, Started::Ended(Outcome::Succeeded(None)));
}

#[test]
fn a_work_request_without_a_name_is_asked_for_again() {
    let long = "x".repeat(limits::NATIVE_REF_BYTES + 1);
    for id in ["", "  ", "..", "\u{e9}", long.as_str()] {
        let reply = reply(202, &[("opc-work-request-id", id)], "");
        let error = started(&Method::POST, false, reply).unwrap_err();
        assert_eq!(error.retry, Retry::Unknown);
    }
}

#[test]
fn a_refusal_ends_a_start_unless_it_passes() {
    for status in [429, 500, 502, 503, 504] {
        assert!(started(&Method::POST, false, reply(status, &[], "")).is_err(), "{status}");
    }
    for code in ["IncorrectState", "LockConflict"] {
        let body = format!(r#"{{"code":"{code}","message":"busy"}}"#);
        let error = started(&Method::POST, false, reply(409, &[], &body)).unwrap_err();
        assert_eq!((error.kind, error.retry), (ErrorKind::Conflict, Retry::SameRequest));
    }
    for (status, code) in [
        (302, Code::FailedPrecondition),
        (400, Code::InvalidArgument),
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::NotFound),
        (409, Code::Aborted),
        (412, Code::Aborted),
        (501, Code::Unimplemented),
    ] {
        let Started::Ended(outcome) =
            started(&Method::POST, false, reply(status, &[], "{}")).unwrap()
        else {
            panic!("{status}")
        };
        assert_eq!(failure(&outcome).code, code, "{status}");
        assert_eq!(failure(&outcome).native.as_ref().unwrap().bytes, "{}");
    }
}

#[test]
fn what_a_repeated_delete_does_not_find_may_be_gone_by_the_first() {
    for (method, repeated, hinted) in
        [(Method::DELETE, true, true), (Method::DELETE, false, false), (Method::POST, true, false)]
    {
        let Started::Ended(outcome) = started(&method, repeated, reply(404, &[], "")).unwrap()
        else {
            panic!()
        };
        let hint = failure(&outcome).message.contains("may have deleted it");
        assert_eq!(hint, hinted, "{method} {repeated}");
    }
}

#[test]
fn a_look_that_finds_nothing_is_not_the_end() {
    let Looked::Blind(blind) = looked(&reply(404, &[], r#"{"code":"NotFound"}"#)).unwrap() else {
        panic!()
    };
    assert_eq!((blind.code, blind.reason), (Code::Unavailable, "record_lost"));
    for status in [400, 401, 403, 429, 500, 503] {
        assert!(looked(&reply(status, &[], "")).is_err(), "{status}");
    }
}

#[test]
fn a_look_at_something_else_is_not_the_end_either() {
    for body in ["<html>", "", "[]", "null", "{}", r#"{"status":7}"#] {
        let Looked::Blind(blind) = looked(&reply(200, &[], body)).unwrap() else { panic!() };
        assert_eq!((blind.code, blind.reason), (Code::Unknown, "unreadable"), "{body}");
        assert_eq!(blind.said, body);
    }
}

#[test]
fn an_unknown_status_is_running_unless_a_time_says_that_it_ended() {
    let body = r#"{"status":"BAFFLED","timeFinished":null}"#;
    assert!(matches!(looked(&reply(200, &[], body)).unwrap(), Looked::Seen(_)));
    let body = r#"{"status":"BAFFLED","timeFinished":"2026-01-02T03:04:05Z"}"#;
    let Looked::Blind(blind) = looked(&reply(200, &[], body)).unwrap() else { panic!() };
    assert_eq!((blind.code, blind.reason), (Code::Unknown, "unknown_status"));
    assert_eq!(blind.into_failure().native.unwrap().bytes, body);
    // A status that is known says more than the time.
    let body = r#"{"status":"IN_PROGRESS","timeFinished":"2026-01-02T03:04:05Z"}"#;
    assert!(matches!(looked(&reply(200, &[], body)).unwrap(), Looked::Seen(_)));
}

#[test]
fn a_list_may_have_another_page_or_be_absent() {
    for (headers, next) in [
        (&[][..], None),
        (&[("opc-next-page", "t")], Some("t".to_owned())),
        (&[("opc-next-page", "")], None),
    ] {
        assert_eq!(listed(&reply(200, headers, "[]")).unwrap(), Listed::Page(next));
    }
    for status in [404, 405, 501] {
        assert_eq!(listed(&reply(status, &[], "")).unwrap(), Listed::Absent);
    }
    assert!(listed(&reply(503, &[], "")).is_err());
}

#[test]
fn a_cancel_is_taken_refused_or_told_again() {
    for status in [200, 202, 204] {
        assert!(matches!(canceled(&reply(status, &[], "")), CancelAttempt::Acknowledged));
    }
    let body = r#"{"code":"IncorrectState","message":"too late"}"#;
    for status in [400, 401, 403, 405, 409, 412, 501] {
        let made = canceled(&reply(status, &[], body));
        let CancelAttempt::Refused(text) = made else { panic!("{made:?}") };
        assert!(text.contains("too late"), "{text}");
    }
    let made = canceled(&reply(404, &[], body));
    assert!(matches!(&made, CancelAttempt::Gone(text) if text.contains("too late")), "{made:?}");
    for status in [429, 500, 503] {
        let made = canceled(&reply(status, &[], ""));
        assert!(matches!(made, CancelAttempt::Retry(_)), "{status}: {made:?}");
    }
}

fn seen(status: &str) -> (WorkRequest, Bytes) {
    let body = format!(r#"{{"status":"{status}"}}"#);
    (WorkRequest::read(body.as_bytes()).unwrap(), body.into())
}

fn error(at: i64, code: &str, message: &str) -> Line {
    let at = Some(Timestamp::from_nanos(at));
    Line { at, error: true, code: code.to_owned(), message: message.to_owned() }
}

#[test]
fn a_failure_has_all_errors_in_their_order_and_the_work_request_as_it_came() {
    let (found, body) = seen("FAILED");
    let log = Line { error: false, ..error(0, "", "a line of the log") };
    let lines = [
        error(2, "InternalError", "second"),
        error(1, "LimitExceeded", "first"),
        log,
        error(3, "", "first"),
    ];
    let ended = outcome(&found, &lines, &body).0;
    let failure = failure(&ended);
    assert_eq!((failure.code, &*failure.message), (Code::ResourceExhausted, "first; second"));
    assert_eq!(failure.reason.as_deref(), Some("LimitExceeded"));
    let native = failure.native.as_ref().unwrap();
    assert_eq!((&*native.protocol, &*native.code, &native.bytes), ("oci", "LimitExceeded", &body));
}

#[test]
fn a_failure_without_errors_says_so() {
    let (found, body) = seen("Failed");
    let ended = outcome(&found, &[], &body).0;
    let text = "the work request ended as Failed and does not say why";
    assert_eq!((failure(&ended).code, &*failure(&ended).message), (Code::Unknown, text));
}

#[test]
fn every_end_has_its_outcome() {
    let (found, body) = seen("COMPLETED");
    let result = Some(Payload::json(body.clone()));
    assert_eq!(outcome(&found, &[], &body).0, Outcome::Succeeded(result));
    let (found, body) = seen("PARTIALLY_SUCCEEDED");
    let ended = outcome(&found, &[error(1, "X", "half")], &body).0;
    assert_eq!(failure(&ended).reason.as_deref(), Some("partial"));
    let (found, body) = seen("CANCELLED");
    assert_eq!(outcome(&found, &[], &body).0, Outcome::Canceled(None));
    let Outcome::Canceled(Some(failure)) = outcome(&found, &[error(1, "X", "why")], &body).0 else {
        panic!()
    };
    assert_eq!((failure.code, &*failure.message), (Code::Cancelled, "why"));
}
