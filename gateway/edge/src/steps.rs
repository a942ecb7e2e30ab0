//! Bodies that are made while they are sent.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::HeaderMap;
use bytes::Bytes;
use http_body::{Body, Frame};

use crate::body::BoxError;

/// What the next step of a body came to.
#[derive(Debug)]
pub enum Step<S> {
    /// A chunk, and what makes the next step.
    Chunk(Bytes, S),
    /// The end, with trailers where the protocol has them.
    End(Option<HeaderMap>),
}

pin_project_lite::pin_project! {
    /// Makes one frame at a time, when the connection takes it: a slow reader holds up the maker and
    /// fills no buffer.
    pub(crate) struct Steps<N, F> {
        next: N,
        #[pin]
        step: Option<F>,
    }
}

impl<N, F> Steps<N, F> {
    pub(crate) fn new<S>(state: S, mut next: N) -> Self
    where
        N: FnMut(S) -> F,
        F: Future<Output = Step<S>>,
    {
        let step = Some(next(state));
        Self { next, step }
    }
}

impl<S, N, F> Body for Steps<N, F>
where
    N: FnMut(S) -> F,
    F: Future<Output = Step<S>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Some(step) = this.step.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let frame = match ready!(step.poll(cx)) {
            Step::Chunk(chunk, state) => {
                this.step.set(Some((this.next)(state)));
                Some(Frame::data(chunk))
            }
            Step::End(trailers) => {
                this.step.set(None);
                trailers.map(Frame::trailers)
            }
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.step.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt as _;

    use super::*;

    fn trailers() -> HeaderMap {
        let name = ::http::HeaderName::from_static("grpc-status");
        HeaderMap::from_iter([(name, ::http::HeaderValue::from_static("0"))])
    }

    #[tokio::test]
    async fn a_chunk_is_made_when_it_is_asked_for_and_not_before() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let body = Steps::new(0_u8, move |state| {
            let count = Arc::clone(&count);
            async move {
                count.fetch_add(1, Ordering::Relaxed);
                match state {
                    2 => Step::End(Some(trailers())),
                    state => Step::Chunk(Bytes::from(vec![state]), state + 1),
                }
            }
        });
        let mut body = std::pin::pin!(body);
        for expected in 0..2 {
            assert_eq!(made.load(Ordering::Relaxed), usize::from(expected));
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), vec![expected]);
        }
        assert!(!body.is_end_stream());
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_trailers().unwrap(), trailers());
        assert!(body.is_end_stream() && body.frame().await.is_none());
    }

    #[tokio::test]
    async fn an_end_without_trailers_is_the_end() {
        let body = Steps::new((), |()| async { Step::End(None) });
        assert!(std::pin::pin!(body).frame().await.is_none());
    }
}
