//! `opgate journal`: a data directory looked at from outside, and copied under load.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::faces::raw;
use crate::ops::documented;
use crate::process::{Daemon, Launch, UNSERVED};

fn journal(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_opgate"))
        .args(["journal", "--dir"])
        .arg(dir)
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The lines of JSON that a command prints, which must end well.
fn said(dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = journal(dir, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    let stream = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    stream.collect::<Result<_, _>>().unwrap()
}

fn start(http: SocketAddr, body: &Value) -> Value {
    let kind = ["Content-Type: application/json"];
    let path = "/opgate/v1/operations";
    let reply = raw(http, "POST", path, &kind, body.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

fn get(daemon: &Daemon, id: &str) -> Value {
    let reply = raw(daemon.http, "GET", &format!("/opgate/v1/operations/{id}"), &[], b"");
    assert_eq!(reply.status, 200, "{id}: {}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

fn fields(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_directory_is_looked_at_while_a_daemon_has_it_and_when_none_does() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let daemon = Launch::new(dir.path()).config(UNSERVED).start();
    let input = json!({ "json": { "secret": "x".repeat(5000) } });
    let waits = start(daemon.http, &json!({ "route": "unserved", "input": input }));
    let done = start(daemon.http, &json!({ "route": "showcase-echo", "input": { "json": 1 } }));
    let id = |operation: &Value| operation["id"].as_str().unwrap().to_owned();
    let check = |in_use: bool| {
        let stats = said(&data, &["stats", "--json"]).remove(0);
        assert_eq!(fields(&stats), documented("Stats"));
        assert_eq!(
            (&stats["inUse"], &stats["operations"]["ACCEPTED"]),
            (&json!(in_use), &json!(1))
        );
        assert_eq!(stats["operations"]["SUCCEEDED"], 1);
        assert_eq!(
            (&stats["live"][0]["route"], &stats["live"][0]["count"]),
            (&json!("unserved"), &json!(1))
        );
        let verified = said(&data, &["verify", "--json"]).remove(0);
        assert_eq!(fields(&verified), documented("Verify"));
        assert_eq!(
            (&verified["sound"], &verified["operations"]),
            (&json!(true), &json!(2)),
            "{verified}"
        );
        let dump = said(&data, &["dump"]);
        assert_eq!(fields(&dump[0]), documented("Dump"));
        let ids: Vec<String> = dump.iter().map(|line| id(&line["operation"])).collect();
        assert_eq!(ids, [id(&waits), id(&done)]);
        assert_eq!(dump[0]["operation"]["input"], Value::Null, "payloads only when asked for");
        let dump = said(&data, &["dump", "--full", "--filter", "done = false"]);
        assert_eq!(dump.len(), 1);
        assert_eq!(dump[0]["operation"]["input"]["json"], input["json"]);
    };
    // Ended means ended on disk, which is when it is shown.
    while get(&daemon, &id(&done))["done"] != true {}
    check(true);
    assert_eq!(daemon.terminate().code(), Some(0));
    check(false);
    for people in [&["stats"][..], &["verify"]] {
        assert!(text(&journal(&data, people).stdout).contains(data.to_str().unwrap()));
    }
    assert_eq!(journal(&data, &["dump", "--filter", "colour = red"]).status.code(), Some(64));
    let none = journal(&dir.path().join("none"), &["stats"]);
    assert_eq!(none.status.code(), Some(74), "{}", text(&none.stderr));
}

#[test]
fn what_is_damaged_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let daemon = Launch::new(dir.path()).config(UNSERVED).start();
    for _ in 0..3 {
        start(daemon.http, &json!({ "route": "unserved", "input": { "text": "x".repeat(3000) } }));
    }
    daemon.terminate();
    let path = data.join("opgate.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // Letters of payloads, wherever they lie: no page and no index is any the worse for it.
    for piece in bytes.chunks_mut(100).filter(|piece| piece == &[b'x'; 100]) {
        piece[0] = b'y';
    }
    std::fs::write(&path, bytes).unwrap();
    let found = journal(&data, &["verify", "--json"]);
    assert_eq!(found.status.code(), Some(74));
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(found["sound"], false);
    let problems = found["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].as_str().unwrap().contains("checksum"), "{problems:?}");
    // The others are told all the same.
    let dump = journal(&data, &["dump"]);
    assert_eq!((dump.status.code(), text(&dump.stdout).lines().count()), (Some(74), 3));
}

#[test]
fn a_snapshot_under_load_has_all_that_was_acknowledged_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let daemon = Launch::new(dir.path()).config(UNSERVED).start();
    let (acknowledged, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let key = |n: usize| json!({ "route": "unserved", "requestId": format!("k{n}"), "input": { "json": n } });
    let before = std::thread::scope(|scope| {
        for client in 0..4_usize {
            let (http, acknowledged, over, key) = (daemon.http, &acknowledged, &over, &key);
            scope.spawn(move || {
                for n in (client..).step_by(4) {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let started = start(http, &key(n));
                    let id = started["id"].as_str().unwrap().to_owned();
                    acknowledged.lock().unwrap().push((n, id));
                }
            });
        }
        while acknowledged.lock().unwrap().len() < 100 {
            std::thread::yield_now();
        }
        let before = acknowledged.lock().unwrap().clone();
        let made = said(&data, &["snapshot", copy.to_str().unwrap(), "--json"]).remove(0);
        assert_eq!(fields(&made), documented("Snapshot"));
        assert!(made["operations"].as_u64().unwrap() >= before.len() as u64);
        // The load went on all the while.
        let after = acknowledged.lock().unwrap().len();
        while acknowledged.lock().unwrap().len() <= after {
            std::thread::yield_now();
        }
        over.store(true, Ordering::Relaxed);
        before
    });
    // Not over something that is there.
    assert_eq!(journal(&data, &["snapshot", copy.to_str().unwrap()]).status.code(), Some(73));
    assert_eq!(said(&copy, &["verify", "--json"])[0]["sound"], true);

    // Another daemon goes on from it, while the first one does.
    let other = tempfile::tempdir().unwrap();
    let at = format!("data.dir={}", copy.display());
    let restored = Launch::new(other.path()).config(UNSERVED).set(&at).start();
    for (n, id) in &before {
        assert_eq!(get(&restored, id)["state"], "ACCEPTED");
        // It knows what was started by which key.
        if n % 25 == 0 {
            assert_eq!(start(restored.http, &key(*n))["id"], **id);
        }
    }
    let fresh = start(restored.http, &json!({ "route": "showcase-echo", "input": { "json": 1 } }));
    while get(&restored, fresh["id"].as_str().unwrap())["done"] != true {}
    assert_eq!(restored.terminate().code(), Some(0));
    assert_eq!(get(&daemon, &before[0].1)["state"], "ACCEPTED");
    assert_eq!(daemon.terminate().code(), Some(0));
}

/// A data directory that an earlier opgate left, in a place of its own, and what it held.
fn earlier(layout: &str, dir: &Path) -> (PathBuf, Value) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journals").join(layout);
    let data = dir.join("data");
    std::fs::create_dir(&data).unwrap();
    for name in ["opgate.db", "opgate.mark"] {
        std::fs::copy(kept.join(name), data.join(name)).unwrap();
    }
    let expected = std::fs::read(kept.join("expected.json")).unwrap();
    (data, serde_json::from_slice(&expected).unwrap())
}

#[test]
fn what_earlier_versions_wrote_is_read_and_goes_on() {
    for layout in ["layout-1", "layout-2"] {
        let dir = tempfile::tempdir().unwrap();
        let (data, expected) = earlier(layout, dir.path());
        let states = || -> Vec<(String, String)> {
            let mut found: Vec<(String, String)> = said(&data, &["dump"])
                .iter()
                .map(|line| {
                    let text = |value: &Value| value.as_str().unwrap().to_owned();
                    let deleted = line["deleted"] == true;
                    let state = if deleted {
                        "DELETED".to_owned()
                    } else {
                        text(&line["operation"]["state"])
                    };
                    (text(&line["operation"]["id"]), state)
                })
                .collect();
            found.sort();
            found
        };
        let mut wanted: Vec<(String, String)> = expected
            .as_object()
            .unwrap()
            .values()
            .map(|kept| {
                (
                    kept["id"].as_str().unwrap().to_owned(),
                    kept["state"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        wanted.sort();
        assert_eq!(states(), wanted, "{layout}");
        assert_eq!(said(&data, &["verify", "--json"])[0]["sound"], true, "{layout}");

        let daemon = Launch::new(dir.path()).config(UNSERVED).start();
        let id = |name: &str| expected[name]["id"].as_str().unwrap().to_owned();
        let waits = get(&daemon, &id("accepted"));
        assert_eq!(
            (&waits["state"], &waits["input"]["data"]),
            // "wait for me"
            (&json!("ACCEPTED"), &json!("d2FpdCBmb3IgbWU="))
        );
        assert_eq!(waits["parent"], "shelf/1");
        let by_hand = json!({ "outcome": { "succeeded": {} } });
        let path = format!("/opgate/v1/operations/{}:complete", id("accepted"));
        let kind = ["Content-Type: application/json"];
        let ended = raw(daemon.http, "POST", &path, &kind, by_hand.to_string().as_bytes());
        assert_eq!(ended.json()["state"], "SUCCEEDED", "{layout}");
        assert_eq!(daemon.terminate().code(), Some(0), "{layout}");
        assert_eq!(said(&data, &["stats", "--json"])[0]["layout"], 2, "{layout}");
        assert_eq!(said(&data, &["verify", "--json"])[0]["sound"], true, "{layout}");
    }
}

#[test]
fn what_a_later_version_wrote_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (data, _) = earlier("layout-2", dir.path());
    // The number of the layout, in the header of the file (SQLite's user_version).
    let path = data.join("opgate.db");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60..64].copy_from_slice(&9_u32.to_be_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let refused = Launch::new(dir.path()).fail();
    assert_eq!(refused.code(), Some(78), "{}", refused.log);
    assert!(
        refused.log.contains("later opgate (layout 9; this one reads layouts 1 to 2)"),
        "{}",
        refused.log
    );
    let stats = journal(&data, &["stats"]);
    assert_eq!(stats.status.code(), Some(78));
    assert!(text(&stats.stderr).contains("layout 9"), "{}", text(&stats.stderr));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}
