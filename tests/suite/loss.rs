//! What each face could not carry of an operation is named in its reply: `docs/loss.md`.

use std::path::Path;
use std::process::Command;

use opgate_core::Loss;
use serde_json::{Value, json};

use crate::faces::{Reply, raw};
use crate::grpc::Client;
use crate::process::{Daemon, Launch, UNSERVED};

#[test]
fn the_list_of_losses_is_closed_and_documented_in_its_order() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/loss.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let documented: Vec<&str> = rows.map(|(token, _)| token).collect();
    let known: Vec<&str> = Loss::ALL.iter().map(|loss| loss.token()).collect();
    assert_eq!(documented, known);
    // And nothing looks like a token that is none.
    let words = text.split('`').skip(1).step_by(2);
    let kinds = ["result-", "error-", "input-", "percent-"];
    for word in words.filter(|word| kinds.iter().any(|kind| word.starts_with(kind))) {
        assert!(known.contains(&word), "{word}");
    }
}

fn post(daemon: &Daemon, path: &str, body: &Value) -> Value {
    let json = ["Content-Type: application/json"];
    let reply = raw(daemon.http, "POST", path, &json, body.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

/// An operation that its worker ended so.
fn ended(daemon: &Daemon, outcome: &Value) -> Value {
    let start = json!({ "route": "unserved", "input": { "json": 1 } });
    let started = post(daemon, "/opgate/v1/operations", &start);
    let path = format!("/opgate/v1/operations/{}:complete", started["id"].as_str().unwrap());
    post(daemon, &path, &json!({ "outcome": outcome }))
}

/// What each face says to have lost of an operation.
async fn lost(daemon: &Daemon, operation: &Value) -> Vec<(&'static str, String)> {
    let name = |face: &str| operation["names"][face].as_str().unwrap().to_owned();
    let (rest, ocid, token) = (name("grpc"), name("oci"), name("nexus"));
    let token = format!("Nexus-Operation-Token: {token}");
    let path = format!("/opgate/v1/operations/{}", operation["id"].as_str().unwrap());
    let get = |path: &str, headers: &[&str]| raw(daemon.http, "GET", path, headers, b"");
    let said = |reply: Reply| {
        assert!([200, 424].contains(&reply.status), "{}", reply.status);
        reply.header("opgate-loss").unwrap_or_default().to_owned()
    };
    let client = Client::connect(daemon.http).await;
    let (_, metadata) = client.get_with_metadata(&rest).await.unwrap();
    let grpc = metadata.get("opgate-loss").map_or("", |value| value.to_str().unwrap());
    vec![
        ("rest", said(get(&format!("/v1/{rest}"), &[]))),
        ("grpc", grpc.to_owned()),
        ("oci", said(get(&format!("/20160918/workRequests/{ocid}"), &[]))),
        ("nexus", said(get("/nexus/unserved/run/result", &[&token]))),
        ("native", said(get(&path, &[]))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_face_cannot_carry_is_named_in_its_reply() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(UNSERVED).start();
    let plain = json!({ "failed": { "code": "NOT_FOUND", "message": "no such disk" } });
    for (face, lost) in lost(&daemon, &ended(&daemon, &plain)).await {
        // How it was ended by hand is a line of the log, which these do not show.
        let expected = if ["oci", "native"].contains(&face) { "" } else { "log" };
        assert_eq!(lost, expected, "{face}");
    }
    let failure = json!({ "failed": {
        "code": "NOT_FOUND", "message": "no such disk", "reason": "disk-missing",
        "retryable": true, "retryAfter": "1.5s",
        "details": [{ "typeUrl": "type.example/acme.Odd", "value": "AQ==" }],
        "cause": { "code": "INTERNAL", "message": "bus", "reason": "dead" },
    } });
    let failed = ended(&daemon, &failure);
    assert_eq!(
        lost(&daemon, &failed).await,
        [
            ("rest", "error-reason, error-details, error-causes, log".to_owned()),
            ("grpc", "error-reason, error-causes, log".to_owned()),
            ("oci", "error-reason, error-retry, error-details, error-causes".to_owned()),
            ("nexus", "log".to_owned()),
            ("native", String::new()),
        ]
    );
    let result = json!({ "succeeded": {
        "mediaType": "application/json; charset=utf-8", "data": "eyJhIjogMX0=",
    } });
    let succeeded = ended(&daemon, &result);
    assert_eq!(
        lost(&daemon, &succeeded).await,
        [
            ("rest", "log".to_owned()),
            ("grpc", "log".to_owned()),
            ("oci", "result".to_owned()),
            ("nexus", "result-type, log".to_owned()),
            ("native", "result-text".to_owned()),
        ]
    );
    let shown = ops(&daemon, &["get", succeeded["id"].as_str().unwrap()]);
    for line in ["lost           result-text\n", "lost           result (oci)\n"] {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let found = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        assert!(found.into_iter().any(|found| found == line), "{line} is not in\n{shown}");
    }
    let json: Value =
        serde_json::from_str(&ops(&daemon, &["get", failed["id"].as_str().unwrap(), "-o", "json"]))
            .unwrap();
    assert_eq!(json.get("lost"), None);
    assert_eq!(
        json["lostOn"],
        json!({
            "grpc": "error-reason, error-causes, log",
            "nexus": "log",
            "oci": "error-reason, error-retry, error-details, error-causes",
        })
    );
}

/// What a backend could not pass on is kept: it is named after a restart as well.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_on_the_way_in_is_kept_with_the_operation() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(UNSERVED).start();
    let body = b"{\"title\":  \"t\"}";
    let headers = ["Content-Type: application/json", "Content-Language: de"];
    let started = raw(daemon.http, "POST", "/nexus/unserved/run", &headers, body);
    assert_eq!((started.status, started.header("opgate-loss")), (201, Some("input-type")));
    let token = started.json()["token"].as_str().unwrap().to_owned();
    drop(daemon);
    let daemon = Launch::new(dir.path()).config(UNSERVED).start();
    let shown: Value = serde_json::from_str(&ops(&daemon, &["get", &token, "-o", "json"])).unwrap();
    // This reply writes JSON without blanks.
    assert_eq!(shown["lost"], json!(["input-type", "input-text"]));
}

fn ops(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_opgate"))
        .arg("ops")
        .args(arguments)
        .env_clear()
        .env("OPGATE_ADDRESS", format!("http://{}", daemon.http))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
