//! The stream itself: what is read, judged, handed on and written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::{Limits, Transport, Watch};

/// How a peer begins, by the eight bytes of its protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// `AMQP 3 1.0.0`: SASL first.
    Sasl,
    /// `AMQP 0 1.0.0`: AMQP at once.
    Amqp,
    /// Anything else.
    Other([u8; 8]),
}

/// A stream of bytes with a fence around it. Give it to the crate in place of the stream.
#[derive(Debug)]
pub struct Fence<Io> {
    io: Io,
    limits: Limits,
    watch: Watch,
    /// Bytes that were read and are to be read again.
    head: Vec<u8>,
}

impl<Io: Transport> Fence<Io> {
    /// Puts a fence around `io`, of which `head` has been read already: it is read again.
    pub fn new(io: Io, head: &[u8], limits: Limits) -> Self {
        Self { io, limits, watch: Watch::default(), head: head.to_vec() }
    }

    /// What the fence sees, for those who serve the connection.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// The limits it was made with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The stream inside.
    pub fn get_ref(&self) -> &Io {
        &self.io
    }

    /// Waits for the peer's protocol header, which is read again by whoever reads next.
    ///
    /// There is no time limit here.
    pub async fn opening(&mut self) -> io::Result<Opening> {
        while self.head.len() < 8 {
            let mut more = [0; 8];
            let wanted = 8 - self.head.len();
            let count = self.io.read(&mut more[..wanted]).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.head.extend_from_slice(&more[..count]);
        }
        let mut header = [0; 8];
        header.copy_from_slice(&self.head[..8]);
        Ok(match &header {
            b"AMQP\x03\x01\x00\x00" => Opening::Sasl,
            b"AMQP\x00\x01\x00\x00" => Opening::Amqp,
            _ => Opening::Other(header),
        })
    }
}

impl<Io: Transport> AsyncRead for Fence<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.head.is_empty() {
            let count = self.head.len().min(into.remaining());
            into.put_slice(&self.head[..count]);
            drop(self.head.drain(..count));
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.io).poll_read(cx, into))?;
        self.io.acknowledge();
        Poll::Ready(Ok(()))
    }
}

impl<Io: Transport> AsyncWrite for Fence<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
