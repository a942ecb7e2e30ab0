//! A client that sends exactly what it is told to.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_stream::Stream;

use super::gateway::Gateway;

pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A connection that sends what it is told to.
pub(crate) struct Raw(http2::SendRequest<Body>);

impl Raw {
    pub(crate) async fn connect(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub(crate) async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        self.try_send(request).await.unwrap()
    }

    /// As [`Raw::send`], where the request may not be whole.
    pub(crate) async fn try_send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.0.ready().await.unwrap();
        self.0.send_request(request).await
    }
}

pub(crate) fn request(method: &str, headers: &[(&str, &str)], chunks: &[Bytes]) -> Request<Body> {
    let frames: Vec<_> = chunks.iter().cloned().map(Frame::data).map(Ok).collect();
    streamed(method, headers, tokio_stream::iter(frames))
}

pub(crate) fn streamed(
    method: &str,
    headers: &[(&str, &str)],
    frames: impl Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + 'static,
) -> Request<Body> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://gateway/{method}"))
        .version(Version::HTTP_2)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(UnsyncBoxBody::new(StreamBody::new(frames))).unwrap()
}

pub(crate) fn framed(flag: u8, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag], &length[..], message].concat().into()
}

/// The status of a response, in the head or in the trailers, and its body.
pub(crate) async fn status(response: Response<Incoming>) -> (String, Bytes) {
    assert_eq!(response.status(), StatusCode::OK);
    let (parts, body) = response.into_parts();
    assert_eq!(parts.headers[header::CONTENT_TYPE], "application/grpc");
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let status = trailers.get("grpc-status").or_else(|| parts.headers.get("grpc-status")).unwrap();
    (status.to_str().unwrap().to_owned(), collected.to_bytes())
}
