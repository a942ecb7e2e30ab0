//! What requests are answered with: refusals, repeats, cancels.

use std::fmt::Write as _;

use opgate_core::ErrorKind;
use serde_amqp::Value as Amqp;
use serde_json::{Value, json};

use super::super::compare;
use super::{PAGE, ROUTES, code, in_state, name, path, started};
use crate::faces::amqp::{Agent, map};
use crate::faces::{JSON, raw};
use crate::grpc::Client;
use crate::process::{Daemon, Launch};

/// Routes that refuse every start, one for each kind of refusal and manner of HTTP.
fn refusals() -> String {
    let mut routes = String::new();
    for kind in ErrorKind::ALL.map(ErrorKind::name) {
        let word = kind.to_ascii_lowercase().replace('_', "-");
        for (route, doors) in [
            (
                word.clone(),
                format!(
                    "[routes.{word}.grpc]\nmethod = \"refuse.v1.Refuse/{kind}\"\nrequest_type = \"google.protobuf.Struct\"\n\
                     input = \"json\"\n[routes.{word}.http]\nrequest = \"POST /v1/refuse/{word}\"\nbody = \"*\"\n\
                     [routes.{word}.amqp]\ntype = \"refuse\"\noperation = \"{kind}\"\n"
                ),
            ),
            (
                format!("{word}-oci"),
                format!(
                    "[routes.{word}-oci.http]\nreply = \"oci\"\nrequest = \"POST /20160918/refuse/{word}\"\n"
                ),
            ),
        ] {
            write!(
                routes,
                "[routes.{route}]\nservice = \"refuse\"\noperation = \"{route}\"\nbackend = \"showcase\"\n{doors}\
                 [routes.{route}.showcase]\nrefuse = {{ kind = \"{kind}\" }}\n"
            )
            .unwrap();
        }
    }
    routes
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_as_the_page_says() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(&refusals()).start();
    let mut agent = Agent::connect(&daemon, "$management").await;
    let client = Client::connect(daemon.http).await;
    let mut table =
        String::from("| refusal | gRPC | REST | OCI | Nexus | AMQP |\n|---|---|---|---|---|---|\n");
    for kind in ErrorKind::ALL.map(ErrorKind::name) {
        let word = kind.to_ascii_lowercase().replace('_', "-");
        let method = format!("/refuse.v1.Refuse/{kind}").leak();
        let grpc = client.start(method, &json!({}), "").await.unwrap_err();
        let call = |path: String| raw(daemon.http, "POST", &path, &[JSON], b"{}");
        let rest = call(format!("/v1/refuse/{word}"));
        let oci = call(format!("/20160918/refuse/{word}"));
        let nexus = call(format!("/nexus/refuse/{word}"));
        let said = agent.ask(kind, "refuse", &[], map([])).await;
        let retry = match nexus.header("nexus-request-retryable") {
            Some("true") => ", to be repeated",
            Some(_) => ", not to be repeated",
            None => "",
        };
        let cells = [
            format!("`{:?}`", grpc.code()),
            format!("{} {}", rest.status, code(&rest.json()["error"]["status"])),
            format!("{} {}", oci.status, code(&oci.json()["code"])),
            format!("{} {}{retry}", nexus.status, code(&nexus.json()["details"]["type"])),
            format!("{} `{}`", said.status, said.condition.as_deref().unwrap_or_default()),
        ];
        writeln!(table, "| {kind} | {} |", cells.join(" | ")).unwrap();
    }
    compare(PAGE, Some("refusals"), &table);
}

/// Starts over one face, under a key, with this input; the operation's name there, or how it was refused.
async fn keyed(daemon: &Daemon, face: &str, input: &str) -> Result<String, String> {
    let body = json!({"n": input}).to_string();
    let call =
        |path: &str, key: &str| raw(daemon.http, "POST", path, &[JSON, key], body.as_bytes());
    match face {
        "gRPC" => {
            let client = Client::connect(daemon.http).await;
            let started = client.start("/see.v1.See/Keyed", &json!({"n": input}), "k").await;
            started
                .map(|operation| operation.name)
                .map_err(|refused| format!("`{:?}`", refused.code()))
        }
        "REST" => {
            let reply = call("/v1/keyed", "idempotency-key: k");
            let shown = reply.json();
            let refused = || format!("{} {}", reply.status, code(&shown["error"]["status"]));
            shown["name"].as_str().map(str::to_owned).ok_or_else(refused)
        }
        "OCI" => {
            let reply = call("/20160918/keyed", "opc-retry-token: k");
            let refused = || format!("{} {}", reply.status, code(&reply.json()["code"]));
            reply.header("opc-work-request-id").map(str::to_owned).ok_or_else(refused)
        }
        "Nexus" => {
            let reply = call("/nexus/see/keyed", "Nexus-Request-Id: k");
            let shown = reply.json();
            let refused = || format!("{} {}", reply.status, code(&shown["details"]["type"]));
            shown["token"].as_str().map(str::to_owned).ok_or_else(refused)
        }
        "AMQP" => {
            let mut agent = Agent::connect(daemon, "$management").await;
            let body = map([("n", input.into())]);
            let said = agent.ask("keyed", "see", &[("idempotency-key", "k".into())], body).await;
            let Amqp::String(name) = said.field("identity") else {
                return Err(format!("{} `{}`", said.status, said.condition.unwrap_or_default()));
            };
            Ok(name)
        }
        _ => {
            let body = json!({"route": "keyed", "requestId": "k", "input": {"json": {"n": input}}});
            let body = body.to_string();
            let reply = raw(daemon.http, "POST", "/opgate/v1/operations", &[JSON], body.as_bytes());
            let shown = reply.json();
            let refused = || format!("{} {}", reply.status, code(&shown["error"]["status"]));
            shown["id"].as_str().map(str::to_owned).ok_or_else(refused)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_are_known_as_the_page_says() {
    let mut table = String::from("| | the key | another request with it |\n|---|---|---|\n");
    for (face, carrier) in [
        ("gRPC", "the request's field `request_id`, or the metadata `idempotency-key`"),
        ("REST", "the request's field `requestId`, or the header `idempotency-key`"),
        ("OCI", "the header `opc-retry-token`"),
        ("Nexus", "the header `Nexus-Request-Id`"),
        ("AMQP", "the application property `idempotency-key`"),
        ("opgate's own API", "`requestId`"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let daemon = Launch::new(dir.path()).config(ROUTES).start();
        let first = keyed(&daemon, face, "1").await.unwrap();
        assert_eq!(keyed(&daemon, face, "1").await.as_ref(), Ok(&first), "{face}");
        let refused = keyed(&daemon, face, "2").await.unwrap_err();
        writeln!(table, "| {face} | {carrier} | {refused} |").unwrap();
    }
    compare(PAGE, Some("repeats"), &table);
}

/// What is answered to who asks for the end of an operation.
async fn cancels(daemon: &Daemon, agent: &mut Agent, operation: &Value) -> Vec<String> {
    let client = Client::connect(daemon.http).await;
    let grpc = client.cancel(name(operation, "grpc")).await;
    let call = |method: &str, path: &str, headers: &[&str], body: &[u8]| {
        raw(daemon.http, method, path, headers, body)
    };
    let rest = call("POST", &format!("/v1/{}:cancel", name(operation, "grpc")), &[JSON], b"{}");
    let work_request = format!("/20220315/workRequests/{}", name(operation, "oci"));
    let oci = call("DELETE", &work_request, &[], b"");
    let token = format!("Nexus-Operation-Token: {}", name(operation, "nexus"));
    let nexus = call("POST", "/nexus/showcase/run/cancel", &[&token], b"");
    let amqp = agent.about("CANCEL", name(operation, "amqp")).await;
    let own = call("POST", &format!("{}:cancel", path(operation)), &[JSON], b"{}");
    let with = |status: u16, code: Option<String>| {
        code.map_or(status.to_string(), |code| format!("{status} `{code}`"))
    };
    let oci_code = (oci.status >= 400).then(|| oci.json()["code"].as_str().unwrap().to_owned());
    vec![
        grpc.map_or_else(|refused| format!("`{:?}`", refused.code()), |()| "`Ok`".to_owned()),
        rest.status.to_string(),
        with(oci.status, oci_code),
        nexus.status.to_string(),
        with(amqp.status.try_into().unwrap(), amqp.condition),
        own.status.to_string(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn cancels_are_answered_as_the_page_says() {
    let dir = tempfile::tempdir().unwrap();
    let newer = "[oci.services.newer]\npath = \"/20220315\"\ndialect = \"modern\"\n";
    let daemon = Launch::new(dir.path()).config(newer).start();
    let mut agent = Agent::connect(&daemon, "$management").await;
    let run = |instruction: Value| started(&daemon, "showcase-run", &instruction);
    let held = run(json!({"hold": true, "honor_cancel": false}));
    let ended = run(json!({}));
    let mut table = String::from(
        "| cancel of | gRPC | REST | OCI, newer services | Nexus | AMQP | opgate's own API |\n|---|---|---|---|---|---|---|\n",
    );
    for (what, operation) in [
        ("one that runs, the first or a later", in_state(&daemon, &held, "RUNNING")),
        ("one that has ended", in_state(&daemon, &ended, "SUCCEEDED")),
    ] {
        let first = cancels(&daemon, &mut agent, &operation).await;
        assert_eq!(cancels(&daemon, &mut agent, &operation).await, first, "{what}");
        writeln!(table, "| {what} | {} |", first.join(" | ")).unwrap();
    }
    compare(PAGE, Some("cancels"), &table);
}
