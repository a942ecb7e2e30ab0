//! Requests: the head, then the message.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Version, header};
use opgate_core::{Error, ErrorKind, Retry};
use opgate_edge::{BodyError, RequestBody, collect_limited};

use super::announced::{Announced, TooLarge};
use super::compression::Compression;
use super::frame::{PREFIX_BYTES, message, too_large};
use super::timeout::Deadline;

/// The request is not gRPC, and is answered in HTTP's own terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotGrpc(pub StatusCode);

const GRPC: &[u8] = b"application/grpc";

/// What follows `application/grpc` in the content type; none if it begins otherwise. Media types
/// are the same in any case of letters.
fn after_grpc(headers: &HeaderMap) -> Option<&[u8]> {
    let content_type = bytes_of(headers, &header::CONTENT_TYPE)?;
    let (grpc, after) = content_type.split_at_checked(GRPC.len())?;
    grpc.eq_ignore_ascii_case(GRPC).then_some(after)
}

/// Whether the content type is gRPC's or that of one of its kin.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    after_grpc(headers).is_some()
}

/// Whether a request is a gRPC call at all.
pub fn check(request: &Request<RequestBody>) -> Result<(), NotGrpc> {
    // gRPC-Web is another protocol: its trailers travel in the body.
    if !matches!(after_grpc(request.headers()), Some([] | [b'+' | b';' | b' ', ..])) {
        Err(NotGrpc(StatusCode::UNSUPPORTED_MEDIA_TYPE))
    } else if request.version() != Version::HTTP_2 {
        Err(NotGrpc(StatusCode::HTTP_VERSION_NOT_SUPPORTED))
    } else if request.method() != Method::POST {
        Err(NotGrpc(StatusCode::METHOD_NOT_ALLOWED))
    } else {
        Ok(())
    }
}

/// Why there is no message.
#[derive(Debug)]
pub enum Unread {
    /// It is not one that is taken.
    Refused(Error),
    /// Its sender went away, or sent another length than it said.
    Withdrawn,
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// A unary call whose message is still to be read.
#[derive(Debug)]
pub struct Call {
    body: RequestBody,
    compression: Compression,
    takes_gzip: bool,
    deadline: Deadline,
}

impl Call {
    /// Reads what the head says about the call itself.
    pub fn new(headers: &HeaderMap, body: RequestBody) -> Result<Self, Error> {
        let after = after_grpc(headers).unwrap_or_default();
        let format = after.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if !(format.is_empty() || format.eq_ignore_ascii_case(b"+proto")) {
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
    pub const fn reply(&self) -> Compression {
        if self.takes_gzip { self.compression } else { Compression::Identity }
    }

    /// When the caller stops waiting.
    pub const fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Reads the message, at most `bytes_max` long, which must arrive `within` that time and before
    /// the deadline.
    pub async fn read(self, bytes_max: usize, within: Duration) -> Result<Bytes, Unread> {
        let within = self.deadline.left()?.map_or(within, |left| left.min(within));
        let body = Announced::new(self.body, bytes_max);
        let body = collect_limited(body, PREFIX_BYTES + bytes_max, within).await;
        let body = body.map_err(|error| match error {
            BodyError::TooLarge { .. } => too_large(bytes_max).into(),
            BodyError::Broken(error) if error.is::<TooLarge>() => too_large(bytes_max).into(),
            BodyError::Timeout { .. } => {
                Error::new(ErrorKind::DeadlineExceeded, "the request did not arrive in time")
                    .with_retry(Retry::SameRequest)
                    .into()
            }
            BodyError::Broken(_) => Unread::Withdrawn,
        })?;
        Ok(message(body, self.compression, bytes_max)?)
    }
}

fn bytes_of(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&[u8]> {
    headers.get(name).map(http::HeaderValue::as_bytes)
}
