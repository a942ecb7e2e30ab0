//! Streams that a fence can be put around.

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;

/// A stream of bytes, and what the kernel is told about it.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// Has what was read acknowledged at once, where the stream is one that delays it.
    ///
    /// uAMQP leaves Nagle's algorithm on and writes a disposition and the next request as two small segments: the
    /// second waits for the acknowledgement of the first, 40 ms where that is delayed. The kernel forgets the setting
    /// by and by, hence after each read.
    fn acknowledge(&self) {}
}

impl Transport for TcpStream {
    #[cfg(target_os = "linux")]
    fn acknowledge(&self) {
        // A stream that cannot be told is a slower one, no more.
        drop(self.set_quickack(true));
    }
}

impl<S: Transport> Transport for tokio_rustls::server::TlsStream<S> {
    fn acknowledge(&self) {
        self.get_ref().0.acknowledge();
    }
}

impl<S: Transport> Transport for tokio_rustls::client::TlsStream<S> {
    fn acknowledge(&self) {
        self.get_ref().0.acknowledge();
    }
}

impl<S: Transport> Transport for tokio_rustls::TlsStream<S> {
    fn acknowledge(&self) {
        self.get_ref().0.acknowledge();
    }
}

impl Transport for opgate_edge::Stream {
    fn acknowledge(&self) {
        match self {
            Self::Plain(stream) => stream.acknowledge(),
            Self::Tls(stream) => stream.acknowledge(),
        }
    }
}

impl Transport for DuplexStream {}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn acknowledge(&self) {
        (**self).acknowledge();
    }
}
