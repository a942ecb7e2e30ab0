//! Which headers of a start are kept with the operation.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use opgate_core::{Error, Header, Trace};

pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
const TRACE_PARENT: &str = "traceparent";
const TRACE_STATE: &str = "tracestate";
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

/// The key in the header `idempotency-key`; none where it is empty.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&[u8]>, Error> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter().map(HeaderValue::as_bytes);
    let key = keys.next().filter(|key| !key.is_empty());
    if keys.next().is_some() {
        return Err(Error::invalid(IDEMPOTENCY_KEY, "is given more than once"));
    }
    Ok(key)
}

/// The caller's trace; none where it is not valid, as W3C Trace Context has it.
pub(super) fn trace(headers: &HeaderMap) -> Option<Box<Trace>> {
    let mut parents = headers.get_all(TRACE_PARENT).iter();
    let parent = parents.next()?.to_str().ok().filter(|parent| is_trace_parent(parent))?.into();
    if parents.next().is_some() {
        return None;
    }
    let state = text(headers, TRACE_STATE).unwrap_or_default().into();
    Some(Box::new(Trace { parent, state }))
}

/// Whether this is `version-trace-parent-flags` in lower-case hex. Versions above 00 may add fields.
fn is_trace_parent(text: &str) -> bool {
    let mut fields = text.split('-');
    let mut field = |length: usize| {
        fields.next().filter(|field| {
            let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            field.len() == length && field.bytes().all(hex)
        })
    };
    let not_zero = |id: &str| id.bytes().any(|digit| digit != b'0');
    let (Some(version), Some(trace), Some(parent), Some(_flags)) =
        (field(2), field(32), field(16), field(2))
    else {
        return false;
    };
    let whole = match version {
        "00" => fields.next().is_none(),
        version => version != "ff",
    };
    whole && not_zero(trace) && not_zero(parent)
}

/// The caller's id for the request, good for the record only: proxies make these up.
pub(super) fn request_id(headers: &HeaderMap) -> Option<Box<str>> {
    text(headers, REQUEST_ID).map(Box::from)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(HeaderValue::to_str)?.ok().filter(|text| !text.is_empty())
}
