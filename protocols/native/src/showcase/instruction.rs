//! What a start tells the showcase to do.

use std::time::Duration;

use opgate_bus::core::{Code, Error, ErrorKind, Header, Kind, Link, OperationId, Outcome, Payload};
use serde_json::{Map, Value};

use super::ending::{REFUSAL, failure, refusal};
use super::fields::Fields;
use opgate_template::{self as template, Source};

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
    /// Links it gives out when it begins.
    pub(super) links: Vec<Link>,
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
            "sleep" => checked(fields, &["duration"], sleep).map(Self::Play),
            "fail" => checked(fields, &["code", "message", "details"], |fields| {
                Self::End(Outcome::Failed(failure(fields, Code::Unknown)))
            }),
            "cancel" => checked(fields, &["message", "details"], |fields| {
                Self::End(Outcome::Canceled(Some(failure(fields, Code::Cancelled))))
            }),
            "error" => checked(fields, &REFUSAL, refusal).map(Self::Refuse),
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
    let result = template::expand(template, &Source { input, id: Some(id) })
        .map_err(|problem| problem.of("result"))?;
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
        "links",
        "outcome",
        "result",
        "code",
        "message",
        "details",
        "refuse",
    ];
    let mut fields = Fields::of(fields, "", &allowed);
    let refusal = fields.within("refuse", &REFUSAL, refusal);
    let result = fields.take("result").map(|template| expand(&template)).transpose();
    // Other problems of the result depend on the operation, and are told on their own.
    if let Err(Error { field: Some(wrong), .. }) = &result {
        fields.wrong(&wrong.field, wrong.description.clone());
    }
    let outcome = fields.text("outcome");
    let outcome = outcome.as_deref().unwrap_or("succeeded");
    let default = if outcome == "canceled" { Code::Cancelled } else { Code::Unknown };
    // Read whatever the outcome: a wrong field is wrong where it has no effect, too.
    let failure = failure(&mut fields, default);
    if !["succeeded", "failed", "canceled"].contains(&outcome) {
        fields.wrong("outcome", "is not one of succeeded, failed, canceled");
    }
    let mut play = Play {
        duration: fields.duration("duration", DURATION).unwrap_or_default(),
        steps: fields.count("steps", STEPS),
        hold: fields.flag("hold", false),
        honor_cancel: fields.flag("honor_cancel", true),
        links: links(&mut fields),
        outcome: match outcome {
            "failed" => Outcome::Failed(failure),
            "canceled" => Outcome::Canceled(Some(failure)),
            _ => Outcome::Succeeded(None),
        },
    };
    fields.finish()?;
    let result = result?;
    if let Outcome::Succeeded(content) = &mut play.outcome {
        *content = result;
    }
    Ok(refusal.map_or(Instruction::Play(play), Instruction::Refuse))
}

fn sleep(fields: &mut Fields) -> Play {
    Play {
        duration: fields.duration("duration", DURATION).unwrap_or_default(),
        steps: 0,
        hold: false,
        honor_cancel: true,
        links: Vec::new(),
        outcome: Outcome::Succeeded(None),
    }
}

fn links(fields: &mut Fields) -> Vec<Link> {
    let Some(links) = fields.take("links") else { return Vec::new() };
    let link = |link: &Value| {
        let text = |name| Some(link.get(name)?.as_str()?.into());
        Some(Link { url: text("url")?, kind: text("kind")? })
    };
    let read = links.as_array().and_then(|links| links.iter().map(link).collect());
    read.unwrap_or_else(|| {
        fields.wrong("links", "is not an array of {\"url\", \"kind\"}");
        Vec::new()
    })
}

/// An instruction that is one object with the `allowed` fields, which `read` takes.
fn checked<T>(
    object: Map<String, Value>,
    allowed: &[&str],
    read: impl FnOnce(&mut Fields) -> T,
) -> Result<T, Error> {
    let mut fields = Fields::of(object, "", allowed);
    let read = read(&mut fields);
    fields.finish()?;
    Ok(read)
}

/// Whether a route's own instruction is one.
pub(super) fn check(instruction: &str) -> Result<(), Error> {
    let fields = object("instruction", instruction.as_bytes())?;
    run(fields, |template| expand(template, None, OperationId::from_bits(0))).map(|_| ())
}

#[cfg(test)]
mod tests;
