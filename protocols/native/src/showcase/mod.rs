//! The backend for trying clients: it does what the start tells it to.
//!
//! Operations of the service `showcase` take their instruction from the input, a JSON object:
//!
//! | operation | fields | what happens |
//! |---|---|---|
//! | `echo` | any content | done at once; the result is the input, verbatim |
//! | `inspect` | any content | done at once; the result is what the gateway saw of the request |
//! | `run` | see below | runs, reports, ends |
//! | `sleep` | `duration` | runs that long, ends without a result |
//! | `fail` | `code`, `message`, `details` | has failed at once |
//! | `cancel` | `message`, `details` | is canceled at once |
//! | `error` | `kind`, `message`, `retry_after` | the start is refused |
//!
//! `run`, every field optional:
//!
//! | field | value | default |
//! |---|---|---|
//! | `duration` | `"250ms"`, `"2s"`, `"1.5m"`, up to `"24h"` | `"0s"` |
//! | `steps` | progress reports, evenly over the duration, up to 10,000 | 0 |
//! | `hold` | afterwards it stays running until it is canceled or ended by hand | `false` |
//! | `honor_cancel` | whether it stops when asked; if not, the request is recorded as refused | `true` |
//! | `links` | links that it gives out when it begins: `[{"url", "kind"}]` | none |
//! | `outcome` | `succeeded`, `failed`, `canceled` | `succeeded` |
//! | `result` | the result, JSON with placeholders | none |
//! | `code` | of a failure: a name or number of google.rpc.Code | `UNKNOWN` |
//! | `message` | of a failure | a set phrase |
//! | `details` | of a failure: `[{"@type": URL, "value": base64}]` | none |
//! | `refuse` | `{"kind", "message", "retry_after"}`: refuse the start instead | no |
//!
//! Every other kind routed here does what the route's option `instruction` says, an object with the
//! fields of `run`; without one it succeeds at once without a result. In both cases the fields of a
//! JSON object in the kept header `opgate-showcase` override those of the same name.
//!
//! In `result`, a string may hold placeholders: `${/a/b}` is what that JSON pointer finds in the
//! operation's JSON input, `${}` the whole input, `${id}` the operation's id and `${uuid}` the same
//! as a UUID; `$${` is a plain `${`. `{"$merge": [a, b]}` is one object with the fields of all.
//!
//! A wrong instruction refuses the start and names every wrong field, those without effect included,
//! and what is allowed.

mod ending;
mod fields;
mod inspect;
mod instruction;
mod play;
mod schedule;

use std::collections::BTreeMap;
use std::pin::Pin;

use opgate_bus::core::{Code, Error, Failure, Header, Kind, OperationId, Outcome, Payload};
use opgate_bus::{Admission, Backend, Lease, Offer, Route};

use instruction::{Instruction, Sources};

/// The one option a route to the showcase may have.
const INSTRUCTION: &str = "instruction";

/// The showcase: see the table above. It holds nothing: what it does is in the operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Showcase;

/// Whether the options of a route to the showcase are right: what a configuration check asks.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`], naming the option or the field and what is allowed.
pub fn check_options(options: &BTreeMap<String, String>) -> Result<(), Error> {
    if let Some(unknown) = options.keys().find(|name| *name != INSTRUCTION) {
        let problem = format!("is not known; allowed is: {INSTRUCTION}");
        return Err(Error::invalid(unknown.clone(), problem));
    }
    options.get(INSTRUCTION).map_or(Ok(()), |text| instruction::check(text))
}

impl Backend for Showcase {
    fn admit(&self, offer: &Offer<'_>) -> Result<Admission, Error> {
        let start = offer.start;
        // The operation has no id yet; any stands for it, the instruction is only checked.
        let id = OperationId::from_bits(0);
        match read(offer.route, &offer.route.kind, &start.input, &start.headers, id)? {
            Instruction::Echo => {
                let input = Some(&start.input).filter(|input| !input.is_nothing());
                Ok(Admission::Done(Outcome::Succeeded(input.cloned())))
            }
            Instruction::Inspect => {
                let seen = inspect::seen(offer).to_string();
                Ok(Admission::Done(Outcome::Succeeded(Some(Payload::json(seen)))))
            }
            Instruction::End(outcome) => Ok(Admission::Done(outcome)),
            Instruction::Refuse(error) => Err(error),
            Instruction::Play(_) => Ok(Admission::Accept),
        }
    }

    fn run(&self, lease: Lease) -> Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>> {
        Box::pin(async move {
            let operation = lease.operation();
            let instruction = read(
                lease.route(),
                &operation.kind,
                &operation.input,
                &operation.headers,
                operation.id,
            );
            match instruction {
                Ok(Instruction::Play(play)) => play::play(&lease, play).await,
                // Only a configuration changed since the start leads here: repeating cannot help.
                Ok(Instruction::Echo | Instruction::Inspect | Instruction::End(_)) => {
                    Ok(changed("it is done at once"))
                }
                Ok(Instruction::Refuse(error)) | Err(error) => Ok(changed(&error.message)),
            }
        })
    }
}

fn read(
    route: &Route,
    kind: &Kind,
    input: &Payload,
    headers: &[Header],
    id: OperationId,
) -> Result<Instruction, Error> {
    let default = route.options.get(INSTRUCTION).map_or("", String::as_str);
    Instruction::read(&Sources { kind, input, headers, default, id })
}

fn changed(now: &str) -> Outcome {
    let message = format!("the route's instruction was changed after the start; now: {now}");
    Outcome::Failed(Failure::new(Code::FailedPrecondition, message))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opgate_bus::core::{ErrorKind, Expects, Face, Link};
    use opgate_bus::{Caller, Start};

    use super::*;

    fn admit(operation: &str, start: &Start) -> Result<Admission, Error> {
        let route = Route {
            name: "r".into(),
            kind: Kind::new("showcase", operation).unwrap(),
            backend: "showcase".into(),
            retention: Duration::from_secs(1),
            timeout: None,
            options: BTreeMap::new(),
            expects: Expects::default(),
            resources: Vec::new(),
        };
        Showcase.admit(&Offer { caller: &Caller::anonymous(), route: &route, start })
    }

    fn start(input: Payload) -> Start {
        Start::new(Face::Grpc, "/a.B/C", "r", input)
    }

    #[test]
    fn an_echo_is_the_input_byte_for_byte() {
        let mut input = Payload::new("application/x-strange; v=1", vec![0, 255, 10]);
        input.encoding = Some("gzip".into());
        let echoed = admit("echo", &start(input.clone()));
        assert_eq!(echoed.unwrap(), Admission::Done(Outcome::Succeeded(Some(input))));
    }

    #[test]
    fn the_names_of_operations_may_be_written_in_either_case() {
        let input = Payload::json("{}");
        assert!(matches!(admit("Echo", &start(input)), Ok(Admission::Done(_))));
    }

    #[test]
    fn inspect_shows_the_request() {
        let mut start = start(Payload::json("{}"));
        start.headers = vec![
            Header { name: "X-One".into(), value: "1".into() },
            Header { name: "X-One".into(), value: "2".into() },
        ];
        start.links = vec![Link { url: "http://a/b".into(), kind: "t".into() }];
        start.request_id = Some("request".into());
        start.deadline = Some(Duration::from_millis(1500));
        let Ok(Admission::Done(Outcome::Succeeded(Some(seen)))) = admit("inspect", &start) else {
            panic!("not done")
        };
        let seen: serde_json::Value = serde_json::from_slice(&seen.bytes).unwrap();
        for (pointer, value) in [
            ("/face", "grpc"),
            ("/endpoint", "/a.B/C"),
            ("/kind/operation", "inspect"),
            ("/principal", "anonymous"),
            ("/request_id", "request"),
            ("/deadline", "1.5s"),
            ("/headers/0/name", "X-One"),
            ("/headers/1/value", "2"),
            ("/links/0/url", "http://a/b"),
            ("/input/media_type", "application/json"),
        ] {
            assert_eq!(seen.pointer(pointer), Some(&value.into()), "{pointer}");
        }
    }

    #[test]
    fn what_takes_time_is_accepted_and_what_does_not_is_done() {
        let admitted =
            |operation: &str, input: &'static str| admit(operation, &start(Payload::json(input)));
        assert_eq!(admitted("run", "{}").unwrap(), Admission::Accept);
        assert_eq!(admitted("sleep", r#"{"duration": "1s"}"#).unwrap(), Admission::Accept);
        let Ok(Admission::Done(Outcome::Failed(failure))) = admitted("fail", r#"{"code": 8}"#)
        else {
            panic!("not failed")
        };
        assert_eq!(failure.code, Code::ResourceExhausted);
        assert!(matches!(
            admitted("cancel", r#"{"message": "m"}"#),
            Ok(Admission::Done(Outcome::Canceled(Some(_))))
        ));
        let error = admitted("error", r#"{"kind": "NOT_FOUND"}"#).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
    }

    #[test]
    fn the_options_of_a_route_are_checked() {
        let options = |name: &str, value: &str| {
            check_options(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
        };
        assert!(options("instruction", r#"{"steps": 1}"#).is_ok());
        assert!(options("instruction", r#"{"steps": "1"}"#).is_err());
        assert!(options("instructions", "{}").unwrap_err().message.contains("allowed"));
    }
}
