//! Watches over HTTP: server-sent events.
//!
//! Each event is `operation` or `deleted`, its id the cursor to resume from, its data the operation
//! in one line. The last one is `end`, when the operation that is watched has ended, or `error` with
//! the status. A comment every 15 seconds keeps idle connections open.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use opgate_edge::{Body, Step};
use opgate_rpc::proto::Status;

use crate::api::Inner;
use crate::api::client::OperationEvent;
use crate::api::events::Events;
use crate::api::method::Method;

/// Well within the idle limits of common proxies.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The stream of a watch. It holds one event at most: the next is made once the connection takes it.
pub(super) fn stream(inner: Arc<Inner>, events: Events) -> Response<Body> {
    let body = Body::steps(Some(events), move |events: Option<Events>| {
        let inner = Arc::clone(&inner);
        async move {
            let Some(mut events) = events else { return Step::End(None) };
            match tokio::time::timeout(HEARTBEAT, events.next()).await {
                Err(_) => Step::Chunk(Bytes::from_static(b":\n\n"), Some(events)),
                Ok(Some(Ok(event))) => match inner.event(event) {
                    Ok(text) => Step::Chunk(text, Some(events)),
                    Err(status) => Step::Chunk(inner.failed(&status), None),
                },
                Ok(Some(Err(status))) => Step::Chunk(inner.failed(&status), None),
                Ok(None) => Step::Chunk(Bytes::from_static(b"event: end\ndata: {}\n\n"), None),
            }
        }
    });
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Inner {
    fn event(&self, event: OperationEvent) -> Result<Bytes, Box<Status>> {
        let OperationEvent { operation, cursor, deleted } = event;
        let json = self.paths.event(operation.unwrap_or_default());
        let json = json.map_err(|error| Box::new(self.status(Method::WatchAll, error.into())))?;
        let kind = if deleted { "deleted" } else { "operation" };
        let head = format!("id: {cursor}\nevent: {kind}\ndata: ");
        Ok([head.as_bytes(), &json, b"\n\n"].concat().into())
    }

    fn failed(&self, status: &Status) -> Bytes {
        [&b"event: error\ndata: "[..], &self.paths.error(status), b"\n\n"].concat().into()
    }
}
