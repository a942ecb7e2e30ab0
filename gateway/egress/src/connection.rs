//! One connection, and one exchange over it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{DnsName, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::destination::{Destination, Host};

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
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = if destination.tls {
            Box::new(tls.connect(server_name(&destination.host)?, stream).await?)
        } else {
            Box::new(stream)
        };
        let read = Arc::new(AtomicU64::new(0));
        let stream = TokioIo::new(Counted { stream, read: Arc::clone(&read) });
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

fn server_name(host: &Host) -> io::Result<ServerName<'static>> {
    match host {
        Host::Name(name) => DnsName::try_from(name.to_string())
            .map(ServerName::DnsName)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error)),
        Host::Address(IpAddr::V4(address)) => Ok(ServerName::IpAddress((*address).into())),
        Host::Address(IpAddr::V6(address)) => Ok(ServerName::IpAddress((*address).into())),
    }
}

/// What HTTP runs over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Counts what comes in.
struct Counted {
    stream: Box<dyn Stream>,
    read: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let came = (buffer.filled().len() - before) as u64;
        self.read.fetch_add(came, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
