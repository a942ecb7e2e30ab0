//! HTTP over AMQP: the node at which a request is one of HTTP's, served as if it had come over HTTP.
//!
//! `RabbitMQ` 4's client libraries speak it (OASIS "HTTP over AMQP", working draft, as far as they implement
//! it). Of the request the method is the `subject`, path and query are `to`, percent-encoded; the body is a
//! value, which goes on as JSON, or bytes, which go on as they are. Of the reply the status is the `subject`,
//! as a text, JSON comes back as a value, and anything else as data.
//!
//! | AMQP | HTTP request |
//! |---|---|
//! | `subject` | method |
//! | `to` | path and query |
//! | application properties on the list in [`request`], whatever the case of their letters | headers |
//! | `content-type` | the header, where no application property is |
//! | amqp-value: map, list, text, number, truth | JSON; a text whose content type is said is the body itself |
//! | amqp-value: binary; data | body |
//! | amqp-value: null; no body | no body |
//!
//! | HTTP response | AMQP |
//! |---|---|
//! | status | `subject` |
//! | headers on the list in [`reply`] | application properties, beside `http:response` = `1.1` |
//! | JSON | amqp-value; data of type `application/json` where it has more than 65,535 values |
//! | JSON of a status from 400 on | amqp-value: its message as a text; all of it in `opgate:error`, as JSON |
//! | other text | amqp-value: text |
//! | other bytes | data, with their `content-type` |
//!
//! That an error is a text is what clients rely on: `RabbitMQ`'s for Go takes any map for a success, its own
//! for Java shows the text.
//!
//! The caller is the connection's, handed to the faces inside the request, where no header can stand for it.
//! What asks for a signature asks for one here too, and as it covers a host and a date of HTTP's, none can be given:
//! such a path refuses. gRPC and streams are not to be had.

mod reply;
mod request;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opgate_edge::{Frontend, Peer, collect_limited};

use crate::node::{Node, Reply, Replying, Request};

/// Where clients look for the node.
pub const ADDRESS: &str = "/management";
/// Time for the body of an answer to be complete: what a wait takes is over with its head.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The node.
pub struct HttpNode {
    faces: Arc<dyn Frontend>,
    /// Largest answer, in bytes.
    answer_bytes: AtomicUsize,
    peer: Arc<Peer>,
}

impl fmt::Debug for HttpNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpNode").field("answer_bytes", &self.answer_bytes).finish_non_exhaustive()
    }
}

impl HttpNode {
    /// Hands requests to `faces`. An answer whose body is larger than `answer_bytes` is an error.
    pub fn new(faces: Arc<dyn Frontend>, answer_bytes: usize) -> Self {
        // There is no connection of HTTP's.
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let peer = Arc::new(Peer::plain(nowhere, nowhere));
        Self { faces, answer_bytes: AtomicUsize::new(answer_bytes), peer }
    }

    /// Gives answers of at most so many bytes from the next one on.
    pub fn bound(&self, answer_bytes: usize) {
        self.answer_bytes.store(answer_bytes, Ordering::Relaxed);
    }
}

impl Node for HttpNode {
    fn call(&self, request: Request) -> Replying {
        let Request { caller, message, .. } = request;
        let made = request::made(message, caller);
        let (faces, peer) = (Arc::clone(&self.faces), Arc::clone(&self.peer));
        let answer_bytes = self.answer_bytes.load(Ordering::Relaxed);
        match made {
            Ok(request) => Replying::later(async move {
                answered(faces.call(request, &peer).await, answer_bytes).await
            }),
            Err(problem) => Replying::Now(reply::refused(400, &problem)),
        }
    }
}

async fn answered(response: http::Response<opgate_edge::Body>, answer_bytes: usize) -> Reply {
    let (head, body) = response.into_parts();
    if reply::is_stream(&head.headers) {
        return reply::refused(406, "this is a stream, which is not to be had over AMQP");
    }
    match collect_limited(body, answer_bytes, BODY_TIME).await {
        Ok(body) => reply::of(&head, body),
        Err(error) => {
            tracing::debug!(%error, "an answer could not be given over AMQP");
            reply::refused(500, "the answer is too large, or broke off: ask for less at a time")
        }
    }
}
