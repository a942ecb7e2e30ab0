//! A session: its links, each a task of its own.

use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp::acceptor::{
    LinkAcceptor, LinkEndpoint, ListenerSessionHandle, SupportedReceiverSettleModes,
};
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp_types::definitions::{
    AmqpError, Error, ReceiverSettleMode, Role, SenderSettleMode, SessionError,
};
use fe2o3_amqp_types::messaging::{Source, Target, TargetArchetype};
use fe2o3_amqp_types::performatives::Attach;
use opgate_bus::Caller;
use opgate_telemetry::AmqpRefusal;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use super::address::{Place, place};
use super::connection::Connection;
use super::incoming::Inlet;
use super::refuse::error;
use super::replies::{Outlet, Registered, ReplyLink};
use super::requests::Requests;
use super::sasl::Identity;
use super::users::may_work_on;
use crate::fence::{COORDINATOR, LinkWatch};
use crate::node::{Queues, WorkerLink};
use crate::wire::address;

/// Time to read what a session has brought that has ended.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Tokens of one link that are looked at at a time, before anybody is known.
const TOKENS: u32 = 8;
/// Largest message with a token.
const TOKEN_BYTES: u64 = 16 << 10;

/// A session of a connection.
pub(super) struct Session {
    pub(super) connection: Arc<Connection>,
    /// Which of the connection's, in the order they began.
    pub(super) id: u64,
    /// The peer's number of it.
    pub(super) channel: u16,
    pub(super) handle: ListenerSessionHandle,
}

/// The tasks of a session's links.
#[derive(Default)]
struct Links {
    /// Those that read what comes.
    requests: JoinSet<()>,
    others: JoinSet<()>,
}

/// What a link that a peer attaches is for.
enum Purpose {
    /// Requests come over it, for the node of that path, or for the one each names.
    Requests(Option<Arc<str>>),
    /// Replies of that node go over it; none: its address is dynamic.
    Replies(Option<Arc<str>>),
    /// Work of that queue goes over it.
    Work(Arc<str>, Arc<dyn Queues>),
}

impl Session {
    /// Serves the session until its peer ends it, or its connection ends.
    pub(super) async fn serve(mut self) {
        let mut links = Links::default();
        loop {
            tokio::select! {
                biased;
                Some(ended) = links.requests.join_next() => self.connection.contain(ended),
                Some(ended) = links.others.join_next() => self.connection.contain(ended),
                attach = self.handle.next_incoming_attach() => match attach {
                    Some(attach) => {
                        if let Err(error) = self.attach(attach, &mut links).await {
                            debug!(?error, "a session is ended");
                            // Dropping the handle would end it without a word.
                            let ended = self.handle.end_with_error(error).await;
                            debug!(?ended, "a session has ended");
                            return;
                        }
                    }
                    None => return self.ended(links).await,
                },
            }
        }
    }

    /// Has everything be read that came before the session ended: its peer may have settled by it.
    async fn ended(&self, links: Links) {
        let Links { mut requests, others } = links;
        drop(others);
        let read = async {
            while let Some(ended) = requests.join_next().await {
                self.connection.contain(ended);
            }
        };
        if timeout(READ_TIMEOUT, read).await.is_err() {
            debug!("not all was read that a session had brought");
        }
    }

    /// Answers an Attach. What is refused is attached and detached, with the reason (AMQP 1.0, 2.6.3); an
    /// error ends the session.
    async fn attach(&mut self, mut attach: Attach, links: &mut Links) -> Result<(), Error> {
        let is_request = attach.role == Role::Sender;
        // The fence may have made the name unique in the session.
        let watch = self.connection.watch.link(self.channel, attach.handle.0);
        let second = watch.as_ref().is_some_and(LinkWatch::is_second);
        let purpose = self.connection.slot().and_then(|slot| {
            let purpose = if second {
                let text = "name: a link of this name and direction is attached already";
                Err(error(AmqpError::NotAllowed, text))
            } else if is_request {
                self.request(&attach)
            } else {
                self.source(&attach)
            };
            purpose.map(|purpose| (purpose, slot))
        });
        let name = watch.as_ref().map_or(attach.name.as_str(), LinkWatch::name);
        let name: Arc<str> = Arc::from(name);
        let mode = attach.snd_settle_mode.clone();
        // What the crate takes for granted, and clients leave out.
        attach.source.get_or_insert_with(|| Box::new(Source::default()));
        let target = || Box::new(TargetArchetype::Target(Target::default()));
        attach.target.get_or_insert_with(target);
        if is_request {
            attach.initial_delivery_count.get_or_insert(0);
        }
        if purpose.is_err() {
            self.connection.metrics.amqp.refused.of(AmqpRefusal::Link).increment(1);
            // The terminus that is ours stays empty.
            if is_request {
                attach.target = None;
            } else {
                attach.source = None;
            }
        }
        let dynamic = self.connection.dynamic_address();
        // Before the Attach is answered: as soon as it is, a request may come that wants its reply there.
        let replies = match (&purpose, &watch) {
            (Ok((Purpose::Replies(node), _)), Some(link)) => {
                link.send_past_crate();
                // What may be sent settled costs the peer no disposition.
                let settled = mode != SenderSettleMode::Unsettled;
                let outlet = Outlet { link: link.clone(), settled };
                Some(self.replies(&attach, &name, node.clone(), &dynamic, outlet))
            }
            (Ok((Purpose::Requests(_), _)), Some(link)) => {
                link.take_shorts();
                None
            }
            (Ok(_) | Err(_), Some(_) | None) => None,
        };
        // The same holds of results, which are waited for.
        let reading = match &purpose {
            Ok((Purpose::Requests(node), _)) if Requests::bring_results(node.as_deref()) => {
                Some(self.connection.inbound.reading())
            }
            Ok(_) | Err(_) => None,
        };
        if let Some(watch) = &watch {
            watch.enter();
            self.connection.replies.changed.notify_waiters();
        }
        let limits = &self.connection.limits;
        let puts_tokens = matches!(
            &purpose,
            Ok((Purpose::Requests(Some(node)), _)) if place(node) == Some(Place::Cbs)
        );
        let (credit, message_bytes) = if puts_tokens {
            (TOKENS.min(limits.credit), TOKEN_BYTES.min(limits.message_bytes))
        } else {
            (limits.credit, limits.message_bytes)
        };
        if let Some(watch) = watch.as_ref().filter(|_| is_request) {
            // The crate gives what it thinks fit before it can be told.
            watch.give_at_most(credit);
        }
        let acceptor = LinkAcceptor::builder()
            .verify_incoming_source(false)
            .verify_incoming_target(false)
            .max_message_size(message_bytes)
            .properties(self.connection.properties.clone());
        let accepted = if is_request {
            // A sender that settles only after us would leave us to remember every request until it does.
            acceptor
                .supported_receiver_settle_modes(SupportedReceiverSettleModes::First)
                .fallback_receiver_settle_mode(ReceiverSettleMode::First)
                .build()
                .accept_incoming_attach(attach, &mut self.handle)
                .await
        } else {
            acceptor
                .on_dynamic_source(move |mut source| {
                    source.address = Some(dynamic.clone());
                    Some(source)
                })
                .build()
                .accept_incoming_attach(attach, &mut self.handle)
                .await
        };
        let endpoint = accepted.map_err(|problem| {
            error(SessionError::HandleInUse, format!("link {name:?} cannot be attached: {problem}"))
        })?;
        match (endpoint, purpose) {
            (LinkEndpoint::Receiver(receiver), Ok((Purpose::Requests(node), slot))) => {
                let mut receiver = receiver;
                if receiver.credit() != credit {
                    receiver.set_credit_mode(CreditMode::Auto(credit));
                    if receiver.set_credit(credit).await.is_err() {
                        return Ok(());
                    }
                }
                let table = &self.connection.replies;
                let registered =
                    table.add_request(self.id, node.clone().unwrap_or_else(|| Arc::from("")));
                let requests = Requests {
                    connection: Arc::clone(&self.connection),
                    session: self.id,
                    id: registered.id,
                    name,
                    node,
                    inlet: Inlet::new(receiver, watch),
                    credit,
                    done: 0,
                    reading,
                    serving: Some(self.connection.requests.token()),
                };
                links.requests.spawn(async move {
                    let _held = (slot, registered);
                    requests.serve().await;
                });
            }
            (LinkEndpoint::Sender(mut sender), Ok((Purpose::Replies(_), slot))) => {
                let Some(registered) = replies else { return Ok(()) };
                links.others.spawn(async move {
                    let _held = (slot, registered);
                    let end = sender.on_detach().await;
                    debug!(?end, "a reply link ended");
                });
            }
            (LinkEndpoint::Sender(sender), Ok((Purpose::Work(queue, queues), slot))) => {
                let Identity::Known(caller) = self.connection.identity() else { return Ok(()) };
                let working = queues.work(WorkerLink {
                    caller,
                    connection: self.connection.id,
                    container: self.connection.container(),
                    queue,
                    sender,
                    watch,
                    inbound: self.connection.inbound.clone(),
                    drain: self.connection.drain.clone(),
                });
                let serving = self.connection.requests.token();
                links.others.spawn(async move {
                    let _held = (slot, serving);
                    working.await;
                });
            }
            (LinkEndpoint::Receiver(receiver), refused) => {
                let why = refused.err().unwrap_or_else(|| AmqpError::InternalError.into());
                let connection = Arc::clone(&self.connection);
                links.others.spawn(async move { connection.close_link(receiver, why).await });
            }
            (LinkEndpoint::Sender(sender), refused) => {
                let why = refused.err().unwrap_or_else(|| AmqpError::InternalError.into());
                let connection = Arc::clone(&self.connection);
                links.others.spawn(async move { connection.close_sender(sender, why).await });
            }
        }
        Ok(())
    }

    /// Enters a link that gives replies into the connection's table.
    fn replies(
        &self,
        attach: &Attach,
        name: &str,
        node: Option<Arc<str>>,
        dynamic: &str,
        outlet: Outlet,
    ) -> Registered {
        let source = attach.source.as_deref();
        let target = attach.target.as_deref().map(|TargetArchetype::Target(target)| target);
        self.connection.replies.add(ReplyLink {
            id: 0,
            session: self.id,
            name: name.to_owned(),
            source: if source.is_some_and(|source| source.dynamic) {
                Some(dynamic.to_owned())
            } else {
                source.and_then(|source| source.address.clone())
            },
            target: target.and_then(|target| target.address.clone()),
            node,
            outlet,
        })
    }

    /// What a link is for over which the peer sends.
    fn request(&self, attach: &Attach) -> Result<Purpose, Error> {
        let target = attach.target.as_deref().map(|TargetArchetype::Target(target)| target);
        if target.is_some_and(|target| target.dynamic) {
            return Err(error(AmqpError::NotImplemented, "targets are not made on demand"));
        }
        let Some(address) = target.and_then(|target| target.address.as_deref()) else {
            self.known()?;
            return Ok(Purpose::Requests(None));
        };
        if address == COORDINATOR {
            return Err(error(AmqpError::NotImplemented, "there are no transactions"));
        }
        let path = address::path(address);
        match self.place(path)? {
            Place::Queue(name) => {
                may_work_on(&self.known()?, name)?;
                self.queues(path)?.check(name)?;
            }
            Place::Management | Place::Http | Place::Cbs => {}
        }
        Ok(Purpose::Requests(Some(Arc::from(path))))
    }

    /// What a link is for over which the peer receives.
    fn source(&self, attach: &Attach) -> Result<Purpose, Error> {
        let source = attach.source.as_deref();
        if source.is_some_and(|source| source.dynamic) {
            self.known()?;
            return Ok(Purpose::Replies(None));
        }
        let Some(address) = source.and_then(|source| source.address.as_deref()) else {
            return Err(error(AmqpError::InvalidField, "source.address: is missing"));
        };
        let path = address::path(address);
        match self.place(path)? {
            Place::Queue(name) => {
                may_work_on(&self.known()?, name)?;
                let queues = self.queues(path)?;
                queues.check(name)?;
                if attach.snd_settle_mode == SenderSettleMode::Settled {
                    let text = "snd-settle-mode: what a queue delivers is settled by its worker";
                    return Err(error(AmqpError::NotAllowed, text));
                }
                Ok(Purpose::Work(Arc::from(name), queues))
            }
            Place::Management | Place::Http | Place::Cbs => {
                Ok(Purpose::Replies(Some(Arc::from(path))))
            }
        }
    }

    fn place<'a>(&self, path: &'a str) -> Result<Place<'a>, Error> {
        let nowhere = || error(AmqpError::NotFound, format!("nothing at {path:?}"));
        let place = place(path).ok_or_else(nowhere)?;
        if place != Place::Cbs {
            self.known()?;
        }
        let places = &self.connection.places;
        let is_there = match place {
            Place::Management => places.management.is_some(),
            Place::Http => places.http.is_some(),
            Place::Queue(_) => places.queues.is_some(),
            Place::Cbs => true,
        };
        is_there.then_some(place).ok_or_else(nowhere)
    }

    fn queues(&self, path: &str) -> Result<Arc<dyn Queues>, Error> {
        let queues = self.connection.places.queues.clone();
        queues.ok_or_else(|| error(AmqpError::NotFound, format!("nothing at {path:?}")))
    }

    /// Who the peer is.
    fn known(&self) -> Result<Caller, Error> {
        match self.connection.identity() {
            Identity::Known(caller) => Ok(caller),
            Identity::Unproven => {
                Err(error(AmqpError::UnauthorizedAccess, "nobody has been authenticated"))
            }
        }
    }
}
