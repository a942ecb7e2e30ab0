//! HTTP/1.1 and HTTP/2 with prior knowledge on one port.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opgate_telemetry::{Listener, Metrics};

use crate::connection;
use crate::drain::Drain;
use crate::frontend::Frontend;
use crate::limits::HttpLimits;
use crate::listen::{Acceptor, Most};
use crate::tls::Tls;

/// hyper's HTTP/1 buffers may grow this far; a reply larger than this is streamed through.
const HTTP1_BUFFER_BYTES: usize = 64 * 1024;
/// Reply bytes one HTTP/2 stream may hold back for want of flow control window.
const HTTP2_SEND_BYTES: usize = 64 * 1024;

/// A bound port that will serve a [`Frontend`].
#[derive(Debug)]
pub struct HttpListener {
    acceptor: Acceptor,
    listener: Listener,
    limits: LimitsInForce,
    metrics: Arc<Metrics>,
    tls: Option<Tls>,
}

/// The limits of a listener, which can be replaced while it serves. Clones share them.
#[derive(Clone, Debug)]
pub struct LimitsInForce {
    most: Most,
    bounds: Arc<RwLock<Arc<Bounds>>>,
}

impl LimitsInForce {
    /// Has other limits: on connections from now on, all else for those that are accepted from now on. What is open
    /// goes on by the limits it was opened with.
    pub fn replace(&self, limits: HttpLimits) {
        self.most.set(limits.connections);
        let bounds = Arc::new(Bounds::new(limits));
        *self.bounds.write().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    fn now(&self) -> Arc<Bounds> {
        Arc::clone(&self.bounds.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HttpListener {
    /// Binds `address` (port 0 for any). Clients can connect from now on and are answered once it serves.
    pub async fn bind(
        address: SocketAddr,
        listener: Listener,
        limits: HttpLimits,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let acceptor =
            Acceptor::bind(address, listener, limits.connections, Arc::clone(&metrics)).await?;
        let bounds = Arc::new(RwLock::new(Arc::new(Bounds::new(limits))));
        let limits = LimitsInForce { most: acceptor.most(), bounds };
        Ok(Self { acceptor, listener, limits, metrics, tls: None })
    }

    /// Has connections secured.
    #[must_use]
    pub fn secured(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// Its limits, which can be replaced while it serves.
    pub fn limits(&self) -> LimitsInForce {
        self.limits.clone()
    }

    /// The address bound, with the port the kernel chose.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.acceptor.local_addr()
    }

    /// Serves until the drain begins, then lets every connection finish what it has begun: HTTP/2 clients get a
    /// GOAWAY, HTTP/1 clients `connection: close`. Returns when all connections are gone or cut.
    pub async fn serve(self, frontend: Arc<dyn Frontend>, drain: Drain) {
        let Self { acceptor, listener, limits, metrics, tls } = self;
        let server = Arc::new(Server { listener, frontend, metrics, drain: drain.clone(), tls });
        acceptor
            .serve(drain, move |stream, peer| {
                connection::serve(Arc::clone(&server), limits.now(), stream, peer)
            })
            .await;
    }
}

/// What bounds a connection, from when it is accepted.
#[derive(Debug)]
pub(crate) struct Bounds {
    pub(crate) http1: http1::Builder,
    pub(crate) http2: http2::Builder<TokioExecutor>,
    pub(crate) limits: HttpLimits,
}

impl Bounds {
    fn new(limits: HttpLimits) -> Self {
        Self { http1: http1(&limits), http2: http2(&limits), limits }
    }
}

/// What all connections of a listener share.
pub(crate) struct Server {
    pub(crate) listener: Listener,
    pub(crate) frontend: Arc<dyn Frontend>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: Drain,
    pub(crate) tls: Option<Tls>,
}

fn http1(limits: &HttpLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    let head_bytes = usize::try_from(limits.head_bytes).unwrap_or(usize::MAX);
    // Without a timer hyper ignores the timeout.
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_header_size(head_bytes)
        .max_buf_size(head_bytes.max(HTTP1_BUFFER_BYTES));
    builder
}

/// The limits h2 sets on resets and half-open streams (rapid reset, CONTINUATION floods) stay as they are.
fn http2(limits: &HttpLimits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout)
        .max_header_list_size(limits.head_bytes)
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.connection_window_bytes)
        .max_send_buf_size(HTTP2_SEND_BYTES);
    builder
}
