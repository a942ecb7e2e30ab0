//! Reading instructions.

use opgate_bus::core::Retry;
use serde_json::json;

use super::*;

fn read(operation: &str, input: &Value) -> Result<Instruction, Error> {
    with_header(operation, input, None)
}

fn with_header(operation: &str, input: &Value, header: Option<&str>) -> Result<Instruction, Error> {
    let header = header
        .map(|value| Header { name: "Opgate-Showcase".into(), value: value.to_owned().into() });
    Instruction::read(&Sources {
        kind: &Kind::new(SERVICE, operation).unwrap(),
        input: &Payload::json(input.to_string()),
        headers: header.as_slice(),
        default: "",
        id: OperationId::from_bits(1),
    })
}

fn play(instruction: Result<Instruction, Error>) -> Play {
    match instruction {
        Ok(Instruction::Play(play)) => play,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_takes_every_field() {
    let play = play(read(
        "run",
        &json!({
            "duration": "2s", "steps": 4.0, "hold": true, "honor_cancel": false,
            "outcome": "failed", "code": "not_found", "message": "gone",
            "details": [{"@type": "type.googleapis.com/a.B", "value": "AQI="}],
            "links": [{"url": "http://a/b", "kind": "c.D"}],
        }),
    ));
    assert_eq!(play.links, [Link { url: "http://a/b".into(), kind: "c.D".into() }]);
    assert_eq!((play.duration, play.steps), (Duration::from_secs(2), 4));
    assert!(play.hold && !play.honor_cancel);
    let failure = play.outcome.failure().unwrap();
    assert_eq!((failure.code, failure.message.as_str()), (Code::NotFound, "gone"));
    assert_eq!(&*failure.details[0].value, [1, 2]);
}

#[test]
fn nothing_said_is_a_success_at_once_without_a_result() {
    let play = play(read("run", &json!({})));
    assert_eq!((play.duration, play.steps, play.hold), (Duration::ZERO, 0, false));
    assert!(play.honor_cancel);
    assert_eq!(play.outcome, Outcome::Succeeded(None));
}

#[test]
fn a_wrong_field_is_named_with_what_is_allowed() {
    for (operation, input, field, allowed) in [
        ("run", json!({"duratoin": "1s"}), "duratoin", "duration, steps"),
        ("run", json!({"duration": "25h"}), "duration", "24h"),
        ("run", json!({"duration": 2}), "duration", "ms, s, m or h"),
        ("run", json!({"steps": 10_001}), "steps", "0 to 10000"),
        ("run", json!({"steps": -1}), "steps", "0 to 10000"),
        ("run", json!({"steps": 1.5}), "steps", "0 to 10000"),
        ("run", json!({"outcome": "done"}), "outcome", "succeeded, failed, canceled"),
        ("run", json!({"hold": "yes"}), "hold", "true or false"),
        ("run", json!({"result": "${x}"}), "result", "${/json/pointer}"),
        ("run", json!({"refuse": {"kind": "X"}}), "refuse.kind", "NOT_FOUND"),
        ("run", json!({"refuse": {"why": 1}}), "refuse.why", "kind, message, retry_after"),
        ("run", json!([]), "input", "object"),
        ("fail", json!({"code": 17}), "code", "1 to 16"),
        ("fail", json!({"code": 1.5}), "code", "1 to 16"),
        ("fail", json!({"code": "OK"}), "code", "1 to 16"),
        ("fail", json!({"details": [{"@type": "a", "value": "!"}]}), "details", "base64"),
        ("fail", json!({"result": 1}), "result", "code, message, details"),
        ("cancel", json!({"code": 1}), "code", "message, details"),
        ("sleep", json!({"steps": 1}), "steps", "duration"),
        ("error", json!({}), "kind", "INVALID_ARGUMENT"),
        ("error", json!({"kind": "NOT_FOUND", "retry_after": "x"}), "retry_after", "24h"),
    ] {
        let error = read(operation, &input).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgument, "{input}");
        let violation = error.field.unwrap();
        assert_eq!(violation.field, field, "{input}");
        assert!(violation.description.contains(allowed), "{}", violation.description);
    }
}

#[test]
fn a_field_is_checked_where_it_has_no_effect_too() {
    for (operation, input, field) in [
        ("run", json!({"details": 3}), "details"),
        ("run", json!({"message": 3, "outcome": "succeeded"}), "message"),
        ("run", json!({"code": 99}), "code"),
        ("run", json!({"outcome": "failed", "result": "${x}"}), "result"),
        ("run", json!({"refuse": {"kind": "NOT_FOUND"}, "steps": "1"}), "steps"),
        ("run", json!({"refuse": 7}), "refuse"),
    ] {
        let error = read(operation, &input).unwrap_err();
        assert_eq!(error.field.unwrap().field, field, "{input}");
    }
}

#[test]
fn every_wrong_field_is_told_at_once() {
    let error = read(
        "run",
        &json!({
            "steps": -1, "colour": 1, "details": 3, "hold": "no", "outcome": 7,
            "refuse": {"kind": 1, "why": 2}, "result": "${x}", "duration": "1s",
        }),
    )
    .unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
    let told: Vec<&str> =
        error.message.split("; ").filter_map(|told| Some(told.split_once(": is ")?.0)).collect();
    let expected = ["colour", "refuse.why", "refuse.kind", "outcome", "details", "steps", "hold"];
    assert_eq!(told, expected, "{}", error.message);
    assert!(error.message.contains("; result: "), "{}", error.message);
    assert_eq!(error.field.unwrap().field, "colour");
}

#[test]
fn the_text_of_a_refusal_is_bounded() {
    let fields: Map<String, Value> = (0..5000).map(|n| (format!("f{n}"), json!(1))).collect();
    let error = read("run", &Value::Object(fields)).unwrap_err();
    assert!(error.message.ends_with("; and 4984 more"), "{}", error.message);
}

#[test]
fn a_refusal_is_the_named_error() {
    let input = json!({"kind": "UNAVAILABLE", "message": "later", "retry_after": "2s"});
    let Ok(Instruction::Refuse(error)) = read("error", &input) else { panic!("no refusal") };
    assert_eq!((error.kind, &*error.message), (ErrorKind::Unavailable, "later"));
    assert_eq!(error.retry, Retry::After(Duration::from_secs(2)));
}

#[test]
fn an_unknown_operation_is_not_offered() {
    let error = read("fly", &json!({})).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.message.contains("inspect"));
}

#[test]
fn the_header_overrides_single_fields() {
    let input = json!({"duration": "1s", "steps": 3});
    let play = play(with_header("run", &input, Some(r#"{"duration": "5s", "hold": true}"#)));
    assert_eq!((play.duration, play.steps, play.hold), (Duration::from_secs(5), 3, true));
    let error = with_header("run", &input, Some("5s")).unwrap_err();
    assert_eq!(error.field.unwrap().field, HEADER);
}

fn typed(default: &str, input: &Payload, header: &[Header]) -> Result<Instruction, Error> {
    Instruction::read(&Sources {
        kind: &Kind::new("google.cloud.workflows.v1.Workflows", "CreateWorkflow").unwrap(),
        input,
        headers: header,
        default,
        id: OperationId::from_bits(1),
    })
}

#[test]
fn another_kind_does_what_its_route_says() {
    let default = r#"{"duration": "1s", "steps": 2, "result":
        {"$merge": ["${/workflow}", {"name": "${/parent}/workflows/${/workflowId}"}]}}"#;
    let input =
        Payload::json(r#"{"parent": "p", "workflowId": "w", "workflow": {"description": "d"}}"#);
    let play = play(typed(default, &input, &[]));
    assert_eq!(play.steps, 2);
    let Outcome::Succeeded(Some(result)) = play.outcome else { panic!("no result") };
    let result: Value = serde_json::from_slice(&result.bytes).unwrap();
    assert_eq!(result, json!({"description": "d", "name": "p/workflows/w"}));
}

#[test]
fn input_that_is_not_json_only_matters_where_the_result_refers_to_it() {
    let opaque = Payload::protobuf("a.B", vec![8, 1]);
    assert!(typed(r#"{"result": {"id": "${id}"}}"#, &opaque, &[]).is_ok());
    let error = typed(r#"{"result": "${/name}"}"#, &opaque, &[]).unwrap_err();
    assert_eq!(error.field.unwrap().field, "input");
}

#[test]
fn input_too_large_to_read_is_refused_and_echoed_all_the_same() {
    let large = json!("x".repeat(READ_BYTES));
    assert_eq!(read("run", &large).unwrap_err().kind, ErrorKind::PayloadTooLarge);
    assert!(matches!(read("echo", &large), Ok(Instruction::Echo)));
}

#[test]
fn a_routes_instruction_can_be_checked_beforehand() {
    assert!(check(r#"{"duration": "1s", "result": {"a": "${/b}"}}"#).is_ok());
    assert!(check("").is_ok());
    assert_eq!(check("{").unwrap_err().field.unwrap().field, "instruction");
    assert_eq!(check(r#"{"step": 1}"#).unwrap_err().field.unwrap().field, "step");
}
