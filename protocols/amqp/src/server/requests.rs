//! A link over which requests come.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::RecvError;
use fe2o3_amqp::link::delivery::{Delivery, DeliveryInfo};
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp_types::definitions::{AmqpError, Error, LinkError};
use fe2o3_amqp_types::messaging::{
    Accepted, Body, Message, MessageId, Properties, Rejected, Released,
};
use fe2o3_amqp_types::primitives::{SimpleValue, Symbol};
use opgate_telemetry::{AmqpLoss, AmqpRefusal};
use serde_amqp::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::debug;

use super::address::{Place, place};
use super::connection::Connection;
use super::refuse::error;
use super::replies::{Held, Outlet, Wanted};
use super::sasl::Identity;
use crate::node::{Reply, Replying, Request, Taking};
use crate::wire::address;

/// Azure's clients say in it how long they wait, in milliseconds.
const PATIENCE: &str = "com.microsoft:server-timeout";

/// Time for links that were attached just before a request. They are looked at without a wait, but for a session
/// that ends.
const NEW_LINK: Duration = Duration::from_secs(1);

type Incoming = Delivery<Body<Value>>;

/// A link over which requests come.
pub(super) struct Requests {
    pub(super) connection: Arc<Connection>,
    pub(super) session: u64,
    /// Which, of all links there ever were.
    pub(super) id: u64,
    pub(super) name: Arc<str>,
    /// The path of the node; none for an anonymous relay, where each message names its own.
    pub(super) node: Option<Arc<str>>,
    pub(super) receiver: Receiver,
    /// None once there is nothing to answer and there will be nothing more.
    pub(super) serving: Option<TaskTrackerToken>,
}

/// Where a message goes.
enum Goal {
    Node(Replying),
    Sink(Taking),
}

/// How a message that nobody answers ended.
type Taken = (DeliveryInfo, Result<(), Error>);

impl Requests {
    /// Takes requests until the link is detached. Once the drain has begun, what comes is released.
    ///
    /// A request holds one of the link's permits until its reply has left. One that arrives while there is
    /// none waits unsettled, and so keeps the credit that it used.
    pub(super) async fn serve(mut self) {
        let limit = usize::try_from(self.connection.limits.credit).unwrap_or(usize::MAX);
        let permits = Arc::new(Semaphore::new(limit));
        let mut waiting: VecDeque<Incoming> = VecDeque::new();
        let mut answering: JoinSet<()> = JoinSet::new();
        let mut taking: JoinSet<Taken> = JoinSet::new();
        let drain = self.connection.drain.clone();
        let mut draining = std::pin::pin!(drain.started());
        let mut stopping = false;
        let mut reading = self.connection.inbound.reading();
        loop {
            if stopping && permits.available_permits() == limit {
                self.serving = None;
            }
            tokio::select! {
                biased;
                () = &mut draining, if !stopping => {
                    stopping = true;
                    // No more credit. What was given cannot be taken back: requests may be under way.
                    self.receiver.set_credit_mode(CreditMode::Manual);
                    for late in waiting.drain(..) {
                        if self.receiver.dispose(&late, Released {}).await.is_err() {
                            return;
                        }
                    }
                }
                Some(ended) = answering.join_next() => self.connection.contain(ended),
                Some(taken) = taking.join_next() => {
                    if let Ok((delivery, result)) = taken
                        && self.settle(delivery, result).await.is_err()
                    {
                        return;
                    }
                }
                permit = permits.clone().acquire_owned(), if !waiting.is_empty() => {
                    if let (Ok(permit), Some(delivery)) = (permit, waiting.pop_front())
                        && self.begin(delivery, permit, &mut answering, &mut taking).await.is_err()
                    {
                        return;
                    }
                }
                _ = permits.acquire_many(self.connection.limits.credit), if stopping && self.serving.is_some() => {}
                received = self.receiver.recv() => match received {
                    Ok(delivery) if stopping => {
                        if self.receiver.dispose(&delivery, Released {}).await.is_err() {
                            return;
                        }
                    }
                    Ok(delivery) if waiting.is_empty() => match permits.clone().try_acquire_owned() {
                        Ok(permit) => {
                            if self.begin(delivery, permit, &mut answering, &mut taking).await.is_err() {
                                return;
                            }
                        }
                        Err(_) => waiting.push_back(delivery),
                    },
                    Ok(delivery) => waiting.push_back(delivery),
                    Err(RecvError::MessageDecode(problem)) => {
                        let text = format!("the message cannot be decoded: {}", problem.source);
                        let why = error(AmqpError::DecodeError, text);
                        if self.settle(problem.info, Err(why)).await.is_err() {
                            return;
                        }
                    }
                    Err(RecvError::TransferLimitExceeded) => {
                        let why = error(LinkError::TransferLimitExceeded, "more than the credit given");
                        self.connection.close_link(self.receiver, why).await;
                        return;
                    }
                    Err(end) => {
                        debug!(error = %end, "a request link ended");
                        return;
                    }
                },
                () = reading.idle() => {}
            }
        }
    }

    async fn settle(&self, delivery: DeliveryInfo, result: Result<(), Error>) -> Result<(), ()> {
        let settled = match result {
            Ok(()) => self.receiver.dispose(delivery, Accepted {}).await,
            Err(error) => {
                self.connection.metrics.amqp.refused.of(AmqpRefusal::Message).increment(1);
                self.receiver.dispose(delivery, Rejected { error: Some(error) }).await
            }
        };
        settled.map_err(drop)
    }

    /// Takes a message to where it goes.
    async fn begin(
        &self,
        delivery: Incoming,
        permit: OwnedSemaphorePermit,
        answering: &mut JoinSet<()>,
        taking: &mut JoinSet<Taken>,
    ) -> Result<(), ()> {
        let info = DeliveryInfo::from(&delivery);
        let message = delivery.into_message();
        let properties = message.properties.as_ref();
        let node: Arc<str> = if let Some(node) = &self.node {
            Arc::clone(node)
        } else {
            let to = properties.and_then(|properties| properties.to.as_deref());
            Arc::from(address::path(to.unwrap_or_default()))
        };
        let correlation = properties.and_then(|properties| {
            properties.correlation_id.clone().or_else(|| properties.message_id.clone())
        });
        let reply_to = properties.and_then(|properties| properties.reply_to.clone());
        let goal = match self.goal(&node, message) {
            Ok(goal) => goal,
            Err(error) => return self.settle(info, Err(error)).await,
        };
        match goal {
            // Settled before it is answered: uamqp gives up on a reply that overtakes that.
            Goal::Node(mut replying) => {
                self.settle(info, Ok(())).await?;
                let way = Way {
                    connection: Arc::clone(&self.connection),
                    session: self.session,
                    link: self.id,
                    link_name: Arc::clone(&self.name),
                    node,
                    reply_to,
                    correlation,
                };
                let outlet = way.find();
                let there = outlet.as_ref().is_some_and(|outlet| !outlet.is_closed());
                match poll_fn(|cx| Poll::Ready(replying.as_mut().poll(cx))).await {
                    // What is known at once needs no task.
                    Poll::Ready(reply) if there => way.send(outlet, reply, permit),
                    known @ (Poll::Ready(_) | Poll::Pending) => {
                        answering.spawn(async move {
                            let reply = match known {
                                Poll::Ready(reply) => reply,
                                Poll::Pending => replying.await,
                            };
                            // The way that was known when the request came, or else the one that is there now.
                            let outlet = match outlet.filter(|outlet| !outlet.is_closed()) {
                                Some(outlet) => Some(outlet),
                                None => way.find_new().await,
                            };
                            way.send(outlet, reply, permit);
                        });
                    }
                }
            }
            Goal::Sink(result) => {
                taking.spawn(async move {
                    let result = result.await;
                    drop(permit);
                    (info, result)
                });
            }
        }
        Ok(())
    }

    fn goal(&self, path: &Arc<str>, message: Message<Body<Value>>) -> Result<Goal, Error> {
        let places = &self.connection.places;
        let place = place(path);
        let nowhere = || error(AmqpError::NotFound, format!("no node at {path:?}"));
        if place == Some(Place::Cbs) {
            return Ok(Goal::Node(self.connection.put_token(message)));
        }
        let Identity::Known(caller, works_on) = self.connection.identity() else {
            return Err(error(AmqpError::UnauthorizedAccess, "nobody has been authenticated"));
        };
        let request = Request {
            caller,
            connection: self.connection.id,
            link: self.id,
            node: Arc::clone(path),
            patience: patience(&message),
            message,
        };
        match place {
            Some(Place::Management) => {
                let node = places.management.as_ref().ok_or_else(nowhere)?;
                Ok(Goal::Node(node.call(request)))
            }
            Some(Place::Http) => {
                let node = places.http.as_ref().ok_or_else(nowhere)?;
                Ok(Goal::Node(node.call(request)))
            }
            Some(Place::Queue(name)) => {
                // The link of a queue has been looked at when it was attached; this may be another.
                if !works_on.has(name) {
                    let text = format!("the queue {name:?} is not the sender's to work on");
                    return Err(error(AmqpError::UnauthorizedAccess, text));
                }
                let queues = places.queues.as_ref().ok_or_else(nowhere)?;
                Ok(Goal::Sink(queues.take(name, request)))
            }
            Some(Place::Cbs) | None => Err(nowhere()),
        }
    }
}

/// The way a reply takes.
struct Way {
    connection: Arc<Connection>,
    session: u64,
    link: u64,
    link_name: Arc<str>,
    node: Arc<str>,
    reply_to: Option<String>,
    correlation: Option<MessageId>,
}

impl Way {
    fn find(&self) -> Option<Outlet> {
        self.connection.replies.find(&Wanted {
            session: self.session,
            link: self.link,
            link_name: &self.link_name,
            node: &self.node,
            reply_to: self.reply_to.as_deref(),
        })
    }

    /// Looks again, once all links are known that were attached before the request: it may have overtaken them.
    async fn find_new(&self) -> Option<Outlet> {
        let Connection { replies, watch, .. } = &*self.connection;
        let found = async {
            loop {
                let changed = replies.changed.notified();
                let all = !watch.has_new_links();
                let outlet = self.find();
                if all || outlet.is_some() {
                    return outlet;
                }
                changed.await;
            }
        };
        timeout(NEW_LINK, found).await.ok().flatten()
    }

    fn send(self, outlet: Option<Outlet>, reply: Reply, permit: OwnedSemaphorePermit) {
        let properties = Properties {
            to: self.reply_to,
            subject: reply.subject,
            correlation_id: self.correlation,
            content_type: reply.content_type.map(Symbol::from),
            ..Properties::default()
        };
        let message = Message {
            header: None,
            delivery_annotations: None,
            message_annotations: None,
            properties: Some(properties),
            application_properties: Some(reply.application_properties),
            body: reply.body,
            footer: None,
        };
        let sent = outlet.is_some_and(|outlet| outlet.send(Held { message, permit }).is_ok());
        if !sent {
            self.connection.metrics.amqp.replies_lost.of(AmqpLoss::NoLink).increment(1);
            debug!(node = &*self.node, "a reply has no link to go over");
        }
    }
}

fn patience(message: &Message<Body<Value>>) -> Option<Duration> {
    let value = message.application_properties.as_ref()?.get(PATIENCE)?;
    let millis = if let SimpleValue::Uint(millis) = value {
        u64::from(*millis)
    } else if let SimpleValue::Ulong(millis) = value {
        *millis
    } else if let SimpleValue::Int(millis) = value {
        u64::try_from(*millis).ok()?
    } else if let SimpleValue::Long(millis) = value {
        u64::try_from(*millis).ok()?
    } else {
        return None;
    };
    Some(Duration::from_millis(millis))
}
