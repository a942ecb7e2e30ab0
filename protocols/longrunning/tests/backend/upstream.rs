//! A gRPC service whose every answer the test gives.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, request};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opgate_rpc::proto::{Any, Status};
use opgate_rpc::wire::client;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Longer than anything here takes; reached only by a test that fails.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) const START: &str = "/acme.v1.Things/Make";
pub(crate) const GET: &str = "/google.longrunning.Operations/GetOperation";
pub(crate) const WAIT: &str = "/google.longrunning.Operations/WaitOperation";
pub(crate) const CANCEL: &str = "/google.longrunning.Operations/CancelOperation";
/// The name of what is started.
pub(crate) const NAME: &str = "projects/p/operations/1";

/// `google.longrunning.Operation`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Operation {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) metadata: Option<Any>,
    #[prost(bool, tag = "3")]
    pub(crate) done: bool,
    #[prost(message, optional, tag = "4")]
    pub(crate) error: Option<Status>,
    #[prost(message, optional, tag = "5")]
    pub(crate) response: Option<Any>,
}

/// `google.longrunning.WaitOperationRequest`, and whatever has only the name.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Named {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) timeout: Option<opgate_rpc::proto::Duration>,
}

type Body = BoxBody<Bytes, Infallible>;
type Answer = Result<Response<Body>, h2::Error>;

/// A call that waits for its answer. Dropped, it is never answered: its stream breaks.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) head: request::Parts,
    /// The message, without its frame.
    pub(crate) message: Bytes,
    answer: oneshot::Sender<Answer>,
}

impl Call {
    pub(crate) fn path(&self) -> &str {
        self.head.uri.path()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The request about an operation.
    pub(crate) fn named(&self) -> Named {
        Named::decode(self.message.clone()).unwrap()
    }

    /// An operation.
    pub(crate) fn show(self, operation: &Operation) {
        self.message(&operation.encode_to_vec());
    }

    /// One that goes on, with this metadata.
    pub(crate) fn runs(self, metadata: Option<Any>) {
        self.show(&Operation { name: NAME.to_owned(), metadata, ..Operation::default() });
    }

    /// One that is done, with this response.
    pub(crate) fn done(self, response: Any) {
        self.show(&Operation {
            name: NAME.to_owned(),
            done: true,
            response: Some(response),
            ..Operation::default()
        });
    }

    /// A message of any kind.
    pub(crate) fn message(self, message: &[u8]) {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        self.raw(200, "application/grpc", client::body(message), trailers);
    }

    /// A refusal.
    pub(crate) fn refuse(self, code: i32, message: &str, details: Vec<Any>) {
        let status = Status { code, message: message.to_owned(), details };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.into());
        trailers.insert("grpc-message", message.parse().unwrap());
        let details = STANDARD.encode(status.encode_to_vec());
        trailers.insert("grpc-status-details-bin", details.parse().unwrap());
        self.raw(200, "application/grpc", Bytes::new(), trailers);
    }

    /// Whatever.
    pub(crate) fn raw(self, http: u16, kind: &str, body: Bytes, trailers: HeaderMap) {
        let body = Full::new(body).with_trailers(async move { Some(Ok(trailers)) }).boxed();
        let response = Response::builder().status(http).header("content-type", kind);
        // Who asked may be gone: an operation that has ended waits for nothing.
        drop(self.answer.send(Ok(response.body(body).unwrap())));
    }

    /// Says that it was not looked at.
    pub(crate) fn turn_away(self) {
        drop(self.answer.send(Err(h2::Reason::REFUSED_STREAM.into())));
    }
}

/// The service. It answers nothing by itself.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Call>,
    _serving: JoinSet<()>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
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
                let connection = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), serve);
                connections.spawn(async move { drop(connection.await) });
            }
        });
        Self { address, calls, _serving: serving }
    }

    /// The next call.
    pub(crate) async fn call(&mut self) -> Call {
        timeout(LONG, self.calls.recv()).await.expect("a call").unwrap()
    }

    /// The next call, which must be of this method.
    pub(crate) async fn expect(&mut self, method: &str) -> Call {
        let call = self.call().await;
        assert_eq!(call.path(), method, "{:?}", call.head);
        call
    }

    /// Whether nothing has come that was not looked at.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }
}

async fn answered(sender: mpsc::UnboundedSender<Call>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let broken = || h2::Error::from(h2::Reason::INTERNAL_ERROR);
    // Who gives up in the middle is a test's doing.
    let framed = body.collect().await.map_err(|_| broken())?.to_bytes();
    let message = framed.slice(5..);
    let (answer, answered) = oneshot::channel();
    // A test that is over looks at nothing.
    drop(sender.send(Call { head, message, answer }));
    answered.await.unwrap_or_else(|_| Err(broken()))
}
