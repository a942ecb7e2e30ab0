//! Nexus's unmodified SDK against the daemon, as caller, as receiver of callbacks, and as the handler
//! behind it: runs the Go tests in `tests/clients/nexus`. And callbacks that a crash comes between.

pub(crate) mod callbacks;
mod temporal;
mod wire;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Instant;

use crate::go::Module;
use crate::process::{Launch, PATIENCE};
use serde_json::{Value, json};

const CONFIG: &str = include_str!("../clients/nexus/opgate.toml");

/// A handler made with an SDK, as a process. Killed when dropped.
struct Handler {
    child: Child,
    address: SocketAddr,
}

impl Handler {
    fn start(module: &Module) -> Self {
        let mut child = module.program("./upstream/serve").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().unwrap() }
    }

    fn url(&self) -> String {
        format!("http://{}/nexus", self.address)
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        // It may have ended already, and both then fail.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// A daemon in front of these handlers.
fn launch(dir: &Path, handler: &Handler, of_old: &Handler) -> Launch {
    let mut launch = Launch::new(dir).config(CONFIG);
    for backend in ["upstream", "upstream-told", "upstream-asked"] {
        launch = launch.set(&format!("backends.{backend}.endpoint={}", handler.url()));
    }
    launch.set(&format!("backends.upstream-of-old.endpoint={}", of_old.url()))
}

#[test]
fn the_sdk_finds_what_it_expects() {
    let [new, old] = ["nexus/sdk-v0.4.0", "nexus/sdk-v0.1.1"].map(Module::of);
    let [handler, handler_of_old] = [&new, &old].map(Handler::start);
    let dir = tempfile::tempdir().unwrap();
    let daemon = launch(dir.path(), &handler, &handler_of_old).start();
    for module in [&new, &old] {
        module.vet();
        let tests = module
            .test()
            .env("OPGATE_HTTP", daemon.http.to_string())
            .env("OPGATE_UPSTREAM", handler.address.to_string())
            .output()
            .unwrap();
        let said = [&tests.stdout[..], &tests.stderr[..]].map(String::from_utf8_lossy).concat();
        assert!(tests.status.success(), "{said}\n{}", daemon.log());
    }
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn what_a_handler_carries_out_is_found_again_after_the_daemon_was_killed() {
    let handler = Handler::start(&Module::of("nexus/sdk-v0.4.0"));
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = launch(dir.path(), &handler, &handler).start();
    for operation in ["/nexus/upstream/run", "/nexus/upstream/silent"] {
        let input = json!({"duration": "2s", "result": {"operation": operation}});
        let token = wire::start(daemon.http, operation, operation, &input);
        let began = |start: &Value| operation.ends_with(start["Operation"].as_str().unwrap());
        let starts = || -> Vec<Value> {
            let Value::Array(all) = wire::send(handler.address, "GET", "/starts", &[], "").json
            else {
                panic!("no list of starts")
            };
            all.into_iter().filter(began).collect()
        };
        let deadline = Instant::now() + PATIENCE;
        while starts().is_empty() {
            assert!(Instant::now() < deadline, "it was never started: {}", daemon.log());
        }
        // Its port is another one now: where the handler will call back to, nobody listens.
        daemon = daemon.crash();
        let result = wire::result(daemon.http, operation, &token);
        assert_eq!(result, json!({"operation": operation}));
        // However often it was started, it was one operation.
        let starts = starts();
        for start in &starts {
            assert_eq!(start["Token"], starts[0]["Token"], "{starts:?}");
        }
    }
    assert_eq!(daemon.terminate().code(), Some(0));
}
