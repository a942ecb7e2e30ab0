//! One operation on every face: what Nexus started is read, awaited, listed and canceled through the
//! others, with one version and one end. So is what an OCI call started, and an
//! AMQP request.

pub(crate) mod amqp;
mod cancels;
mod oci;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use prost::Message as _;
use serde_json::{Value, json};

use crate::grpc::Client;
use crate::process::{Daemon, Launch, PATIENCE};

/// A reply over HTTP/1.1: its status, its head as text, its body.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends bytes, and reads to the end of the connection.
pub(crate) fn raw(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &[u8],
) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(&[request.as_bytes(), body].concat()).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let body = reply.split_off(end + 4);
    let head = String::from_utf8(reply).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head, body }
}

pub(crate) const JSON: &str = "Content-Type: application/json";

/// An operation that Nexus started: its token, and what opgate's own API shows of it.
fn started(daemon: &Daemon, instruction: &str) -> (String, Value) {
    let reply = raw(daemon.http, "POST", "/nexus/showcase/run", &[JSON], instruction.as_bytes());
    assert_eq!(reply.status, 201, "{}", reply.head);
    let token = reply.json()["token"].as_str().unwrap().to_owned();
    let shown = native(daemon, &token);
    assert_eq!(shown["names"]["nexus"], token);
    assert_eq!(shown["origin"]["face"], "nexus");
    (token, shown)
}

fn native(daemon: &Daemon, name: &str) -> Value {
    let reply = raw(daemon.http, "GET", &format!("/opgate/v1/operations/{name}"), &[], b"");
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply.json()
}

fn rest(daemon: &Daemon, path: &str) -> Value {
    raw(daemon.http, "GET", &format!("/v1/{path}"), &[], b"").json()
}

fn result(daemon: &Daemon, token: &str) -> Reply {
    let path = format!("/nexus/showcase/run/{token}/result?wait=60s");
    raw(daemon.http, "GET", &path, &[], b"")
}

fn ops(daemon: &Daemon, arguments: &[&str]) -> Value {
    let [command, names @ ..] = arguments else { panic!("no command") };
    let output = Command::new(env!("CARGO_BIN_EXE_opgate"))
        .args(["ops", command, "-o", "json"])
        .args(names)
        .env_clear()
        .env("OPGATE_ADDRESS", format!("http://{}", daemon.http))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The versions that the faces show of an operation that has ended.
async fn versions(daemon: &Daemon, token: &str, name: &str) -> [Value; 3] {
    let own = native(daemon, token)["version"].as_str().unwrap().parse::<f64>().unwrap();
    let grpc = Client::connect(daemon.http).await.get(name).await.unwrap();
    let rest = rest(daemon, name)["metadata"]["value"]["version"].clone();
    [own.into(), grpc.metadata()["version"].clone(), rest]
}

#[tokio::test]
async fn what_nexus_started_is_awaited_and_has_one_result_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let (token, shown) = started(&daemon, r#"{"duration": "200ms", "result": {"answer": 42}}"#);
    let name = shown["names"]["grpc"].as_str().unwrap();
    let grpc = Client::connect(daemon.http).await;
    let done = grpc.wait(name, Duration::from_mins(1)).await.unwrap();
    let response = done.response.as_ref().unwrap();
    assert_eq!(response.type_url, "type.googleapis.com/google.protobuf.Struct");
    let answer = prost_types::Struct::decode(&*response.value).unwrap();
    assert_eq!(answer.fields.len(), 1);
    assert_eq!(rest(&daemon, name)["response"]["value"], json!({"answer": 42.0}));
    let reply = result(&daemon, &token);
    assert_eq!((reply.status, &*reply.body), (200, &br#"{"answer":42}"#[..]));
    assert_eq!(ops(&daemon, &["wait", &token])["result"]["json"], json!({"answer": 42}));
    assert!(grpc.list().await.unwrap().iter().any(|listed| listed.name == name));
    let [own, grpc, rest] = versions(&daemon, &token, name).await;
    assert_eq!((&own, &own), (&grpc, &rest));
}

#[tokio::test]
async fn a_cancel_through_one_face_is_seen_on_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let grpc = Client::connect(daemon.http).await;
    for through in ["grpc", "rest", "nexus", "ops"] {
        let (token, shown) = started(&daemon, r#"{"hold": true}"#);
        let name = shown["names"]["grpc"].as_str().unwrap();
        match through {
            "grpc" => grpc.cancel(name).await.unwrap(),
            "rest" => {
                let reply = raw(daemon.http, "POST", &format!("/v1/{name}:cancel"), &[JSON], b"{}");
                assert_eq!(reply.status, 200);
            }
            "nexus" => {
                let header = format!("Nexus-Operation-Token: {token}");
                let path = "/nexus/showcase/run/cancel";
                assert_eq!(raw(daemon.http, "POST", path, &[&header], b"").status, 202);
            }
            _ => drop(ops(&daemon, &["cancel", &token])),
        }
        let reply = result(&daemon, &token);
        assert_eq!((reply.status, reply.header("nexus-operation-state")), (424, Some("canceled")));
        assert_eq!(grpc.get(name).await.unwrap().error.unwrap().code, 1, "{through}");
        assert_eq!(rest(&daemon, name)["error"]["code"], 1);
        assert_eq!(native(&daemon, &token)["state"], "CANCELED");
    }
}

#[tokio::test]
async fn a_failure_has_one_code_and_one_text_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let instruction = r#"{"duration": "50ms", "outcome": "failed", "code": "NOT_FOUND", "message": "no such scene"}"#;
    let (token, shown) = started(&daemon, instruction);
    let reply = result(&daemon, &token);
    assert_eq!((reply.status, reply.header("nexus-operation-state")), (424, Some("failed")));
    let body = reply.json();
    assert_eq!(body["message"], "no such scene");
    assert_eq!(body["cause"]["details"]["code"], "NOT_FOUND");
    let name = shown["names"]["grpc"].as_str().unwrap();
    let error = Client::connect(daemon.http).await.get(name).await.unwrap().error.unwrap();
    assert_eq!((error.code, &*error.message), (5, "no such scene"));
    let error = rest(&daemon, name)["error"].clone();
    assert_eq!((&error["code"], &error["message"]), (&json!(5), &json!("no such scene")));
    let error = native(&daemon, &token)["error"].clone();
    assert_eq!((&error["code"], &error["message"]), (&json!("NOT_FOUND"), &json!("no such scene")));
}

#[tokio::test]
async fn content_that_is_no_json_is_itself_on_every_face() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let kind = "Content-Type: image/x-strange; v=1";
    let reply = raw(daemon.http, "POST", "/nexus/showcase/echo", &[kind], b"\0\xff");
    assert_eq!((reply.status, &*reply.body), (200, &b"\0\xff"[..]));
    assert_eq!(reply.header("content-type"), Some("image/x-strange; v=1"));
    let token = reply.header("nexus-operation-token").unwrap();
    let name = native(&daemon, token)["names"]["grpc"].as_str().unwrap().to_owned();
    let response = Client::connect(daemon.http).await.get(&name).await.unwrap().response.unwrap();
    assert_eq!(response.type_url, "type.googleapis.com/google.api.HttpBody");
    assert!(response.value.windows(22).any(|part| part == b"image/x-strange; v=1\x12\x02"));
    // Nothing is nothing, not an empty body of no type.
    let reply = raw(daemon.http, "POST", "/nexus/showcase/echo", &[], b"");
    assert_eq!((reply.status, reply.header("content-type")), (200, None));
    let token = reply.header("nexus-operation-token").unwrap();
    let name = native(&daemon, token)["names"]["grpc"].as_str().unwrap().to_owned();
    let response = Client::connect(daemon.http).await.get(&name).await.unwrap().response.unwrap();
    assert_eq!(
        (&*response.type_url, response.value.len()),
        ("type.googleapis.com/google.protobuf.Struct", 0)
    );
}
