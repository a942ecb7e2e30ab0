use std::collections::BTreeMap;

use fe2o3_amqp_types::messaging::{ApplicationProperties, Batch, Data, Properties};
use fe2o3_amqp_types::primitives::{Binary, SimpleValue, Symbol};
use serde_json::json;

use super::*;
use crate::backend::plan::Plan;
use crate::backend::{COMPLETION, OPERATION};
use crate::wire::came::{self, Values};
use crate::wire::encoded;

fn message(properties: &[(&str, SimpleValue)], body: Body<Value>) -> Message<Body<Value>> {
    let mut told = ApplicationProperties::default();
    for (name, value) in properties {
        told.insert((*name).to_owned(), value.clone());
    }
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: None,
        application_properties: Some(told),
        body,
        footer: None,
    }
}

fn heard(message: Message<Body<Value>>) -> Result<Reply, String> {
    let values = encoded::body(message.body.clone());
    Reply::read(message, Some(values))
}

fn body(body: &Json) -> Body<Value> {
    Body::Value(AmqpValue(json::value(body)))
}

fn reply(status: i32, condition: &str, said: &Json) -> Reply {
    let properties = [
        ("statusCode", SimpleValue::Int(status)),
        ("statusDescription", SimpleValue::String("so it is".to_owned())),
        ("errorCondition", SimpleValue::Symbol(Symbol::from(condition))),
    ];
    heard(message(&properties, body(said))).unwrap()
}

fn options() -> BTreeMap<String, String> {
    [(OPERATION, "CREATE"), (COMPLETION, "poll")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// What becomes of a start that is not to be polled.
fn ended(reply: Reply) -> Outcome {
    match started(reply, None, false).unwrap() {
        Started::Ended(outcome) => outcome,
        other @ (Started::Unnamed(_) | Started::Running(..)) => panic!("{other:?}"),
    }
}

#[test]
fn a_status_is_read_in_either_spelling_and_any_type() {
    let text = |text: &str| SimpleValue::String(text.to_owned());
    for (name, value) in [
        ("statusCode", SimpleValue::Int(404)),
        ("status-code", SimpleValue::Int(404)),
        ("statusCode", SimpleValue::Uint(404)),
        ("status-code", SimpleValue::Long(404)),
        ("statusCode", SimpleValue::Ushort(404)),
        ("status-code", text("404")),
    ] {
        for (described, condition) in
            [("statusDescription", "errorCondition"), ("status-description", "error-condition")]
        {
            let properties = [
                (name, value.clone()),
                (described, text("no such")),
                (condition, SimpleValue::Symbol(Symbol::from("amqp:not-found"))),
            ];
            let read = heard(message(&properties, Body::Empty)).unwrap();
            assert_eq!(read.text(), "404 amqp:not-found no such");
        }
    }
    for properties in [
        vec![],
        vec![("statusCode", text("fine"))],
        vec![("statusCode", SimpleValue::Null)],
        vec![("statusCode", SimpleValue::Ulong(u64::MAX))],
    ] {
        assert!(heard(message(&properties, Body::Empty)).is_err(), "{properties:?}");
    }
}

#[test]
fn every_status_of_a_start_has_its_meaning() {
    // Whether it ends as failed, or is worth a repeat; and the same where it may be done twice.
    for (status, once, twice) in [
        (400, Ok(Code::InvalidArgument), Ok(Code::InvalidArgument)),
        (401, Ok(Code::Unauthenticated), Ok(Code::Unauthenticated)),
        (403, Ok(Code::PermissionDenied), Ok(Code::PermissionDenied)),
        (404, Ok(Code::NotFound), Ok(Code::NotFound)),
        (408, Ok(Code::DeadlineExceeded), Err(Retry::Unknown)),
        (409, Ok(Code::AlreadyExists), Ok(Code::AlreadyExists)),
        (412, Ok(Code::FailedPrecondition), Ok(Code::FailedPrecondition)),
        (429, Err(Retry::SameRequest), Err(Retry::SameRequest)),
        (500, Ok(Code::Internal), Err(Retry::Unknown)),
        (501, Ok(Code::Unimplemented), Ok(Code::Unimplemented)),
        (502, Ok(Code::Unavailable), Err(Retry::Unknown)),
        (503, Err(Retry::SameRequest), Err(Retry::SameRequest)),
        (504, Ok(Code::DeadlineExceeded), Err(Retry::Unknown)),
        (302, Ok(Code::Unknown), Ok(Code::Unknown)),
        (-1, Ok(Code::Unknown), Ok(Code::Unknown)),
    ] {
        for (idempotent, expected) in [(false, once), (true, twice)] {
            let made = started(reply(status, "", &json!({})), None, idempotent);
            let made = made.map_err(|error| error.retry).map(|started| match started {
                Started::Ended(Outcome::Failed(failure)) => failure.code,
                other @ (Started::Ended(_) | Started::Unnamed(_) | Started::Running(..)) => {
                    panic!("{status}: {other:?}")
                }
            });
            assert_eq!(made, expected, "{status} {idempotent}");
        }
    }
}

#[test]
fn a_failure_keeps_what_the_node_said() {
    let said = json!({"detail": [1, 2]});
    let Outcome::Failed(failure) = ended(reply(400, "com.example:odd", &said)) else { panic!() };
    assert_eq!(
        (&*failure.message, failure.reason.as_deref()),
        ("so it is", Some("com.example:odd"))
    );
    let native = failure.native.unwrap();
    assert_eq!(
        (&*native.protocol, &*native.code, native.http),
        ("amqp", "com.example:odd", Some(400))
    );
    assert_eq!(native.bytes, said.to_string());
}

#[test]
fn the_body_of_a_success_is_the_result() {
    let text = |body| match ended(Reply { body, ..reply(200, "", &json!(null)) }) {
        Outcome::Succeeded(payload) => payload.map(|payload| {
            (payload.media_type.to_string(), String::from_utf8(payload.bytes.to_vec()).unwrap())
        }),
        other @ (Outcome::Failed(_) | Outcome::Canceled(_)) => panic!("{other:?}"),
    };
    let made = |kind: &str, text: &str| Some((kind.to_owned(), text.to_owned()));
    assert_eq!(text(Body::Empty), None);
    assert_eq!(text(body(&json!(null))), None);
    assert_eq!(text(body(&json!({}))), None);
    assert_eq!(text(body(&json!({"a": 1}))), made("application/json", r#"{"a":1}"#));
    assert_eq!(text(body(&json!("x"))), made("application/json", r#""x""#));
    let sections = ["ab", "c"].map(|part| Data(Binary::from(part.as_bytes().to_vec())));
    let data = || Body::Data(Batch::new(sections.to_vec()));
    assert_eq!(text(data()), made("", "abc"));
    let mut whole = message(&[("statusCode", SimpleValue::Int(200))], data());
    whole.properties = Some(Properties {
        content_type: Some(Symbol::from("text/plain")),
        ..Properties::default()
    });
    let Outcome::Succeeded(Some(payload)) = ended(heard(whole).unwrap()) else { panic!() };
    assert_eq!((&*payload.media_type, &*payload.sections), ("text/plain", &[2, 1][..]));
}

#[test]
fn what_is_begun_is_looked_at_under_its_identity() {
    let options = options();
    let poll = Plan::of(&options).unwrap().poll.unwrap();
    for (status, said, expected) in [
        (202, json!({"identity": "i", "state": "ACCEPTED"}), Some(("i", Some("ACCEPTED")))),
        (201, json!({"identity": 7}), Some(("7", None))),
        (202, json!({"identity": ""}), None),
        (202, json!({}), None),
    ] {
        let made = started(reply(status, "", &said), Some(&poll), false).unwrap();
        match expected {
            Some((identity, state)) => {
                let state = state.map(str::to_owned);
                assert_eq!(made, Started::Running(identity.to_owned(), state));
            }
            None => assert!(matches!(made, Started::Unnamed(Outcome::Succeeded(_))), "{made:?}"),
        }
    }
    let long = json!({"identity": "x".repeat(limits::NATIVE_REF_BYTES + 1)});
    let made = started(reply(202, "", &long), Some(&poll), false).unwrap();
    assert!(matches!(made, Started::Ended(Outcome::Failed(_))), "{made:?}");
    // A route that polls nothing is told that nothing is waited for.
    let made = started(reply(202, "", &json!({"identity": "i"})), None, false).unwrap();
    assert!(matches!(made, Started::Unnamed(_)), "{made:?}");
}

#[test]
fn a_look_tells_how_far_it_is_and_how_it_ended() {
    let options = options();
    let poll = Plan::of(&options).unwrap().poll.unwrap();
    let seen = |said: &Json| match looked(reply(200, "", said), &poll).unwrap() {
        Looked::Seen(seen) => *seen,
        Looked::Blind(failure) => panic!("{failure:?}"),
    };
    let running = seen(&json!({"state": "RUNNING", "progress": {"percent": 25, "message": "m"}}));
    assert_eq!((running.percent, running.message.as_deref()), (Some(25.0), Some("m")));
    assert_eq!(running.outcome(&poll), None);
    let listed = seen(&json!({
        "state": "RUNNING",
        "log": [
            {"time": {"$timestamp": 1500}, "error": true, "code": "C", "message": "a"},
            {"time": "1970-01-01T00:00:02Z", "message": "b"}, "c", {}, 1, "",
        ],
        "resources": [
            {"entityType": "t", "action": "CREATED", "identifier": "i", "uri": null},
            {"entityType": "", "identifier": "i"}, {"entityType": "t"}, 1,
        ],
    }));
    let lines = listed.lines.iter().map(|line| {
        let at = line.at.map(opgate_core::Timestamp::millis);
        (at, line.error, &*line.code, &*line.message)
    });
    let told = [(Some(1500), true, "C", "a"), (Some(2000), false, "", "b"), (None, false, "", "c")];
    assert_eq!(lines.collect::<Vec<_>>(), told);
    let works_on: Vec<_> = listed
        .resources
        .iter()
        .map(|it| (&*it.entity_type, &*it.action, &*it.identifier))
        .collect();
    assert_eq!(works_on, [("t", "CREATED", "i")]);
    let result = seen(&json!({"state": "SUCCEEDED", "result": {"a": 1}})).outcome(&poll);
    assert_eq!(result, Some(Outcome::Succeeded(Some(Payload::json(r#"{"a":1}"#)))));
    let none = seen(&json!({"state": "SUCCEEDED"})).outcome(&poll);
    assert_eq!(none, Some(Outcome::Succeeded(None)));
    let canceled = seen(&json!({"state": "CANCELED"})).outcome(&poll);
    assert_eq!(canceled, Some(Outcome::Canceled(None)));
    for (error, code, text, reason) in [
        (
            json!({"code": "NOT_FOUND", "message": "m", "reason": "r"}),
            Code::NotFound,
            "m",
            Some("r"),
        ),
        (json!({"code": 9, "description": "d"}), Code::FailedPrecondition, "d", None),
        (
            json!({"condition": "amqp:x"}),
            Code::Unknown,
            r#"{"condition":"amqp:x"}"#,
            Some("amqp:x"),
        ),
        (json!("text"), Code::Unknown, "text", None),
        (json!(null), Code::Unknown, "it ended as FAILED and does not say why", None),
    ] {
        let ended = seen(&json!({"state": "FAILED", "error": error})).outcome(&poll);
        let Some(Outcome::Failed(failure)) = ended else { panic!("{error}: {ended:?}") };
        assert_eq!((failure.code, &*failure.message), (code, text));
        assert_eq!(failure.reason.as_deref(), reason);
    }
}

#[test]
fn what_is_not_seen_is_no_end_and_trouble_teaches_nothing() {
    let options = options();
    let poll = Plan::of(&options).unwrap().poll.unwrap();
    for (status, said) in [(404, json!({})), (410, json!({})), (200, json!({"status": "x"}))] {
        let made = looked(reply(status, "", &said), &poll).unwrap();
        assert!(matches!(made, Looked::Blind(_)), "{status}: {made:?}");
    }
    for status in [400, 401, 403, 429, 500, 503] {
        assert!(looked(reply(status, "", &json!({})), &poll).is_err(), "{status}");
    }
}

#[test]
fn a_cancel_is_taken_refused_or_worth_a_repeat() {
    for (status, expected) in [
        (200, "taken"),
        (202, "taken"),
        (404, "gone"),
        (410, "gone"),
        (409, "refused"),
        (501, "refused"),
        (429, "again"),
        (500, "again"),
        (503, "again"),
    ] {
        let made = match canceled(&reply(status, "", &json!({}))) {
            CancelAttempt::Acknowledged => "taken",
            CancelAttempt::Gone(_) => "gone",
            CancelAttempt::Refused(_) => "refused",
            CancelAttempt::Retry(_) => "again",
        };
        assert_eq!(made, expected, "{status}");
    }
}

#[test]
fn a_rejection_is_a_failure_by_its_condition() {
    use definitions::{AmqpError, Error as Said, ErrorCondition};
    let custom = ErrorCondition::Custom(Symbol::from("com.example:no"));
    for (error, code, text, reason) in [
        (
            Some(Said::new(AmqpError::NotFound, Some("gone".to_owned()), None)),
            Code::NotFound,
            "the node rejected the request: gone",
            Some("amqp:not-found"),
        ),
        (
            Some(Said::new(custom, None, None)),
            Code::FailedPrecondition,
            "the node rejected the request: com.example:no",
            Some("com.example:no"),
        ),
        (
            None,
            Code::FailedPrecondition,
            "the node rejected the request and does not say why",
            None,
        ),
    ] {
        let failure = rejected(error);
        assert_eq!((failure.code, &*failure.message), (code, text));
        assert_eq!((failure.reason.as_deref(), failure.retryable), (reason, Some(false)));
    }
}

#[test]
fn fuzz_whatever_a_node_answers_is_understood_or_not() {
    bolero::check!().for_each(|bytes: &[u8]| {
        use fe2o3_amqp_types::messaging::message::__private::Deserializable;
        // What nests deeper, or says that it is longer than it is, is the fence's business.
        if bytes.len() > 64 {
            return;
        }
        let read = serde_amqp::from_slice::<Deserializable<Message<Values>>>(bytes);
        if let Ok(Deserializable(message)) = read
            && let Ok((message, values)) = came::parted(message)
            && let Ok(reply) = Reply::read(message, values)
        {
            let options = options();
            let poll = Plan::of(&options).unwrap().poll;
            drop(started(reply, poll.as_ref(), false));
        }
    });
}

#[test]
fn the_result_of_a_look_is_what_it_was() {
    let options = options();
    let poll = Plan::of(&options).unwrap().poll.unwrap();
    for (result, lost) in [(Value::Uint(7), true), (Value::Long(7), false)] {
        let fields = [("state", Value::from("SUCCEEDED")), ("result", result.clone())];
        let fields = fields.into_iter().map(|(name, value)| (Value::from(name), value));
        let said = Body::Value(AmqpValue(Value::Map(fields.collect())));
        let reply = heard(message(&[("statusCode", SimpleValue::Int(200))], said)).unwrap();
        let Looked::Seen(seen) = looked(reply, &poll).unwrap() else { panic!() };
        let expected = content::value(&result, None);
        assert_eq!(expected.encoded.is_some(), lost);
        assert_eq!(seen.outcome(&poll), Some(Outcome::Succeeded(Some(expected))));
        assert_eq!(seen.lost, Losses::NONE.with(Loss::ResultValues, lost));
    }
}
