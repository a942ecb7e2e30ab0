//! One connection, and one exchange over it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::destination::Destination;
use crate::stream::secured;

/// Largest head of an answer, and what is read of it at once.
const HEAD_BYTES: usize = 64 * 1024;
/// Most headers of an answer.
const HEADERS: usize = 128;
/// How long a connection may take, after a whole answer, to be ready for the next request. Longer is
/// only one whose peer answered before it had read the request; that one is not kept.
const SETTLE: Duration = Duration::from_millis(50);

/// An open connection. Dropped, it is closed.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The address that was connected to.
    pub(crate) peer: SocketAddr,
    sender: http1::SendRequest<Full<Bytes>>,
    /// Bytes of HTTP that came in.
    read: Arc<AtomicU64>,
    /// The one task that drives it, in a set because dropping that ends it.
    _task: JoinSet<()>,
}

/// An exchange that did not come about.
pub(crate) struct Cut {
    pub(crate) error: hyper::Error,
    /// Whether the peer had begun to answer.
    pub(crate) answered: bool,
}

impl Connection {
    /// Makes a connection of a stream: TLS where the destination wants it, then HTTP.
    pub(crate) async fn open(
        stream: TcpStream,
        peer: SocketAddr,
        destination: &Destination,
        tls: &TlsConnector,
    ) -> io::Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let stream = secured(stream, destination, tls).await?.counted(Arc::clone(&read));
        let stream = TokioIo::new(stream);
        let (sender, connection) = http1::Builder::new()
            .max_headers(HEADERS)
            .max_header_size(HEAD_BYTES)
            .max_buf_size(HEAD_BYTES)
            .handshake(stream)
            .await
            .map_err(io::Error::other)?;
        let mut task = JoinSet::new();
        // How it ended is told by the exchange that was under way; an idle one may end any time.
        task.spawn(async move { drop(connection.await) });
        Ok(Self { peer, sender, read, _task: task })
    }

    /// Sends a request, and waits for the head of the answer.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Cut> {
        let before = self.read.load(Ordering::Relaxed);
        self.sender.send_request(request).await.map_err(|error| {
            let answered = self.read.load(Ordering::Relaxed) != before;
            Cut { error, answered }
        })
    }

    /// Whether it takes another request.
    pub(crate) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether it takes another request once the last answer is through.
    pub(crate) async fn settled(&mut self) -> bool {
        matches!(tokio::time::timeout(SETTLE, self.sender.ready()).await, Ok(Ok(())))
    }
}
