//! What the gateway saw of a request.

use opgate_bus::Offer;
use opgate_bus::core::{Callback, Header, Link};
use serde_json::{Value, json};

/// Everything the frontend made of the request, and the route that took it.
pub(super) fn seen(offer: &Offer<'_>) -> Value {
    let (start, route) = (offer.start, offer.route);
    json!({
        "face": start.face.name(),
        "endpoint": *start.endpoint,
        "kind": {"service": route.kind.service(), "operation": route.kind.operation()},
        "route": *route.name,
        "backend": *route.backend,
        "tenant": offer.caller.tenant.as_str(),
        "principal": *offer.caller.principal,
        "parent": start.parent.as_str(),
        "request_id": start.request_id.as_deref(),
        "deadline": start.deadline.map(|limit| format!("{}s", limit.as_secs_f64())),
        "input": {
            "media_type": *start.input.media_type,
            "encoding": start.input.encoding.as_deref(),
            "bytes": start.input.bytes.len(),
        },
        "headers": headers(&start.headers),
        "links": start.links.iter().map(link).collect::<Vec<_>>(),
        "callbacks": start.callbacks.iter().map(callback).collect::<Vec<_>>(),
        "trace": start.trace.as_ref().map(|trace| json!({
            "parent": *trace.parent,
            "state": *trace.state,
        })),
    })
}

fn headers(headers: &[Header]) -> Vec<Value> {
    let one = |header: &Header| {
        let value = String::from_utf8_lossy(&header.value);
        json!({"name": *header.name, "value": *value})
    };
    headers.iter().map(one).collect()
}

fn link(link: &Link) -> Value {
    json!({"url": *link.url, "kind": *link.kind})
}

fn callback(callback: &Callback) -> Value {
    json!({"url": *callback.url, "headers": headers(&callback.headers)})
}
