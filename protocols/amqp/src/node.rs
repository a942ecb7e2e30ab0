//! What a connection's links lead to: nodes that answer, sinks that take, queues that give work.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fe2o3_amqp::Sender;
use fe2o3_amqp_types::definitions::Error;
use fe2o3_amqp_types::messaging::{ApplicationProperties, Body, Message};
use opgate_bus::Caller;
use opgate_edge::Drain;
use serde::{Serialize, Serializer};
use serde_amqp::Value;

use crate::fence::LinkWatch;
use crate::management::Attributes;
use crate::queue::Inbound;
use crate::wire::came::Values;
use crate::wire::encoded::Encoded;
use crate::wire::written;

/// Which connection something came over: unique while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A request, as its link brought it.
#[derive(Debug)]
pub struct Request {
    /// Who sent it.
    pub caller: Caller,
    /// Over which connection.
    pub connection: ConnectionId,
    /// The link that brought it, by a number that no other link of this process has: what is asked
    /// in turns, such as the pages of a list, comes by one.
    pub link: u64,
    /// The address of the node, without scheme and authority: `$management`, `projects/p/$management`.
    pub node: Arc<str>,
    /// How long its sender waits for the reply, where it said so (`com.microsoft:server-timeout`): a
    /// node that has to wait longer answers before.
    pub patience: Option<Duration>,
    /// The message, whole. Of its properties the connection has dealt with message-id, correlation-id
    /// and reply-to.
    pub message: Message<Body<Value>>,
    /// The values of its body in the bytes in which they came; none of data.
    pub values: Option<Values>,
}

/// A reply, but for its address and its correlation id: those are the connection's business.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The property of that name.
    pub subject: Option<String>,
    /// The property of that name, where the body is data.
    pub content_type: Option<String>,
    /// The property of that name, where the body is data that is encoded.
    pub content_encoding: Option<String>,
    /// Among them the status, in the spelling of the node's dialect.
    pub application_properties: ApplicationProperties,
    /// What is answered.
    pub body: Body<Content>,
}

/// What a reply has for a value.
#[derive(Clone, Debug)]
pub enum Content {
    /// A value.
    Value(Value),
    /// A value as it is written on the wire.
    Written(Bytes),
    /// An operation, of which nothing is copied before it is sent.
    Operation(Attributes),
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => Encoded::from(value).serialize(serializer),
            Self::Written(bytes) => written::raw(bytes, serializer),
            Self::Operation(attributes) => attributes.serialize(serializer),
        }
    }
}

/// A reply on its way.
#[expect(clippy::large_enum_variant, reason = "what is at hand takes no memory of its own")]
pub enum Replying {
    /// It was at hand.
    Now(Reply),
    /// It has to be looked for, made or waited for.
    Later(Pin<Box<dyn Future<Output = Reply> + Send>>),
}

impl Replying {
    /// A reply that `replying` will have.
    pub fn later(replying: impl Future<Output = Reply> + Send + 'static) -> Self {
        Self::Later(Box::pin(replying))
    }
}

impl IntoFuture for Replying {
    type Output = Reply;
    type IntoFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        match self {
            Self::Now(reply) => Box::pin(std::future::ready(reply)),
            Self::Later(replying) => replying,
        }
    }
}

impl fmt::Debug for Replying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(reply) => f.debug_tuple("Now").field(reply).finish(),
            Self::Later(_) => f.debug_tuple("Later").finish_non_exhaustive(),
        }
    }
}

/// Answers requests.
pub trait Node: Send + Sync + 'static {
    /// One request in, one reply out; errors are replies already. What changes anything comes later, once the
    /// request has been accepted.
    ///
    /// A reply on its way is dropped when the connection ends: durable work must not live in it.
    fn call(&self, request: Request) -> Replying;
}

/// Whether a message was taken; the error says why it is rejected.
pub type Taking = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// A link over which a worker receives operations: attached, with whatever credit its worker gave.
#[derive(Debug)]
pub struct WorkerLink {
    /// Who works.
    pub caller: Caller,
    /// Over which connection: what the worker sends to `queue/{name}` comes to [`Queues::take`] with the
    /// same one.
    pub connection: ConnectionId,
    /// How the worker's container calls itself, where that is known.
    pub container: Option<Arc<str>>,
    /// The name of the queue.
    pub queue: Arc<str>,
    /// Our end of the link. Dropping it closes the link.
    pub sender: Sender,
    /// What the fence sees of it: the worker's credit, and whether it drains.
    pub watch: Option<LinkWatch>,
    /// The links over which its connection's messages come.
    pub inbound: Inbound,
    /// Begins when no more work is to be given away; open deliveries may still be settled until its
    /// deadline.
    pub drain: Drain,
}

/// A worker link being served.
pub type Working = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Queues of work.
pub trait Queues: Send + Sync + 'static {
    /// Whether there is that queue; the error refuses the link. Who may work on it has been looked at.
    ///
    /// # Errors
    /// `amqp:not-found` and the like.
    fn check(&self, queue: &str) -> Result<(), Error>;

    /// Serves a worker until its link or the drain is over. The future is dropped when the session or the
    /// connection ends: what was leased over it then goes back at once.
    fn work(&self, link: WorkerLink) -> Working;

    /// Takes what a worker sent to `queue/{name}`: results, known by their correlation id. `message.node`
    /// is the whole address.
    fn take(&self, queue: &str, message: Request) -> Taking;
}

/// Where the addresses of opgate's container lead.
#[derive(Clone, Default)]
pub struct Places {
    /// Every `$management` and `{entity}/$management`.
    pub management: Option<Arc<dyn Node>>,
    /// `/management`: HTTP over AMQP.
    pub http: Option<Arc<dyn Node>>,
    /// `queue/{name}`.
    pub queues: Option<Arc<dyn Queues>>,
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places")
            .field("management", &self.management.is_some())
            .field("http", &self.http.is_some())
            .field("queues", &self.queues.is_some())
            .finish()
    }
}
