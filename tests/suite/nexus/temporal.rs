//! A real Temporal against the daemon, both ways: its workflows call operations of opgate and are told
//! of their ends by callback, and opgate calls operations that its workers handle.
//!
//! The server is a Go module, built and run in the process of the tests. What it takes to build the
//! first time is said in README.md.

use std::net::{Ipv4Addr, TcpListener};

use crate::go::Module;
use crate::process::Launch;

const CONFIG: &str = include_str!("../../clients/nexus/temporal/opgate.toml");

#[test]
fn temporal_finds_what_it_expects() {
    let module = Module::of("nexus/temporal");
    let mut tests = module.tests();
    // It only listens where it is told to: a port that is free now.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let temporal = free.local_addr().unwrap();
    drop(free);
    let queue = format!("http://{temporal}/namespaces/default/task-queues/handlers/nexus-services");
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path())
        .config(CONFIG)
        .set(&format!("backends.temporal.endpoint={queue}"))
        .set(&format!("callbacks.allow=[\"{temporal}\"]"))
        .start();

    let tests = tests
        .args(["-test.v", "-test.timeout=5m"])
        .env("OPGATE_HTTP", daemon.http.to_string())
        .env("TEMPORAL_HTTP", temporal.to_string())
        .output()
        .unwrap();
    let said = [&tests.stdout[..], &tests.stderr[..]].map(String::from_utf8_lossy).concat();
    assert!(tests.status.success(), "{said}\n{}", daemon.log());
    assert_eq!(daemon.terminate().code(), Some(0));
}
