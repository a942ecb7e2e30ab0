//! How an operation ended: results and failures.

use std::fmt::Write as _;

use opgate_core::Code;
use serde_amqp::Value as Amqp;
use serde_json::json;

use super::super::compare;
use super::{PAGE, ROUTES, code, name, nexus, oci, once, path, post, rest, started};
use crate::faces::amqp::{Agent, map};
use crate::faces::raw;
use crate::process::Launch;

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_shown_as_the_page_says() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(ROUTES).start();
    let mut agent = Agent::connect(&daemon, "$management").await;
    let mut table = String::from(
        "| code | gRPC, REST: `error.code` | OCI: status, `errors[0].code` | Nexus: result, state, `cause` | AMQP, a door that waits |\n\
         |---|---|---|---|---|\n",
    );
    for failure in Code::ALL {
        let told = json!({"outcome": "failed", "code": failure.name(), "message": "m"});
        let operation = started(&daemon, "showcase-run", &told);
        let operation = once(&daemon, &operation, |shown| shown["done"] == true);
        let work_request = oci(&daemon, &operation).json();
        let errors = format!("/20160918/workRequests/{}/errors", name(&operation, "oci"));
        let errors = raw(daemon.http, "GET", &errors, &[], b"").json();
        let [_, result] = nexus(&daemon, &operation);
        let cause = result.json()["cause"].clone();
        let said = agent
            .ask("fail", "org.opgate.showcase", &[], map([("code", failure.name().into())]))
            .await;
        let cells = [
            rest(&daemon, &operation).json()["error"]["code"].to_string(),
            format!("{}, {}", code(&work_request["status"]), code(&errors[0]["code"])),
            format!(
                "{}, `{}`, {}",
                result.status,
                result.header("nexus-operation-state").unwrap(),
                code(&cause["details"]["code"])
            ),
            format!("{} `{}`", said.status, said.condition.as_deref().unwrap_or_default()),
        ];
        writeln!(table, "| {} | {} |", failure.name(), cells.join(" | ")).unwrap();
    }
    compare(PAGE, Some("failures"), &table);
}

/// What kind of AMQP value a result is.
fn kind(value: &Amqp) -> &'static str {
    if let Amqp::Map(_) = value {
        "map"
    } else if let Amqp::Binary(_) = value {
        "binary"
    } else if let Amqp::String(_) = value {
        "string"
    } else if let Amqp::Null = value {
        "null"
    } else {
        panic!("{value:?}")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_shown_as_the_page_says() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(ROUTES).start();
    let mut agent = Agent::connect(&daemon, "$management").await;
    let mut table = String::from(
        "| result | gRPC, REST: `response` | Nexus: content type | AMQP, `READ` | opgate's own API as JSON |\n\
         |---|---|---|---|---|\n",
    );
    let duration = r#"application/x-protobuf; message-type="google.protobuf.Duration""#;
    for (what, route, payload) in [
        ("JSON, declared as a message", "typed", json!({"json": {"a": 1}})),
        ("JSON", "plain", json!({"json": {"a": 1}})),
        ("text", "plain", json!({"text": "so"})),
        ("bytes with a media type", "plain", json!({"mediaType": "image/png", "data": "AAE="})),
        ("a protobuf message", "plain", json!({"mediaType": duration, "data": "CAE="})),
        ("nothing", "plain", json!({})),
    ] {
        let operation = started(&daemon, route, &json!({}));
        let outcome = json!({"outcome": {"succeeded": payload}});
        let ended = post(&daemon, &format!("{}:complete", path(&operation)), &outcome);
        let response = rest(&daemon, &ended).json()["response"].clone();
        let [_, result] = nexus(&daemon, &ended);
        assert_eq!(result.status, 200);
        let said = agent.about("READ", name(&ended, "amqp")).await;
        let shown = &ended["result"];
        let own = ["json", "text", "data"].into_iter().find(|field| shown.get(field).is_some());
        let cells = [
            response["@type"]
                .as_str()
                .map_or("none".to_owned(), |url| format!("`{}`", url.rsplit('/').next().unwrap())),
            result.header("content-type").map_or("none".to_owned(), |kind| format!("`{kind}`")),
            format!("a {}", kind(&said.field("result"))),
            own.map_or("none".to_owned(), |field| format!("`{field}`")),
        ];
        writeln!(table, "| {what} | {} |", cells.join(" | ")).unwrap();
    }
    compare(PAGE, Some("results"), &table);
}
