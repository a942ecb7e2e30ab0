//! Server-sent events, from the receiver's side.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::client::{ANSWER_BYTES, Client, Refusal};

/// How long nothing may come: a gateway says something every 15 seconds.
const SILENCE: Duration = Duration::from_mins(1);

/// One event.
#[derive(Debug, PartialEq)]
pub(super) struct Event {
    /// `operation`, `deleted`, `end` or `error`.
    pub(super) kind: String,
    /// What to resume from; empty where there is nothing after it.
    pub(super) id: String,
    pub(super) data: Value,
}

/// Events as they come. The connection is closed when this is dropped.
#[derive(Debug)]
pub(super) struct Events {
    client: Client,
    body: Incoming,
    connection: JoinHandle<Result<(), hyper::Error>>,
    /// What has come of the next event.
    left: BytesMut,
}

impl Events {
    pub(super) fn new(
        client: Client,
        body: Incoming,
        connection: JoinHandle<Result<(), hyper::Error>>,
    ) -> Self {
        Self { client, body, connection, left: BytesMut::new() }
    }

    /// The next one.
    ///
    /// # Errors
    /// The connection ended, which a stream does not before its last event.
    pub(super) async fn next(&mut self) -> Result<Event, Refusal> {
        loop {
            while let Some(end) = self.left.windows(2).position(|pair| pair == b"\n\n") {
                let block = self.left.split_to(end);
                self.left.advance(2);
                if let Some(event) = event(&String::from_utf8_lossy(&block)) {
                    return Ok(event);
                }
            }
            if self.left.len() > ANSWER_BYTES {
                return Err(self.client.unreachable("an event is too large"));
            }
            let frame = timeout(SILENCE, self.body.frame()).await;
            let frame = frame.map_err(|_| self.client.unreachable("nothing was heard of it"))?;
            let frame = frame.ok_or_else(|| self.client.unreachable("the connection ended"))?;
            let frame = frame.map_err(|error| self.client.unreachable(error))?;
            if let Ok(bytes) = frame.into_data() {
                self.left.extend_from_slice(&bytes);
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// The event of a block of lines; none for a comment.
fn event(block: &str) -> Option<Event> {
    let (mut kind, mut id, mut data) = (String::new(), String::new(), None);
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut kind),
            "id" => value.clone_into(&mut id),
            "data" => data = serde_json::from_str(value).ok(),
            _ => {}
        }
    }
    data.map(|data| Event { kind, id, data })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_are_events_and_comments_are_none() {
        let read = event("id: 7\nevent: operation\ndata: {\"id\":\"a\"}");
        let (kind, id) = ("operation".to_owned(), "7".to_owned());
        assert_eq!(read, Some(Event { kind, id, data: json!({ "id": "a" }) }));
        assert_eq!(event(":"), None);
        assert_eq!(event("event: end\ndata: {}").map(|event| event.kind).as_deref(), Some("end"));
    }
}
