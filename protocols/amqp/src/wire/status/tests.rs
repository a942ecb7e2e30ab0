use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn every_code_reads_back_from_what_it_is_written_as() {
    let mut seen = BTreeSet::new();
    for expected in Code::ALL {
        let (status, condition) = row(expected);
        assert!(seen.insert((status, condition)), "{expected:?} is written like another");
        assert_eq!(code(status, Some(condition)), expected);
    }
}

#[test]
fn who_is_busy_is_so_without_a_status_code_too() {
    let told = failure(0, "later", Some(BUSY));
    assert_eq!((told.code, told.retryable), (Code::Unavailable, Some(true)));
}

#[test]
fn the_table() {
    let rows = ErrorKind::ALL.map(|of| {
        let (status, condition) = kind(of);
        (of.name(), status, condition, code(status, Some(condition)).name())
    });
    let expected = [
        ("INVALID_ARGUMENT", 400, "amqp:invalid-field", "INVALID_ARGUMENT"),
        ("OUT_OF_RANGE", 400, "com.microsoft:argument-out-of-range", "OUT_OF_RANGE"),
        ("UNAUTHENTICATED", 401, "amqp:unauthorized-access", "UNAUTHENTICATED"),
        ("PERMISSION_DENIED", 403, "amqp:unauthorized-access", "PERMISSION_DENIED"),
        ("NOT_FOUND", 404, "amqp:not-found", "NOT_FOUND"),
        ("ALREADY_EXISTS", 409, "com.microsoft:entity-already-exists", "ALREADY_EXISTS"),
        ("CONFLICT", 409, "amqp:illegal-state", "ABORTED"),
        ("FAILED_PRECONDITION", 412, "amqp:precondition-failed", "FAILED_PRECONDITION"),
        ("TOO_MANY_REQUESTS", 429, "com.microsoft:server-busy", "RESOURCE_EXHAUSTED"),
        ("QUOTA_EXCEEDED", 403, "amqp:resource-limit-exceeded", "RESOURCE_EXHAUSTED"),
        ("PAYLOAD_TOO_LARGE", 413, "amqp:link:message-size-exceeded", "RESOURCE_EXHAUSTED"),
        ("DEADLINE_EXCEEDED", 408, "com.microsoft:timeout", "DEADLINE_EXCEEDED"),
        ("UNAVAILABLE", 503, "com.microsoft:server-busy", "UNAVAILABLE"),
        ("UNSUPPORTED", 501, "amqp:not-implemented", "UNIMPLEMENTED"),
        ("INTERNAL", 500, "amqp:internal-error", "INTERNAL"),
        ("DATA_LOSS", 500, "amqp:decode-error", "DATA_LOSS"),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn a_code_without_a_condition_is_enough() {
    for (status, expected) in [
        (400, Code::InvalidArgument),
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::NotFound),
        (405, Code::Unimplemented),
        (409, Code::AlreadyExists),
        (418, Code::FailedPrecondition),
        (429, Code::ResourceExhausted),
        (500, Code::Internal),
        (503, Code::Unavailable),
        (504, Code::DeadlineExceeded),
        (599, Code::Unknown),
        (0, Code::Unknown),
        (-1, Code::Unknown),
    ] {
        assert_eq!(code(status, None), expected, "{status}");
        assert_eq!(code(status, Some("example:word")), expected, "{status}");
    }
    assert_eq!(code(410, Some("com.microsoft:message-lock-lost")), Code::FailedPrecondition);
    assert_eq!(code(500, Some("com.microsoft:server-busy")), Code::Internal);
}

#[test]
fn a_reply_spells_its_status_both_ways() {
    let properties = Status::of_error(&Error::not_found()).properties();
    for name in ["statusCode", "status-code"] {
        assert_eq!(properties.get(name), Some(&SimpleValue::Int(404)));
    }
    for name in ["statusDescription", "status-description"] {
        assert_eq!(properties.get(name), Some(&SimpleValue::from("no such operation".to_owned())));
    }
    for name in ["errorCondition", "error-condition"] {
        let condition = SimpleValue::Symbol(Symbol::from("amqp:not-found"));
        assert_eq!(properties.get(name), Some(&condition));
    }
    assert_eq!(Status::CREATED.properties().len(), 4);
}

proptest! {
    #[test]
    fn what_a_node_told_is_told_again_as_it_was(
        status in prop_oneof![300..=599_i32, 100..200_i32],
        description in ".{0,20}",
        condition in proptest::option::of("[a-z]{1,4}:[a-z-]{1,12}"),
    ) {
        let told = Status::of_failure(&failure(status, &description, condition.as_deref()));
        prop_assert_eq!(told.code, status);
        prop_assert_eq!(&*told.description, &*description);
        prop_assert_eq!(told.condition.as_deref(), condition.as_deref());
    }

    #[test]
    fn no_failure_is_told_as_a_success(status: i32, condition in proptest::option::of("[a-z:]{0,8}")) {
        let told = Status::of_failure(&failure(status, "", condition.as_deref()));
        prop_assert!(!told.is_success());
    }
}
