//! Replies of many messages: one frame at a time, then the status in the trailers.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use opgate_core::{Error, ErrorKind, Losses};
use opgate_edge::{Body, Step};

use super::compression::Compression;
use super::reply::{CONTENT_TYPE, GRPC_ENCODING, TRAILERS, compressed, status};
use super::timeout::Deadline;
use crate::loss;
use crate::proto::Status;
use crate::status::of_error;

/// What a stream of messages goes on with.
#[derive(Debug)]
pub enum Next<S> {
    /// A message with its prefix, not compressed, and what makes the next one.
    Message(Bytes, S),
    /// The end: well, with what the last message could not carry, or with a status.
    End(Result<Losses, Box<Status>>),
}

/// The response of a call that answers with many messages. `next` is asked for one once the
/// connection takes it, and dropped at the caller's deadline, which is said in the trailers, or when
/// the caller goes away.
pub fn stream<S, N, F>(
    state: S,
    mut next: N,
    compression: Compression,
    deadline: Deadline,
) -> Response<Body>
where
    S: Send + 'static,
    N: FnMut(S) -> F + Send + 'static,
    F: Future<Output = Next<S>> + Send + 'static,
{
    let body = Body::steps(state, move |state| {
        let next = next(state);
        async move {
            match deadline.reached(next).await {
                Some(Next::Message(framed, state)) => {
                    Step::Chunk(compressed(framed, compression), state)
                }
                Some(Next::End(Ok(lost))) => {
                    let mut trailers = TRAILERS.clone();
                    loss::put(lost, &mut trailers);
                    Step::End(Some(trailers))
                }
                Some(Next::End(Err(refused))) => Step::End(Some(trailers(&refused))),
                None => Step::End(Some(trailers(&of_error(&passed(), None)))),
            }
        }
    });
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    if compression == Compression::Gzip {
        headers.insert(GRPC_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn passed() -> Error {
    Error::new(ErrorKind::DeadlineExceeded, "the caller's deadline passed")
}

fn trailers(refused: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(3);
    status(refused, &mut trailers);
    trailers
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use opgate_core::Code;

    use super::*;
    use crate::wire::frame;

    /// Counts down from `state` in messages, then ends as told.
    fn counting(state: i32, end: Result<(), Code>, deadline: Option<&[u8]>) -> Response<Body> {
        let deadline = Deadline::parse(deadline).unwrap();
        let next = move |state: i32| async move {
            if state > 0 {
                let message = Status { code: state, ..Default::default() };
                return Next::Message(frame(&message), state - 1);
            }
            match end {
                Ok(()) => Next::End(Ok(Losses::NONE)),
                Err(Code::DeadlineExceeded) => std::future::pending().await,
                Err(code) => {
                    let status = Status { code: code.number(), ..Default::default() };
                    Next::End(Err(Box::new(status)))
                }
            }
        };
        stream(state, next, Compression::Identity, deadline)
    }

    async fn read(response: Response<Body>) -> (usize, HeaderMap) {
        let mut body = response.into_body();
        let mut messages = 0;
        loop {
            match body.frame().await.unwrap().unwrap().into_data() {
                Ok(_) => messages += 1,
                Err(frame) => return (messages, frame.into_trailers().unwrap()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_its_status() {
        for (end, deadline, expected) in [
            (Ok(()), None, "0"),
            (Err(Code::Unavailable), None, "14"),
            (Err(Code::DeadlineExceeded), Some(&b"5S"[..]), "4"),
        ] {
            let (messages, trailers) = read(counting(3, end, deadline)).await;
            assert_eq!((messages, trailers["grpc-status"].to_str().unwrap()), (3, expected));
        }
    }

    #[tokio::test]
    async fn each_message_is_compressed_by_itself() {
        let next = |()| async { Next::Message(frame(&Status::default()), ()) };
        let deadline = Deadline::parse(None).unwrap();
        let response = stream((), next, Compression::Gzip, deadline);
        assert_eq!(response.headers()["grpc-encoding"], "gzip");
        let data = response.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(data[0], 1);
        assert_eq!(Compression::Gzip.decompress(&data[5..], 100).unwrap(), "");
    }
}
