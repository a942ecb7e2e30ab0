//! Where the replies of a connection go.
//!
//! A client names the link of its replies in one of four ways: by the address it was given for a dynamic
//! source, by an address that it chose itself as the link's target, by the link's name (Azure's client for
//! JavaScript, at `$cbs`), or not at all (uamqp, pyamqp), when any link from the request's node will do. Only links
//! of the same connection are looked at: an address is no way to anybody else.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fe2o3_amqp_types::messaging::message::__private::Serializable;
use fe2o3_amqp_types::messaging::{AmqpValue, Body, Message};
use opgate_core::{Error, ErrorKind};
use opgate_telemetry::{AmqpLoss, Metrics};
use serde_amqp::Value;
use serde_amqp::primitives::OrderedMap;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tracing::debug;

use crate::fence::{Letter, LinkWatch, Load};
use crate::node::Content;
use crate::wire::address;
use crate::wire::status::Status;

/// The number of the next link, of whatever connection.
static LAST: AtomicU64 = AtomicU64::new(1);

/// A reply that is to be sent. What is held is bounded by the permits, which go with the requests, and by what they
/// may weigh on their connection. It is written when there is credit for it.
#[derive(Debug)]
pub(super) struct Held {
    message: Message<Body<Content>>,
    settled: bool,
    metrics: Arc<Metrics>,
    /// Whether it would be lost if it were dropped.
    waits: bool,
    /// Its request's, until there is credit for it.
    permit: Option<OwnedSemaphorePermit>,
    _load: Load,
}

impl Held {
    pub(super) fn new(
        message: Message<Body<Content>>,
        permit: OwnedSemaphorePermit,
        load: Load,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { message, settled: false, metrics, waits: true, permit: Some(permit), _load: load }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.waits {
            self.metrics.amqp.replies_lost.of(AmqpLoss::NoLink).increment(1);
        }
    }
}

impl Letter for Held {
    fn write(&mut self, limit: u64) -> Option<Vec<u8>> {
        let fits = |bytes: &Vec<u8>| u64::try_from(bytes.len()).is_ok_and(|size| size <= limit);
        let problem = match written(&self.message) {
            Some(bytes) if fits(&bytes) => return Some(bytes),
            Some(_) => {
                self.metrics.amqp.replies_lost.of(AmqpLoss::TooLarge).increment(1);
                let text = "the reply is larger than the max-message-size of the link it is for";
                Error::new(ErrorKind::PayloadTooLarge, text)
            }
            None => Error::new(ErrorKind::Internal, "the reply cannot be written as AMQP"),
        };
        let bytes = written(&in_its_place(&self.message, &problem)).filter(fits);
        if bytes.is_none() {
            debug!(%problem, "a reply is larger than its reader takes");
            self.waits = false;
        }
        bytes
    }

    fn is_settled(&self) -> bool {
        self.settled
    }

    fn has_credit(&mut self) {
        self.permit = None;
    }

    fn sent(mut self: Box<Self>) {
        self.waits = false;
    }
}

fn written(message: &Message<Body<Content>>) -> Option<Vec<u8>> {
    serde_amqp::to_vec(&Serializable(message)).ok()
}

/// A way to the client.
#[derive(Clone, Debug)]
pub(super) struct Outlet {
    /// The link, over which the fence sends.
    pub(super) link: LinkWatch,
    /// Whether replies are settled as they are sent: what may be costs the peer no disposition.
    pub(super) settled: bool,
}

impl Outlet {
    /// Whether it leads nowhere any more.
    pub(super) fn is_closed(&self) -> bool {
        self.link.is_detached()
    }

    /// Sends a reply as soon as the peer gives credit.
    pub(super) fn send(&self, mut held: Held) {
        held.settled = self.settled;
        self.link.post(Box::new(held));
    }
}

/// The links of a connection that requests come over and replies go over.
#[derive(Debug, Default)]
pub(super) struct Replies {
    links: Mutex<Links>,
    /// Told when a link that the peer attached has been looked at.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct Links {
    /// In the order they were attached.
    replies: Vec<ReplyLink>,
    requests: Vec<RequestLink>,
}

/// A link that gives replies.
#[derive(Debug)]
pub(super) struct ReplyLink {
    /// Which, in the order of attaching; set when it is registered.
    pub(super) id: u64,
    pub(super) session: u64,
    pub(super) name: String,
    /// As we echoed it.
    pub(super) source: Option<String>,
    /// As the client chose it.
    pub(super) target: Option<String>,
    /// The path of the node it is from; none for a dynamic one.
    pub(super) node: Option<Arc<str>>,
    pub(super) outlet: Outlet,
}

#[derive(Debug)]
struct RequestLink {
    id: u64,
    session: u64,
    node: Arc<str>,
}

/// A request that wants its reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) session: u64,
    /// The request's link.
    pub(super) link: u64,
    pub(super) link_name: &'a str,
    /// The path of the node.
    pub(super) node: &'a str,
    pub(super) reply_to: Option<&'a str>,
}

/// A link in the table, until this is dropped.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) id: u64,
    table: Arc<Replies>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut links = self.table.lock();
        links.replies.retain(|link| link.id != self.id);
        links.requests.retain(|link| link.id != self.id);
    }
}

impl Replies {
    fn lock(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(self: &Arc<Self>, mut link: ReplyLink) -> Registered {
        let mut links = self.lock();
        let id = LAST.fetch_add(1, Ordering::Relaxed);
        link.id = id;
        links.replies.push(link);
        Registered { id, table: Arc::clone(self) }
    }

    pub(super) fn add_request(self: &Arc<Self>, session: u64, node: Arc<str>) -> Registered {
        let mut links = self.lock();
        let id = LAST.fetch_add(1, Ordering::Relaxed);
        links.requests.push(RequestLink { id, session, node });
        Registered { id, table: Arc::clone(self) }
    }

    /// The link that a reply goes over.
    pub(super) fn find(&self, wanted: &Wanted<'_>) -> Option<Outlet> {
        self.lock().find(wanted).map(|link| link.outlet.clone())
    }
}

impl Links {
    fn find(&self, wanted: &Wanted<'_>) -> Option<&ReplyLink> {
        // `$me` (RabbitMQ's clients) is the other link of a pair, which has the same name.
        let named = wanted.reply_to.filter(|address| !address.is_empty() && *address != "$me");
        if let Some(address) = named {
            return self
                .newest(wanted, |link| link.is_called(address))
                .or_else(|| self.newest(wanted, |link| link.name == address));
        }
        self.newest(wanted, |link| link.name == wanted.link_name)
            .or_else(|| self.partner(wanted))
            .or_else(|| self.newest(wanted, |link| link.is_from(wanted.node)))
    }

    /// The newest such link of the request's session, or else of the connection.
    fn newest(&self, wanted: &Wanted<'_>, is: impl Fn(&ReplyLink) -> bool) -> Option<&ReplyLink> {
        let mut links = self.replies.iter().rev().filter(|link| is(link));
        links.clone().find(|link| link.session == wanted.session).or_else(|| links.next())
    }

    /// Of several pairs of links with one node, the one that belongs to the request's: they are attached
    /// pair by pair, so that the request's rank among its kind, from the newest, is the reply's.
    fn partner(&self, wanted: &Wanted<'_>) -> Option<&ReplyLink> {
        let requests = self.requests.iter().rev();
        let mut kind =
            requests.filter(|link| link.session == wanted.session && *link.node == *wanted.node);
        let rank = kind.position(|link| link.id == wanted.link)?;
        let replies = self.replies.iter().rev();
        let mut kind =
            replies.filter(|link| link.session == wanted.session && link.is_from(wanted.node));
        kind.nth(rank)
    }
}

impl ReplyLink {
    fn is_called(&self, address: &str) -> bool {
        let path = address::path(address);
        [&self.source, &self.target]
            .into_iter()
            .flatten()
            .any(|own| own == address || address::path(own) == path)
    }

    fn is_from(&self, node: &str) -> bool {
        self.node.as_deref() == Some(node)
    }
}

/// What is said where a reply cannot be given: the same to both dialects, each in its place.
fn in_its_place(reply: &Message<Body<Content>>, problem: &Error) -> Message<Body<Content>> {
    let mut properties = reply.properties.clone();
    let mut status = Status::of_error(problem).properties();
    let mut body = Value::Map(OrderedMap::new());
    // HTTP over AMQP has the status there, and its text in the body.
    if let Some(subject) = properties.as_mut().and_then(|properties| properties.subject.as_mut()) {
        "500".clone_into(subject);
        body = Value::from(&*problem.message);
        for (name, value) in reply.application_properties.iter().flat_map(|own| own.0.iter()) {
            status.insert(name.clone(), value.clone());
        }
    }
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties,
        application_properties: Some(status),
        body: Body::Value(AmqpValue(Content::Value(body))),
        footer: None,
    }
}
