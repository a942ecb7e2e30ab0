//! What HTTP runs over: a socket, with TLS around it where its destination wants that.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use rustls::pki_types::{DnsName, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::destination::{Destination, Host};

/// A stream, and what its TLS agreed on.
pub(crate) struct Secured {
    stream: Box<dyn Stream>,
    /// The protocol that was chosen by ALPN; none where none was, or without TLS.
    pub(crate) alpn: Option<Vec<u8>>,
}

impl Secured {
    /// The stream, whose incoming bytes are counted there.
    pub(crate) fn counted(self, read: Arc<AtomicU64>) -> Counted {
        Counted { stream: self.stream, read }
    }
}

/// Puts TLS around a socket, where its destination wants that.
pub(crate) async fn secured(
    stream: TcpStream,
    destination: &Destination,
    tls: &TlsConnector,
) -> io::Result<Secured> {
    stream.set_nodelay(true)?;
    if !destination.tls {
        return Ok(Secured { stream: Box::new(stream), alpn: None });
    }
    let stream = tls.connect(server_name(&destination.host)?, stream).await?;
    let alpn = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    Ok(Secured { stream: Box::new(stream), alpn })
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
pub(crate) struct Counted {
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
