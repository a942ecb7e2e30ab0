//! Prometheus itself and its tool, a module of Go's: built the first time, which takes some eight minutes of one core.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Instant;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::shipped;
use crate::go::Module;
use crate::process::PATIENCE;

/// Without what finds targets in clouds: that is most of it, and needs none of what is tested.
const TAGS: &str = "remove_all_sd";

static TOOLS: LazyLock<[PathBuf; 2]> = LazyLock::new(|| {
    let module = Module::of("prometheus");
    ["prometheus", "promtool"]
        .map(|name| module.tool(&format!("github.com/prometheus/prometheus/cmd/{name}"), TAGS))
});

/// `promtool`.
pub(super) fn promtool() -> Command {
    Command::new(&TOOLS[1])
}

/// Copies what is shipped for Prometheus, but with this target and without its leisure; the configuration's path.
pub(super) fn configuration(dir: &Path, target: &str) -> PathBuf {
    let config = shipped("deploy/prometheus/prometheus.yml");
    assert!(config.contains("127.0.0.1:9464") && config.contains(": 15s"), "{config}");
    std::fs::create_dir_all(dir.join("rules")).unwrap();
    for rules in ["rules/recording.yml", "rules/alerts.yml"] {
        std::fs::write(dir.join(rules), shipped(&format!("deploy/prometheus/{rules}"))).unwrap();
    }
    let path = dir.join("prometheus.yml");
    let config = config.replace("127.0.0.1:9464", target).replace(": 15s", ": 1s");
    std::fs::write(&path, config).unwrap();
    path
}

/// A server. Killed when dropped.
pub(super) struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// Scrapes this target, with its data in a directory.
    pub(super) fn start(dir: &Path, target: SocketAddr) -> Self {
        let config = configuration(dir, &target.to_string());
        let mut child = Command::new(&TOOLS[0])
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let address = loop {
            let Some(Ok(line)) = log.next() else { panic!("it ended: {}", said.join("\n")) };
            let listens = line.contains("msg=\"Listening on\"");
            let address = line.split("address=").nth(1).and_then(|rest| rest.split(' ').next());
            if let Some(address) = address.filter(|_| listens) {
                break address.trim_matches('"').parse().unwrap();
            }
            said.push(line);
        };
        // Nobody reads the rest, which must not stop the server.
        std::thread::spawn(move || log.for_each(drop));
        let server = Self { child, address };
        let ends = Instant::now() + PATIENCE;
        while !server.answer("/-/ready").starts_with("HTTP/1.0 200") {
            assert!(Instant::now() < ends, "it is not ready after {PATIENCE:?}");
            std::thread::yield_now();
        }
        server
    }

    /// What it answers to a GET.
    fn answer(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // Answers of HTTP/1.0 are not chunked.
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// `data` of what its API answers to a GET.
    fn get(&self, path: &str) -> Value {
        let answer = self.answer(&format!("/api/v1/{path}"));
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut body: Value = serde_json::from_str(body).unwrap_or_default();
        assert_eq!(body["status"], "success", "{path}: {answer}");
        body["data"].take()
    }

    /// What a query gives now.
    pub(super) fn query(&self, query: &str) -> Vec<Value> {
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let mut data = self.get(&format!("query?query={query}"));
        let Value::Array(series) = data["result"].take() else { panic!("{data}") };
        series
    }

    /// Every rule, with what became of its evaluation.
    pub(super) fn rules(&self) -> Vec<Value> {
        let data = self.get("rules");
        let groups = data["groups"].as_array().unwrap().iter();
        groups.flat_map(|group| group["rules"].as_array().unwrap()).cloned().collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already, and both then fail.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}
