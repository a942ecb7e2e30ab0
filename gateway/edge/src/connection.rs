//! One HTTP connection, from its first bytes to its last.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::header::{CONTENT_LENGTH, HeaderValue};
use ::http::{Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opgate_telemetry::{Cut, Place};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tracing::error;

use crate::body::Body;
use crate::cork::{Corked, Drainer, End, Io, cork};
use crate::frontend::{Peer, ResponseFuture};
use crate::http::{Bounds, Server};
use crate::limits::HttpLimits;
use crate::opening::{self, Version};
use crate::request_body::RequestBody;
use crate::tls;

/// Time for the peer to end its side of a connection after we have ended ours.
const LINGER: Duration = Duration::from_secs(2);

/// What the requests of one connection share.
struct Session {
    server: Arc<Server>,
    peer: Arc<Peer>,
}

/// Serves one connection until it ends by itself, the drain has finished it, or the peer stalls.
pub(crate) async fn serve(server: Arc<Server>, bounds: Arc<Bounds>, stream: TcpStream, peer: Peer) {
    let (Server { drain, tls, .. }, limits) = (&*server, &bounds.limits);
    let secured = tls::secure(tls.as_ref(), stream, peer, limits.head_timeout, drain).await;
    let Some((mut stream, peer)) = secured else { return };
    let opening = tokio::select! {
        biased;
        opening = tokio::time::timeout(limits.head_timeout, opening::read(&mut stream)) => opening,
        // Nothing was asked yet.
        () = server.drain.started() => return,
    };
    let (version, head) = match opening {
        Ok(Ok(Some(opening))) => opening,
        Ok(_) => return,
        Err(_) => return count_cut(&server, Cut::Silent),
    };
    let (io, drainer) = cork(stream, head);
    let io = TokioIo::new(io);
    let session = Arc::new(Session { server: Arc::clone(&server), peer: Arc::new(peer) });
    let requests = Requests(session);
    match version {
        Version::Http1 => {
            let connection = Box::pin(bounds.http1.serve_connection(io, requests));
            drive(&server, &bounds.limits, connection, drainer).await;
        }
        Version::Http2 => {
            let connection = Box::pin(bounds.http2.serve_connection(io, requests));
            drive(&server, &bounds.limits, connection, drainer).await;
        }
    }
}

/// A connection of hyper's that can be asked to finish.
trait Graceful: Future {
    fn finish(self: Pin<&mut Self>);
}

impl<S> Graceful for http1::Connection<TokioIo<Io<S>>, Requests>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S> Graceful for http2::Connection<TokioIo<Io<S>>, Requests, TokioExecutor>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Polls the connection, and asks it once to finish: when the drain begins, or when it has come of age.
///
/// The connection comes in a box of its own: inside this future and its caller's it would take its room
/// several times over, for as long as it idles.
async fn drive<C, S>(
    server: &Server,
    limits: &HttpLimits,
    connection: Pin<Box<C>>,
    drainer: Drainer<S>,
) where
    C: Graceful,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let corked = Corked::new(connection, drainer.clone(), limits.stall_timeout);
    let mut corked = pin!(corked);
    let mut started = pin!(server.drain.started());
    let mut age = pin!(limits.connection_age.map(tokio::time::sleep));
    let mut listening = false;
    let mut finishing = false;
    let end = poll_fn(|cx| {
        if !finishing {
            // The future of the drain takes a lock shared by all connections. So it is polled once, to leave this
            // task's waker there; after that a look at the drain's own flag is enough.
            let draining = if listening {
                server.drain.is_draining()
            } else {
                listening = true;
                started.as_mut().poll(cx).is_ready()
            };
            let aged = age.as_mut().as_pin_mut().is_some_and(|age| age.poll(cx).is_ready());
            finishing = draining || aged;
            if finishing && let Some(connection) = corked.as_mut().connection() {
                connection.get_mut().as_mut().finish();
            }
        }
        corked.as_mut().poll(cx)
    })
    .await;
    match end {
        End::Closed => {
            // Nobody is owed anything any more: neither the peer's failure nor its patience matters.
            drop(tokio::time::timeout(LINGER, drainer.linger()).await);
        }
        End::Gone => {}
        End::Stalled => count_cut(server, Cut::Stalled),
    }
}

fn count_cut(server: &Server, reason: Cut) {
    server.metrics.edge.cut.of(server.listener).of(reason).increment(1);
}

/// The requests of one connection, as hyper wants to hand them over.
struct Requests(Arc<Session>);

impl Service<Request<Incoming>> for Requests {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Contained;

    fn call(&self, request: Request<Incoming>) -> Contained {
        let Session { server, peer } = &*self.0;
        let head_only = request.method() == Method::HEAD;
        let request = request.map(RequestBody::from);
        let response = catch_unwind(AssertUnwindSafe(|| server.frontend.call(request, peer))).ok();
        Contained { response, head_only, session: Arc::clone(&self.0) }
    }
}

/// Leaves what HEAD is answered with, which says how long the body would be. hyper does so over
/// HTTP/1.1 only; over HTTP/2 a body is an error of the protocol, for which the peer resets the stream.
fn drop_body(response: &mut Response<Body>) {
    let body = std::mem::take(response.body_mut());
    if let Some(length) = body.size_hint().exact() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
}

/// A response on its way; a panic on that way becomes a response too.
struct Contained {
    /// None if making the future panicked already.
    response: Option<ResponseFuture>,
    /// Whether the request was HEAD.
    head_only: bool,
    session: Arc<Session>,
}

impl Future for Contained {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = match &mut self.response {
            Some(response) => catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(cx))).ok(),
            None => None,
        };
        let panics = self.session.server.metrics.edge.panics.of(Place::Request);
        match polled {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(mut response)) => {
                if self.head_only {
                    drop_body(&mut response);
                }
                response.body_mut().count_panics(panics);
                Poll::Ready(Ok(response))
            }
            None => {
                panics.increment(1);
                error!("a request panicked and was answered with status 500");
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                Poll::Ready(Ok(response))
            }
        }
    }
}
