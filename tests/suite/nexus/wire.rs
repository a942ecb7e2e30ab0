//! Requests as they go over the wire.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::process::PATIENCE;

/// An answer: its status, and its body if that is JSON.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) json: Value,
}

/// Sends one request over a connection of its own.
pub(super) fn send(
    to: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: opgate\r\nconnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, json: serde_json::from_str(body).unwrap_or_default() }
}

/// Starts an operation that turns out asynchronous; its token.
pub(super) fn start(to: SocketAddr, target: &str, request: &str, input: &Value) -> String {
    let headers = [("nexus-request-id", request), ("content-type", "application/json")];
    let answer = send(to, "POST", target, &headers, &input.to_string());
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json["token"].as_str().unwrap().to_owned()
}

/// Waits for the end of an operation; its result.
pub(super) fn result(of: SocketAddr, operation: &str, token: &str) -> Value {
    let target = format!("{operation}/result?wait=10s");
    loop {
        let answer = send(of, "GET", &target, &[("nexus-operation-token", token)], "");
        // 408 and 412: it still runs.
        if !matches!(answer.status, 408 | 412) {
            assert_eq!(answer.status, 200, "{answer:?}");
            return answer.json;
        }
    }
}
