//! Calls that stream an operation until it is done: starts through a door that streams, and
//! `WaitExecution` of remote execution.
//!
//! The first message is the operation as it is. Another follows whenever it looks otherwise, and one
//! that looks the same when nothing has happened for as long as a wait may take: a proxy in between
//! then sees that the call is alive. The last one is done. A caller that goes away ends the stream
//! and nothing else, and may come back with the name.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response};
use opgate_bus::{Rendering, Snapshot, Watch, Watching};
use opgate_core::{Error, ErrorKind, Losses};
use opgate_edge::Body;
use opgate_rpc::wire::{self, Call, Compression, Deadline, Next};
use opgate_telemetry::{Held, Method, Protocol};

use super::operations::decode;
use super::{Inner, Refusal, endpoint};
use crate::door::{Asked, Door};
use crate::map;
use crate::proto::NameRequest;

const DURABILITY: HeaderName = HeaderName::from_static("opgate-durability");

impl Inner {
    /// Starts an operation through a door that streams.
    pub(super) async fn start_stream(
        self: Arc<Self>,
        door: &Door,
        parts: &Parts,
        call: Call,
    ) -> Result<Response<Body>, Refusal> {
        let (deadline, compression) = (call.deadline(), call.reply());
        let message = self.read(call).await?;
        let endpoint = endpoint(parts.uri.path());
        let start = match door.read(endpoint, &parts.headers, &message)? {
            Asked::Validate { response_type } => {
                let bytes = wire::frame(&map::validated(response_type.as_deref()));
                let lost = Losses::NONE;
                return Ok(one(Rendering { bytes, lost }, compression, deadline));
            }
            Asked::Start(start) => start,
        };
        self.check_instance(endpoint, &start)?;
        let receipt = deadline.bound(self.bus.start(&self.caller, *start)).await?;
        let durability = HeaderValue::from_static(receipt.durability.name());
        let mut response = self.follow(&receipt.snapshot, compression, deadline, Method::Start);
        response.headers_mut().insert(DURABILITY, durability);
        Ok(response)
    }

    /// Streams an operation that was started before.
    pub(super) async fn wait_execution(
        self: Arc<Self>,
        call: Call,
    ) -> Result<Response<Body>, Refusal> {
        let (deadline, compression) = (call.deadline(), call.reply());
        let NameRequest { name } = decode(self.read(call).await?)?;
        match deadline.bound(self.find(&name)).await {
            Ok(snapshot) => Ok(self.follow(&snapshot, compression, deadline, Method::Wait)),
            Err(error) => Err(Refusal::of(error, name)),
        }
    }

    /// The stream of an operation, from this version on.
    fn follow(
        self: Arc<Self>,
        snapshot: &Snapshot,
        compression: Compression,
        deadline: Deadline,
        method: Method,
    ) -> Response<Body> {
        let rendered = self.rendered(snapshot);
        if snapshot.is_done() {
            return one(rendered.clone(), compression, deadline);
        }
        let framed = rendered.bytes.clone();
        let (id, after) = (snapshot.id, snapshot.version);
        let watching = self.bus.watch(&self.caller, Watch::Operation { id, after });
        let counted = self.metrics.bus.watchers.of(Protocol::Grpc).hold();
        let keep_alive = self.wait_limit;
        let following =
            Following { inner: self, method, keep_alive, last: framed.clone(), _counted: counted };
        // What was started is told also where it cannot be followed: the name leads back to it.
        let state = State::First(framed, watching.map(|watching| (following, watching)));
        wire::stream(state, State::next, compression, deadline)
    }
}

/// A stream of one message.
fn one(rendered: Rendering, compression: Compression, deadline: Deadline) -> Response<Body> {
    wire::stream(State::Last(rendered), State::next, compression, deadline)
}

/// What a stream is about to send.
enum State {
    First(Bytes, Result<(Following, Watching), Error>),
    Following(Following, Watching),
    Last(Rendering),
    Ended(Result<Losses, Error>),
}

/// An operation that has not ended.
struct Following {
    inner: Arc<Inner>,
    method: Method,
    keep_alive: Duration,
    /// The message sent last.
    last: Bytes,
    _counted: Held,
}

impl State {
    async fn next(self) -> Next<Self> {
        match self {
            Self::First(framed, Ok((following, watching))) => {
                Next::Message(framed, Self::Following(following, watching))
            }
            Self::First(framed, Err(refused)) => Next::Message(framed, Self::Ended(Err(refused))),
            Self::Following(following, watching) => following.next(watching).await,
            Self::Last(Rendering { bytes, lost }) => Next::Message(bytes, Self::Ended(Ok(lost))),
            Self::Ended(end) => {
                Next::End(end.map_err(|error| Box::new(map::of_error(&error, None))))
            }
        }
    }
}

impl Following {
    async fn next(mut self, mut watching: Watching) -> Next<State> {
        loop {
            let Ok(changed) = tokio::time::timeout(self.keep_alive, watching.next()).await else {
                let last = self.last.clone();
                return Next::Message(last, State::Following(self, watching));
            };
            let snapshot = match changed {
                Some(Ok(snapshot)) => snapshot,
                Some(Err(error)) => return self.refused(&error),
                None => return self.refused(&stopping()),
            };
            let Rendering { bytes: framed, lost } = self.inner.rendered(&snapshot).clone();
            if snapshot.is_done() {
                return Next::Message(framed, State::Ended(Ok(lost)));
            }
            if framed != self.last {
                self.last = framed.clone();
                return Next::Message(framed, State::Following(self, watching));
            }
        }
    }

    fn refused(&self, error: &Error) -> Next<State> {
        self.inner.failures.note(Protocol::Grpc, self.method, error);
        Next::End(Err(Box::new(map::of_error(error, None))))
    }
}

fn stopping() -> Error {
    let text = "the gateway stops: go on with the name, by WaitExecution or GetOperation";
    Error::new(ErrorKind::Unavailable, text)
}
