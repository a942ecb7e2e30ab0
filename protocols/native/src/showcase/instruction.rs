//! What a start tells the showcase to do.

use std::time::Duration;

use opgate_bus::core::{
    Code, Error, ErrorKind, Failure, Header, Kind, OperationId, Outcome, Payload,
};
use serde_json::{Map, Value};

use super::ending::{failure, refusal};
use super::fields::Fields;
use super::template::{self, Source};

/// The service whose operations take their instruction from the input.
pub(super) const SERVICE: &str = "showcase";
/// The header (gRPC: metadata) whose JSON object overrides fields of the instruction.
pub(super) const HEADER: &str = "opgate-showcase";
/// Longest play.
pub(super) const DURATION: Duration = Duration::from_hours(24);
/// Most steps of one play.
const STEPS: u32 = 10_000;
/// Largest input that is read as JSON, in bytes; as a tree it takes many times as much memory.
const READ_BYTES: usize = 1024 * 1024;

/// An instruction, read and checked.
#[derive(Debug)]
pub(super) enum Instruction {
    /// The input is the result.
    Echo,
    /// The result is what the gateway saw of the request.
    Inspect,
    /// End at once.
    End(Outcome),
    /// Refuse the start.
    Refuse(Error),
    /// Run for a while.
    Play(Play),
}

/// A run.
#[derive(Debug)]
pub(super) struct Play {
    /// How long it takes.
    pub(super) duration: Duration,
    /// How many times it reports, evenly over the duration.
    pub(super) steps: u32,
    /// Whether it then stays running until somebody ends it.
    pub(super) hold: bool,
    /// Whether it stops when asked to.
    pub(super) honor_cancel: bool,
    /// How it ends by itself.
    pub(super) outcome: Outcome,
}

/// Where an instruction is read from: the same for a start that is looked at and for the operation
/// it became.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    pub(super) kind: &'a Kind,
    pub(super) input: &'a Payload,
    pub(super) headers: &'a [Header],
    /// The route's own instruction, a JSON object; empty when it has none.
    pub(super) default: &'a str,
    pub(super) id: OperationId,
}

impl Instruction {
    /// Reads and checks an instruction.
    pub(super) fn read(sources: &Sources<'_>) -> Result<Self, Error> {
        if sources.kind.service() != SERVICE {
            let fields =
                overridden(object("instruction", sources.default.as_bytes())?, sources.headers)?;
            return run(fields, |template| {
                let input = template::reads_input(template).then(|| json(sources.input));
                expand(template, input.transpose()?.as_ref(), sources.id)
            });
        }
        let operation = sources.kind.operation().to_ascii_lowercase();
        match operation.as_str() {
            "echo" => return Ok(Self::Echo),
            "inspect" => return Ok(Self::Inspect),
            _ => {}
        }
        let input = json(sources.input)?;
        let Value::Object(fields) = &input else {
            return Err(Error::invalid("input", "is not a JSON object"));
        };
        let fields = overridden(fields.clone(), sources.headers)?;
        match operation.as_str() {
            "run" => run(fields, |template| expand(template, Some(&input), sources.id)),
            "sleep" => sleep(fields),
            "fail" => fail(fields).map(|failure| Self::End(Outcome::Failed(failure))),
            "cancel" => cancel(fields).map(|failure| Self::End(Outcome::Canceled(Some(failure)))),
            "error" => refusal(fields, "").map(Self::Refuse),
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "the showcase has no operation `{operation}`: it has echo, run, sleep, fail, \
                     cancel, error and inspect"
                ),
            )),
        }
    }
}

/// The input as JSON; no content is an empty object.
fn json(input: &Payload) -> Result<Value, Error> {
    if input.bytes.len() > READ_BYTES {
        let message = format!("the showcase reads at most {READ_BYTES} bytes of JSON");
        return Err(Error::new(ErrorKind::PayloadTooLarge, message));
    }
    if input.bytes.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    if !input.is_json() {
        let problem = format!("is `{}`, the showcase reads `{}`", input.essence(), Payload::JSON);
        return Err(Error::invalid("input", problem));
    }
    serde_json::from_slice(&input.bytes)
        .map_err(|error| Error::invalid("input", format!("is not JSON: {error}")))
}

/// A JSON object; nothing is an empty one.
fn object(what: &'static str, text: &[u8]) -> Result<Map<String, Value>, Error> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(text)
        .map_err(|error| Error::invalid(what, format!("is not a JSON object: {error}")))
}

/// The fields with those of the header in their place.
fn overridden(
    mut fields: Map<String, Value>,
    headers: &[Header],
) -> Result<Map<String, Value>, Error> {
    for header in headers.iter().filter(|header| header.name.eq_ignore_ascii_case(HEADER)) {
        fields.extend(object(HEADER, &header.value)?);
    }
    Ok(fields)
}

fn expand(template: &Value, input: Option<&Value>, id: OperationId) -> Result<Payload, Error> {
    let result = template::expand(template, &Source { input, id })?;
    Ok(Payload::json(result.to_string()))
}

fn run(
    fields: Map<String, Value>,
    expand: impl FnOnce(&Value) -> Result<Payload, Error>,
) -> Result<Instruction, Error> {
    let allowed = [
        "duration",
        "steps",
        "hold",
        "honor_cancel",
        "outcome",
        "result",
        "code",
        "message",
        "details",
        "refuse",
    ];
    let mut fields = Fields::of(fields, "", &allowed)?;
    if let Some(refuse) = fields.take("refuse") {
        let Value::Object(refuse) = refuse else {
            return Err(fields.wrong("refuse", "is not a JSON object"));
        };
        return refusal(refuse, "refuse").map(Instruction::Refuse);
    }
    let result = fields.take("result").map(|template| expand(&template)).transpose()?;
    let outcome = fields.text("outcome")?;
    let outcome = match outcome.as_deref().unwrap_or("succeeded") {
        "succeeded" => Outcome::Succeeded(result),
        "failed" => Outcome::Failed(failure(&mut fields, Code::Unknown)?),
        "canceled" => Outcome::Canceled(Some(failure(&mut fields, Code::Cancelled)?)),
        _ => return Err(fields.wrong("outcome", "is not one of succeeded, failed, canceled")),
    };
    Ok(Instruction::Play(Play {
        duration: fields.duration("duration", DURATION)?.unwrap_or_default(),
        steps: fields.count("steps", STEPS)?,
        hold: fields.flag("hold", false)?,
        honor_cancel: fields.flag("honor_cancel", true)?,
        outcome,
    }))
}

fn sleep(fields: Map<String, Value>) -> Result<Instruction, Error> {
    let mut fields = Fields::of(fields, "", &["duration"])?;
    Ok(Instruction::Play(Play {
        duration: fields.duration("duration", DURATION)?.unwrap_or_default(),
        steps: 0,
        hold: false,
        honor_cancel: true,
        outcome: Outcome::Succeeded(None),
    }))
}

fn fail(fields: Map<String, Value>) -> Result<Failure, Error> {
    failure(&mut Fields::of(fields, "", &["code", "message", "details"])?, Code::Unknown)
}

fn cancel(fields: Map<String, Value>) -> Result<Failure, Error> {
    failure(&mut Fields::of(fields, "", &["message", "details"])?, Code::Cancelled)
}

/// Whether a route's own instruction is one.
pub(super) fn check(instruction: &str) -> Result<(), Error> {
    let fields = object("instruction", instruction.as_bytes())?;
    run(fields, |template| expand(template, None, OperationId::from_bits(0))).map(|_| ())
}

#[cfg(test)]
mod tests {
    use opgate_bus::core::Retry;
    use serde_json::json;

    use super::*;

    fn read(operation: &str, input: &Value) -> Result<Instruction, Error> {
        with_header(operation, input, None)
    }

    fn with_header(
        operation: &str,
        input: &Value,
        header: Option<&str>,
    ) -> Result<Instruction, Error> {
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
            }),
        ));
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
        let input = Payload::json(
            r#"{"parent": "p", "workflowId": "w", "workflow": {"description": "d"}}"#,
        );
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
}
