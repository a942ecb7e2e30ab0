//! How far a cancel is, at each of its steps: on every face that has a place for it.

use serde_amqp::Value as Amqp;

use super::amqp::{Agent, http_get};
use super::*;
use crate::upstream::Upstream;

/// A step, and how its upstream brings it about.
struct Step {
    delivery: &'static str,
    /// Settings of the backend.
    keys: &'static str,
    attempts: u32,
    /// A part of why it went no further.
    problem: &'static str,
    /// A part of the line that OCI's log has of it.
    line: &'static str,
}

const STEPS: [Step; 6] = [
    Step {
        delivery: "requested",
        keys: "",
        attempts: 0,
        problem: "",
        line: "cancel requested by anonymous: late",
    },
    Step {
        delivery: "queued",
        keys: "breaker = 1\nbreaker_pause = \"1h\"\nbreaker_longest = \"1h\"",
        attempts: 0,
        problem: "",
        line: "cancel waits to be sent",
    },
    Step { delivery: "sent", keys: "", attempts: 1, problem: "", line: "cancel sent, attempt 1" },
    Step { delivery: "acked", keys: "", attempts: 1, problem: "", line: "cancel acknowledged" },
    Step {
        delivery: "refused",
        keys: "",
        attempts: 1,
        problem: "never ever",
        line: "the upstream does not cancel it",
    },
    Step {
        delivery: "gave_up",
        keys: "breaker = 0\nretry_attempts = 1",
        attempts: 1,
        problem: "1 attempts",
        line: "the upstream was not told of the cancel",
    },
];

impl Step {
    /// The name of its backend and its route.
    fn name(&self) -> String {
        self.delivery.replace('_', "-")
    }
}

fn config(step: &Step, upstream: SocketAddr) -> String {
    let (name, keys, method) = (step.name(), step.keys, step.delivery);
    format!(
        r#"
[backends.{name}]
kind = "oci"
concurrency = 10
endpoint = "http://{upstream}"
signing = "none"
timeout = "5m"
poll_first = "50s"
poll_longest = "50s"
{keys}
[routes.{name}]
service = "things"
operation = "{name}"
backend = "{name}"
[routes.{name}.grpc]
method = "things.v1.Things/{method}"
request_type = "google.protobuf.Struct"
metadata_type = "google.protobuf.Struct"
[routes.{name}.oci]
request = "POST /{name}"
dialect = "identity"
work_requests = "/workRequests"
cancel = true
"#
    )
}

/// Starts an operation, has it canceled, and brings the cancel to its step. What is returned is what the upstream has
/// not answered.
fn bring(
    daemon: &Daemon,
    step: &Step,
    upstream: &Upstream,
) -> (String, Vec<crate::upstream::Call>) {
    let (delivery, name) = (step.delivery, step.name());
    let body = json!({"route": name, "input": {"json": {}}}).to_string();
    let reply = raw(daemon.http, "POST", "/opgate/v1/operations", &[JSON], body.as_bytes());
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    let cancel = || {
        let path = format!("/opgate/v1/operations/{id}:cancel");
        let reply = raw(daemon.http, "POST", &path, &[JSON], br#"{"reason": "late"}"#);
        assert_eq!(reply.status, 200, "{}", reply.head);
    };
    let mut held = Vec::new();
    let start = upstream.expect(&format!("POST /{name}"));
    if delivery == "requested" {
        // Nobody knows yet what is to be canceled there.
        cancel();
        held.push(start);
    } else {
        start.answer("202 Accepted", "opc-work-request-id: w\r\n", "");
        let look = upstream.expect("GET /workRequests/w");
        if delivery == "queued" {
            look.answer("503 Service Unavailable", "", "");
            daemon.await_metric("opgate_backend_breaker{backend=\"queued\"} 2");
            cancel();
        } else {
            look.show(&json!({"status": "IN_PROGRESS"}));
            cancel();
            let call = upstream.expect("DELETE /workRequests/w");
            let refusal = r#"{"code": "IncorrectState", "message": "never ever"}"#;
            match delivery {
                "acked" => call.answer("202 Accepted", "", ""),
                "refused" => call.answer("409 Conflict", "", refusal),
                "gave_up" => call.answer("503 Service Unavailable", "", ""),
                _ => held.push(call),
            }
        }
    }
    let ends = std::time::Instant::now() + PATIENCE;
    while native(daemon, &id)["cancel"]["delivery"] != delivery {
        assert!(std::time::Instant::now() < ends, "{}", native(daemon, &id));
    }
    (id, held)
}

/// A map of AMQP's as an object, as far as is looked at here.
fn object(map: &Amqp) -> Value {
    let Amqp::Map(map) = map else { panic!("no map: {map:?}") };
    let fields = map.iter().map(|(name, value)| {
        let Amqp::String(name) = name else { panic!("{name:?}") };
        let value = if let Amqp::String(text) = value {
            json!(text)
        } else if let Amqp::Uint(number) = value {
            json!(number)
        } else if let Amqp::Long(number) = value {
            json!(number)
        } else if let Amqp::Timestamp(time) = value {
            json!(format!("{time:?}"))
        } else {
            Value::Null
        };
        (name.clone(), value)
    });
    fields.collect()
}

/// What each face that has a place for it shows of a cancel.
async fn shown(daemon: &Daemon, id: &str) -> Vec<(&'static str, Value)> {
    let own = native(daemon, id);
    let name = own["names"]["grpc"].as_str().unwrap();
    let grpc = Client::connect(daemon.http).await.get(name).await.unwrap();
    let read = Agent::connect(daemon, "$management").await.about("READ", id).await;
    let Amqp::Map(over_amqp) = http_get(daemon, &format!("/opgate/v1/operations/{id}")).await
    else {
        panic!("no map")
    };
    let over_amqp = over_amqp.get(&Amqp::from("cancel")).unwrap();
    vec![
        ("native", own["cancel"].clone()),
        ("opgate ops", ops(daemon, &["get", id])["cancel"].clone()),
        ("gRPC", grpc.metadata()["cancel"].clone()),
        ("REST", rest(daemon, name)["metadata"]["value"]["cancel"].clone()),
        ("AMQP", object(&read.field("cancel"))),
        ("HTTP over AMQP", object(over_amqp)),
    ]
}

#[tokio::test]
async fn each_step_is_seen_with_its_time_and_reason_wherever_there_is_a_place_for_it() {
    let upstreams: Vec<Upstream> = STEPS.iter().map(|_| Upstream::start()).collect();
    let configs = STEPS.iter().zip(&upstreams);
    let configs: Vec<String> = configs.map(|(step, up)| config(step, up.address)).collect();
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(&configs.concat()).start();
    for (step, upstream) in STEPS.iter().zip(&upstreams) {
        let (id, _held) = bring(&daemon, step, upstream);
        for (face, cancel) in shown(&daemon, &id).await {
            let text = |key: &str| cancel[key].as_str().unwrap_or_default().to_owned();
            assert_eq!(text("delivery"), step.delivery, "{face}: {cancel}");
            assert_eq!((&*text("by"), &*text("reason")), ("anonymous", "late"), "{face}: {cancel}");
            assert!(text("problem").contains(step.problem), "{face}: {cancel}");
            assert_eq!(text("problem").is_empty(), step.problem.is_empty(), "{face}: {cancel}");
            let attempts = cancel["attempts"].as_f64().unwrap_or_default();
            assert!((attempts - f64::from(step.attempts)).abs() < 0.5, "{face}: {cancel}");
            for time in ["requestTime", "deliveryTime"] {
                assert!(!text(time).is_empty(), "{face} has no {time}: {cancel}");
            }
        }
        let names = native(&daemon, &id)["names"].clone();
        let path = format!("/20160918/workRequests/{}", names["oci"].as_str().unwrap());
        let work_request = raw(daemon.http, "GET", &path, &[], b"").json();
        assert_eq!(work_request["status"], "CANCELING", "{work_request}");
        let logs = work_request["logs"].as_array().unwrap();
        for wanted in ["cancel requested by anonymous: late", step.line, step.problem] {
            let has = |line: &Value| {
                line["message"].as_str().unwrap().contains(wanted) && line["timestamp"].is_string()
            };
            assert!(logs.iter().any(has), "OCI: {wanted:?} is not in {work_request}");
        }
        // Nexus has no place, and says so.
        let token = names["nexus"].as_str().unwrap();
        let path = format!("/nexus/things/{}/{token}", step.name());
        let info = raw(daemon.http, "GET", &path, &[], b"");
        let lost = info.header("opgate-loss").unwrap_or_default();
        assert!(lost.split(", ").any(|token| token == "metadata"), "{}", info.head);
    }
}
