//! A link over which requests come.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use fe2o3_amqp::link::RecvError;
use fe2o3_amqp::link::receiver::{CreditMode, TerminalDeliveryState};
use fe2o3_amqp_types::definitions::{AmqpError, Error, LinkError};
use fe2o3_amqp_types::messaging::{
    Accepted, Body, Message, MessageId, Properties, Rejected, Released,
};
use fe2o3_amqp_types::primitives::{SimpleValue, Symbol};
use opgate_telemetry::AmqpRefusal;
use serde_amqp::Value;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::debug;

use super::address::{Place, place};
use super::connection::Connection;
use super::incoming::{Delivered, Incoming, Inlet, Next};
use super::refuse::error;
use super::replies::{Held, Outlet, Wanted};
use super::sasl::Identity;
use super::users::may_work_on;
use super::waiting::Waiting;
use super::weight;
use crate::fence::Outgoing;
use crate::node::{Reply, Replying, Request};
use crate::queue::Reading;
use crate::wire::address;
use crate::wire::came::{self, Unreadable, Values};

/// Azure's clients say in it how long they wait, in milliseconds.
const PATIENCE: &str = "com.microsoft:server-timeout";

/// Time for links that were attached just before a request. They are looked at without a wait, but for a session
/// that ends.
const NEW_LINK: Duration = Duration::from_secs(1);

/// A link over which requests come.
pub(super) struct Requests {
    pub(super) connection: Arc<Connection>,
    pub(super) session: u64,
    /// Which, of all links there ever were.
    pub(super) id: u64,
    pub(super) name: Arc<str>,
    /// The path of the node; none for an anonymous relay, where each message names its own.
    pub(super) node: Option<Arc<str>>,
    pub(super) inlet: Inlet,
    /// How many are answered at a time, which is what the link has been given.
    pub(super) credit: u32,
    /// Messages that came past the crate and were dealt with since the peer was last given credit: the crate counts its
    /// own.
    pub(super) done: u32,
    /// Where results may come over it.
    pub(super) reading: Option<Reading>,
    /// None once there is nothing to answer and there will be nothing more.
    pub(super) serving: Option<TaskTrackerToken>,
}

/// How a message that nobody answers ended, and that its link is needed until that is told.
type Taken = (Delivered, Result<(), Error>, TaskTrackerToken);

impl Requests {
    /// Whether results of workers may come over a link to that node; none is an anonymous relay.
    pub(super) fn bring_results(node: Option<&str>) -> bool {
        node.is_none_or(|node| matches!(place(node), Some(Place::Queue(_))))
    }

    /// Takes requests until the link is detached. Once the drain has begun, what comes is released, but for
    /// what workers send of deliveries that they still have.
    ///
    /// A request holds one of the link's permits until its reply has left, or has credit and waits for the session's
    /// window. One that arrives while there is none, or while the connection's replies weigh as much as they may and the
    /// link has some of them, waits unsettled, and so keeps the credit that it used; what waits on all links of the
    /// connection may not weigh too much either. What goes to a queue needs no permit: it must be there when its delivery
    /// is settled, whoever waits for what on the same link.
    pub(super) async fn serve(mut self) {
        let all = self.credit;
        let limit = usize::try_from(all).unwrap_or(usize::MAX);
        let permits = Arc::new(Semaphore::new(limit));
        let mut waiting = Waiting::new(self.connection.waiting.clone());
        let mut answering: JoinSet<()> = JoinSet::new();
        let mut taking: JoinSet<Taken> = JoinSet::new();
        let outgoing = self.connection.watch.outgoing().clone();
        let drain = self.connection.drain.clone();
        let mut draining = std::pin::pin!(drain.started());
        let mut stopping = false;
        let mut reading = self.reading.take();
        loop {
            if stopping && permits.available_permits() == limit {
                self.serving = None;
            }
            tokio::select! {
                biased;
                () = &mut draining, if !stopping => {
                    stopping = true;
                    if reading.is_none() {
                        // No more credit. What was given cannot be taken back: requests may be under way.
                        self.inlet.receiver.set_credit_mode(CreditMode::Manual);
                    }
                    while let Some((_, late)) = waiting.pop() {
                        self.release(late).await;
                    }
                }
                Some(ended) = answering.join_next() => self.connection.contain(ended),
                Some(taken) = taking.join_next() => match taken {
                    Ok((delivery, result, _serving)) => {
                        self.settle(delivery, result).await;
                    }
                    Err(failed) => self.connection.contain(Err(failed)),
                },
                permit = place_for(&outgoing, &permits, limit), if !waiting.is_empty() => {
                    if let (Ok(permit), Some((node, delivery))) = (permit, waiting.pop()) {
                        self.answer(node, delivery, permit, &mut answering).await;
                    }
                }
                _ = permits.acquire_many(all), if stopping && self.serving.is_some() => {}
                next = self.inlet.next() => match next {
                    Next::Message(delivery) => {
                        let node = self.node(&delivery);
                        if let Some(Place::Queue(name)) = place(&node) {
                            self.take(&node, name, delivery, &mut taking).await;
                        } else if stopping {
                            self.release(delivery).await;
                        } else if waiting.is_empty()
                            && (place(&node) == Some(Place::Cbs)
                                || outgoing.has_room(permits.available_permits() < limit))
                            && let Ok(permit) = permits.clone().try_acquire_owned()
                        {
                            self.answer(node, delivery, permit, &mut answering).await;
                        } else if let Some(delivery) = waiting.push(node, delivery) {
                            let text = "as much as may waits for earlier requests to be answered";
                            let why = error(AmqpError::ResourceLimitExceeded, text);
                            self.settle(delivery.delivery, Err(why)).await;
                        }
                    }
                    Next::Unreadable(delivery, problem) => {
                        if let Some(reading) = &reading {
                            // It may have been a result, of whatever delivery.
                            reading.lose();
                        }
                        let text = format!("the message cannot be decoded: {problem}");
                        self.settle(delivery, Err(error(AmqpError::DecodeError, text))).await;
                    }
                    Next::Beyond => {
                        let why = error(LinkError::TransferLimitExceeded, "more than the credit given");
                        self.connection.close_link(self.inlet.receiver, why).await;
                        return;
                    }
                    Next::End(end) => {
                        debug!(error = %end, "a request link ended");
                        // Nothing is left of what had come.
                        if let (RecvError::LinkStateError(_), Some(reading)) = (end, reading) {
                            reading.end();
                        }
                        return;
                    }
                },
                () = idle(&mut reading) => {}
            }
        }
    }

    /// Tells how a message ended; false where the link has ended, as the next look at it will say.
    async fn settle(&mut self, delivery: Delivered, result: Result<(), Error>) -> bool {
        let state = match result {
            Ok(()) => Accepted {}.into(),
            Err(error) => {
                self.connection.metrics.amqp.refused.of(AmqpRefusal::Message).increment(1);
                Rejected { error: Some(error) }.into()
            }
        };
        self.dispose(delivery, state).await
    }

    /// The fence tells it; a stop waits until it is told.
    async fn dispose(&mut self, delivery: Delivered, state: TerminalDeliveryState) -> bool {
        let Inlet { receiver, watch, .. } = &mut self.inlet;
        let told = |id| watch.as_ref().is_some_and(|watch| watch.dispose(id, state.clone().into()));
        match delivery {
            Delivered::ByCrate(info) => {
                return told(info.delivery_id()) && receiver.dispose(info, state).await.is_ok();
            }
            Delivered::Past { settled: true, .. } => {}
            Delivered::Past { id, settled: false } if told(id) => {}
            Delivered::Past { .. } => return false,
        }
        self.done += 1;
        if matches!(receiver.credit_mode(), CreditMode::Auto(_)) && self.done >= self.credit / 2 {
            self.done = 0;
            return receiver.set_credit(self.credit).await.is_ok();
        }
        true
    }

    /// Gives a message back: somebody else may serve it.
    async fn release(&mut self, incoming: Incoming) {
        if !self.dispose(incoming.delivery, Released {}.into()).await {
            debug!("a message was not given back");
        }
    }

    /// The path of the node that a message is for.
    fn node(&self, incoming: &Incoming) -> Arc<str> {
        self.node.clone().unwrap_or_else(|| {
            let properties = incoming.message.properties.as_ref();
            let to = properties.and_then(|properties| properties.to.as_deref());
            Arc::from(address::path(to.unwrap_or_default()))
        })
    }

    /// Takes a message to a queue. What can be had of it at once is there when this returns.
    async fn take(
        &mut self,
        node: &Arc<str>,
        queue: &str,
        incoming: Incoming,
        taking: &mut JoinSet<Taken>,
    ) {
        let Incoming { message, delivery: info } = incoming;
        let parted = came::parted(message).map_err(unreadable);
        let request = parted.and_then(|(message, values)| self.request(node, message, values));
        let taken = request.and_then(|request| {
            // The link of a queue has been looked at when it was attached; this may be another.
            may_work_on(&request.caller, queue)?;
            let queues = self.connection.places.queues.as_ref().ok_or_else(|| nowhere(node))?;
            Ok(queues.take(queue, request))
        });
        let mut taken = match taken {
            Ok(taken) => taken,
            Err(error) => {
                self.settle(info, Err(error)).await;
                return;
            }
        };
        match poll_fn(|cx| Poll::Ready(taken.as_mut().poll(cx))).await {
            Poll::Ready(result) => {
                self.settle(info, result).await;
            }
            Poll::Pending => {
                let serving = self.connection.requests.token();
                taking.spawn(async move { (info, taken.await, serving) });
            }
        }
    }

    /// Takes a message to a node that answers it.
    async fn answer(
        &mut self,
        node: Arc<str>,
        incoming: Incoming,
        permit: OwnedSemaphorePermit,
        answering: &mut JoinSet<()>,
    ) {
        let Incoming { message, delivery: info } = incoming;
        let (message, values) = match came::parted(message) {
            Ok(parted) => parted,
            Err(problem) => {
                self.settle(info, Err(unreadable(problem))).await;
                return;
            }
        };
        let properties = message.properties.as_ref();
        let correlation = properties.and_then(|properties| {
            properties.correlation_id.clone().or_else(|| properties.message_id.clone())
        });
        let reply_to = properties.and_then(|properties| properties.reply_to.clone());
        let replying = match self.call(&node, message, values) {
            Ok(replying) => replying,
            Err(error) => {
                self.settle(info, Err(error)).await;
                return;
            }
        };
        // Settled before it is answered: uamqp gives up on a reply that overtakes that.
        if !self.settle(info, Ok(())).await {
            return;
        }
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
        let replying = match replying {
            Replying::Later(mut replying) => {
                match poll_fn(|cx| Poll::Ready(replying.as_mut().poll(cx))).await {
                    Poll::Ready(reply) => Replying::Now(reply),
                    Poll::Pending => Replying::Later(replying),
                }
            }
            now @ Replying::Now(_) => now,
        };
        match replying {
            // What is known at once needs no task.
            Replying::Now(reply) if there => way.send(outlet, reply, permit),
            replying @ (Replying::Now(_) | Replying::Later(_)) => {
                let all = usize::try_from(self.credit).unwrap_or(usize::MAX);
                answering.spawn(async move {
                    let reply = match replying {
                        Replying::Now(reply) => reply,
                        Replying::Later(replying) => {
                            let outgoing = way.connection.watch.outgoing().clone();
                            // This one is under way itself.
                            let others = || permit.semaphore().available_permits() + 1 < all;
                            outgoing.gated(replying, others).await
                        }
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

    fn call(
        &self,
        path: &Arc<str>,
        message: Message<Body<Value>>,
        values: Option<Values>,
    ) -> Result<Replying, Error> {
        let places = &self.connection.places;
        let place = place(path);
        if place == Some(Place::Cbs) {
            return Ok(self.connection.put_token(message));
        }
        let request = self.request(path, message, values)?;
        let node = match place {
            Some(Place::Management) => places.management.as_ref(),
            Some(Place::Http) => places.http.as_ref(),
            Some(Place::Cbs | Place::Queue(_)) | None => None,
        };
        Ok(match node.ok_or_else(|| nowhere(path))?.call(request) {
            Replying::Later(replying) => Replying::later(self.connection.via().scope(replying)),
            now @ Replying::Now(_) => now,
        })
    }

    fn request(
        &self,
        path: &Arc<str>,
        message: Message<Body<Value>>,
        values: Option<Values>,
    ) -> Result<Request, Error> {
        let Identity::Known(caller) = self.connection.identity() else {
            return Err(error(AmqpError::UnauthorizedAccess, "nobody has been authenticated"));
        };
        Ok(Request {
            caller,
            connection: self.connection.id,
            link: self.id,
            node: Arc::clone(path),
            patience: patience(&message),
            message,
            values,
        })
    }
}

/// Waits until one more may be answered.
async fn place_for(
    outgoing: &Outgoing,
    permits: &Arc<Semaphore>,
    all: usize,
) -> Result<OwnedSemaphorePermit, AcquireError> {
    outgoing.room(|| permits.available_permits() < all).await;
    Arc::clone(permits).acquire_owned().await
}

fn unreadable(problem: Unreadable) -> Error {
    error(AmqpError::DecodeError, problem.to_string())
}

fn nowhere(path: &str) -> Error {
    error(AmqpError::NotFound, format!("no node at {path:?}"))
}

/// Answers those who wait until the link has nothing to read; never ends.
async fn idle(reading: &mut Option<Reading>) {
    match reading {
        Some(reading) => reading.idle().await,
        None => std::future::pending().await,
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
            content_encoding: reply.content_encoding.map(Symbol::from),
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
        let Connection { watch, metrics, .. } = &*self.connection;
        let load = watch.outgoing().load(weight::of_message(&message, weight::of_content));
        let held = Held::new(message, permit, load, Arc::clone(metrics));
        if let Some(outlet) = outlet {
            outlet.send(held);
        } else {
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
