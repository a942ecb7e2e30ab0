//! Response bodies.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::HeaderMap;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use opgate_telemetry::Counter;

use crate::steps::{Step, Steps};

/// Any error a body may end with. The client sees a broken reply, never the text.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a response: up to two chunks and trailers held in place, or any other body, boxed.
pub struct Body(Kind);

enum Kind {
    /// Chunks still to be sent, then trailers.
    Ready { chunks: [Bytes; 2], trailers: Option<HeaderMap> },
    /// Anything else; the counter counts its panics once the server has taken the response.
    Boxed { body: UnsyncBoxBody<Bytes, BoxError>, panics: Option<Counter> },
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self::ready([Bytes::new(), Bytes::new()], None)
    }

    /// One chunk, sent with its length.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::ready([bytes.into(), Bytes::new()], None)
    }

    /// One chunk, then trailers; the length is not announced.
    pub fn with_trailers(bytes: impl Into<Bytes>, trailers: HeaderMap) -> Self {
        Self::ready([bytes.into(), Bytes::new()], Some(trailers))
    }

    /// Two chunks (a gRPC prefix and a message that is shared, say), then trailers. Each chunk becomes a DATA frame of
    /// its own; where the bytes can be laid out together beforehand, one chunk is cheaper.
    pub fn chunks_with_trailers(chunks: [Bytes; 2], trailers: HeaderMap) -> Self {
        Self::ready(chunks, Some(trailers))
    }

    /// Any other body, a stream for instance. A panic in it breaks off this reply and nothing else.
    pub fn boxed<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Kind::Boxed { body: UnsyncBoxBody::new(body.map_err(Into::into)), panics: None })
    }

    /// Made step by step while it is sent, each step once the connection takes it: a slow reader
    /// holds up the maker and fills no buffer. Dropped when the client goes away.
    pub fn steps<S, N, F>(state: S, next: N) -> Self
    where
        S: 'static,
        N: FnMut(S) -> F + Send + 'static,
        F: Future<Output = Step<S>> + Send + 'static,
    {
        Self::boxed(Steps::new(state, next))
    }

    fn ready(chunks: [Bytes; 2], trailers: Option<HeaderMap>) -> Self {
        Self(Kind::Ready { chunks, trailers })
    }

    /// Has panics of a boxed body counted.
    pub(crate) fn count_panics(&mut self, counter: &Counter) {
        if let Kind::Boxed { panics, .. } = &mut self.0 {
            *panics = Some(counter.clone());
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Ready { .. } => "Ready",
            Kind::Boxed { .. } => "Boxed",
        };
        f.debug_tuple("Body").field(&kind).finish()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Kind::Ready { chunks, trailers } => {
                let chunk = chunks.iter_mut().find(|chunk| !chunk.is_empty()).map(std::mem::take);
                let frame = chunk.map(Frame::data).or_else(|| trailers.take().map(Frame::trailers));
                Poll::Ready(frame.map(Ok))
            }
            Kind::Boxed { body, panics } => {
                let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *body).poll_frame(cx)));
                polled.unwrap_or_else(|_| {
                    if let Some(panics) = panics {
                        panics.increment(1);
                    }
                    Poll::Ready(Some(Err("the reply could not be completed".into())))
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Ready { chunks, trailers } => {
                trailers.is_none() && chunks.iter().all(Bytes::is_empty)
            }
            Kind::Boxed { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            // Trailers need a reply whose end is marked, not counted: no length then.
            Kind::Ready { trailers: Some(_), .. } => SizeHint::default(),
            Kind::Ready { chunks, trailers: None } => {
                SizeHint::with_exact(chunks.iter().map(|chunk| chunk.len() as u64).sum())
            }
            Kind::Boxed { body, .. } => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;
    use http_body::Body as _;

    use super::*;

    fn trailers() -> HeaderMap {
        HeaderMap::from_iter([(
            ::http::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )])
    }

    #[tokio::test]
    async fn chunks_then_trailers() {
        let mut body = Body::chunks_with_trailers(
            [Bytes::from_static(b"prefix"), Bytes::from_static(b"message")],
            trailers(),
        );
        assert!(!body.is_end_stream());
        assert_eq!(body.size_hint().exact(), None);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "prefix");
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "message");
        assert!(!body.is_end_stream(), "trailers are still to come");
        assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers());
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_full_body_ends_with_its_chunk_and_knows_its_length() {
        let mut body = Body::full("hello");
        assert_eq!(body.size_hint().exact(), Some(5));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
        assert!(body.is_end_stream());
        assert!(Body::empty().is_end_stream());
        assert_eq!(Body::empty().size_hint().exact(), Some(0));
    }

    #[tokio::test]
    async fn no_message_still_has_its_trailers() {
        let mut body = Body::with_trailers(Bytes::new(), trailers());
        assert!(!body.is_end_stream());
        assert!(body.frame().await.unwrap().unwrap().is_trailers());
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_panicking_body_ends_with_an_error() {
        struct Broken;
        impl http_body::Body for Broken {
            type Data = Bytes;
            type Error = std::convert::Infallible;
            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
                panic!("expected in this test")
            }
        }
        assert!(Body::boxed(Broken).frame().await.unwrap().is_err());
    }
}
