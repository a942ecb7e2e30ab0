//! Credentials of upstreams that are renewed at SIGHUP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

use serde_json::json;

use crate::process::PATIENCE;
use crate::reload::routes::{Bench, OPERATIONS};

/// A Nexus handler that is done at once with everything: where it is, and by what it knew each caller.
fn handler() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, known) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut read, mut chunk) = (Vec::new(), [0; 4096]);
            let head = loop {
                let count = stream.read(&mut chunk).unwrap();
                read.extend_from_slice(&chunk[..count]);
                let text = String::from_utf8_lossy(&read).to_lowercase();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.split("content-length: ").nth(1).unwrap_or("0");
                if body.len() >= length.lines().next().unwrap().parse::<usize>().unwrap() {
                    break head.to_owned();
                }
            };
            let said = head.lines().find_map(|line| line.strip_prefix("authorization: "));
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\
                 connection: close\r\n\r\n1"
            )
            .unwrap();
            // Once the test is over nobody listens.
            if sender.send(said.unwrap_or_default().to_owned()).is_err() {
                return;
            }
        }
    });
    (address, known)
}

fn config(address: SocketAddr, token: &str) -> String {
    format!(
        "[backends.up]\nkind = \"nexus\"\nconcurrency = 4\nendpoint = \"http://{address}\"\n\
         completion = \"poll\"\nbearer = \"{token}\"\n\
         [routes.job]\nservice = \"shop\"\noperation = \"job\"\nbackend = \"up\"\n"
    )
}

#[test]
fn the_next_call_is_made_with_the_new_token_and_nobody_else_learns_it() {
    let ((there, known), (elsewhere, _other)) = (handler(), handler());
    let bench = Bench::start(&config(there, "one"));
    let known = || {
        assert_eq!(bench.post(OPERATIONS, &json!({ "route": "job" })).0, 200);
        known.recv_timeout(PATIENCE).unwrap()
    };
    assert_eq!(known(), "bearer one");
    assert_eq!(bench.reload(&config(there, "two")), "");
    assert_eq!(known(), "bearer two");
    // A token for another upstream waits for the restart with it.
    let restart = bench.reload(&config(elsewhere, "three"));
    assert_eq!(restart, "backends.up.bearer, backends.up.endpoint");
    assert_eq!(known(), "bearer two");
    assert_eq!(bench.end(), Some(0));
}
