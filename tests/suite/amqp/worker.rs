//! Workers as processes, and what becomes of their operations when they or the daemon are killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use super::clients::PYTHON;
use crate::clients::SOURCES;
use crate::faces::{JSON, raw};
use crate::process::{Daemon, Launch, PATIENCE};

const CONFIG: &str = r#"
[backends.workers]
kind = "worker"
concurrency = 1000
lease = "3s"
attempts = 3

[routes.paint]
service = "shop"
operation = "paint"
backend = "workers"
[routes.paint.worker]
queue = "paint"
"#;

/// Who settles the deliveries of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settles {
    Itself,
    Opgate,
}

/// A worker's process, its commands, and what it says. Killed when dropped.
struct Worker {
    child: Child,
    commands: ChildStdin,
    lines: Receiver<String>,
}

impl Worker {
    /// One that is attached.
    fn start(daemon: SocketAddr, name: &str, settles: Settles) -> Self {
        let mode = match settles {
            Settles::Itself => "first",
            Settles::Opgate => "second",
        };
        let mut child = Command::new(&*PYTHON)
            .current_dir(Path::new(SOURCES).join("amqp/python"))
            .args(["worker.py", &daemon.to_string(), "paint", name, mode])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The test may have seen enough.
                sender.send(line).unwrap_or_default();
            }
        });
        let commands = child.stdin.take().unwrap();
        let worker = Self { child, commands, lines };
        worker.says("ready");
        worker
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    fn says(&self, line: &str) {
        assert_eq!(self.next(), line);
    }

    /// What it says until its connection is over.
    fn rest(&self) -> Vec<String> {
        let mut said = Vec::new();
        while !said.last().is_some_and(|line| line == "lost" || line == "closed") {
            said.push(self.next());
        }
        said
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already, and both then fail.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

fn start(daemon: &Daemon) -> String {
    let start = json!({"route": "paint", "input": {"json": {}}}).to_string();
    let started = raw(daemon.http, "POST", "/opgate/v1/operations", &[JSON], start.as_bytes());
    let started = started.json();
    started["id"].as_str().unwrap_or_else(|| panic!("{started}")).to_owned()
}

fn get(daemon: &Daemon, id: &str) -> Value {
    raw(daemon.http, "GET", &format!("/opgate/v1/operations/{id}"), &[], &[]).json()
}

fn ended(daemon: &Daemon, id: &str) -> Value {
    let path = format!("/opgate/v1/operations/{id}:wait?timeout=30s");
    raw(daemon.http, "GET", &path, &[], &[]).json()
}

fn launch(dir: &Path) -> Launch {
    Launch::new(dir).config(CONFIG)
}

#[test]
fn what_a_killed_worker_held_is_given_out_again_once() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = launch(dir.path()).start();
    let ids: Vec<String> = (0..3).map(|_| start(&daemon)).collect();
    let mut first = Worker::start(daemon.amqp, "first", Settles::Itself);
    first.tell("credit 3");
    for id in &ids {
        first.says(&format!("received {id} 1"));
    }
    // Whoever asks meanwhile gets none of them.
    let mut second = Worker::start(daemon.amqp, "second", Settles::Opgate);
    second.tell("drain 10");
    second.says("drained");
    first.kill();
    second.tell("credit 3");
    let mut again: Vec<String> = ids.iter().map(|_| second.next()).collect();
    again.sort();
    let mut expected: Vec<String> = ids.iter().map(|id| format!("received {id} 2")).collect();
    expected.sort();
    assert_eq!(again, expected);
    for id in &ids {
        second.tell(&format!("accept {id}"));
        second.says(&format!("settled {id} ACCEPTED"));
        let done = get(&daemon, id);
        assert_eq!((&done["state"], &done["epoch"]), (&json!("SUCCEEDED"), &json!(2)), "{done}");
    }
    second.tell("drain 10");
    second.says("drained");
    second.tell("close");
    second.says("closed");
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn what_is_settled_by_opgate_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = launch(dir.path()).start();
    for _ in 0..3 {
        let ids: Vec<String> = (0..50).map(|_| start(&daemon)).collect();
        let mut worker = Worker::start(daemon.amqp, "worker", Settles::Opgate);
        worker.tell("credit 50");
        for id in &ids {
            worker.says(&format!("received {id} 1"));
        }
        for id in &ids {
            worker.tell(&format!("accept {id}"));
        }
        // Killed in the midst of them.
        let mut settled = vec![worker.next()];
        daemon = daemon.crash();
        settled.extend(worker.rest());
        assert_eq!(settled.pop().as_deref(), Some("lost"), "{settled:?}");
        for line in &settled {
            let id = line.strip_prefix("settled ").and_then(|it| it.strip_suffix(" ACCEPTED"));
            let id = id.unwrap_or_else(|| panic!("{line}"));
            assert_eq!(get(&daemon, id)["state"], "SUCCEEDED", "it was told to be settled");
        }
        // Whatever is not done is given out again, and nothing else.
        let is_open = |id: &&String| get(&daemon, id)["state"] == "RUNNING";
        let mut open: Vec<&String> = ids.iter().filter(is_open).collect();
        let mut next = Worker::start(daemon.amqp, "next", Settles::Opgate);
        while !open.is_empty() {
            next.tell("credit 1");
            let said = next.next();
            let again = said.strip_prefix("received ").and_then(|it| it.strip_suffix(" 2"));
            let at = open.iter().position(|id| Some(id.as_str()) == again);
            let id = open.remove(at.unwrap_or_else(|| panic!("{said}, of {open:?}")));
            next.tell(&format!("accept {id}"));
            next.says(&format!("settled {id} ACCEPTED"));
        }
        for id in &ids {
            assert_eq!(get(&daemon, id)["state"], "SUCCEEDED");
        }
    }
}

#[test]
fn what_was_open_when_the_daemon_was_killed_is_given_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = launch(dir.path()).start();
    let id = start(&daemon);
    let mut old = Worker::start(daemon.amqp, "old", Settles::Itself);
    old.tell("credit 1");
    old.says(&format!("received {id} 1"));
    old.tell(&format!("name {id}"));
    let named = old.next();
    let lease = named.strip_prefix(&format!("named {id} ")).unwrap_or_else(|| panic!("{named}"));
    let daemon = daemon.crash();
    old.says("lost");
    let mut new = Worker::start(daemon.amqp, "new", Settles::Opgate);
    new.tell("credit 1");
    new.says(&format!("received {id} 2"));
    // The lease of before is worth nothing, whoever comes with it.
    new.tell(&format!("result {lease} forged"));
    new.says(&format!("result {lease} REJECTED amqp:precondition-failed"));
    assert_eq!(get(&daemon, &id)["state"], "RUNNING");
    new.tell(&format!("result {id} done"));
    new.says(&format!("result {id} ACCEPTED"));
    new.tell(&format!("accept {id}"));
    new.says(&format!("settled {id} ACCEPTED"));
    let done = get(&daemon, &id);
    assert_eq!(
        (&done["state"], &done["result"]["data"]),
        (&json!("SUCCEEDED"), &json!("ZG9uZQ=="))
    );
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn a_drain_gives_nothing_out_and_lets_what_is_open_be_settled() {
    let dir = tempfile::tempdir().unwrap();
    let launch = launch(dir.path()).set("drain.timeout=6s");
    let daemon = launch.start();
    let ids: Vec<String> = (0..3).map(|_| start(&daemon)).collect();
    let [done, left, waiting] = &ids[..] else { unreachable!() };
    let mut worker = Worker::start(daemon.amqp, "worker", Settles::Opgate);
    worker.tell("credit 2");
    worker.says(&format!("received {done} 1"));
    worker.says(&format!("received {left} 1"));
    daemon.signal("TERM");
    daemon.await_message("draining");
    daemon.await_metric("opgate_draining 1");
    worker.tell(&format!("accept {done}"));
    worker.says(&format!("settled {done} ACCEPTED"));
    worker.tell("credit 5");
    // One is never settled: the time for the drain passes.
    let ended = daemon.wait();
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
    let rest = worker.rest();
    assert_eq!(rest.len(), 1, "{rest:?}");
    let daemon = launch.start();
    assert_eq!(get(&daemon, done)["state"], "SUCCEEDED");
    assert_eq!(get(&daemon, waiting)["state"], "ACCEPTED");
    let mut next = Worker::start(daemon.amqp, "next", Settles::Itself);
    next.tell("credit 2");
    let mut received = [next.next(), next.next()];
    received.sort();
    let mut expected = [format!("received {left} 2"), format!("received {waiting} 1")];
    expected.sort();
    assert_eq!(received, expected);
}

#[test]
fn a_worker_that_hangs_loses_its_lease_and_is_told_when_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    // Its link lives, as long as the peer does not ask for signs of life.
    let daemon = launch(dir.path()).set("amqp.work.longest=10s").start();
    let id = start(&daemon);
    let mut hanging = Worker::start(daemon.amqp, "hanging", Settles::Opgate);
    hanging.tell("credit 1");
    hanging.says(&format!("received {id} 1"));
    hanging.signal("STOP");
    // What it would have said: it is said when it goes on.
    hanging.tell(&format!("accept {id}"));
    let mut other = Worker::start(daemon.amqp, "other", Settles::Opgate);
    other.tell("credit 1");
    other.says(&format!("received {id} 2"));
    hanging.signal("CONT");
    hanging.says(&format!("settled {id} REJECTED amqp:precondition-failed"));
    assert_eq!(get(&daemon, &id)["state"], "RUNNING");
    other.tell(&format!("accept {id}"));
    other.says(&format!("settled {id} ACCEPTED"));
    let done = ended(&daemon, &id);
    assert_eq!((&done["state"], &done["epoch"]), (&json!("SUCCEEDED"), &json!(2)), "{done}");
    assert!(done["log"].to_string().contains("anonymous@hanging"), "{done}");
    assert_eq!(daemon.terminate().code(), Some(0));
}
