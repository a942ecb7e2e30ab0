//! What a filter means on the canonical operation.

use opgate_core::filter::{Predicate, canonical};
use opgate_core::{Callback, Delivery, DeliveryState, ErrorKind, Operation};

use crate::sample::{accepted, failed, running};

fn matches(operation: &Operation, text: &str) -> bool {
    let filter = canonical(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let passes = filter.passes(operation);
    assert_eq!(filter.early(operation), Some(passes), "no payload plays a part: {text}");
    passes
}

#[test]
fn what_matches_and_what_does_not() {
    let (accepted, running, failed) = (accepted(), running(), failed());
    // For each filter: does it match the accepted, the running, the failed operation?
    for (text, expected) in [
        ("", [true, true, true]),
        ("id = 00000000000000000000000007", [true, true, true]),
        ("id = *7 parent = projects/*", [true, true, true]),
        ("parent = projects", [false, false, false]),
        ("parent : projects", [true, true, true]),
        ("service = workflows operation = create kind = create", [true, true, true]),
        ("route:'-'", [true, true, true]),
        ("backend != showcase", [false, false, false]),
        ("face = grpc", [true, true, true]),
        ("principal = anna", [true, true, true]),
        ("state = RUNNING", [false, true, false]),
        ("state != RUNNING", [true, false, true]),
        ("state:(FAILED OR ACCEPTED)", [true, false, true]),
        ("done = true", [false, false, true]),
        ("done = false", [true, true, false]),
        ("done != true", [true, true, false]),
        ("done:true", [false, false, true]),
        ("done:*", [false, false, true]),
        ("cancel_requested = false canceling = false", [true, true, true]),
        ("create_time = 1970-01-01T00:00:01Z", [true, true, true]),
        ("createTime = '1970-01-01T01:00:01+01:00'", [true, true, true]),
        ("create_time > 1970-01-01T00:00:00.999Z", [true, true, true]),
        ("start_time:*", [false, true, true]),
        ("start_time >= 1970-01-01T00:00:02Z", [false, true, true]),
        ("startTime <= 1970-01-01T00:00:02Z", [false, true, true]),
        ("end_time < 1970-01-01T00:00:10Z", [false, false, true]),
        ("NOT end_time < 1970-01-01T00:00:10Z", [true, true, false]),
        ("update_time = 1970-01-01T00:00:03Z", [false, true, false]),
        ("deadline = 1970-01-01T00:01:40Z", [true, true, true]),
        ("expire_time:*", [false, false, true]),
        // What is not set matches nothing, != neither.
        ("progress.percent != 5", [false, true, true]),
        ("progress.percent = 66.6", [false, true, true]),
        ("progress.percent > 66 progress.percent < 67", [false, true, true]),
        ("progress.percent >= 6.66e1", [false, true, true]),
        ("progress.percent < -1", [false, false, false]),
        ("progress.done = 2 progress.total = 3.0", [false, true, true]),
        ("progress:message", [false, true, true]),
        ("progress:*", [false, true, true]),
        ("progress.message = 'two *'", [false, true, true]),
        ("progress.message = '*of*e'", [false, true, true]),
        ("progress.message = '*off*'", [false, false, false]),
        ("progress.message : 'o of t'", [false, true, true]),
        ("progress.message : 'o*t*e'", [false, true, true]),
        ("progress.message > two progress.message < ty", [false, true, true]),
        ("error:*", [false, false, true]),
        ("-error:*", [true, true, false]),
        ("error.code = NOT_FOUND", [false, false, true]),
        ("error.code = 5", [false, false, true]),
        ("error.code >= 4 error.code < INTERNAL", [false, false, true]),
        ("error.code != CANCELLED", [false, false, true]),
        ("error.message:disk error.reason = disk-missing", [false, false, true]),
        ("error:reason", [false, false, true]),
        ("native_state = CRUNCHING", [false, true, true]),
        ("nativeState != CRUNCHING", [false, false, false]),
        ("native_state:*", [false, true, true]),
        ("waiting:*", [false, false, false]),
        ("epoch = 1", [false, true, true]),
        ("version > 1", [false, true, true]),
        ("crunch", [false, false, false]),
        ("CRUNCH", [false, true, true]),
        ("disk", [false, false, true]),
        ("'of three' workflow", [false, true, true]),
        ("anna", [false, false, false]),
        ("done = true OR state = RUNNING create", [false, true, true]),
        ("create AND (done = true OR state = ACCEPTED)", [true, false, true]),
        ("NOT (done = true OR state = ACCEPTED)", [false, true, false]),
    ] {
        let found = [&accepted, &running, &failed].map(|operation| matches(operation, text));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn callbacks_are_found_by_any_of_them() {
    let mut operation = failed();
    let callback = |url: &str, state, attempts, problem: &str| {
        let mut callback = Callback::new(url, Vec::new());
        callback.delivery =
            Delivery { state, attempts, problem: problem.into(), ..Delivery::default() };
        callback
    };
    assert!(!matches(&operation, "callbacks:*"));
    operation.callbacks = vec![
        callback("http://a/1", DeliveryState::Delivered, 1, ""),
        callback("http://b/2", DeliveryState::Dead, 7, "no such host"),
    ];
    for (text, expected) in [
        ("callbacks:*", true),
        ("callbacks.state = DEAD", true),
        ("callbacks.state = \"DELIVERED\"", true),
        ("callbacks.state = PENDING", false),
        ("callbacks.url = 'http://b*'", true),
        ("callbacks.url = 'http://c*'", false),
        ("callbacks.attempts > 5 AND callbacks.problem:host", true),
        ("callbacks.attempts > 7", false),
        // What callbacks carry is not looked for by accident.
        ("host", false),
    ] {
        assert_eq!(matches(&operation, text), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_column() {
    for (text, expected) in [
        ("a = 1 OR state = DONE", "at column 1: no field `a`; there are id, parent, "),
        ("done = true foo.bar:*", "at column 13: no field `foo.bar`; there are id, "),
        ("error:foo", "at column 7: no field `error.foo`; there are "),
        ("error.code.x = 1", "at column 1: no field `error.code.x`; there are "),
        (
            "state = DONE",
            "at column 9: `state` is one of ACCEPTED, RUNNING, SUCCEEDED, FAILED, CANCELED, not `DONE`",
        ),
        ("state = running", "at column 9: `state` is one of ACCEPTED, "),
        ("state > RUNNING", "at column 9: `state` has no order: it takes =, != and :"),
        ("done = yes", "at column 8: `done` is true or false, not `yes`"),
        ("done < true", "at column 8: `done` has no order: it takes =, != and :"),
        ("epoch = one", "at column 9: `epoch` is a number, not `one`"),
        ("epoch = 1e999", "at column 9: `epoch` is a number, not `1e999`"),
        ("epoch = inf", "at column 9: `epoch` is a number, not `inf`"),
        ("epoch = ''", "at column 9: `epoch` is a number, not ``"),
        (
            "create_time > yesterday",
            "at column 15: `create_time` is a timestamp such as 2026-01-02T03:04:05Z (RFC 3339), not `yesterday`",
        ),
        (
            "error.code = BAD",
            "at column 14: `error.code` is a google.rpc.Code, by name or number, not `BAD`",
        ),
        (
            "error = 5",
            "at column 9: `error` has fields of its own: compare one of these, or ask for `:*`",
        ),
        ("Done = true", "at column 1: no field `Done`"),
        ("createtime:*", "at column 1: no field `createtime`"),
    ] {
        let error = canonical(text).map(|_| ()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgument);
        let description = error.field.unwrap().description;
        assert!(description.starts_with(expected), "{text}: {description}");
        assert!(description.len() < 700, "{}", description.len());
    }
}
