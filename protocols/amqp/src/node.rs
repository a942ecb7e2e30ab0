//! What answers requests: the nodes of opgate's container.

use std::pin::Pin;
use std::sync::Arc;

use fe2o3_amqp_types::messaging::{ApplicationProperties, Body, Message};
use opgate_bus::Caller;
use serde_amqp::Value;

/// A request, as its link brought it.
#[derive(Debug)]
pub struct Request {
    /// Who sent it.
    pub caller: Caller,
    /// The link that brought it, by a number that no other link of this process has: what is asked
    /// in turns, such as the pages of a list, comes by one.
    pub link: u64,
    /// The address of the node, without scheme and authority: `$management`, `projects/p/$management`.
    pub node: Arc<str>,
    /// The message, whole. Of its properties the connection has dealt with message-id, correlation-id
    /// and reply-to.
    pub message: Message<Body<Value>>,
}

/// A reply, but for its address and its correlation id: those are the connection's business.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The property of that name.
    pub subject: Option<String>,
    /// The property of that name, where the body is data.
    pub content_type: Option<String>,
    /// Among them the status, in the spelling of the node's dialect.
    pub application_properties: ApplicationProperties,
    /// What is answered.
    pub body: Body<Value>,
}

/// A reply on its way.
pub type Replying = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// Answers requests.
pub trait Node: Send + Sync + 'static {
    /// One request in, one reply out; errors are replies already.
    ///
    /// The future is dropped when the connection ends: durable work must not live in it.
    fn call(&self, request: Request) -> Replying;
}
