//! A gateway with something of everything: every protocol in front, several backends behind, one of them down, workers,
//! callbacks that are taken and one that nobody takes, TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use fe2o3_amqp::{Connection, Session};
use fe2o3_amqp_management::MgmtClient;
use fe2o3_amqp_management::operations::ReadRequest;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::faces::{JSON, raw};
use crate::grpc::{Client, ECHO};
use crate::nexus::callbacks::{CALLBACKS, Desk};
use crate::process::{Daemon, Launch, NOBODY};
use crate::tls::Authority;

/// Where the gateway is.
#[derive(Clone, Copy)]
struct Doors {
    http: SocketAddr,
    amqp: SocketAddr,
}

/// The load, until it is stopped.
pub(super) struct Load {
    daemon: Daemon,
    stopping: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    _dir: TempDir,
    _desk: Desk,
}

impl Load {
    pub(super) fn start() -> Self {
        let (dir, desk) = (tempfile::tempdir().unwrap(), Desk::start());
        desk.open.send_replace(true);
        let (cert, key) = (dir.path().join("http.pem"), dir.path().join("http.key"));
        Authority::new().issue(&cert, &key);
        let daemon = Launch::new(dir.path())
            .config(include_str!("../../../config/examples/worker.toml"))
            .config(CALLBACKS)
            .config(&format!(
                r#"
[backends.away]
kind = "oci"
concurrency = 10
endpoint = "http://{NOBODY}"
signing = "none"
breaker = 1
breaker_pause = "100ms"
[routes.away]
service = "things"
operation = "away"
backend = "away"
[routes.away.oci]
request = "POST /away"
dialect = "identity"
work_requests = "/workRequests"
"#
            ))
            .set("http.allow_plaintext=true")
            .set(&format!("http.tls.cert_file={}", cert.display()))
            .set(&format!("http.tls.key_file={}", key.display()))
            .start();
        let doors = Doors { http: daemon.http, amqp: daemon.amqp };
        let stopping = Arc::new(AtomicBool::new(false));
        // It stays, and so does what is owed to nobody.
        begin(doors, "away", &json!({}));
        let _token = nexus(doors, NOBODY.parse().unwrap(), 0);
        daemon.signal("HUP");
        let receiver = desk.address;
        let clients: [Box<dyn Fn(Doors, u64) + Send>; 2] =
            [Box::new(move |doors, round| over_http(doors, receiver, round)), Box::new(over_amqp)];
        let clients = clients.into_iter().map(|client| {
            let stopping = Arc::clone(&stopping);
            std::thread::spawn(move || {
                let mut round = 1;
                while !stopping.load(Ordering::Relaxed) {
                    client(doors, round);
                    round += 1;
                }
            })
        });
        let clients = clients.collect();
        Self { daemon, stopping, clients, _dir: dir, _desk: desk }
    }

    /// Where its metrics are.
    pub(super) fn admin(&self) -> SocketAddr {
        self.daemon.admin
    }

    /// The metrics as they are shown.
    pub(super) fn metrics(&self) -> String {
        let answer = self.daemon.probe("/metrics").1;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-length"), "{head}");
        body.to_owned()
    }

    /// Ends it, and the gateway in order.
    pub(super) fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        assert_eq!(self.daemon.terminate().code(), Some(0));
    }
}

fn post(doors: Doors, path: &str, body: &Value) -> Value {
    let reply = raw(doors.http, "POST", path, &[JSON], body.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{path}: {}", reply.head);
    reply.json()
}

/// Starts an operation by opgate's own API; its id.
fn begin(doors: Doors, route: &str, input: &Value) -> String {
    let body = json!({"route": route, "input": {"json": input}});
    post(doors, "/opgate/v1/operations", &body)["id"].as_str().unwrap().to_owned()
}

/// Starts one over Nexus, whose end that receiver is to be told of; its token.
fn nexus(doors: Doors, receiver: SocketAddr, round: u64) -> String {
    let path = format!("/nexus/showcase/run?callback=http%3A%2F%2F{receiver}%2F{round}");
    let request = format!("Nexus-Request-Id: {receiver}-{round}");
    let reply =
        raw(doors.http, "POST", &path, &[JSON, &request], br#"{"duration": "20ms", "result": {}}"#);
    assert_eq!(reply.status, 201, "{}", reply.head);
    reply.json()["token"].as_str().unwrap().to_owned()
}

fn over_http(doors: Doors, receiver: SocketAddr, round: u64) {
    nexus(doors, receiver, round);
    let read = |path: &str| {
        let reply = raw(doors.http, "GET", path, &[], b"");
        assert_eq!(reply.status, 200, "{path}: {}", reply.head);
        reply.json()
    };
    read("/v1/operations?pageSize=1");
    read("/20160918/workRequests?compartmentId=ocid1.compartment.oc1..c");
    let failing = json!({"outcome": "failed", "code": "NOT_FOUND"});
    let id = begin(doors, "showcase-run", &failing);
    assert_eq!(read(&format!("/opgate/v1/operations/{id}:wait?timeout=60s"))["state"], "FAILED");

    begin(doors, "render", &json!({}));
    let ask = json!({"max": 1, "wait": "60s", "worker": "w"});
    let leased = post(doors, "/opgate/v1/queues/render:lease", &ask);
    let lease = leased["leases"][0]["lease"].as_str().unwrap();
    let end = json!({"outcome": {"succeeded": {"json": {}}}});
    post(doors, &format!("/opgate/v1/leases/{lease}:finish"), &end);
}

/// gRPC, and a look at what it started over AMQP.
fn over_amqp(doors: Doors, round: u64) {
    let key = round.to_string();
    Runtime::new().unwrap().block_on(async {
        let client = Client::connect(doors.http).await;
        let started = client.start(ECHO, &json!({}), &key).await.unwrap();
        client.get(&started.name).await.unwrap();
        let id = started.name.rsplit('/').next().unwrap();

        let url = format!("amqp://{}", doors.amqp);
        let mut connection = Connection::open("load", &*url).await.unwrap();
        let mut session = Session::begin(&mut connection).await.unwrap();
        let mut client = MgmtClient::attach(&mut session, "replies").await.unwrap();
        let read = ReadRequest::identity(id, "org.opgate.operation", None);
        client.call(read).await.unwrap();
        client.close().await.unwrap();
        session.end().await.unwrap();
        connection.close().await.unwrap();
    });
}
