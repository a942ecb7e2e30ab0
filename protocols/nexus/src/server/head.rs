//! What the headers of a start say: of the operation, of its completion, of the time there is.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use opgate_core::{Error, Header, limits};
use opgate_rpc::headers::{TRACE_PARENT, TRACE_STATE};
use opgate_rpc::wire::Deadline;

use crate::wire::duration;
use crate::wire::names::{
    CALLBACK_PREFIX, CONTENT_PREFIX, LINK, OPERATION_TIMEOUT, REQUEST_ID, REQUEST_TIMEOUT,
    TEMPORAL_FAILURE_SUPPORT,
};

/// Headers of one connection, of the gateway's own door, or that have a place of their own in the
/// operation. No work sees them.
const NOT_KEPT: [&str; 22] = [
    "accept-encoding",
    "authorization",
    "connection",
    "cookie",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    LINK,
    OPERATION_TIMEOUT,
    REQUEST_ID,
    REQUEST_TIMEOUT,
    TEMPORAL_FAILURE_SUPPORT,
    TRACE_PARENT,
    TRACE_STATE,
];

/// Those that would break or spoof the request that a completion is.
const NOT_SENT: [&str; 8] =
    ["connection", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// The time this request has.
pub(super) fn deadline(headers: &HeaderMap) -> Result<Deadline, Error> {
    Ok(Deadline::after(duration::header(headers, REQUEST_TIMEOUT)?))
}

/// The time the operation has; one that cannot be read is none: Temporal writes what it does not
/// read, and a refusal would fail the operation for good.
pub(super) fn operation_timeout(headers: &HeaderMap) -> Option<Duration> {
    duration::header(headers, OPERATION_TIMEOUT).unwrap_or_else(|error| {
        tracing::debug!(%error, "an operation timeout could not be read");
        None
    })
}

/// The key by which a repeat is known.
pub(super) fn request_id(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let Some(id) = headers.get(REQUEST_ID).filter(|id| !id.is_empty()) else { return Ok(None) };
    if id.len() > limits::NAME_BYTES {
        let allowed = limits::NAME_BYTES;
        let problem = format!("is {} bytes long, at most {allowed} are allowed", id.len());
        return Err(Error::invalid(REQUEST_ID, problem));
    }
    let id = std::str::from_utf8(id.as_bytes());
    id.map(Some).map_err(|_| Error::invalid(REQUEST_ID, "is not UTF-8"))
}

/// The headers of the operation: names in lower case, one value each, the first.
pub(super) fn kept(headers: &HeaderMap) -> Vec<Header> {
    let kept = |name: &&HeaderName| {
        let name = name.as_str();
        !name.starts_with(CONTENT_PREFIX)
            && !name.starts_with(CALLBACK_PREFIX)
            && !NOT_KEPT.contains(&name)
    };
    let header = |name: &HeaderName| Some(header(name.as_str(), headers.get(name)?));
    headers.keys().filter(kept).filter_map(header).collect()
}

/// The headers of the completion, without the prefix that they came with.
pub(super) fn of_callback(headers: &HeaderMap) -> Vec<Header> {
    let sent = |name: &HeaderName| {
        let bare = name.as_str().strip_prefix(CALLBACK_PREFIX)?;
        let barred = bare.is_empty()
            || bare.starts_with(CONTENT_PREFIX)
            || bare.starts_with("proxy-")
            || NOT_SENT.contains(&bare);
        (!barred).then_some(())?;
        Some(header(bare, headers.get(name)?))
    };
    headers.keys().filter_map(sent).collect()
}

fn header(name: &str, value: &HeaderValue) -> Header {
    // Copied, as what came in may hold on to the buffer of a whole request.
    Header { name: name.into(), value: Bytes::copy_from_slice(value.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn shown(headers: &[Header]) -> Vec<(&str, &[u8])> {
        headers.iter().map(|header| (&*header.name, &*header.value)).collect()
    }

    #[test]
    fn what_is_the_operations_is_kept_and_nothing_else() {
        let headers = headers(&[
            ("x-tenant", "acme"),
            ("x-tenant", "other"),
            ("traceparent", "00-0-0-00"),
            ("tracestate", "a=1"),
            ("user-agent", "Nexus-go-sdk/v0.4.0"),
            ("content-type", "a/b"),
            ("content-language", "de"),
            ("authorization", "secret"),
            ("cookie", "secret"),
            ("proxy-authorization", "secret"),
            ("te", "trailers"),
            ("host", "h"),
            ("request-timeout", "1s"),
            ("nexus-link", "<a:b>; type=c"),
            ("nexus-request-id", "1"),
            ("nexus-callback-token", "t"),
            ("temporal-nexus-failure-support", "true"),
        ]);
        let kept = kept(&headers);
        let mut kept = shown(&kept);
        kept.sort_unstable();
        let expected: [(&str, &[u8]); 2] =
            [("user-agent", b"Nexus-go-sdk/v0.4.0"), ("x-tenant", b"acme")];
        assert_eq!(kept, expected);
    }

    #[test]
    fn what_goes_with_the_completion_loses_its_prefix_and_cannot_break_it() {
        let headers = headers(&[
            ("nexus-callback-token", "a b;c=d"),
            ("nexus-callback-token", "second"),
            ("nexus-callback-temporal-callback-token", r#"{"v":1,"d":"AAAA"}"#),
            ("nexus-callback-nexus-operation-token", "own"),
            ("nexus-callback-host", "evil"),
            ("nexus-callback-content-length", "9"),
            ("nexus-callback-transfer-encoding", "chunked"),
            ("nexus-callback-proxy-x", "y"),
            ("nexus-callback-", "z"),
            ("x-other", "w"),
        ]);
        let sent = of_callback(&headers);
        let mut sent = shown(&sent);
        sent.sort_unstable();
        let expected: [(&str, &[u8]); 3] = [
            ("nexus-operation-token", b"own"),
            ("temporal-callback-token", br#"{"v":1,"d":"AAAA"}"#),
            ("token", b"a b;c=d"),
        ];
        assert_eq!(sent, expected);
    }

    #[test]
    fn an_operation_timeout_never_refuses_and_a_request_timeout_does() {
        let given = |name, value| headers(&[(name, value)]);
        let read = |value| operation_timeout(&given("operation-timeout", value));
        assert_eq!(read("59m59.998s"), Some(Duration::from_millis(3_599_998)));
        assert_eq!(read("3599998ms"), Some(Duration::from_millis(3_599_998)));
        assert_eq!(read("tomorrow"), None);
        let error = deadline(&given("request-timeout", "tomorrow")).unwrap_err();
        assert_eq!(error.field.unwrap().field, "request-timeout");
        assert!(deadline(&given("request-timeout", "1m")).unwrap().left().unwrap().is_some());
        assert!(deadline(&given("request-timeout", "-1s")).unwrap().left().is_err());
    }
}
