//! An API whose every answer the test gives.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Longer than anything here takes; reached only by a test that fails.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) const DELETE: &str = "/20160918/compartments/ocid1.compartment.oc1..c%2F1";
pub(crate) const LOOK: &str = "/20160918/workRequests/ocid1.workrequest.oc1..w";
pub(crate) const ID: &str = "ocid1.workrequest.oc1..w";
/// What a start is answered with.
pub(crate) const STARTED: (&str, &str) = ("opc-work-request-id", ID);

/// A request that waits for its answer. Dropped, it is never answered: its connection breaks.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) head: request::Parts,
    pub(crate) body: Bytes,
    answer: oneshot::Sender<Response<Full<Bytes>>>,
}

impl Call {
    pub(crate) fn path(&self) -> &str {
        self.head.uri.path()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// A parameter of the query, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.head.uri.query().unwrap_or_default().split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let value = percent_encoding::percent_decode_str(value).decode_utf8().unwrap();
            (key == name).then(|| value.into_owned())
        })
    }

    pub(crate) fn is(&self, method: &Method, path: &str) -> bool {
        self.head.method == *method && self.path() == path
    }

    /// 202, with a work request.
    pub(crate) fn start(self) {
        self.answer(202, &[STARTED], "");
    }

    /// A work request of this status, with more of these fields.
    pub(crate) fn show(self, status: &str, more: &str) {
        let comma = if more.is_empty() { "" } else { "," };
        self.answer(200, &[], format!(r#"{{"status":"{status}"{comma}{more}}}"#));
    }

    /// A refusal.
    pub(crate) fn refuse(self, status: u16, code: &str, message: &str) {
        self.answer(status, &[], format!(r#"{{"code":"{code}","message":"{message}"}}"#));
    }

    pub(crate) fn answer(self, status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let response = response.body(Full::new(body.into())).unwrap();
        // Who asked may be gone: an operation that has ended waits for nothing.
        drop(self.answer.send(response));
    }
}

/// The API. It answers nothing by itself.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Call>,
    _serving: JoinSet<()>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let sender = sender.clone();
                let serve = service_fn(move |request| answered(sender.clone(), request));
                // One that breaks off is a test's doing.
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), serve);
                connections.spawn(async move { drop(connection.await) });
            }
        });
        Self { address, calls, _serving: serving }
    }

    /// The next request.
    pub(crate) async fn call(&mut self) -> Call {
        timeout(LONG, self.calls.recv()).await.expect("a request").unwrap()
    }

    /// The next request, which must be this.
    pub(crate) async fn expect(&mut self, method: &Method, path: &str) -> Call {
        let call = self.call().await;
        assert!(call.is(method, path), "{:?}", call.head);
        call
    }

    /// The next request, which must be the start of a DELETE.
    pub(crate) async fn start_call(&mut self) -> Call {
        self.expect(&Method::DELETE, DELETE).await
    }

    /// The next request, which must be a look.
    pub(crate) async fn look(&mut self) -> Call {
        self.expect(&Method::GET, LOOK).await
    }

    /// Whether nothing has come that was not looked at.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }
}

async fn answered(
    sender: mpsc::UnboundedSender<Call>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, oneshot::error::RecvError> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let (answer, answered) = oneshot::channel();
    // A test that is over looks at nothing.
    drop(sender.send(Call { head, body, answer }));
    answered.await
}
