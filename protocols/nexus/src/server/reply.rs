//! Replies.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use opgate_bus::Receipt;
use opgate_core::{Error, Face, Losses, Operation, Outcome, Payload, Retry};
use opgate_edge::Body;
use opgate_rpc::loss;
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
    let linked = response.status() != StatusCode::FAILED_DEPENDENCY;
    if receipt.snapshot.outcome.is_none() {
        // What ended says so itself.
        loss::put(work(operation, linked) | operation.lost, response.headers_mut());
    }
    if linked {
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
    let (status, body, lost) = match (failure::of(operation), outcome) {
        (Some((body, lost)), _) => {
            headers.insert(CONTENT_TYPE, JSON);
            (StatusCode::FAILED_DEPENDENCY, body, lost)
        }
        (None, Outcome::Succeeded(output)) => {
            let body = written(operation, output.as_ref(), &mut headers);
            let said = output.as_ref().map(|output| content::lost(output, &headers));
            (StatusCode::OK, body, said.unwrap_or_default())
        }
        (None, Outcome::Failed(_) | Outcome::Canceled(_)) => return None,
    };
    loss::put(lost | work(operation, false) | operation.lost, &mut headers);
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
    let body = json!({ "id": token, "token": token, "state": state });
    let mut response = said(StatusCode::OK, body.to_string());
    loss::put(work(operation, false) | operation.lost, response.headers_mut());
    response
}

/// What Nexus does not say of an operation, beside what was lost before.
pub(super) fn lost(operation: &Operation) -> Losses {
    let lost = match (failure::of(operation), &operation.outcome) {
        (Some((_, lost)), _) => lost,
        (None, Some(Outcome::Succeeded(Some(output)))) => {
            let mut headers = HeaderMap::new();
            written(operation, Some(output), &mut headers);
            content::lost(output, &headers)
        }
        (None, _) => Losses::NONE,
    };
    lost | work(operation, false)
}

fn written(operation: &Operation, output: Option<&Payload>, headers: &mut HeaderMap) -> Bytes {
    if operation.origin.face == Face::Nexus {
        content::write_back(output, &operation.input, headers)
    } else {
        content::write(output, headers)
    }
}

/// What is not said of the work: Nexus has its state, and links where an operation starts.
fn work(operation: &Operation, linked: bool) -> Losses {
    Losses::of_work(operation, names::state(operation.state), linked)
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

fn said(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}
