//! Which headers of a start are kept with the operation.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use opgate_core::Header;
use opgate_rpc::headers::{TRACE_PARENT, TRACE_STATE};

const REQUEST_ID: &str = "x-request-id";

/// Credentials, what belongs to one hop, and what is kept elsewhere.
fn is_dropped(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("grpc-")
        || matches!(
            name,
            "authorization"
                | "proxy-authorization"
                | "cookie"
                | "x-api-key"
                | "x-goog-api-key"
                | "x-goog-iam-authorization-token"
                | "accept-encoding"
                | "connection"
                | "content-encoding"
                | "content-length"
                | "content-type"
                | "host"
                | "keep-alive"
                | "proxy-connection"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
                | TRACE_PARENT
                | TRACE_STATE
        )
}

/// The headers kept with the operation, values as they came on the wire.
pub(super) fn kept(headers: &HeaderMap) -> Vec<Header> {
    headers
        .iter()
        .filter(|(name, _)| !is_dropped(name))
        .map(|(name, value)| Header {
            name: name.as_str().into(),
            // Copied, as the value may hold on to the buffer of the whole head.
            value: Bytes::copy_from_slice(value.as_bytes()),
        })
        .collect()
}

/// The caller's id for the request, good for the record only: proxies make these up.
pub(super) fn request_id(headers: &HeaderMap) -> Option<Box<str>> {
    text(headers, REQUEST_ID).map(Box::from)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(HeaderValue::to_str)?.ok().filter(|text| !text.is_empty())
}
