//! Replies.

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use opgate_bus::Receipt;
use opgate_core::{Error, Face, Operation, Outcome, Retry};
use opgate_edge::Body;
use opgate_rpc::wire::DURABILITY;
use serde_json::json;

use crate::wire::{content, failure, handler_error, link, names};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The reply to a start: running, or ended already.
pub(super) fn started(receipt: &Receipt, token: &str) -> Response<Body> {
    let operation = &receipt.snapshot;
    let mut response = ended(operation, token).unwrap_or_else(|| {
        let body = json!({ "id": token, "token": token, "state": names::RUNNING });
        said(StatusCode::CREATED, body.to_string())
    });
    if response.status() != StatusCode::FAILED_DEPENDENCY {
        link::write(&link::of(operation), response.headers_mut());
    }
    let durability = HeaderValue::from_static(receipt.durability.name());
    response.headers_mut().insert(DURABILITY, durability);
    response
}

/// How an operation ended; none while it runs.
pub(super) fn ended(operation: &Operation, token: &str) -> Option<Response<Body>> {
    let outcome = operation.outcome.as_ref()?;
    let mut headers = HeaderMap::new();
    let (status, body) = match (failure::of(operation), outcome) {
        (Some((_, body)), _) => {
            headers.insert(CONTENT_TYPE, JSON);
            (StatusCode::FAILED_DEPENDENCY, body)
        }
        (None, Outcome::Succeeded(output)) => {
            let body = if operation.origin.face == Face::Nexus {
                content::write_back(output.as_ref(), &operation.input, &mut headers)
            } else {
                content::write(output.as_ref(), &mut headers)
            };
            (StatusCode::OK, body)
        }
        (None, Outcome::Failed(_) | Outcome::Canceled(_)) => return None,
    };
    let state = HeaderValue::from_static(names::state(operation.state));
    headers.insert(HeaderName::from_static(names::OPERATION_STATE), state);
    // So that who lost the first reply of a start knows of which operation this is.
    if let Ok(token) = HeaderValue::from_str(token) {
        headers.insert(HeaderName::from_static(names::OPERATION_TOKEN), token);
    }
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Some(response)
}

/// What an operation is.
pub(super) fn info(operation: &Operation, token: &str) -> Response<Body> {
    let state = names::state(operation.state);
    said(StatusCode::OK, json!({ "id": token, "token": token, "state": state }).to_string())
}

/// A cancel was taken.
pub(super) fn canceling() -> Response<Body> {
    empty(StatusCode::ACCEPTED)
}

/// Nothing but a status.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A request that could not be served.
pub(super) fn refused(error: &Error) -> Response<Body> {
    let (status, retryable, body) = handler_error::write(error);
    let mut response = said(status, body);
    let retryable = HeaderValue::from_static(if retryable { "true" } else { "false" });
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(names::REQUEST_RETRYABLE), retryable);
    if let Retry::After(after) = error.retry {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn said(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}
