//! The daemon in front of an API of OCI's kind, which the test plays: what `kill -9` comes between is
//! found again, and is never started twice. By the configuration of the example.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::{Value, json};

use crate::faces::{JSON, raw};
use crate::process::{Daemon, Launch, PATIENCE};

const EXAMPLE: &str = include_str!("../../config/examples/oci-backend.toml");
const MOVE: &str = "POST /20160918/compartments/ocid1.compartment.oc1..a/actions/moveCompartment";
const LOOK: &str = "GET /20160918/workRequests/ocid1.workrequest.oc1..w";

/// A request that waits for its answer.
struct Call {
    head: String,
    body: Vec<u8>,
    stream: TcpStream,
}

impl Call {
    /// Reads one; none where the connection ends before it does.
    fn read(stream: TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let mut call = Self { head, body: Vec::new(), stream };
        call.body.resize(call.header("content-length").map_or(0, |text| text.parse().unwrap()), 0);
        reader.read_exact(&mut call.body).ok()?;
        Some(call)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn is(&self, request: &str) -> bool {
        self.head.lines().next() == Some(&*format!("{request} HTTP/1.1"))
    }

    /// Under which lease of its operation it was sent.
    fn lease(&self) -> &str {
        self.header("opc-request-id").unwrap().split_once('/').unwrap().1
    }

    /// Answers. Who asked may have been killed meanwhile.
    fn answer(mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}");
        write!(self.stream, "{head}\r\n{headers}\r\n{body}").unwrap_or_default();
    }

    fn started(self) {
        self.answer("202 Accepted", "opc-work-request-id: ocid1.workrequest.oc1..w\r\n", "");
    }

    fn show(self, body: &Value) {
        self.answer("200 OK", "content-type: application/json\r\n", &body.to_string());
    }
}

/// The API. It answers nothing by itself.
struct Upstream {
    address: SocketAddr,
    calls: Receiver<Call>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = channel();
        let thread = std::thread::spawn(move || Self::serve(&listener, &sender));
        Self { address, calls, thread: Some(thread) }
    }

    /// Takes one request from each connection, until nobody listens any more.
    fn serve(listener: &TcpListener, calls: &Sender<Call>) {
        loop {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let Some(call) = Call::read(stream) else { continue };
            if calls.send(call).is_err() {
                return;
            }
        }
    }

    fn call(&self) -> Call {
        self.calls.recv_timeout(PATIENCE).unwrap()
    }

    /// The next request, which must be this.
    fn expect(&self, request: &str) -> Call {
        let call = self.call();
        assert!(call.is(request), "{}", call.head);
        call
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // One more request, which finds that nobody listens.
        drop(std::mem::replace(&mut self.calls, channel().1));
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        self.thread.take().map(JoinHandle::join).unwrap().unwrap();
    }
}

fn launch(dir: &Path, upstream: &Upstream) -> Daemon {
    Launch::new(dir)
        .config(EXAMPLE)
        .set(&format!("backends.identity.endpoint=http://{}", upstream.address))
        .set("backends.identity.poll_first=10ms")
        .set("backends.identity.poll_longest=50ms")
        .start()
}

/// Starts an operation over opgate's own API; its name.
fn start(daemon: &Daemon) -> String {
    let body = json!({"route": "move-compartment", "input": {"json":
        {"compartmentId": "ocid1.compartment.oc1..a", "to": "ocid1.compartment.oc1..b"}}});
    let body = body.to_string();
    let reply = raw(daemon.http, "POST", "/opgate/v1/operations", &[JSON], body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply.json()["id"].as_str().unwrap().to_owned()
}

fn operation(daemon: &Daemon, id: &str, verb: &str) -> Value {
    let reply = raw(daemon.http, "GET", &format!("/opgate/v1/operations/{id}{verb}"), &[], b"");
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply.json()
}

/// Each message of its log.
fn log(operation: &Value) -> Vec<&str> {
    let lines = operation["log"].as_array().map(Vec::as_slice).unwrap_or_default();
    lines.iter().map(|line| line["message"].as_str().unwrap()).collect()
}

#[test]
fn what_runs_upstream_is_found_again_after_the_daemon_was_killed() {
    let (dir, upstream) = (tempfile::tempdir().unwrap(), Upstream::start());
    let daemon = launch(dir.path(), &upstream);
    let id = start(&daemon);
    let call = upstream.expect(MOVE);
    assert_eq!(call.header("opc-retry-token"), Some(&*id));
    let sent: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(sent, json!({"targetCompartmentId": "ocid1.compartment.oc1..b"}));
    call.started();
    let line = json!({"message": "moving", "timestamp": "2026-01-02T03:04:05.678Z"});
    let running = json!({"status": "IN_PROGRESS", "percentComplete": 40, "logs": [line]});
    upstream.expect(LOOK).show(&running);
    let deadline = Instant::now() + PATIENCE;
    while log(&operation(&daemon, &id, "")) != ["moving"] {
        assert!(Instant::now() < deadline, "{}", operation(&daemon, &id, ""));
    }

    let daemon = daemon.crash();
    // What the first process still asked for stays without an answer.
    let look = loop {
        let call = upstream.expect(LOOK);
        if call.lease() == "2" {
            break call;
        }
    };
    let done = json!({"status": "SUCCEEDED", "percentComplete": 100, "logs": [line]});
    look.show(&done);
    let ended = operation(&daemon, &id, ":wait?timeout=30s");
    assert_eq!(ended["state"], "SUCCEEDED", "{ended}");
    assert_eq!(log(&ended), ["moving"]);
    assert_eq!(ended["resources"][0]["action"], "UPDATED", "{ended}");
    assert!(upstream.calls.try_recv().is_err());
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn a_start_that_the_daemon_was_killed_over_is_sent_again_as_the_same() {
    let (dir, upstream) = (tempfile::tempdir().unwrap(), Upstream::start());
    let daemon = launch(dir.path(), &upstream);
    let id = start(&daemon);
    // It arrived; nobody will hear so.
    let call = upstream.expect(MOVE);
    assert_eq!(call.header("opc-retry-token"), Some(&*id));
    let daemon = daemon.crash();
    drop(call);
    let call = upstream.expect(MOVE);
    assert_eq!((call.header("opc-retry-token"), call.lease()), (Some(&*id), "2"));
    call.started();
    let error = json!({"code": "LimitExceeded", "message": "too many compartments",
        "timestamp": "2026-01-02T03:04:05.678Z"});
    upstream.expect(LOOK).show(&json!({"status": "FAILED", "errors": [error]}));
    let ended = operation(&daemon, &id, ":wait?timeout=30s");
    assert_eq!(ended["state"], "FAILED", "{ended}");
    assert_eq!(log(&ended), ["too many compartments"]);
    assert_eq!(ended["error"]["message"], "too many compartments", "{ended}");
    assert!(upstream.calls.try_recv().is_err());
    assert_eq!(daemon.terminate().code(), Some(0));
}
