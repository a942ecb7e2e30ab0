//! The request that tells of a completion.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Request};
use opgate_bus::{Notice, Told};
use opgate_core::{Callback, Header, Losses, Operation, Outcome, Payload};
use opgate_rpc::headers::{TRACE_PARENT, TRACE_STATE, put_trace};
use opgate_rpc::loss;

use super::{Receiver, signature, time};
use crate::token;
use crate::wire::{content, failure, link, names};

/// Names that would break the request, or speak for opgate; `proxy-*` and `content-*` are others.
/// `User-Agent` is among them because a Temporal frontend refuses versions of those it knows.
const BARRED: [&str; 9] = [
    "connection",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
/// How names begin that only opgate may set. The two of [`REFERENCE`] are not among them.
const OWN: &str = "nexus-operation-";
/// By what the receiver knows the operation. What the start gave wins over opgate's token: who starts
/// an operation on behalf of somebody else has told that one a token of its own, and the receiver
/// would know no other. Temporal's SDKs for Go and Python do so. It spoofs nobody: whoever gave the
/// header chose the receiver too.
const REFERENCE: [&str; 2] = [names::OPERATION_TOKEN, names::OPERATION_ID];

/// The request, or why there is none.
pub(super) fn completion(
    notice: &Notice,
    callback: &Callback,
    receiver: Option<&Receiver>,
    now: SystemTime,
) -> Result<Request<Bytes>, Told> {
    let operation: &Operation = &notice.operation;
    let refused = |problem| Told::Refused { problem };
    let token = notice.handles.make(token::PURPOSE, &token::bound(&operation.tenant), operation.id);
    let token = token.map_err(|error| Told::Later { problem: error.to_string(), after: None })?;
    let mut headers = given(&callback.headers).map_err(refused)?;
    traced(operation, &mut headers);
    told(operation, &token, &mut headers).map_err(refused)?;
    let (body, lost) = body(operation, &mut headers).map_err(refused)?;
    headers.remove(loss::NAME);
    let state = names::state(operation.state);
    loss::put(lost | Losses::of_work(operation, state, true) | operation.lost, &mut headers);
    if let Some(receiver) = receiver {
        receiver.credentials.apply(&mut headers);
        if !receiver.secrets.is_empty() {
            // The same for every attempt: by it a receiver knows what it was told before.
            let id = format!("{}-{}", operation.id, notice.callback);
            let signed = signature::sign(&receiver.secrets, &id, now, &body, &mut headers);
            signed.map_err(refused)?;
        }
    }
    let mut request = Request::post(&*callback.url)
        .body(body)
        .map_err(|error| refused(format!("the callback URL: {error}")))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// What the start gave, without what is barred.
fn given(headers: &[Header]) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    for Header { name, value } in headers {
        let unfit = |problem: &dyn std::fmt::Display| {
            format!("the callback header {name:?} cannot be sent: {problem}")
        };
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| unfit(&error))?;
        if is_barred(name.as_str()) {
            continue;
        }
        let value = HeaderValue::from_maybe_shared(value.clone()).map_err(|error| unfit(&error))?;
        map.try_append(name, value).map_err(|error| unfit(&error))?;
    }
    Ok(map)
}

fn is_barred(name: &str) -> bool {
    let own = name == names::LINK || name.starts_with(OWN) && !REFERENCE.contains(&name);
    own || BARRED.contains(&name)
        || name.starts_with("proxy-")
        || name.starts_with(names::CONTENT_PREFIX)
}

/// The trace of the start, unless the start gave another one for the completion.
fn traced(operation: &Operation, headers: &mut HeaderMap) {
    if operation.trace.is_some() && !headers.contains_key(TRACE_PARENT) {
        headers.remove(TRACE_STATE);
        put_trace(operation.trace.as_deref(), headers);
    }
}

/// What Nexus says of an operation that has ended.
fn told(operation: &Operation, token: &str, headers: &mut HeaderMap) -> Result<(), String> {
    let text = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
    // One may stand for both: they are two names of one thing.
    let theirs = REFERENCE.iter().find_map(|name| headers.get(*name).cloned());
    let reference = theirs.map_or_else(|| text(token), Ok)?;
    for name in REFERENCE {
        headers.entry(HeaderName::from_static(name)).or_insert_with(|| reference.clone());
    }
    let state = HeaderValue::from_static(names::state(operation.state));
    headers.insert(names::OPERATION_STATE, state);
    if let Some(start) = time::http_date(operation.times.accepted) {
        headers.insert(names::OPERATION_START_TIME, text(&start)?);
    }
    if let Some(closed) = operation.times.closed {
        headers.insert(names::OPERATION_CLOSE_TIME, text(&closed.to_rfc3339())?);
    }
    link::write(&link::of(operation), headers);
    Ok(())
}

/// The result or the failure, and what is not said of it.
fn body(operation: &Operation, headers: &mut HeaderMap) -> Result<(Bytes, Losses), String> {
    if let Some((body, lost)) = failure::of(operation) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(Payload::JSON));
        return Ok((body, lost));
    }
    match &operation.outcome {
        Some(Outcome::Succeeded(result)) => {
            let body = content::write(result.as_ref(), headers);
            let lost = result.as_ref().map(|result| content::lost(result, headers));
            Ok((body, lost.unwrap_or_default()))
        }
        Some(Outcome::Failed(_) | Outcome::Canceled(_)) | None => {
            Err("the operation has not ended".to_owned())
        }
    }
}
