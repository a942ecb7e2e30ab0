//! Who asked for what, and the log.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_amqp::Value as Amqp;
use serde_json::{Value, json};

use crate::faces::amqp::{Agent, map};
use crate::faces::raw;
use crate::process::{Daemon, Launch, NOBODY, PATIENCE, UNSERVED};

/// Requests of a service whose clients cancel them.
const WORK_REQUESTS: &str = r#"
[oci.services.unserved]
path = "/20990101"
dialect = "modern"
shows = ["unserved"]
"#;

fn post(daemon: &Daemon, path: &str, headers: &[&str], body: &Value) -> (u16, Value) {
    let headers = [&["Content-Type: application/json"][..], headers].concat();
    let reply = raw(daemon.http, "POST", path, &headers, body.to_string().as_bytes());
    (reply.status, reply.json())
}

/// A daemon to be, whose audit is a file.
fn audited(dir: &Path) -> (PathBuf, Launch) {
    let file = dir.join("audit.jsonl");
    let at = format!("audit.file={}", file.display());
    let launch = Launch::new(dir).config(UNSERVED).set("audit.sink=file").set(&at);
    (file, launch)
}

/// The lines of a file, once there are so many.
pub(crate) fn lines(path: &Path, count: usize) -> Vec<Value> {
    let until = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= count && text.ends_with('\n') {
            return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        }
        assert!(Instant::now() < until, "{text}");
        std::thread::yield_now();
    }
}

/// The keys that docs/operations.md says every line has.
fn documented() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let whole = std::fs::read_to_string(path).unwrap();
    let (_, section) = whole.split_once("\n## Audit\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
    rows.flat_map(|(keys, _)| {
        let keys = keys.trim_end_matches('`').split("`, `").map(str::to_owned);
        keys.collect::<Vec<_>>()
    })
    .collect()
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// What a line says was decided, and through which face.
fn told(line: &Value) -> [String; 4] {
    ["action", "decision", "reason", "face"].map(|key| line[key].as_str().unwrap_or("-").to_owned())
}

#[test]
fn every_decision_is_a_line_with_all_keys_and_no_content() {
    let dir = tempfile::tempdir().unwrap();
    let (file, launch) = audited(dir.path());
    let daemon = launch.start();
    let secret = "tell-nobody";
    let trace = format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01");
    let operations = "/opgate/v1/operations";
    let body = json!({
        "route": "unserved", "requestId": "once", "parent": "shelf/1",
        "input": { "text": secret },
        "headers": [{ "name": "authorization", "value": secret }],
    });
    let (status, started) = post(&daemon, operations, &[&trace], &body);
    assert_eq!(status, 200, "{started}");
    let id = started["id"].as_str().unwrap().to_owned();
    post(&daemon, operations, &[&trace], &body);
    let mut other = body.clone();
    other["input"]["text"] = "other".into();
    assert_eq!(post(&daemon, operations, &[], &other).0, 409);
    let on = |action: &str| format!("{operations}/{id}:{action}");
    assert_eq!(post(&daemon, &on("cancel"), &[], &json!({ "reason": secret })).0, 200);
    let failed = json!({ "outcome": { "failed": { "message": secret } } });
    assert_eq!(post(&daemon, &on("complete"), &[], &failed).0, 409);
    assert_eq!(post(&daemon, &on("redrive"), &[], &json!({})).0, 400);
    // Through other faces.
    let gone = raw(daemon.http, "DELETE", &format!("/v1/shelf/1/operations/{id}"), &[], b"");
    assert_eq!(gone.status, 200);
    let nexus = raw(daemon.http, "POST", "/nexus/unserved/run", &[], secret.as_bytes());
    assert_eq!(nexus.status, 201);
    // Reads are nobody's business.
    raw(daemon.http, "GET", operations, &[], b"");

    let found = lines(&file, 8);
    assert_eq!(found.len(), 8);
    for line in &found {
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(keys, documented().iter().collect::<Vec<_>>());
        assert_eq!((&line["principal"], &line["tenant"]), (&"anonymous".into(), &"default".into()));
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        assert!(!line.to_string().contains(secret) && !line.to_string().contains("once"), "{line}");
    }
    let expected = [
        ["start", "done", "-", "native"],
        ["start", "repeated", "-", "native"],
        ["start", "refused", "ALREADY_EXISTS", "native"],
        ["cancel", "done", "-", "native"],
        ["complete", "refused", "CONFLICT", "native"],
        ["redrive", "refused", "FAILED_PRECONDITION", "native"],
        ["delete", "done", "-", "rest"],
        ["start", "done", "-", "nexus"],
    ];
    let found_told: Vec<[String; 4]> = found.iter().map(told).collect();
    assert_eq!(found_told, expected.map(|line| line.map(str::to_owned)));
    assert_eq!((&found[0]["operation"], &found[0]["traceId"]), (&json!(id), &json!(TRACE)));
    assert_eq!((&found[0]["parent"], &found[0]["route"]), (&"shelf/1".into(), &"unserved".into()));
    assert_eq!((&found[2]["operation"], &found[2]["route"]), (&Value::Null, &"unserved".into()));
    assert_eq!((&found[3]["state"], &found[4]["operation"]), (&"CANCELED".into(), &json!(id)));

    // Moved away, and opened anew.
    let moved = dir.path().join("audit.1");
    std::fs::rename(&file, &moved).unwrap();
    daemon.signal("HUP");
    daemon.await_message("settings read again");
    post(&daemon, operations, &[], &json!({ "route": "unserved" }));
    assert_eq!(lines(&file, 1).len(), 1);
    // What was noted last is written before the end.
    post(&daemon, operations, &[], &json!({ "route": "unserved" }));
    assert_eq!(daemon.terminate().code(), Some(0));
    assert_eq!((lines(&file, 2).len(), lines(&moved, 8).len()), (2, 8));
}

#[tokio::test]
async fn through_amqp_each_decision_says_who_asked_and_from_where() {
    let dir = tempfile::tempdir().unwrap();
    let (file, launch) = audited(dir.path());
    let daemon = launch.start();
    let stream = tokio::net::TcpStream::connect(daemon.amqp).await.unwrap();
    let from = stream.local_addr().unwrap().to_string();
    let mut agent = Agent::over(stream, "$management").await;
    let route = || map([("route", Amqp::from("unserved"))]);
    let of = "org.opgate.operation";
    let started = agent.ask("CREATE", of, &[], route()).await;
    assert_eq!(started.status, 201, "{started:?}");
    let id = started.text("identity");
    let about = || [("identity", id.as_str().into())];
    let ended = map([("state", "FAILED".into())]);
    assert_eq!(agent.ask("UPDATE", of, &about(), ended).await.status, 200);
    assert_eq!(agent.about("CANCEL", &id).await.status, 200);
    assert_eq!(agent.about("READ", &id).await.status, 200);
    assert_eq!(agent.about("DELETE", &id).await.status, 204);
    // What is not there, or is another's, is refused.
    assert_eq!(agent.about("CANCEL", &id).await.status, 404);
    let canceled = map([("cancelRequested", Amqp::Bool(true))]);
    assert_eq!(agent.ask("UPDATE", of, &about(), canceled).await.status, 404);
    // What cannot be read is about nothing.
    assert_eq!(agent.about("CANCEL", "nothing").await.status / 100, 4);

    let expected = [
        ["start", "done", "-"],
        ["complete", "done", "-"],
        ["cancel", "repeated", "-"],
        ["delete", "done", "-"],
        ["cancel", "refused", "NOT_FOUND"],
        ["cancel", "refused", "NOT_FOUND"],
    ];
    let found = lines(&file, expected.len());
    let told = |line: &Value| {
        ["action", "decision", "reason"].map(|key| line[key].as_str().unwrap_or("-").to_owned())
    };
    let found_told: Vec<[String; 3]> = found.iter().map(told).collect();
    assert_eq!(found_told, expected.map(|line| line.map(str::to_owned)));
    for line in &found {
        assert_eq!((&line["face"], &line["peer"]), (&json!("amqp"), &json!(from)), "{line}");
        assert_eq!((&line["operation"], &line["principal"]), (&json!(id), &json!("anonymous")));
    }
}

#[tokio::test]
async fn a_change_that_a_face_refuses_itself_is_a_line_too() {
    let dir = tempfile::tempdir().unwrap();
    let (file, launch) = audited(dir.path());
    let daemon = launch.config(WORK_REQUESTS).start();
    let body = json!({ "route": "unserved", "parent": "shelf/1" });
    let (_, started) = post(&daemon, "/opgate/v1/operations", &[], &body);
    let id = started["id"].as_str().unwrap().to_owned();
    let (ocid, token) = (started["names"]["oci"].as_str(), started["names"]["nexus"].as_str());
    let (ocid, token) = (ocid.unwrap(), token.unwrap());
    let ask = |method: &str, path: &str, headers: &[&str]| {
        raw(daemon.http, method, path, headers, b"").status
    };
    let work_request = format!("/20990101/workRequests/{ocid}");
    // Of another service, beneath another parent, with an etag of another version.
    assert_eq!(ask("POST", &format!("/nexus/showcase/run/{token}/cancel"), &[]), 404);
    assert_eq!(ask("DELETE", &format!("/v1/shelf/2/operations/{id}"), &[]), 404);
    assert_eq!(ask("DELETE", &work_request, &["If-Match: \"99\""]), 412);
    assert_eq!(ask("DELETE", &work_request, &[]), 202);
    assert_eq!(ask("DELETE", &work_request, &[]), 409);
    assert_eq!(ask("DELETE", "/20990101/workRequests/nothing", &[]) / 100, 4);
    let expected = [
        ["start", "done", "-", "native"],
        ["cancel", "refused", "NOT_FOUND", "nexus"],
        ["delete", "refused", "NOT_FOUND", "rest"],
        ["cancel", "refused", "CONFLICT", "oci"],
        ["cancel", "done", "-", "oci"],
        ["cancel", "refused", "FAILED_PRECONDITION", "oci"],
    ];
    let found = lines(&file, expected.len());
    let found_told: Vec<[String; 4]> = found.iter().map(told).collect();
    assert_eq!(found_told, expected.map(|line| line.map(str::to_owned)));
    assert!(found.iter().all(|line| line["operation"] == json!(id)), "{found:?}");
}

#[test]
fn an_audit_file_that_cannot_be_opened_is_73() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("none/audit.jsonl");
    let at = format!("audit.file={}", file.display());
    let ended = Launch::new(dir.path()).set("audit.sink=file").set(&at).fail();
    assert_eq!(ended.code(), Some(73), "{}", ended.log);
    assert!(ended.log.contains("audit.file") && !dir.path().join("data").exists(), "{}", ended.log);
    for wrong in [&["audit.sink=file"][..], &["audit.sink=stdout", &at], &["audit.sink=syslog"]] {
        let launch = wrong.iter().fold(Launch::new(dir.path()), |launch, set| launch.set(set));
        assert_eq!(launch.fail().code(), Some(78), "{wrong:?}");
    }
}

fn logged(daemon: &Daemon, message: &str) -> Vec<Value> {
    let lines = daemon.log();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == message).collect()
}

#[test]
fn each_change_of_state_is_a_line_at_debug_and_the_level_changes_at_sighup() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log.toml");
    std::fs::write(&file, "[log]\nlevel = \"info\"\n").unwrap();
    let daemon = Launch::new(dir.path()).config(UNSERVED).config_file(&file).start();
    let operations = "/opgate/v1/operations";
    let run = |daemon: &Daemon| {
        let trace = format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01");
        let input = json!({ "json": { "duration": "30ms", "steps": 3 } });
        let body = json!({ "route": "showcase-run", "input": input });
        let (_, started) = post(daemon, operations, &[&trace], &body);
        let path = format!("{operations}/{}:wait", started["id"].as_str().unwrap());
        assert_eq!(raw(daemon.http, "GET", &path, &[], b"").json()["state"], "SUCCEEDED");
        started["id"].clone()
    };
    run(&daemon);
    assert_eq!(logged(&daemon, "state changed").len(), 0);
    std::fs::write(&file, "[log]\nlevel = \"info,opgate_store=debug\"\n").unwrap();
    daemon.signal("HUP");
    daemon.await_message("settings read again");
    let line = logged(&daemon, "settings read again").pop().unwrap();
    assert_eq!(line["needs_restart"], "");
    let id = run(&daemon);
    // A refused request has none.
    assert_eq!(post(&daemon, operations, &[], &json!({ "route": "none" })).0, 404);
    std::fs::write(&file, "[log]\nlevel = \"info\"\n").unwrap();
    daemon.signal("HUP");
    daemon.await_message("settings read again");
    let lines = logged(&daemon, "state changed");
    let states: Vec<&str> = lines.iter().map(|line| line["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["ACCEPTED", "RUNNING", "SUCCEEDED"]);
    for line in &lines {
        assert_eq!((&line["operation"], &line["trace_id"]), (&id, &json!(TRACE)));
        assert_eq!(line["level"], "DEBUG");
    }
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn what_repeats_is_counted_and_told_at_the_latest_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(UNSERVED).start();
    for _ in 0..20 {
        post(&daemon, "/opgate/v1/operations", &[], &json!({ "route": "unserved" }));
    }
    daemon.terminate();
    // Without the route, each of them is worth a warning.
    let daemon = Launch::new(dir.path()).start();
    let message = "an operation's route is not configured";
    let until = Instant::now() + PATIENCE;
    while logged(&daemon, message).is_empty() {
        assert!(Instant::now() < until, "{}", daemon.log());
        std::thread::yield_now();
    }
    let ended = daemon.terminate();
    assert_eq!(ended.code(), Some(0));
    let lines: Vec<Value> =
        ended.log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let lines: Vec<&Value> = lines.iter().filter(|line| line["message"] == message).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0]["operation"].is_string() && lines[0]["repeated"].is_null());
    assert_eq!((&lines[1]["repeated"], &lines[1]["level"]), (&json!(19), &json!("WARN")));
}

#[test]
fn an_upstream_is_called_at_another_rate_after_sighup() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("billing.toml");
    let config = |manner: &str, concurrency: u32| {
        let text = format!(
            "[backends.billing]\nkind = \"nexus\"\nendpoint = \"http://{NOBODY}/\"\n\
             concurrency = {concurrency}\n{manner}\n\
             [routes.bill]\nservice = \"billing\"\noperation = \"Bill\"\nbackend = \"billing\"\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    config("breaker = 1\nbreaker_pause = \"1h\"\nbreaker_longest = \"1h\"", 4);
    let daemon = Launch::new(dir.path()).config_file(&file).start();
    post(
        &daemon,
        "/opgate/v1/operations",
        &[],
        &json!({ "route": "bill", "input": { "json": 1 } }),
    );
    let breaker = |word: &str| {
        let until = Instant::now() + PATIENCE;
        loop {
            let (_, page) = daemon.probe("/backends");
            if page.contains(&format!("\"breaker\":\"{word}\"")) && page.contains("billing") {
                let (_, json) = page.split_once("\r\n\r\n").unwrap();
                let page: Value = serde_json::from_str(json).unwrap();
                let all = page["backends"].as_array().unwrap();
                let billing = all.iter().find(|backend| backend["name"] == "billing").unwrap();
                if billing["breaker"] == word {
                    return;
                }
            }
            assert!(Instant::now() < until, "{page}");
            std::thread::yield_now();
        }
    };
    breaker("OPEN");
    // Without a breaker it is called again, however long it was to be left alone.
    config("breaker = 0\nrate = \"100/s\"", 5);
    daemon.signal("HUP");
    daemon.await_message("settings read again");
    breaker("CLOSED");
    let line = logged(&daemon, "settings read again").pop().unwrap();
    assert_eq!(line["needs_restart"], "");
    assert_eq!(daemon.terminate().code(), Some(0));
}
