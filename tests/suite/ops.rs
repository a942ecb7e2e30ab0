//! `opgate ops` against a running daemon: what a person does at night.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::process::{Daemon, Launch, NOBODY, PATIENCE, UNSERVED};

fn daemon() -> (tempfile::TempDir, Daemon) {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(UNSERVED).start();
    (dir, daemon)
}

/// Runs `opgate ops` with these arguments against a daemon.
fn ops(daemon: &Daemon, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_opgate"))
        .arg("ops")
        .args(arguments)
        .env_clear()
        .env("OPGATE_ADDRESS", format!("http://{}", daemon.http))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What a command prints, which must end with this code.
fn said(daemon: &Daemon, code: i32, arguments: &[&str]) -> String {
    let output = ops(daemon, arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    text(&output.stdout).to_owned()
}

/// The JSON that a command prints.
fn json(daemon: &Daemon, code: i32, arguments: &[&str]) -> Value {
    let said = said(daemon, code, &[arguments, &["-o", "json"]].concat());
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn id(operation: &Value) -> &str {
    operation["id"].as_str().unwrap()
}

#[test]
fn an_operation_is_started_awaited_and_shown() {
    let (_dir, daemon) = daemon();
    let input = r#"{"duration": "10ms", "steps": 1, "result": {"answer": 42}}"#;
    let done = json(&daemon, 0, &["start", "showcase-run", "--json", input, "--wait"]);
    assert_eq!(done["state"], "SUCCEEDED");
    assert_eq!(done["result"]["json"], json!({ "answer": 42 }));
    let shown = said(&daemon, 0, &["get", id(&done)]);
    for line in ["state", "SUCCEEDED", "route", "showcase-run", "result"] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    // By its kind instead of its route.
    let kind = ["start", "--service", "showcase", "--operation", "echo", "--json", "[1]", "--wait"];
    assert_eq!(json(&daemon, 0, &kind)["result"]["json"], json!([1]));
}

#[test]
fn an_ocid_is_a_name_like_any_other() {
    let (_dir, daemon) = daemon();
    let done = json(&daemon, 0, &["start", "showcase-echo", "--json", "1", "--wait"]);
    let ocid = done["names"]["oci"].as_str().unwrap();
    assert!(ocid.starts_with("ocid1.opgateworkrequest.oc1.."), "{ocid}");
    assert_eq!(id(&json(&daemon, 0, &["get", ocid])), id(&done));
}

#[test]
fn a_repeat_with_the_same_request_id_is_the_same_operation() {
    let (_dir, daemon) = daemon();
    let start = ["start", "unserved", "--request-id", "once", "--text", "a"];
    let first = json(&daemon, 0, &start);
    assert_eq!(id(&json(&daemon, 0, &start)), id(&first));
    let other = ops(&daemon, &["start", "unserved", "--request-id", "once", "--text", "b"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(text(&other.stderr).contains("ALREADY_EXISTS"), "{}", text(&other.stderr));
}

#[test]
fn any_faces_name_is_taken() {
    let (_dir, daemon) = daemon();
    let started = json(&daemon, 0, &["start", "unserved", "--parent", "projects/p/locations/l"]);
    let id = id(&started);
    for name in [
        id.to_owned(),
        format!("operations/{id}"),
        format!("projects/p/locations/l/operations/{id}"),
        format!("main/{id}"),
        format!("/{id}"),
    ] {
        assert_eq!(json(&daemon, 0, &["get", &name])["id"], *id, "{name}");
    }
}

#[test]
fn what_has_no_dead_letter_is_not_redriven() {
    let (_dir, daemon) = daemon();
    let started = json(&daemon, 0, &["start", "showcase-echo", "--json", "{}", "--wait"]);
    let refused = ops(&daemon, &["redrive", id(&started)]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("dead letter"), "{}", text(&refused.stderr));
    let dead = json(&daemon, 0, &["list", "--filter", "callbacks.state = DEAD"]);
    assert_eq!(dead["operations"], json!([]));
}

#[test]
fn a_list_is_filtered_and_paged() {
    let (_dir, daemon) = daemon();
    for n in 0..5 {
        let parent = format!("shelf/{}", n % 2);
        json(&daemon, 0, &["start", "unserved", "--parent", &parent]);
    }
    json(&daemon, 0, &["start", "showcase-echo", "--json", "{}", "--wait"]);
    let count = |arguments: &[&str]| {
        let listed = json(&daemon, 0, &[&["list"], arguments].concat());
        listed["operations"].as_array().unwrap().len()
    };
    assert_eq!(count(&[]), 6);
    assert_eq!(count(&["--all"]), 6);
    assert_eq!(count(&["--limit", "2"]), 2);
    assert_eq!(count(&["--parent", "shelf"]), 5);
    assert_eq!(count(&["--parent", "shelf/1"]), 2);
    assert_eq!(count(&["--filter", "state = SUCCEEDED"]), 1);
    let table = said(&daemon, 0, &["list", "--filter", "service = \"unserved\""]);
    assert_eq!(table.lines().count(), 6, "{table}");
    assert!(table.starts_with("ID "), "{table}");
    let wrong = ops(&daemon, &["list", "--filter", "colour = red"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("colour"), "{}", text(&wrong.stderr));
}

#[test]
fn a_list_is_narrowed_by_options_and_shown_wide() {
    let (_dir, daemon) = daemon();
    let waiting = json(&daemon, 0, &["start", "unserved"]);
    json(&daemon, 0, &["start", "showcase-echo", "--json", "{}", "--wait"]);
    let ids = |arguments: &[&str]| -> Vec<String> {
        let listed = json(&daemon, 0, &[&["list"], arguments].concat());
        let operations = listed["operations"].as_array().unwrap().clone();
        operations.iter().map(|operation| id(operation).to_owned()).collect()
    };
    for (arguments, expected) in [
        (&["--state", "accepted"][..], 1),
        (&["--state", "live"], 1),
        (&["--state", "SUCCEEDED,failed"], 1),
        (&["--state", "accepted,succeeded"], 2),
        (&["--state", "orphaned"], 0),
        (&["--state", "undelivered"], 0),
        (&["--state", "canceling"], 0),
        (&["--backend", "nobody"], 1),
        (&["--backend", "nobody", "--state", "succeeded"], 0),
        (&["--route", "showcase-echo"], 1),
        (&["--older-than", "1h"], 0),
        (&["--newer-than", "1h"], 2),
        (&["--newer-than", "1h", "--filter", "done = true OR done = false"], 2),
        (&["--older-than", "0s", "--state", "live", "--backend", "nobody"], 1),
    ] {
        assert_eq!(ids(arguments).len(), expected, "{arguments:?}");
    }
    assert_eq!(ids(&["--state", "live"]), [id(&waiting)]);
    let wide = said(&daemon, 0, &["list", "-o", "wide"]);
    let heading: Vec<&str> = wide.lines().next().unwrap().split_whitespace().collect();
    let columns = ["ID", "STATE", "PROGRESS", "AGE", "CREATED", "UPDATED", "KIND", "ROUTE"];
    assert_eq!(heading[..8], columns);
    assert!(wide.contains("unserved/run") && wide.contains("nobody"), "{wide}");
}

#[test]
fn an_operation_is_shown_with_its_names_and_what_happened_to_it() {
    let (_dir, daemon) = daemon();
    let started = json(&daemon, 0, &["start", "unserved", "--parent", "p"]);
    json(&daemon, 0, &["complete", id(&started), "--outcome", "failed", "--message", "m"]);
    let shown = said(&daemon, 0, &["get", id(&started)]);
    let history: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("history"))
        .map(|line| line.trim().split_once("Z  ").unwrap().1)
        .collect();
    assert_eq!(
        history,
        [
            "accepted  by anonymous  native  opgate.v1.Operations/StartOperation",
            "completed by hand as FAILED by anonymous: m",
            "ended: FAILED",
        ],
        "{shown}"
    );
    for face in ["grpc", "oci", "nexus", "amqp"] {
        assert!(shown.contains(&format!("({face})")), "{face}: {shown}");
    }
}

/// A watch in a process of its own, in JSON.
fn watching(daemon: &Daemon, name: &str) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_opgate"))
        .args(["ops", "watch", name, "-o", "json"])
        .env_clear()
        .env("OPGATE_ADDRESS", format!("http://{}", daemon.http))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_watch_follows_an_operation_to_its_end() {
    let (_dir, daemon) = daemon();
    let input = r#"{"duration": "300ms", "steps": 3, "result": 1}"#;
    let started = json(&daemon, 0, &["start", "showcase-run", "--json", input]);
    let lines = said(&daemon, 0, &["watch", id(&started)]);
    assert!(lines.lines().last().unwrap().contains("SUCCEEDED"), "{lines}");
    // In JSON: a line for each version that was seen, ever newer.
    let lines = said(&daemon, 0, &["watch", id(&started), "-o", "json"]);
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((&last["state"], id(&last)), (&json!("SUCCEEDED"), id(&started)));
    let started = json(&daemon, 0, &["start", "unserved"]);
    let watch = watching(&daemon, id(&started));
    // Seen first, then canceled.
    daemon.await_sum("opgate_watchers{", 1);
    json(&daemon, 0, &["cancel", id(&started)]);
    let output = watch.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let states: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["state"].clone())
        .collect();
    assert_eq!(states.first(), Some(&json!("ACCEPTED")));
    assert_eq!(states.last(), Some(&json!("CANCELED")));
    let unknown = ops(&daemon, &["watch", "nothing"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn a_watch_goes_on_when_the_gateway_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let launch = Launch::new(dir.path()).config(UNSERVED);
    let daemon = launch.set(&format!("http.listen=127.0.0.1:{port}")).start();
    let started = json(&daemon, 0, &["start", "unserved"]);
    let watch = watching(&daemon, id(&started));
    daemon.await_sum("opgate_watchers{", 1);
    let daemon = daemon.crash();
    json(&daemon, 0, &["complete", id(&started), "--outcome", "succeeded"]);
    let output = watch.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).lines().last().unwrap().contains("SUCCEEDED"));
}

/// The fields of a section of docs/cli.md.
pub(crate) fn documented(section: &str) -> Vec<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let whole = std::fs::read_to_string(path).unwrap();
    let (_, rest) = whole.split_once(&format!("\n### {section}\n")).unwrap();
    let section = rest.split("\n##").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
    rows.flat_map(|(names, _)| {
        let names = names.trim_end_matches('`').split("`, `").map(str::to_owned);
        names.collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn each_field_of_an_operation_is_documented() {
    use prost::Message as _;
    let set = prost_types::FileDescriptorSet::decode(opgate_native::DESCRIPTORS).unwrap();
    let mut messages = set.file.iter().filter(|file| file.package() == "opgate.v1");
    let operation = messages
        .find_map(|file| file.message_type.iter().find(|message| message.name() == "Operation"));
    let operation = operation.unwrap();
    let mut fields: Vec<&str> =
        operation.field.iter().map(prost_types::FieldDescriptorProto::json_name).collect();
    let documented = documented("Operation");
    let mut told: Vec<&str> = documented.iter().map(String::as_str).collect();
    fields.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, fields);
}

#[test]
fn backends_are_shown_with_what_is_wrong_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let billing = format!(
        "[backends.billing]\nkind = \"nexus\"\nendpoint = \"http://{NOBODY}/nexus?key=secret\"\n\
         concurrency = 7\nbreaker = 1\nbreaker_pause = \"1h\"\nbreaker_longest = \"1h\"\n\
         [routes.bill]\nservice = \"billing\"\noperation = \"Bill\"\nbackend = \"billing\"\n"
    );
    let daemon = Launch::new(dir.path()).config(UNSERVED).config(&billing).start();
    json(&daemon, 0, &["start", "unserved"]);
    let admin = format!("http://{}", daemon.admin);
    let backends = || {
        let found = json(&daemon, 0, &["backends", "--admin-address", &admin]);
        found["backends"].as_array().unwrap().clone()
    };
    let named =
        |name: &str| backends().into_iter().find(|backend| backend["name"] == name).unwrap();
    for backend in backends() {
        let fields: Vec<&String> = backend.as_object().unwrap().keys().collect();
        assert_eq!(fields, documented("Backends").iter().collect::<Vec<_>>());
    }
    // It is on its way there once it is acknowledged.
    daemon.await_metric("opgate_operations_queued{backend=\"nobody\"} 1");
    let crew = named("nobody");
    assert_eq!((&crew["kind"], &crew["queued"]), (&json!("worker"), &json!(1)));
    assert_eq!((&crew["workers"], &crew["queues"]), (&json!(0), &json!(["nobody"])));
    assert_eq!((&crew["breaker"], &crew["lastError"]), (&json!("CLOSED"), &Value::Null));
    let billing = named("billing");
    assert_eq!(billing["address"], format!("http://{NOBODY}/nexus"));
    assert_eq!((&billing["reachable"], &billing["concurrency"]), (&json!(true), &json!(7)));

    json(&daemon, 0, &["start", "bill", "--json", "{}"]);
    let until = std::time::Instant::now() + PATIENCE;
    while named("billing")["breaker"] != "OPEN" || named("billing")["lastError"].is_null() {
        assert!(std::time::Instant::now() < until, "{:?}", named("billing"));
        std::thread::yield_now();
    }
    let billing = named("billing");
    assert_eq!(billing["reachable"], false);
    assert!(billing["breakerOpenSeconds"].as_f64().unwrap() > 1000.0, "{billing}");
    let table = said(&daemon, 0, &["backends", "--admin-address", &admin]);
    let line = table.lines().find(|line| line.starts_with("billing")).unwrap();
    assert!(line.contains("OPEN for") && line.contains(NOBODY), "{table}");
}

#[test]
fn an_operation_completed_by_hand_says_so_in_its_log() {
    let (_dir, daemon) = daemon();
    let start = || json(&daemon, 0, &["start", "unserved"]);
    let log = |operation: &Value| operation["log"].as_array().unwrap().last().unwrap().to_string();

    let started = start();
    let complete = ["complete", id(&started), "--outcome", "succeeded", "--json", "{\"by\": 1}"];
    let done = json(&daemon, 0, &complete);
    assert_eq!((&done["state"], &done["result"]["json"]), (&json!("SUCCEEDED"), &json!({"by": 1})));
    assert!(log(&done).contains("by hand"), "{done}");
    // Told again it is the same; told otherwise it is refused.
    assert_eq!(json(&daemon, 0, &complete)["version"], done["version"]);
    let other = ops(&daemon, &["complete", id(&started), "--outcome", "canceled"]);
    assert_eq!(other.status.code(), Some(2));

    let started = start();
    let complete =
        ["complete", id(&started), "--outcome", "failed", "--code", "5", "--message", "m"];
    let done = json(&daemon, 0, &complete);
    assert_eq!(
        (&done["error"]["code"], &done["error"]["message"]),
        (&json!("NOT_FOUND"), &json!("m"))
    );
    // A wait for what ended without success says so by its code.
    assert_eq!(json(&daemon, 1, &["wait", id(&started)])["state"], "FAILED");

    let started = start();
    let url = "type.googleapis.com/google.protobuf.Duration";
    let complete = [
        "complete",
        id(&started),
        "--outcome",
        "succeeded",
        "--type-url",
        url,
        "--value-base64",
        "CAE=",
    ];
    let done = json(&daemon, 0, &complete);
    assert_eq!(done["result"]["data"], "CAE=");
    assert!(done["result"]["mediaType"].as_str().unwrap().contains("google.protobuf.Duration"));
}

#[test]
fn an_operation_is_canceled_and_deleted() {
    let (_dir, daemon) = daemon();
    let started = json(&daemon, 0, &["start", "unserved"]);
    let canceled = json(&daemon, 0, &["cancel", id(&started), "--reason", "wrong button"]);
    assert_eq!(canceled["state"], "CANCELED");
    assert_eq!(canceled["cancel"]["reason"], "wrong button");
    assert_eq!(said(&daemon, 0, &["delete", id(&started)]), "");
    let gone = ops(&daemon, &["get", id(&started)]);
    assert_eq!(gone.status.code(), Some(2));
    assert!(text(&gone.stderr).contains("NOT_FOUND"), "{}", text(&gone.stderr));
    // A token of Nexus may begin with a hyphen, which makes it no option.
    for command in ["get", "wait", "cancel", "delete", "redrive"] {
        let unknown = ops(&daemon, &[command, "-x_unknown", "-o", "json"]);
        assert_eq!(unknown.status.code(), Some(2), "{command}");
        assert!(text(&unknown.stderr).contains("NOT_FOUND"), "{}", text(&unknown.stderr));
    }
}

#[test]
fn a_wait_that_is_over_is_no_success() {
    let (_dir, daemon) = daemon();
    let started = json(&daemon, 0, &["start", "unserved"]);
    let waited = json(&daemon, 75, &["wait", id(&started), "--timeout", "50ms"]);
    assert_eq!(waited["state"], "ACCEPTED");
}

#[test]
fn without_a_gateway_the_code_is_69_and_the_address_is_named() {
    let (dir, daemon) = daemon();
    let address = daemon.http;
    // The ready file of a running daemon says where it is.
    let by_file = Command::new(env!("CARGO_BIN_EXE_opgate"))
        .args(["ops", "list", "--ready-file"])
        .arg(dir.path().join("ready.json"))
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(by_file.status.code(), Some(0), "{}", text(&by_file.stderr));
    assert_eq!(daemon.terminate().code(), Some(0));
    let output = Command::new(env!("CARGO_BIN_EXE_opgate"))
        .args(["ops", "list", "--address", &format!("http://{address}")])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(text(&output.stderr).contains(&address.to_string()), "{}", text(&output.stderr));
}

#[test]
fn wrong_usage_is_64_and_says_what_is_allowed() {
    for (arguments, allowed) in [
        (&["ops"][..], "start"),
        (&["ops", "start"], "ROUTE"),
        (&["ops", "start", "--service", "s"], "--operation"),
        (&["ops", "start", "r", "--json", "{"], "JSON"),
        (&["ops", "start", "r", "--json", "1", "--text", "x"], "--text"),
        (&["ops", "wait", "x", "--timeout", "5"], "ms, s, m, h or d"),
        (&["ops", "complete", "x", "--outcome", "done"], "succeeded"),
        (&["ops", "complete", "x", "--outcome", "failed", "--code", "99"], "NOT_FOUND"),
        (&["ops", "complete", "x", "--outcome", "succeeded", "--code", "5"], "--code"),
        (&["ops", "complete", "x", "--outcome", "failed", "--json", "1"], "result"),
        (&["ops", "list", "--address", "ftp://x"], "http://"),
        (&["ops", "list", "--limit", "0"], "1"),
        (&["ops", "list", "--state", "done"], "orphaned"),
        (&["ops", "list", "--older-than", "1"], "ms, s, m, h or d"),
        (&["ops", "watch", "x", "--filter", "done = true"], "--filter"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_opgate"))
            .args(arguments)
            .env_clear()
            .env("OPGATE_ADDRESS", "http://127.0.0.1:1")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        let said = text(&output.stderr);
        assert!(said.contains(allowed), "{arguments:?}: {said}");
    }
}
