//! Callbacks across the death of the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::wire;
use crate::process::{Launch, PATIENCE};

/// Receivers on this machine, and soon told again.
pub(crate) const CALLBACKS: &str = r#"
[callbacks]
allow = ["127.0.0.1:*"]
plaintext = true
networks = ["127.0.0.0/8"]
first = "100ms"
longest = "1s"
"#;

/// One callback as it came.
#[derive(Debug)]
pub(crate) struct Callback {
    pub(crate) path: String,
    pub(crate) token: String,
    pub(crate) state: String,
    pub(crate) body: Value,
}

/// A receiver that first keeps its callers waiting, and later takes everything.
pub(crate) struct Desk {
    pub(crate) address: SocketAddr,
    came: Receiver<Callback>,
    pub(crate) open: watch::Sender<bool>,
    /// What it runs on; it ends with it.
    _runtime: Runtime,
}

impl Desk {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, came) = channel();
        let (open, opened) = watch::channel(false);
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (sender, opened) = (sender.clone(), opened.clone());
                let service =
                    service_fn(move |request| take(request, sender.clone(), opened.clone()));
                let connection = hyper::server::conn::http1::Builder::new();
                // The daemon may be killed at any time, and the connection with it.
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, came, open, _runtime: runtime }
    }

    pub(crate) fn next(&self) -> Callback {
        self.came.recv_timeout(PATIENCE).unwrap()
    }
}

async fn take(
    request: http::Request<Incoming>,
    came: Sender<Callback>,
    mut opened: watch::Receiver<bool>,
) -> Result<http::Response<String>, Infallible> {
    let header = |name: &str| {
        let value = request.headers().get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    };
    let (token, state) = (header("nexus-operation-token"), header("nexus-operation-state"));
    let path = request.uri().path().to_owned();
    let Ok(body) = request.into_body().collect().await else {
        return Ok(http::Response::default());
    };
    let body = serde_json::from_slice(&body.to_bytes()).unwrap();
    // The test may have seen enough.
    came.send(Callback { path, token, state, body }).unwrap_or_default();
    opened.wait_for(|open| *open).await.unwrap();
    Ok(http::Response::default())
}

#[test]
fn a_callback_outlives_the_daemon_that_owed_it() {
    let desk = Desk::start();
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(CALLBACKS).start();

    let start = |number: usize| {
        let target =
            format!("/nexus/showcase/run?callback=http%3A%2F%2F{}%2F{number}", desk.address);
        let input = json!({"duration": "2s", "result": {"number": number}});
        wire::start(daemon.http, &target, &format!("request-{number}"), &input)
    };
    let mut started: BTreeMap<String, usize> = BTreeMap::new();
    for number in 0..20 {
        let token = start(number);
        // Temporal repeats a start whose answer it did not hear.
        assert_eq!(start(number), token);
        assert_eq!(started.insert(token, number), None, "a token of two operations");
    }
    // This one has ended, and its receiver has not said that it heard.
    let first = desk.next();
    assert!(started.contains_key(&first.token), "{first:?}");

    let daemon = daemon.crash();
    desk.open.send_replace(true);
    let mut heard: BTreeSet<String> = BTreeSet::new();
    // What was sent before the crash is heard first, and does not count: it was not taken.
    let mut again = false;
    while heard.len() < started.len() || !again {
        let callback = desk.next();
        let number = started.get(&callback.token).copied().unwrap();
        assert_eq!(callback.path, format!("/{number}"));
        assert_eq!(callback.state, "succeeded");
        assert_eq!(callback.body, json!({"number": number}));
        again |= callback.token == first.token;
        heard.insert(callback.token);
    }
    assert!(heard.iter().eq(started.keys()), "{heard:?}");
    assert_eq!(daemon.terminate().code(), Some(0));
}
