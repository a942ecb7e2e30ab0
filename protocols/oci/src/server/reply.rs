//! Replies.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, ETAG, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use opgate_core::Version;
use opgate_edge::Body;

use crate::wire::error::{Code, Refusal};
use crate::wire::names;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What requests are to be signed with.
const SCHEME: HeaderValue = HeaderValue::from_static("Signature");

/// A body of JSON.
pub(super) fn json(body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// Nothing but a status.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A request that could not be served.
pub(super) fn refused(refusal: &Refusal) -> Response<Body> {
    let mut response = json(refusal.body());
    *response.status_mut() = refusal.status;
    response
}

/// A request that nobody is believed to have sent. It is the same whatever the reason: strangers learn
/// neither which users and keys there are, nor which part of a forgery was good.
pub(super) fn unauthenticated() -> Response<Body> {
    let text =
        "The request is not signed, or not as it must be, or not by a key that is known here.";
    let mut response = refused(&Refusal::new(Code::NotAuthenticated, text));
    response.headers_mut().insert(WWW_AUTHENTICATE, SCHEME);
    response
}

/// Asks the caller to wait so many whole seconds: several SDKs read nothing else.
pub(super) fn wait(response: &mut Response<Body>, seconds: u64) {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
}

/// Says where the next page begins; on the last page the header must be missing, not empty.
pub(super) fn next_page(response: &mut Response<Body>, token: &str) {
    if !token.is_empty()
        && let Ok(token) = HeaderValue::from_str(token)
    {
        response.headers_mut().insert(HeaderName::from_static(names::NEXT_PAGE), token);
    }
}

/// Says which version an operation has.
pub(super) fn etag(response: &mut Response<Body>, version: Version) {
    response.headers_mut().insert(ETAG, HeaderValue::from(version.0));
}

/// Says which methods there are.
pub(super) fn allow(response: &mut Response<Body>, methods: &str) {
    if let Ok(methods) = HeaderValue::from_str(methods) {
        response.headers_mut().insert(ALLOW, methods);
    }
}
