//! A real broker behind the daemon: Apache Qpid Broker-J, whose management node carries out what is
//! started over other protocols.
//!
//! It needs Java 17 and Maven, and Maven Central the first time.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clients::{KEPT, SOURCES, run};
use crate::faces::{JSON, raw};
use crate::process::Launch;

const CONFIG: &str = include_str!("../../clients/amqp/broker/opgate.toml");
const PASSWORD: &str = "a word of its own";

/// The broker's jars, exactly those that `pom.xml` leads to. They are fetched anew when that has changed,
/// or when fetching them was interrupted.
static JARS: LazyLock<PathBuf> = LazyLock::new(|| {
    let pom = Path::new(SOURCES).join("amqp/broker/pom.xml");
    let wanted = std::fs::read_to_string(&pom).unwrap();
    let root = Path::new(KEPT).join("amqp-broker");
    let (jars, installed) = (root.join("jars"), root.join("installed.xml"));
    if !std::fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        std::fs::remove_dir_all(&jars).unwrap_or_default();
        std::fs::create_dir_all(&root).unwrap();
        let mut maven = Command::new("mvn");
        maven.args(["--quiet", "--batch-mode", "--file"]).arg(&pom);
        maven.arg(format!("-Dmaven.repo.local={}", root.join("repository").display()));
        maven.arg(format!("-DoutputDirectory={}", jars.display()));
        run(maven.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]));
        std::fs::write(&installed, wanted).unwrap();
    }
    jars
});

/// A broker, as a process. Killed when dropped.
struct Broker {
    child: Child,
    address: SocketAddr,
    _dir: TempDir,
}

impl Broker {
    /// Starts one on a free port, and waits until it serves.
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Path::new(SOURCES).join("amqp/broker/broker.json");
        let config = std::fs::read_to_string(config).unwrap().replace("PASSWORD", PASSWORD);
        let file = dir.path().join("broker.json");
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new("java")
            .arg("-Xmx256m")
            .arg("-cp")
            .arg(JARS.join("*"))
            .args(["org.apache.qpid.server.Main", "--store-type", "Memory"])
            .arg("--initial-config-path")
            .arg(&file)
            .arg("--config-property")
            .arg(format!("qpid.work_dir={}", dir.path().join("work").display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut port = None;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in &mut lines {
            let line = line.unwrap();
            if let Some((_, after)) = line.split_once("Listening on TCP port ") {
                port = after.trim().parse().ok();
            }
            if line.contains("Qpid Broker Ready") {
                break;
            }
            said.extend([&line, "\n"]);
        }
        // It goes on writing there.
        std::thread::spawn(move || lines.count());
        let port: u16 = port.unwrap_or_else(|| panic!("it did not listen: {said}"));
        Self { child, address: (Ipv4Addr::LOCALHOST, port).into(), _dir: dir }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already, and both then fail.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// Starts an operation of a route over opgate's own API; what it came to.
fn ended(http: SocketAddr, route: &str, input: &Value) -> Value {
    let start = json!({"route": route, "input": {"json": input}}).to_string();
    let started = raw(http, "POST", "/opgate/v1/operations", &[JSON], start.as_bytes()).json();
    awaited(http, started["id"].as_str().unwrap_or_else(|| panic!("{started}")))
}

fn awaited(http: SocketAddr, id: &str) -> Value {
    let path = format!("/opgate/v1/operations/{id}:wait?timeout=30s");
    raw(http, "GET", &path, &[], &[]).json()
}

#[test]
fn a_brokers_queues_are_made_read_and_deleted_by_operations() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let config = CONFIG
        .replace("ENDPOINT", &broker.address.to_string())
        .replace("PASSWORD", password.to_str().unwrap());
    let daemon = Launch::new(dir.path()).config(&config).start();
    let http = daemon.http;
    let orders = json!({"queue": "orders", "depth": 7});

    let created = ended(http, "create-queue", &orders);
    assert_eq!(created["state"], "SUCCEEDED", "{created}\n{}", daemon.log());
    assert_eq!(created["result"]["json"]["name"], "orders", "{created}");
    // It is there, so it cannot be made again.
    let again = ended(http, "create-queue", &orders);
    assert_eq!(again["state"], "FAILED", "{again}");
    assert!(again.to_string().contains("already exists"), "{again}");

    let read = ended(http, "read-queue", &orders);
    assert_eq!(read["result"]["json"]["maximumQueueDepthMessages"], 7, "{read}");
    let listed = ended(http, "list-queues", &json!({}));
    let rows = listed["result"]["json"]["results"].as_array().unwrap_or_else(|| panic!("{listed}"));
    assert!(rows.contains(&json!(["orders"])), "{listed}");

    // Nexus starts it, opgate's own API tells the end.
    let queue = orders.to_string();
    let path = "/nexus/broker/delete-queue";
    let started = raw(http, "POST", path, &[JSON], queue.as_bytes()).json();
    let deleted = awaited(http, started["token"].as_str().unwrap_or_else(|| panic!("{started}")));
    assert_eq!(deleted["state"], "SUCCEEDED", "{deleted}");
    let absent = ended(http, "read-queue", &orders);
    assert_eq!(absent["state"], "FAILED", "{absent}");
    assert_eq!(absent["error"]["code"], "NOT_FOUND", "{absent}");
    assert_eq!(daemon.terminate().code(), Some(0));
}
