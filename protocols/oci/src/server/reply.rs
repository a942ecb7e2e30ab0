//! Replies.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response};
use opgate_edge::Body;

use crate::wire::error::Refusal;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A body of JSON.
pub(super) fn json(body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A request that could not be served.
pub(super) fn refused(refusal: &Refusal) -> Response<Body> {
    let mut response = json(refusal.body());
    *response.status_mut() = refusal.status;
    response
}

/// Asks the caller to wait so many whole seconds: several SDKs read nothing else.
pub(super) fn wait(response: &mut Response<Body>, seconds: u64) {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
}

/// Says which methods there are.
pub(super) fn allow(response: &mut Response<Body>, methods: &str) {
    if let Ok(methods) = HeaderValue::from_str(methods) {
        response.headers_mut().insert(ALLOW, methods);
    }
}
