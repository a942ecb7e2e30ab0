//! Who polls and who calls: an operation is looked at upstream by one, however many wait for it, and whoever waits is
//! told whichever way its end was learnt. The upstreams are played by the test, which holds each look.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;

use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use fe2o3_amqp_types::messaging::{ApplicationProperties, Body, Message, Properties};
use fe2o3_amqp_types::primitives::Value as AmqpValue;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::faces::{JSON, raw};
use crate::grpc;
use crate::nexus::callbacks::{CALLBACKS, Desk};
use crate::process::{Daemon, Launch, PATIENCE};
use crate::upstream::{Call, Upstream};

const OPERATIONS: usize = 100;
/// Watchers of one operation by the face they come in: ten in all.
const EACH: [(Face, usize); 5] =
    [(Face::Grpc, 3), (Face::Rest, 2), (Face::Native, 2), (Face::Nexus, 2), (Face::Amqp, 1)];
/// How often each operation is seen to run before it has ended.
const LOOKS: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    Grpc,
    Rest,
    Native,
    Nexus,
    Amqp,
}

/// A daemon in front of an API that has to be polled.
fn polling(dir: &tempfile::TempDir, upstream: SocketAddr) -> Daemon {
    let config = format!(
        r#"
{CALLBACKS}
[wait]
max = "5m"
[backends.up]
kind = "oci"
concurrency = 1000
endpoint = "http://{upstream}"
signing = "none"
timeout = "5m"
poll_first = "1ms"
poll_longest = "10ms"
[routes.watched]
service = "things"
operation = "watched"
backend = "up"
[routes.watched.oci]
request = "POST /things"
dialect = "identity"
work_requests = "/workRequests"
"#
    );
    Launch::new(dir.path()).config(&config).start()
}

/// What a client knows of an operation.
struct Started {
    id: String,
    /// Its token over Nexus.
    token: String,
}

fn start(daemon: &Daemon) -> Started {
    let body = json!({"route": "watched", "input": {"json": {}}}).to_string();
    let reply = raw(daemon.http, "POST", "/opgate/v1/operations", &[JSON], body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.head);
    let shown = reply.json();
    let text = |pointer| shown.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    Started { id: text("/id"), token: text("/names/nexus") }
}

/// Everybody who waits for something, and the answers they have got.
struct Watchers {
    runtime: Runtime,
    released: UnboundedReceiver<(Face, bool)>,
    count: usize,
}

impl Watchers {
    /// Has each operation watched by so many of each face.
    fn of(daemon: &Daemon, all: &[Started], each: &[(Face, usize)]) -> Self {
        let runtime = Runtime::new().unwrap();
        let (sender, released) = unbounded_channel();
        let mut count = 0;
        for (face, watchers) in each.iter().copied() {
            for _ in 0..watchers {
                count += all.len();
                let (http, amqp, sender) = (daemon.http, daemon.amqp, sender.clone());
                let tell = move |done| sender.send((face, done)).unwrap_or_default();
                match face {
                    Face::Grpc => {
                        let names =
                            all.iter().map(|one| format!("operations/{}", one.id)).collect();
                        runtime.spawn(watch_by_grpc(http, names, tell));
                    }
                    Face::Amqp => {
                        let ids = all.iter().map(|one| one.id.clone()).collect();
                        runtime.spawn(watch_by_amqp(amqp, ids, tell));
                    }
                    Face::Rest | Face::Native | Face::Nexus => {
                        for one in all {
                            let request = request(face, one);
                            let tell = tell.clone();
                            runtime.spawn(async move { tell(is_done(face, http, &request).await) });
                        }
                    }
                }
            }
        }
        daemon.await_sum("opgate_watchers", count);
        Self { runtime, released, count }
    }

    /// All of them are told of the end.
    fn are_released(mut self) {
        self.runtime.block_on(async {
            for number in 0..self.count {
                let told = tokio::time::timeout(PATIENCE, self.released.recv()).await;
                let told = told.unwrap_or_else(|_| panic!("{number} of {} were told", self.count));
                assert!(told.is_some_and(|(_, done)| done), "{told:?}");
            }
        });
    }
}

async fn watch_by_grpc(
    http: SocketAddr,
    names: Vec<String>,
    tell: impl Fn(bool) + Clone + Send + 'static,
) {
    let client = grpc::Client::connect(http).await;
    for name in names {
        let (client, tell) = (client.clone(), tell.clone());
        tokio::spawn(async move {
            let told = client.wait(&name, 5 * PATIENCE).await;
            tell(told.is_ok_and(|told| told.done && told.error.is_none()));
        });
    }
}

/// One link for all requests, one for all replies.
async fn watch_by_amqp(amqp: SocketAddr, ids: Vec<String>, tell: impl Fn(bool)) {
    let url = format!("amqp://{amqp}");
    let mut connection = Connection::open("watchers", &*url).await.unwrap();
    let mut session = Session::begin(&mut connection).await.unwrap();
    let receiver = Receiver::builder().name("replies").source("$management").target("replies");
    let mut receiver = receiver.attach(&mut session).await.unwrap();
    let sender = Sender::builder().name("requests").target("$management");
    let mut sender = sender.attach(&mut session).await.unwrap();
    for id in &ids {
        let properties = Properties::builder().message_id(id.clone()).reply_to("replies").build();
        let asked = ApplicationProperties::builder()
            .insert("operation", "WAIT")
            .insert("type", "org.opgate.operation")
            .insert("identity", id.clone())
            .build();
        let message = Message::builder().properties(properties).application_properties(asked);
        sender.send(message.value(AmqpValue::Null).build()).await.unwrap();
    }
    for _ in &ids {
        let reply = receiver.recv::<Body<AmqpValue>>().await.unwrap();
        receiver.accept(&reply).await.unwrap();
        let Body::Value(shown) = reply.body() else { panic!("{reply:?}") };
        let AmqpValue::Map(shown) = &shown.0 else { panic!("{reply:?}") };
        let state = shown.get(&AmqpValue::String("state".to_owned()));
        tell(state == Some(&AmqpValue::String("SUCCEEDED".to_owned())));
    }
}

/// How an operation is awaited over HTTP.
fn request(face: Face, one: &Started) -> String {
    let (path, header) = match face {
        Face::Rest => (format!("/v1/operations/{}:wait?timeout=300s", one.id), String::new()),
        Face::Native => {
            (format!("/opgate/v1/operations/{}:wait?timeout=300s", one.id), String::new())
        }
        Face::Nexus => (
            "/nexus/things/watched/result?wait=300s".to_owned(),
            format!("Nexus-Operation-Token: {}\r\n", one.token),
        ),
        Face::Grpc | Face::Amqp => unreachable!("not over HTTP/1.1"),
    };
    format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{header}\r\n")
}

/// Awaits it; whether it has succeeded.
async fn is_done(face: Face, http: SocketAddr, request: &str) -> bool {
    let mut stream = TcpStream::connect(http).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    if let Err(error) = stream.read_to_string(&mut reply).await {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    let Some((head, body)) = reply.split_once("\r\n\r\n") else { return false };
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    // A result over Nexus is the result itself; whoever waited too long is told 412.
    let done = face == Face::Nexus || body["done"] == true;
    head.starts_with("HTTP/1.1 200 ") && done
}

/// What the upstream was asked: never more than one look at a time at one operation.
#[derive(Default)]
struct Looks {
    held: HashMap<String, Call>,
    counts: HashMap<String, usize>,
}

impl Looks {
    fn take(&mut self, call: Call) {
        let path = call.head.split(' ').nth(1).unwrap();
        assert!(path.starts_with("/workRequests/"), "{}", call.head);
        let path = path.to_owned();
        *self.counts.entry(path.clone()).or_default() += 1;
        let other = self.held.insert(path, call);
        assert!(other.is_none(), "it is looked at twice at a time");
    }

    /// Waits until each operation is looked at.
    fn gather(&mut self, upstream: &Upstream) {
        while self.held.len() < OPERATIONS {
            self.take(upstream.call());
        }
    }

    fn answer(&mut self, status: &str) {
        for (_, call) in self.held.drain() {
            call.show(&json!({"status": status, "percentComplete": 50}));
        }
    }
}

/// How often each of a hundred operations is looked at, with so many watchers.
fn looks(each: &[(Face, usize)]) -> usize {
    let (dir, upstream) = (tempfile::tempdir().unwrap(), Upstream::start());
    let daemon = polling(&dir, upstream.address);
    let started: Vec<Started> = (0..OPERATIONS).map(|_| start(&daemon)).collect();
    let mut looks = Looks::default();
    let mut number = 0;
    while number < OPERATIONS {
        let call = upstream.call();
        if call.is("POST /things") {
            let named = format!("opc-work-request-id: ocid1.workrequest.oc1..{number}\r\n");
            call.answer("202 Accepted", &named, "");
            number += 1;
        } else {
            looks.take(call);
        }
    }
    looks.gather(&upstream);
    let watchers = Watchers::of(&daemon, &started, each);
    for _ in 0..LOOKS {
        looks.answer("IN_PROGRESS");
        looks.gather(&upstream);
    }
    looks.answer("SUCCEEDED");
    watchers.are_released();
    assert_eq!(daemon.terminate().code(), Some(0));
    // Whatever else it asked has arrived.
    for call in upstream.rest() {
        looks.take(call);
    }
    assert_eq!(looks.counts.len(), OPERATIONS);
    assert!(looks.counts.values().all(|count| *count == LOOKS + 1), "{:?}", looks.counts);
    looks.counts.values().sum()
}

#[test]
fn a_thousand_watchers_cost_no_more_looks_than_a_hundred() {
    let watchers: usize = EACH.iter().map(|(_, watchers)| watchers * OPERATIONS).sum();
    assert_eq!(watchers, 1000);
    assert_eq!(looks(&EACH), looks(&[(Face::Native, 1)]));
}

#[test]
fn who_is_to_be_called_is_called_when_what_is_polled_has_ended() {
    let (dir, upstream, desk) = (tempfile::tempdir().unwrap(), Upstream::start(), Desk::start());
    desk.open.send_replace(true);
    let daemon = polling(&dir, upstream.address);
    let path = format!("/nexus/things/watched?callback=http%3A%2F%2F{}%2Fcalled", desk.address);
    let reply = raw(daemon.http, "POST", &path, &[JSON], b"{}");
    assert_eq!(reply.status, 201, "{}", reply.head);
    let token = reply.json()["token"].as_str().unwrap().to_owned();
    let named = "opc-work-request-id: ocid1.workrequest.oc1..w\r\n";
    upstream.expect("POST /things").answer("202 Accepted", named, "");
    let look = "GET /workRequests/ocid1.workrequest.oc1..w";
    upstream.expect(look).show(&json!({"status": "IN_PROGRESS"}));
    let ended = json!({"status": "SUCCEEDED", "mark": 1});
    upstream.expect(look).show(&ended);
    let called = desk.next();
    assert_eq!((&*called.path, &*called.state), ("/called", "succeeded"));
    assert_eq!((called.token, called.body), (token, ended));
    assert_eq!(daemon.terminate().code(), Some(0));
    assert!(upstream.rest().is_empty());
}

#[test]
fn who_polls_is_told_when_an_upstream_calls_that_cannot_be_polled() {
    let (dir, upstream, desk) = (tempfile::tempdir().unwrap(), Upstream::start(), Desk::start());
    desk.open.send_replace(true);
    let config = format!(
        r#"
{CALLBACKS}
[backends.up]
kind = "nexus"
concurrency = 1000
endpoint = "http://{}/up"
completion = "callback"
[routes.watched]
service = "things"
operation = "watched"
backend = "up"
"#,
        upstream.address
    );
    let daemon = Launch::new(dir.path()).config(&config).start();
    let one = start(&daemon);
    let call = upstream.expect_any("POST /up/things/watched?");
    let url = call.query("callback").unwrap();
    let token = call.header("nexus-callback-token").unwrap_or_default().to_owned();
    call.answer(
        "201 Created",
        "content-type: application/json\r\n",
        r#"{"token": "t", "state": "running"}"#,
    );
    let watchers = Watchers::of(&daemon, std::slice::from_ref(&one), &EACH);
    let path = url.strip_prefix(&format!("http://{}", daemon.http)).unwrap();
    let headers = [
        JSON,
        "Nexus-Operation-State: succeeded",
        "Nexus-Operation-Token: t",
        &*format!("Token: {token}"),
    ];
    let taken = raw(daemon.http, "POST", path, &headers, br#"{"a": 1}"#);
    assert_eq!(taken.status, 200, "{}", taken.head);
    watchers.are_released();
    // OCI's clients look at the work request.
    let shown = raw(daemon.http, "GET", &format!("/opgate/v1/operations/{}", one.id), &[], b"");
    let ocid = shown.json()["names"]["oci"].as_str().unwrap().to_owned();
    let seen = raw(daemon.http, "GET", &format!("/20160918/workRequests/{ocid}"), &[], b"");
    assert_eq!(seen.json()["status"], "SUCCEEDED", "{}", seen.head);
    assert_eq!(daemon.terminate().code(), Some(0));
    // It was told where to call, and never asked.
    assert!(upstream.rest().is_empty());
}
