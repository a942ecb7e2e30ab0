//! Request bodies whose message is announced to be too large: refused before the message is sent.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::frame::PREFIX_BYTES;

/// A message was announced that is larger than allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message is announced that is too large")
    }
}

impl Error for TooLarge {}

/// A body that fails with [`TooLarge`] once its prefix announces more than `bytes_max`.
pub(super) struct Announced<B> {
    body: B,
    bytes_max: u32,
    prefix: [u8; PREFIX_BYTES],
    /// How much of the prefix has arrived.
    seen: u8,
}

impl<B> Announced<B> {
    pub(super) fn new(body: B, bytes_max: usize) -> Self {
        let bytes_max = u32::try_from(bytes_max).unwrap_or(u32::MAX);
        Self { body, prefix: [0; PREFIX_BYTES], seen: 0, bytes_max }
    }

    fn takes(&mut self, data: &[u8]) -> bool {
        for (place, byte) in self.prefix.iter_mut().skip(usize::from(self.seen)).zip(data) {
            *place = *byte;
            self.seen += 1;
        }
        let [_, a, b, c, d] = self.prefix;
        // What has not arrived is zero, so a part of the length never announces more than the whole.
        u32::from_be_bytes([a, b, c, d]) <= self.bytes_max
    }
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Body for Announced<B> {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if usize::from(self.seen) < PREFIX_BYTES
            && let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && !self.takes(data)
        {
            return Poll::Ready(Some(Err(TooLarge.into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
