//! What is written: gathered, taken note of frame by frame, and given to the stream in few calls.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::ledger::Ledger;
use super::outbound::Edit;
use super::walk::number;

/// Most bytes gathered.
const BUFFER_BYTES: usize = 64 * 1024;

/// Most buffer a connection with nothing to write keeps.
const KEPT_BYTES: usize = 2 * 1024;

/// Bytes in which the fields of a frame are that are looked at. Of a longer frame the rest is passed on as it comes.
const BEGINNING: usize = 4 * 1024;

/// Bytes on their way to the stream.
#[derive(Debug, Default)]
pub(super) struct Writing {
    buffer: Vec<u8>,
    /// Bytes of `buffer` the stream has taken.
    sent: usize,
    /// Bytes of `buffer` that were looked at: up to here they may be sent. A frame begins here, or goes on.
    noted: usize,
    /// Bytes to come of a frame whose beginning was looked at.
    passing: usize,
    /// Something was put in since the stream was last flushed.
    dirty: bool,
    /// Bytes the stream has taken in all, wrapping.
    pub(super) taken: usize,
}

impl Writing {
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    pub(super) fn room(&self) -> usize {
        // A frame of which the beginning is not all there yet may be kept back.
        (BUFFER_BYTES + BEGINNING).saturating_sub(self.buffer.len() - self.sent)
    }

    /// Takes what fits of `bytes`.
    pub(super) fn put(&mut self, bytes: &[u8], ledger: &mut Ledger) -> usize {
        let count = bytes.len().min(self.room());
        self.buffer.extend_from_slice(bytes.get(..count).unwrap_or_default());
        self.dirty |= count > 0;
        self.note(ledger);
        count
    }

    fn note(&mut self, ledger: &mut Ledger) {
        loop {
            let Some(rest) = self.buffer.get(self.noted..) else { return };
            if self.passing > 0 {
                let passed = self.passing.min(rest.len());
                self.noted += passed;
                self.passing -= passed;
                if self.passing > 0 {
                    return;
                }
                continue;
            }
            if rest.len() < 8 {
                return;
            }
            let size =
                usize::try_from(number(rest.get(..4).unwrap_or_default())).unwrap_or(usize::MAX);
            if rest.starts_with(b"AMQP") || size < 8 {
                self.noted += 8;
                continue;
            }
            let mut beginning = size.min(rest.len());
            if beginning < size.min(BEGINNING) {
                return;
            }
            self.passing = size - beginning;
            let frame = rest.get(..beginning).unwrap_or_default();
            // Type 1 is SASL's.
            if frame.get(5) == Some(&0)
                && let Some(edit) = ledger.outbound(frame)
            {
                let before = self.buffer.len();
                match edit {
                    Edit::All if self.passing > 0 => {}
                    Edit::All => {
                        drop(self.buffer.drain(self.noted..self.noted + beginning));
                    }
                    Edit::Frame(frame) if self.passing == 0 => {
                        let old = self.noted..self.noted + beginning;
                        drop(self.buffer.splice(old, frame));
                    }
                    Edit::Frame(_) => {}
                    Edit::Id(place) => place.apply(&mut self.buffer, self.noted),
                    Edit::Idle(at, bytes) => {
                        let at = self.noted + at;
                        if let Some(field) = self.buffer.get_mut(at..at + bytes.len()) {
                            field.copy_from_slice(&bytes);
                        }
                    }
                    Edit::Name(cut) => cut.apply(&mut self.buffer, self.noted),
                }
                beginning = beginning + self.buffer.len() - before;
            }
            self.noted += beginning;
        }
    }

    /// Puts a frame of the fence's own behind what is complete, where one may begin there.
    pub(super) fn put_between(&mut self, frame: &[u8]) -> bool {
        self.put_both_between(frame, &[])
    }

    /// The same of a frame in two pieces.
    pub(super) fn put_both_between(&mut self, head: &[u8], rest: &[u8]) -> bool {
        if self.passing > 0 {
            return false;
        }
        if self.noted == self.buffer.len() {
            self.buffer.reserve(head.len() + rest.len());
            self.buffer.extend_from_slice(head);
            self.buffer.extend_from_slice(rest);
        } else {
            let frame = head.iter().chain(rest).copied();
            drop(self.buffer.splice(self.noted..self.noted, frame));
        }
        self.noted += head.len() + rest.len();
        self.dirty = true;
        true
    }

    /// Puts a frame of the fence's own behind what is complete; whatever is not, and all that follows, is lost. Not
    /// done if part of a frame has been sent.
    pub(super) fn put_last(&mut self, frame: &[u8]) {
        if self.passing > 0 {
            return;
        }
        self.buffer.truncate(self.noted);
        self.buffer.extend_from_slice(frame);
        self.noted = self.buffer.len();
        self.dirty = true;
    }

    /// Writes out all that may be.
    pub(super) fn poll_drain<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(bytes) = self.buffer.get(self.sent..self.noted)
            && !bytes.is_empty()
        {
            match Pin::new(&mut *stream).poll_write(cx, bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.sent += count;
                    self.taken = self.taken.wrapping_add(count);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.forget_sent();
                    return Poll::Pending;
                }
            }
        }
        self.forget_sent();
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES {
            self.buffer = Vec::new();
        }
        ready!(Pin::new(stream).poll_flush(cx))?;
        self.dirty = false;
        Poll::Ready(Ok(()))
    }

    fn forget_sent(&mut self) {
        drop(self.buffer.drain(..self.sent));
        self.noted -= self.sent;
        self.sent = 0;
    }
}
