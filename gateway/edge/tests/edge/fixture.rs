//! A frontend with a path for each behaviour, the listener that serves it, and clients.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opgate_edge::{
    Body, BoxError, Drain, DrainTrigger, Exporter, Frontend, HttpLimits, HttpListener, Peer,
    PeerTls, RequestBody, ResponseFuture, Tls,
};
use opgate_telemetry::{Listener, Metrics};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Longer than any test should take: reached only by a test that fails.
pub(crate) const FOREVER: Duration = Duration::from_mins(2);

/// Bytes whose position can be told from their value.
pub(crate) fn pattern(length: usize) -> Bytes {
    let period: Vec<u8> = (0..251).collect();
    Bytes::from(period.repeat(length / period.len() + 1)).split_to(length)
}

struct Routes {
    drain: Drain,
    entered: Arc<Semaphore>,
}

impl Frontend for Routes {
    fn call(&self, request: Request<RequestBody>, peer: &Arc<Peer>) -> ResponseFuture {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let (verb, number) = path.split_once('/').unwrap_or((&path, "0"));
        let number: usize = number.parse().unwrap_or(0);
        let answer = |body: Body| -> ResponseFuture { Box::pin(async { Response::new(body) }) };
        self.entered.add_permits(1);
        match verb {
            "whole" => answer(Body::full(pattern(number))),
            "frames" => answer(Body::boxed(Pieces { bytes: pattern(number), size: 9_999 })),
            "peer" => answer(Body::full(format!("{} {}", peer.remote, peer.local))),
            "tls" => answer(Body::full(match &peer.tls {
                None => "none".to_owned(),
                Some(PeerTls { certificate: None }) => "nobody".to_owned(),
                Some(PeerTls { certificate: Some(shown) }) => {
                    [&shown.dns[..], &shown.uris].concat().join(" ")
                }
            })),
            "trailers" => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                let chunks = [Bytes::from_static(b"head"), pattern(number)];
                answer(Body::chunks_with_trailers(chunks, trailers))
            }
            "wait" => {
                let drain = self.drain.clone();
                Box::pin(async move {
                    drain.started().await;
                    Response::new(Body::full(pattern(number)))
                })
            }
            "hang" => Box::pin(std::future::pending()),
            "panic-now" => panic!("expected in this test"),
            "panic-later" => Box::pin(async {
                tokio::task::yield_now().await;
                panic!("expected in this test")
            }),
            "panic-body" => answer(Body::boxed(PanicBody)),
            _ => answer(Body::empty()),
        }
    }
}

/// Bytes in frames of one size.
struct Pieces {
    bytes: Bytes,
    size: usize,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let size = self.size.min(self.bytes.len());
        let piece = self.bytes.split_to(size);
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }
}

struct PanicBody;

impl http_body::Body for PanicBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        panic!("expected in this test")
    }
}

/// A listener at work.
pub(crate) struct Fixture {
    pub(crate) address: SocketAddr,
    pub(crate) trigger: DrainTrigger,
    pub(crate) serving: JoinHandle<()>,
    exporter: Exporter,
    entered: Arc<Semaphore>,
}

impl Fixture {
    pub(crate) async fn start(limits: HttpLimits) -> Self {
        Self::secured(limits, |_| None).await
    }

    /// With TLS, where `tls` makes any.
    pub(crate) async fn secured(
        limits: HttpLimits,
        tls: impl FnOnce(Arc<Metrics>) -> Option<Tls>,
    ) -> Self {
        let exporter = Exporter::new(&[]).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener =
            HttpListener::bind(any, Listener::Http, limits, exporter.metrics()).await.unwrap();
        let listener = listener.secured(tls(exporter.metrics()));
        let address = listener.local_addr().unwrap();
        let (trigger, drain) = Drain::new();
        let entered = Arc::new(Semaphore::new(0));
        let routes = Routes { drain: drain.clone(), entered: Arc::clone(&entered) };
        let serving = tokio::spawn(listener.serve(Arc::new(routes), drain));
        Self { address, trigger, serving, exporter, entered }
    }

    /// Waits until that many more requests have reached the frontend.
    pub(crate) async fn entered(&self, requests: u32) {
        self.entered.acquire_many(requests).await.unwrap().forget();
    }

    /// Waits until every connection is gone by itself: a connection left would hold the drain for [`FOREVER`].
    pub(crate) async fn finish(self) -> String {
        self.trigger.begin(FOREVER);
        tokio::time::timeout(FOREVER / 2, self.serving).await.unwrap().unwrap();
        let text = self.exporter.render().unwrap();
        assert_line(&text, r#"opgate_connections{listener="http"} 0"#);
        text
    }

    pub(crate) fn metrics(&self) -> String {
        self.exporter.render().unwrap()
    }
}

pub(crate) fn assert_line(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "{line} is missing");
}

/// One connection of a client, in either version.
pub(crate) enum Client {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// What a client's connection runs over.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for S {}

/// How the client's connection ended.
pub(crate) type Ended = JoinHandle<hyper::Result<()>>;

pub(crate) async fn http1(address: SocketAddr) -> (Client, Ended) {
    http1_on(TcpStream::connect(address).await.unwrap()).await
}

pub(crate) async fn http1_on(stream: impl Io) -> (Client, Ended) {
    let (client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    (Client::Http1(client), tokio::spawn(connection))
}

pub(crate) async fn http2(address: SocketAddr) -> (Client, Ended) {
    http2_on(TcpStream::connect(address).await.unwrap()).await
}

pub(crate) async fn http2_on(stream: impl Io) -> (Client, Ended) {
    let (client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (Client::Http2(client), tokio::spawn(connection))
}

impl Client {
    pub(crate) fn get(
        &mut self,
        path: &str,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + Send + 'static {
        self.send(Request::get(path))
    }

    pub(crate) fn send(
        &mut self,
        request: http::request::Builder,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + Send + 'static {
        let uri = request.uri_ref().unwrap().to_string();
        let request = match self {
            Self::Http1(_) => request.header("host", "gateway"),
            Self::Http2(_) => request.uri(format!("http://gateway{uri}")),
        };
        let request = request.body(Empty::new()).unwrap();
        let response: Pin<Box<dyn Future<Output = _> + Send>> = match self {
            Self::Http1(client) => Box::pin(client.send_request(request)),
            Self::Http2(client) => Box::pin(client.send_request(request)),
        };
        response
    }

    /// Whether the connection takes another request.
    pub(crate) async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(client) => client.ready().await,
            Self::Http2(client) => client.ready().await,
        }
    }

    pub(crate) async fn bytes(&mut self, path: &str) -> Bytes {
        self.ready().await.unwrap();
        let response = self.get(path).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap().to_bytes()
    }
}
