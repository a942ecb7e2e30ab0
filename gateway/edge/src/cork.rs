//! Gathered writes: one system call for all the replies of one round.
//!
//! HTTP/2 as hyper and h2 do it writes each reply in two system calls, and those are three quarters of its cost. Here
//! [`Io`] takes what hyper writes into a buffer and calls it flushed, and [`Corked`], around the connection's future,
//! empties the buffer at the end of a poll: after yielding once, so that requests which are ready to be answered get
//! into the same write. The buffer holds [`BUFFER_BYTES`]; beyond that hyper meets the socket's own back-pressure.
//!
//! The two halves share the stream under a mutex. Only the connection's task ever takes it, so it is never contended.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Most bytes gathered for one connection.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// Most buffer a connection with nothing to write keeps.
const KEPT_BYTES: usize = 8 * 1024;

/// The stream and what is gathered for it.
struct Cork<S> {
    stream: S,
    /// Bytes read before hyper took over, to be read again.
    head: Bytes,
    buffer: Vec<u8>,
    /// Bytes of `buffer` the stream has taken.
    sent: usize,
    /// Something was put in since the stream was last empty and flushed.
    dirty: bool,
    /// The stream takes no more for now.
    blocked: bool,
    /// hyper waits for room in the buffer, or for all of it to be written.
    starved: bool,
    /// Bytes the stream has taken in all, wrapping.
    taken: usize,
}

impl<S: AsyncWrite + Unpin> Cork<S> {
    fn room(&self) -> usize {
        BUFFER_BYTES - (self.buffer.len() - self.sent)
    }

    /// Takes what fits of `bytes`.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        self.buffer.extend_from_slice(&bytes[..count]);
        self.dirty |= count > 0;
        count
    }

    /// Waits for room for at least one byte.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.room() == 0
            && let Poll::Ready(Err(error)) = self.poll_drain(cx)
        {
            return Poll::Ready(Err(error));
        }
        self.starved = self.room() == 0;
        if self.starved { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Writes everything out.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let drained = self.poll_drain_buffer(cx);
        self.blocked = drained.is_pending();
        drained
    }

    fn poll_drain_buffer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.buffer.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.buffer[self.sent..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.sent += count;
                    self.taken = self.taken.wrapping_add(count);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    drop(self.buffer.drain(..self.sent));
                    self.sent = 0;
                    return Poll::Pending;
                }
            }
        }
        self.sent = 0;
        self.buffer.clear();
        if self.buffer.capacity() > KEPT_BYTES {
            self.buffer = Vec::new();
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.dirty = false;
        Poll::Ready(Ok(()))
    }
}

/// hyper's side.
pub(crate) struct Io<S>(Arc<Mutex<Cork<S>>>);

/// The connection's side, for [`Corked`].
pub(crate) struct Drainer<S>(Arc<Mutex<Cork<S>>>);

impl<S> Clone for Drainer<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drainer<S> {
    /// Ends our side of the stream and discards what the peer still sends, until it ends its side.
    ///
    /// Closing a socket with bytes unread (an HTTP/2 window update, the rest of a refused body) makes the kernel send
    /// a reset, and a reset makes the peer's kernel throw away replies its program has not read yet.
    pub(crate) async fn linger(&self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut lock(&self.0).stream).poll_shutdown(cx)).await?;
        poll_fn(|cx| {
            let mut cork = lock(&self.0);
            let mut discarded = [0; 1024];
            loop {
                let mut discarded = ReadBuf::new(&mut discarded);
                ready!(Pin::new(&mut cork.stream).poll_read(cx, &mut discarded))?;
                if discarded.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
        })
        .await
    }
}

/// Puts a cork on a stream of which `head` has been read already.
pub(crate) fn cork<S>(stream: S, head: Bytes) -> (Io<S>, Drainer<S>) {
    let cork = Cork {
        stream,
        head,
        buffer: Vec::new(),
        sent: 0,
        dirty: false,
        blocked: false,
        starved: false,
        taken: 0,
    };
    let cork = Arc::new(Mutex::new(cork));
    (Io(Arc::clone(&cork)), Drainer(cork))
}

/// A panic while the lock is held leaves bytes at worst half written: the connection ends with it either way.
fn lock<S>(cork: &Mutex<Cork<S>>) -> MutexGuard<'_, Cork<S>> {
    cork.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: AsyncRead + Unpin> AsyncRead for Io<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut cork = lock(&self.0);
        if cork.head.is_empty() {
            return Pin::new(&mut cork.stream).poll_read(cx, into);
        }
        let count = cork.head.len().min(into.remaining());
        into.put_slice(&cork.head[..count]);
        cork.head.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Io<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut cork = lock(&self.0);
        ready!(cork.poll_room(cx))?;
        Poll::Ready(Ok(cork.put(bytes)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut cork = lock(&self.0);
        ready!(cork.poll_room(cx))?;
        Poll::Ready(Ok(slices.iter().map(|slice| cork.put(slice)).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Says yes: [`Corked`] sees to it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut cork = lock(&self.0);
        let drained = cork.poll_drain(cx);
        cork.starved |= drained.is_pending();
        ready!(drained)?;
        Pin::new(&mut cork.stream).poll_shutdown(cx)
    }
}

/// How a corked connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The connection's future is done and everything is written.
    Closed,
    /// The peer is gone.
    Gone,
    /// The peer took nothing for as long as it may.
    Stalled,
}

pin_project! {
    /// A connection's future, and the flush after each of its polls.
    pub(crate) struct Corked<C, S> {
        #[pin]
        connection: C,
        drainer: Drainer<S>,
        stall_timeout: Duration,
        #[pin]
        stall: Option<Sleep>,
        // `Cork::taken` when `stall` was set.
        taken: usize,
        yielded: bool,
        ended: bool,
    }
}

impl<C, S> Corked<C, S> {
    /// A peer that takes not a byte for `stall_timeout` while there is something to take is given up.
    pub(crate) fn new(connection: C, drainer: Drainer<S>, stall_timeout: Duration) -> Self {
        Self {
            connection,
            drainer,
            stall_timeout,
            stall: None,
            taken: 0,
            yielded: false,
            ended: false,
        }
    }

    /// The connection's future; `None` once it is done.
    pub(crate) fn connection(self: Pin<&mut Self>) -> Option<Pin<&mut C>> {
        let this = self.project();
        (!*this.ended).then_some(this.connection)
    }
}

impl<C: Future, S: AsyncWrite + Unpin> Future for Corked<C, S> {
    type Output = End;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let mut this = self.project();
        if !*this.ended {
            *this.ended = this.connection.poll(cx).is_ready();
        }
        let mut cork = lock(&this.drainer.0);
        let gathers = cork.dirty && !cork.blocked && !*this.ended;
        if gathers && !*this.yielded {
            *this.yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        *this.yielded = false;
        let drained = if cork.dirty { cork.poll_drain(cx) } else { Poll::Ready(Ok(())) };
        match drained {
            Poll::Ready(Ok(())) if *this.ended => return Poll::Ready(End::Closed),
            Poll::Ready(Ok(())) => this.stall.set(None),
            Poll::Ready(Err(_)) => return Poll::Ready(End::Gone),
            Poll::Pending => {
                if this.stall.is_none() || *this.taken != cork.taken {
                    *this.taken = cork.taken;
                    let deadline = Instant::now() + *this.stall_timeout;
                    this.stall.set(Some(tokio::time::sleep_until(deadline)));
                }
                if this.stall.as_pin_mut().is_some_and(|stall| stall.poll(cx).is_ready()) {
                    return Poll::Ready(End::Stalled);
                }
            }
        }
        if cork.starved && cork.room() > 0 {
            cork.starved = false;
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
