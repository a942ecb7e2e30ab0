//! What an operation is, and since when.

use std::fmt::Write as _;

use serde_amqp::Value as Amqp;
use serde_json::{Value, json};

use super::super::compare;
use super::{PAGE, ROUTES, code, in_state, name, nexus, oci, once, path, post, rest, started};
use crate::faces::amqp::{Agent, Said};
use crate::faces::{Reply, raw};
use crate::process::Launch;

fn rest_state(reply: &Reply) -> String {
    let shown = reply.json();
    if reply.status != 200 {
        return format!("{} {}", reply.status, code(&shown["error"]["status"]));
    }
    let metadata = &shown["metadata"]["value"];
    if let Some(error) = shown.get("error") {
        return format!("`done: true`, `error.code: {}`", error["code"]);
    }
    if shown.get("response").is_some() {
        return "`done: true`, `response`".to_owned();
    }
    let mut said = format!("not done; `metadata.state: {}`", metadata["state"].as_str().unwrap());
    for (field, of) in [
        ("waiting", metadata["waiting"].as_str()),
        ("cancel.delivery", metadata["cancel"]["delivery"].as_str()),
    ] {
        if let Some(of) = of {
            write!(said, ", `metadata.{field}: {of}`").unwrap();
        }
    }
    said
}

fn oci_state(reply: &Reply) -> String {
    let shown = reply.json();
    match reply.status {
        200 => code(&shown["status"]),
        status => format!("{status} {}", code(&shown["code"])),
    }
}

fn nexus_state([info, result]: &[Reply; 2]) -> String {
    let state = match info.status {
        200 => code(&info.json()["state"]),
        status => format!("{status} {}", code(&info.json()["details"]["type"])),
    };
    format!("{state}; result: {}", result.status)
}

fn amqp_state(said: &Said) -> String {
    let Some(condition) = &said.condition else {
        let text = |value: Amqp| if let Amqp::String(text) = value { text } else { String::new() };
        let mut shown = format!("{}, `state: {}`", said.status, text(said.field("state")));
        let waiting = text(said.field("waiting"));
        if !waiting.is_empty() {
            write!(shown, ", `waiting: {waiting}`").unwrap();
        }
        if let Amqp::Map(cancel) = said.field("cancel") {
            let delivery = cancel.get(&Amqp::from("delivery")).cloned().unwrap_or_default();
            write!(shown, ", `cancel.delivery: {}`", text(delivery)).unwrap();
        }
        return shown;
    };
    format!("{} `{condition}`", said.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_shown_as_the_page_says() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(ROUTES).start();
    let mut agent = Agent::connect(&daemon, "$management").await;
    // The only one there is, so that it is the one that is leased.
    let waiting = started(&daemon, "typed", &json!({}));
    let leased =
        post(&daemon, "/opgate/v1/queues/nobody:lease", &json!({"wait": "60s", "lease": "3600s"}));
    let lease = leased["leases"][0]["lease"].as_str().unwrap();
    post(&daemon, &format!("/opgate/v1/leases/{lease}:report"), &json!({"waiting": "approval"}));
    let run = |instruction: Value| started(&daemon, "showcase-run", &instruction);
    let cancel =
        |operation: &Value| post(&daemon, &format!("{}:cancel", path(operation)), &json!({}));
    let [running, asked, canceled] = [
        json!({"hold": true}),
        json!({"hold": true, "honor_cancel": false}),
        json!({"hold": true}),
    ]
    .map(run);
    let [succeeded, failed, forgotten] =
        [json!({"result": {"x": 1}}), json!({"outcome": "failed", "code": "NOT_FOUND"}), json!({})]
            .map(run);
    for operation in [&asked, &canceled] {
        // Before its backend has it, a cancel is the end.
        in_state(&daemon, operation, "RUNNING");
        cancel(operation);
    }
    in_state(&daemon, &forgotten, "SUCCEEDED");
    assert_eq!(raw(daemon.http, "DELETE", &path(&forgotten), &[], b"").status, 200);
    let rows = [
        ("accepted", started(&daemon, "typed", &json!({}))),
        ("running", in_state(&daemon, &running, "RUNNING")),
        ("running, waiting for somebody", waiting),
        (
            "running, its end asked for",
            once(&daemon, &asked, |shown| shown["cancel"]["delivery"] == "refused"),
        ),
        ("succeeded", in_state(&daemon, &succeeded, "SUCCEEDED")),
        ("failed", in_state(&daemon, &failed, "FAILED")),
        ("canceled", in_state(&daemon, &canceled, "CANCELED")),
        ("deleted, expired, or another's", forgotten),
    ];
    let mut table = String::from(
        "| state | gRPC, REST | OCI | Nexus | AMQP, `READ` |\n|---|---|---|---|---|\n",
    );
    for (state, operation) in rows {
        let said = agent.about("READ", name(&operation, "amqp")).await;
        let cells = [
            rest_state(&rest(&daemon, &operation)),
            oci_state(&oci(&daemon, &operation)),
            nexus_state(&nexus(&daemon, &operation)),
            amqp_state(&said),
        ];
        writeln!(table, "| {state} | {} |", cells.join(" | ")).unwrap();
    }
    compare(PAGE, Some("states"), &table);
}

/// How precise a time of RFC 3339 is.
fn precision(time: &Value) -> &'static str {
    let fraction = time
        .as_str()
        .unwrap()
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.trim_end_matches('Z').len());
    match fraction {
        0 => "seconds",
        1..=3 => "milliseconds",
        _ => "nanoseconds",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_shown_as_the_page_says() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(ROUTES).start();
    let mut agent = Agent::connect(&daemon, "$management").await;
    let operation = started(&daemon, "showcase-run", &json!({}));
    let operation = in_state(&daemon, &operation, "SUCCEEDED");
    let rest = rest(&daemon, &operation).json()["metadata"]["value"].clone();
    let oci = oci(&daemon, &operation).json();
    let amqp = agent.about("READ", name(&operation, "amqp")).await;
    let mut table =
        String::from("| | accepted | first given to its backend | ended |\n|---|---|---|---|\n");
    let mut row = |face: &str, shown: &Value, fields: [&str; 3]| {
        let cells = fields.map(|field| format!("`{field}`, {}", precision(&shown[field])));
        writeln!(table, "| {face} | {} |", cells.join(" | ")).unwrap();
    };
    row("gRPC, REST: metadata of type Struct", &rest, ["createTime", "startTime", "endTime"]);
    row("OCI", &oci, ["timeAccepted", "timeStarted", "timeFinished"]);
    row("opgate's own API", &operation, ["createTime", "startTime", "endTime"]);
    let cells = ["createTime", "startTime", "endTime"].map(|field| {
        assert!(matches!(amqp.field(field), Amqp::Timestamp(_)), "{field}: {amqp:?}");
        format!("`{field}`, milliseconds")
    });
    writeln!(table, "| AMQP: timestamps | {} |", cells.join(" | ")).unwrap();
    compare(PAGE, Some("times"), &table);
}
