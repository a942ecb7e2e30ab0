//! Replies: a message and the status OK, or a status alone.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use opgate_bus::Durability;
use opgate_core::Losses;
use opgate_edge::Body;
use prost::Message as _;

use super::compression::Compression;
use super::frame::{PREFIX_BYTES, prefix};
use super::percent;
use super::request::NotGrpc;
use crate::loss;
use crate::proto::Status;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
pub(super) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// The header that says how durable an acknowledged change is.
pub const DURABILITY: HeaderName = HeaderName::from_static("opgate-durability");
pub(super) const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

pub(super) static TRAILERS: LazyLock<HeaderMap> =
    LazyLock::new(|| HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]));

/// A reply with status OK.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The message with its prefix, not compressed.
    pub framed: Bytes,
    /// How durable the change is that it acknowledges; none for a read.
    pub durability: Option<Durability>,
    /// What it could not carry of the operation that it shows.
    pub lost: Losses,
}

impl Reply {
    /// The answer to a read.
    pub const fn read(framed: Bytes) -> Self {
        Self { framed, durability: None, lost: Losses::NONE }
    }

    /// An empty message, acknowledging a change.
    pub const fn done(durability: Durability) -> Self {
        let framed = Bytes::from_static(&[0; PREFIX_BYTES]);
        Self { framed, durability: Some(durability), lost: Losses::NONE }
    }
}

/// The response of a call that succeeded.
pub fn ok(reply: Reply, compression: Compression) -> Response<Body> {
    // Room for `date`, which the server adds.
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    if compression == Compression::Gzip {
        headers.insert(GRPC_ENCODING, HeaderValue::from_static("gzip"));
    }
    let framed = compressed(reply.framed, compression);
    if let Some(durability) = reply.durability {
        headers.insert(DURABILITY, HeaderValue::from_static(durability.name()));
    }
    loss::put(reply.lost, &mut headers);
    let mut response = Response::new(Body::with_trailers(framed, TRAILERS.clone()));
    *response.headers_mut() = headers;
    response
}

/// A framed message in the compression of the reply.
pub(super) fn compressed(framed: Bytes, compression: Compression) -> Bytes {
    match compression {
        Compression::Identity => framed,
        Compression::Gzip => {
            let message = Compression::gzip(framed.get(PREFIX_BYTES..).unwrap_or_default());
            [&prefix(1, message.len())[..], &message].concat().into()
        }
    }
}

/// The response of a call that was refused: the status stands in the head, there is no body.
pub fn refused(status: &Status) -> Response<Body> {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    self::status(status, &mut headers);
    headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(Compression::ACCEPTED));
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = headers;
    response
}

/// Writes a status where gRPC reads it.
pub(super) fn status(status: &Status, headers: &mut HeaderMap) {
    headers.insert(GRPC_STATUS, HeaderValue::from(status.code));
    // What percent-encoding and base64 leave is always a header value.
    if let Ok(message) = HeaderValue::from_bytes(&percent::encode(&status.message)) {
        headers.insert(GRPC_MESSAGE, message);
    }
    if !status.details.is_empty()
        && let Ok(details) = HeaderValue::try_from(STANDARD_NO_PAD.encode(status.encode_to_vec()))
    {
        headers.insert(GRPC_DETAILS, details);
    }
}

/// The response to a request that is not gRPC.
pub fn not_grpc(NotGrpc(status): NotGrpc) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}
