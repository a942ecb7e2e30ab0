//! What the headers of a start say.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, header};
use opgate_core::{Error, Header, limits};
use opgate_rpc::headers::{TRACE_PARENT, TRACE_STATE};
use opgate_rpc::transcode::check_content_type;

use crate::wire::error::Refusal;
use crate::wire::names::{REQUEST_ID, RETRY_TOKEN};

/// Headers of one connection, of the gateway's own door, or that have a place of their own in the
/// operation. No work sees them, nor what is signed or lets one sign.
const NOT_KEPT: [&str; 26] = [
    "accept-encoding",
    "authorization",
    "connection",
    "cookie",
    "date",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "opc-obo-token",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-api-key",
    "x-content-sha256",
    "x-date",
    "x-goog-api-key",
    "x-goog-iam-authorization-token",
    REQUEST_ID,
    RETRY_TOKEN,
    TRACE_PARENT,
    TRACE_STATE,
];

/// The headers of the operation: names in lower case, one value each, the first.
pub(super) fn kept(headers: &HeaderMap) -> Vec<Header> {
    let kept = |name: &&HeaderName| {
        let name = name.as_str();
        !name.starts_with("content-") && !NOT_KEPT.contains(&name)
    };
    let header = |name: &HeaderName| {
        let value = headers.get(name)?;
        // Copied, as what came in may hold on to the buffer of a whole request.
        Some(Header { name: name.as_str().into(), value: Bytes::copy_from_slice(value.as_bytes()) })
    };
    headers.keys().filter(kept).filter_map(header).collect()
}

/// Whether a start says that it brings JSON. Every SDK does, with a body or without. A page in a
/// browser on the same machine can make it send a POST, but not with that type.
///
/// # Errors
/// It says something else, or nothing, or that the JSON is encoded.
pub(super) fn check_type(method: &Method, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let required = *method != Method::DELETE || !body.is_empty();
    if required && !headers.contains_key(header::CONTENT_TYPE) {
        return Err(Refusal::missing("content-type"));
    }
    if body.is_empty() && !required {
        return Ok(());
    }
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        let given = String::from_utf8_lossy(encoding.as_bytes());
        let problem = format!("is {}, only identity is allowed", limits::clip(&given));
        return Err(Refusal::from(&Error::invalid("content-encoding", problem)));
    }
    check_content_type(headers).map_err(|error| Refusal::from(&error))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_is_the_operations_is_kept_and_nothing_that_signs() {
        let headers = headers(&[
            ("if-match", "e1"),
            ("if-match", "e2"),
            ("opc-client-info", "Oracle-PythonSDK/2"),
            ("user-agent", "Oracle-PythonSDK/2"),
            ("authorization", "Signature secret"),
            ("opc-obo-token", "secret"),
            ("cookie", "secret"),
            ("x-api-key", "secret"),
            ("date", "now"),
            ("x-date", "now"),
            ("host", "h"),
            ("content-type", "application/json"),
            ("x-content-sha256", "x"),
            ("opc-request-id", "r"),
            ("opc-retry-token", "t"),
        ]);
        let kept = kept(&headers);
        let mut shown: Vec<(&str, &[u8])> =
            kept.iter().map(|header| (&*header.name, &*header.value)).collect();
        shown.sort_unstable();
        let expected: [(&str, &[u8]); 3] = [
            ("if-match", b"e1"),
            ("opc-client-info", b"Oracle-PythonSDK/2"),
            ("user-agent", b"Oracle-PythonSDK/2"),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_start_says_that_it_brings_json() {
        let json = headers(&[("content-type", "application/json; charset=UTF-8")]);
        let form = headers(&[("content-type", "application/x-www-form-urlencoded")]);
        let gzip = headers(&[("content-type", "application/json"), ("content-encoding", "gzip")]);
        let none = headers(&[]);
        for (method, headers, body, code) in [
            (Method::POST, &json, "{}", None),
            (Method::POST, &json, "", None),
            (Method::DELETE, &json, "", None),
            (Method::DELETE, &none, "", None),
            (Method::POST, &gzip, "{}", Some("InvalidParameter")),
            (Method::DELETE, &none, "{}", Some("MissingParameter")),
            (Method::POST, &none, "", Some("MissingParameter")),
            (Method::PUT, &none, "{}", Some("MissingParameter")),
            (Method::POST, &form, "{}", Some("InvalidParameter")),
            (Method::POST, &form, "", Some("InvalidParameter")),
        ] {
            let checked = check_type(&method, headers, body.as_bytes());
            let said = checked.as_ref().err().map(|refusal| &*refusal.code);
            assert_eq!(said, code, "{method} {headers:?} {body}");
            if let Err(refusal) = checked {
                assert!(refusal.message.starts_with("content-"), "{}", refusal.message);
            }
        }
    }
}
