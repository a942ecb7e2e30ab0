//! Reading a request body within limits.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;

use crate::body::BoxError;

/// Why a request body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than allowed, announced or sent.
    #[error("the request body is larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// The body had not arrived in time.
    #[error("the request body did not arrive within {within:?}")]
    Timeout {
        /// The limit.
        within: Duration,
    },
    /// The connection broke, or the client broke off.
    #[error("the request body broke off")]
    Broken(#[source] BoxError),
}

/// Reads a whole body of at most `bytes_max` bytes that must have arrived `within` that time from now, however many
/// small pieces it comes in. Trailers are dropped. A body that came in one frame is not copied.
pub async fn collect_limited<B>(
    body: B,
    bytes_max: usize,
    within: Duration,
) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let announced = body.size_hint().lower();
    if announced > bytes_max as u64 {
        return Err(BodyError::TooLarge { bytes_max });
    }
    tokio::time::timeout(within, collect(body, bytes_max))
        .await
        .unwrap_or(Err(BodyError::Timeout { within }))
}

async fn collect<B>(body: B, bytes_max: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.as_mut().frame().await {
        let Ok(data) = frame.map_err(|error| BodyError::Broken(error.into()))?.into_data() else {
            continue;
        };
        if data.len() > bytes_max - first.len() - rest.len() {
            return Err(BodyError::TooLarge { bytes_max });
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&std::mem::take(&mut first));
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::{Frame, SizeHint};
    use http_body_util::Full;

    use super::*;

    /// Frames in order, then either the end or silence.
    struct Frames {
        frames: VecDeque<&'static [u8]>,
        ends: bool,
    }

    impl Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.frames.pop_front() {
                Some(frame) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(frame))))),
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::default()
        }
    }

    fn frames(frames: &[&'static [u8]], ends: bool) -> Frames {
        Frames { frames: frames.iter().copied().collect(), ends }
    }

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn one_frame_is_not_copied() {
        let bytes = Bytes::from(vec![7; 100]);
        let collected = collect_limited(Full::new(bytes.clone()), 100, SOON).await.unwrap();
        assert_eq!(collected.as_ptr(), bytes.as_ptr());
    }

    #[tokio::test]
    async fn frames_are_joined_up_to_the_limit_and_not_beyond() {
        let parts: &[&[u8]] = &[b"a", b"", b"bc", b"def"];
        assert_eq!(collect_limited(frames(parts, true), 6, SOON).await.unwrap(), "abcdef");
        let over = collect_limited(frames(parts, true), 5, SOON).await;
        assert!(matches!(over, Err(BodyError::TooLarge { bytes_max: 5 })));
        assert_eq!(collect_limited(frames(&[], true), 0, SOON).await.unwrap(), "");
    }

    #[tokio::test]
    async fn an_announced_length_is_refused_before_reading() {
        let over = collect_limited(Full::new(Bytes::from_static(b"abc")), 2, SOON).await;
        assert!(matches!(over, Err(BodyError::TooLarge { bytes_max: 2 })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_runs_out_of_time() {
        let late = collect_limited(frames(&[b"a"], false), 10, SOON).await;
        assert!(matches!(late, Err(BodyError::Timeout { within: SOON })));
    }
}
