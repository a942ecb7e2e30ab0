//! Requests: the head, then the message.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Version, header};
use hyper::body::Incoming;
use opgate_core::{Error, ErrorKind, Retry};
use opgate_edge::{BodyError, collect_limited};

use super::compression::Compression;
use super::frame::{PREFIX_BYTES, message, too_large};
use super::timeout::Deadline;

/// The request is not gRPC, and is answered in HTTP's own terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotGrpc(pub(crate) StatusCode);

/// Whether a request is a gRPC call at all.
pub(crate) fn check(request: &Request<Incoming>) -> Result<(), NotGrpc> {
    let content_type = bytes_of(request.headers(), &header::CONTENT_TYPE).unwrap_or_default();
    // gRPC-Web is another protocol: its trailers travel in the body.
    let after = content_type.strip_prefix(b"application/grpc");
    if !matches!(after, Some([] | [b'+' | b';' | b' ', ..])) {
        Err(NotGrpc(StatusCode::UNSUPPORTED_MEDIA_TYPE))
    } else if request.version() != Version::HTTP_2 {
        Err(NotGrpc(StatusCode::HTTP_VERSION_NOT_SUPPORTED))
    } else if request.method() != Method::POST {
        Err(NotGrpc(StatusCode::METHOD_NOT_ALLOWED))
    } else {
        Ok(())
    }
}

/// A unary call whose message is still to be read.
#[derive(Debug)]
pub(crate) struct Call {
    body: Incoming,
    compression: Compression,
    takes_gzip: bool,
    deadline: Deadline,
}

impl Call {
    /// Reads what the head says about the call itself.
    pub(crate) fn new(headers: &HeaderMap, body: Incoming) -> Result<Self, Error> {
        let content_type = bytes_of(headers, &header::CONTENT_TYPE).unwrap_or_default();
        let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
        if !matches!(essence.trim_ascii(), b"application/grpc" | b"application/grpc+proto") {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this message encoding is not offered: use application/grpc+proto",
            ));
        }
        let accepted = bytes_of(headers, "grpc-accept-encoding");
        Ok(Self {
            body,
            compression: Compression::parse(bytes_of(headers, "grpc-encoding"))?,
            takes_gzip: accepted.is_none_or(|names| {
                names.split(|byte| *byte == b',').any(|name| name.trim_ascii() == b"gzip")
            }),
            deadline: Deadline::parse(bytes_of(headers, "grpc-timeout"))?,
        })
    }

    /// How the reply is compressed: as the request was, if the caller takes that back.
    pub(crate) const fn reply(&self) -> Compression {
        if self.takes_gzip { self.compression } else { Compression::Identity }
    }

    /// When the caller stops waiting.
    pub(crate) const fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Reads the message, at most `bytes_max` long, which must arrive `within` that time and before
    /// the deadline.
    pub(crate) async fn read(self, bytes_max: usize, within: Duration) -> Result<Bytes, Error> {
        let within = self.deadline.left()?.map_or(within, |left| left.min(within));
        let body = collect_limited(self.body, PREFIX_BYTES + bytes_max, within).await;
        let body = body.map_err(|error| match error {
            BodyError::TooLarge { .. } => too_large(bytes_max),
            BodyError::Timeout { .. } => {
                Error::new(ErrorKind::DeadlineExceeded, "the request did not arrive in time")
                    .with_retry(Retry::SameRequest)
            }
            BodyError::Broken(_) => Error::new(ErrorKind::Unavailable, "the request broke off"),
        })?;
        message(body, self.compression, bytes_max)
    }
}

fn bytes_of(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&[u8]> {
    headers.get(name).map(http::HeaderValue::as_bytes)
}
