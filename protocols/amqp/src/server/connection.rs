//! A connection, from its first byte to its last.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use fe2o3_amqp::acceptor::{ConnectionAcceptor, ListenerConnectionHandle, SessionAcceptor};
use fe2o3_amqp::{Receiver, Sender};
use fe2o3_amqp_types::definitions::{AmqpError, ConnectionError, Error, Fields};
use fe2o3_amqp_types::messaging::{Body, Message};
use opgate_bus::Via;
use opgate_bus::core::Face;
use opgate_edge::{Drain, Tls};
use opgate_telemetry::{self as telemetry, AmqpRefusal, Listener, Metrics, Place};
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Mutex, Notify};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error as log_error};

use super::Terms;
use super::cbs::{self, NotTaken, Proven};
use super::refuse::error;
use super::replies::Replies;
use super::sasl::{self, Identity, Origin};
use super::session::{READ_TIMEOUT, Session};
use super::settings::{Limits, Product};
use super::users::Users;
use super::waiting::Waits;
use crate::cut::Cut;
use crate::fence::{Fence, Opening, Transport, Watch};
use crate::node::{ConnectionId, Places, Replying};
use crate::queue::Inbound;

/// What the container calls itself.
const CONTAINER: &str = "opgate";

/// Time for a peer to answer our Close or Detach.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Transfers a session may have under way: as good as no bound. A smaller one would be renewed by flows
/// without a link, which azure-eventhub does not survive; links have credit.
const WINDOW: u32 = 0x3fff_ffff;
/// Longest wait for a token to expire between two looks at the clock.
const CLOCK: Duration = Duration::from_mins(1);
/// Links of a connection whose peer has proven nothing: one to put a token, one for the answer.
const UNPROVEN_LINKS: usize = 2;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) places: Places,
    pub(super) users: Arc<Users>,
    pub(super) drain: Drain,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tls: Option<Tls>,
}

/// What all links of a connection share.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) places: Places,
    pub(super) limits: Limits,
    pub(super) drain: Drain,
    pub(super) replies: Arc<Replies>,
    pub(super) metrics: Arc<Metrics>,
    /// The links over which messages come.
    pub(super) inbound: Inbound,
    /// What Open, Begin and Attach carry: azure-eventhub reads their fields by number, to the last.
    pub(super) properties: Fields,
    /// The request links being served.
    pub(super) requests: TaskTracker,
    /// What the fence sees of it.
    pub(super) watch: Watch,
    /// What waits on its request links.
    pub(super) waiting: Waits,
    links: Arc<AtomicUsize>,
    dynamic: AtomicUsize,
    standing: RwLock<Standing>,
    /// Told when the standing has changed.
    proven: Notify,
    users: Arc<Users>,
    origin: Origin,
    /// Held by the token that is looked at: one at a time.
    proving: Mutex<()>,
}

/// Who the peer is, and for how long.
#[derive(Debug)]
struct Standing {
    identity: Identity,
    /// When the last of the tokens expires by which it is somebody; none if it needs none.
    until: Option<SystemTime>,
}

/// A link that counts, until this is dropped.
#[derive(Debug)]
pub(super) struct LinkSlot(Arc<AtomicUsize>);

impl Drop for LinkSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves a connection to its end.
pub(super) async fn serve<Io>(
    shared: Arc<Shared>,
    terms: Arc<Terms>,
    id: ConnectionId,
    io: Io,
    origin: Origin,
) where
    Io: Transport + std::fmt::Debug + 'static,
{
    let cut = CancellationToken::new();
    let _cut = cut.clone().drop_guard();
    // What it takes to open is given back once the connection is open.
    let opening = Box::pin(open(&shared, &terms, io, &origin, cut));
    let opening = timeout(terms.limits.handshake_timeout, opening);
    let Opened { handle, identity, watch } = tokio::select! {
        opened = opening => match opened {
            Ok(Ok(Some(opened))) => opened,
            Ok(Ok(None)) => {
                shared.metrics.amqp.refused.of(AmqpRefusal::SignIn).increment(1);
                return debug!(peer = %origin.address, "refused");
            }
            Ok(Err(error)) => return debug!(peer = %origin.address, %error, "cannot be opened"),
            Err(_) => {
                shared.metrics.edge.cut.of(Listener::Amqp).of(telemetry::Cut::Silent).increment(1);
                return debug!(peer = %origin.address, "did not open in time");
            }
        },
        () = shared.drain.started() => return,
    };
    let connection = Arc::new(Connection {
        id,
        places: shared.places.clone(),
        limits: terms.limits,
        drain: shared.drain.clone(),
        replies: Arc::default(),
        metrics: Arc::clone(&shared.metrics),
        inbound: Inbound::default(),
        properties: terms.properties.clone(),
        requests: TaskTracker::new(),
        watch,
        waiting: Waits::default(),
        links: Arc::default(),
        dynamic: AtomicUsize::new(0),
        standing: RwLock::new(Standing { identity, until: None }),
        proven: Notify::new(),
        users: Arc::clone(&shared.users),
        origin,
        proving: Mutex::default(),
    });
    connection.serve(handle).await;
}

/// A connection whose peer has sent its Open.
struct Opened {
    handle: ListenerConnectionHandle,
    identity: Identity,
    watch: Watch,
}

/// From the first header to the peer's Open. None: it was refused, and told so.
async fn open<Io>(
    shared: &Shared,
    terms: &Terms,
    io: Io,
    origin: &Origin,
    cut: CancellationToken,
) -> io::Result<Option<Opened>>
where
    Io: Transport + std::fmt::Debug + 'static,
{
    let limits = &terms.limits;
    let mut io = Fence::new(io, &[], limits.fence());
    let watch = io.watch();
    let identity = match io.opening().await? {
        Opening::Sasl => sasl::serve(&mut io, &shared.users, origin).await?,
        opening @ (Opening::Amqp | Opening::Other(_)) => {
            let welcome = match shared.users.anonymous(origin) {
                Some(known @ Identity::Known(..)) if opening == Opening::Amqp => Some(known),
                _ => None,
            };
            if welcome.is_none() {
                // What would be spoken with it (AMQP 1.0, 2.2).
                io.write_all(&sasl::HEADER).await?;
            }
            welcome
        }
    };
    let Some(identity) = identity else {
        io.shutdown().await?;
        return Ok(None);
    };
    let acceptor = ConnectionAcceptor::builder()
        .container_id(CONTAINER)
        .max_frame_size(limits.frame_bytes)
        .session_max(limits.sessions)
        .idle_time_out(u32::try_from(limits.idle_timeout.as_millis()).unwrap_or(u32::MAX))
        .add_offered_capabilities("ANONYMOUS-RELAY")
        .properties(terms.properties.clone())
        .build();
    let handle = acceptor.accept(Cut::new(io, cut)).await.map_err(io::Error::other)?;
    Ok(Some(Opened { handle, identity, watch }))
}

pub(super) fn properties(product: Product) -> Fields {
    let mut properties = Fields::new();
    properties.insert(Symbol::from("product"), Value::from(product.name));
    properties.insert(Symbol::from("version"), Value::from(product.version));
    // RabbitMQ's client for Java does not go on without.
    properties.insert(Symbol::from("node"), Value::from(CONTAINER));
    properties
}

impl Connection {
    /// The way its requests come.
    pub(super) const fn via(&self) -> Via {
        Via { face: Some(Face::Amqp), peer: self.origin.peer }
    }

    async fn serve(self: Arc<Self>, mut handle: ListenerConnectionHandle) {
        let mut sessions = JoinSet::new();
        let mut begun = 0;
        let mut unproven = self.identity() == Identity::Unproven;
        let mut changes = self.users.changes();
        let mut time_is_up = pin!(sleep(self.limits.handshake_timeout));
        let why = loop {
            tokio::select! {
                biased;
                Some(ended) = sessions.join_next() => self.contain(ended),
                () = self.drained() => {
                    break error(ConnectionError::ConnectionForced, "opgate is shutting down");
                }
                Ok(()) = changes.changed() => {
                    if !self.users.welcome(&self.origin, &self.identity()) {
                        self.metrics.amqp.refused.of(AmqpRefusal::SignIn).increment(1);
                        break error(AmqpError::UnauthorizedAccess, "the user is one no longer");
                    }
                }
                () = &mut time_is_up, if unproven => {
                    unproven = false;
                    if self.identity() == Identity::Unproven {
                        self.metrics.amqp.refused.of(AmqpRefusal::SignIn).increment(1);
                        break error(AmqpError::UnauthorizedAccess, "no token was put in time");
                    }
                }
                () = self.expired() => {
                    self.metrics.amqp.refused.of(AmqpRefusal::Token).increment(1);
                    break error(AmqpError::UnauthorizedAccess, "the token has expired");
                }
                incoming = handle.next_incoming_session() => {
                    let Some(incoming) = incoming else {
                        if let Some(reason) = self.watch.ended() {
                            self.metrics.amqp.refused.of(AmqpRefusal::Frame).increment(1);
                            debug!(?reason, "a connection was cut");
                        }
                        // They read what came before the end.
                        let read = async {
                            while let Some(ended) = sessions.join_next().await {
                                self.contain(ended);
                            }
                        };
                        if timeout(READ_TIMEOUT, read).await.is_err() {
                            debug!("not all was read that a connection had brought");
                        }
                        return;
                    };
                    let channel = incoming.channel;
                    let acceptor = SessionAcceptor::builder()
                        .incoming_window(WINDOW)
                        .handle_max(self.limits.handle_max())
                        .properties(self.properties.clone())
                        .build();
                    match acceptor.accept_incoming_session(incoming, &mut handle).await {
                        Ok(session) => {
                            begun += 1;
                            let connection = Arc::clone(&self);
                            sessions.spawn(Session { connection, id: begun, channel, handle: session }.serve());
                        }
                        // Where the connection is gone, there will not be another.
                        Err(error) => debug!(%error, "a session cannot begin"),
                    }
                }
            }
        };
        if let Err(silence) = timeout(CLOSE_TIMEOUT, handle.close_with_error(why)).await {
            debug!(%silence, "no answer to a close");
        }
    }

    /// Looks how a task of the connection ended. A panic ends what it was in, and nothing else.
    pub(super) fn contain(&self, ended: Result<(), JoinError>) {
        if ended.is_err_and(|error| error.is_panic()) {
            self.metrics.edge.panics.of(Place::Request).increment(1);
            log_error!("a request or link of a connection panicked");
        }
    }

    /// Completes when the drain has begun and every request that was taken is answered, or its deadline is so near that
    /// the peer can only just be told.
    ///
    /// The answers are written, too, unless the peer takes none: what the crate's tasks still hold of them would be
    /// overtaken by a Close.
    async fn drained(&self) {
        self.drain.started().await;
        self.requests.close();
        let deadline = self.drain.deadline().unwrap_or_else(Instant::now);
        let left = deadline.saturating_duration_since(Instant::now());
        let told = deadline.checked_sub(CLOSE_TIMEOUT.min(left / 2)).unwrap_or(deadline);
        if timeout_at(told, self.requests.wait()).await.is_err() {
            debug!("a stop leaves requests without their replies");
            return;
        }
        if timeout(CLOSE_TIMEOUT, self.watch.outgoing().written()).await.is_err() {
            debug!("a peer does not take its replies");
        }
    }

    pub(super) fn identity(&self) -> Identity {
        self.standing.read().unwrap_or_else(PoisonError::into_inner).identity.clone()
    }

    /// Takes a token that was put to `$cbs`.
    ///
    /// A token is a password that is tried: the next one is looked at a while after one that was wrong.
    pub(super) fn put_token(self: &Arc<Self>, message: Message<Body<Value>>) -> Replying {
        let this = Arc::clone(self);
        Replying::later(async move {
            let _turn = this.proving.lock().await;
            let put = cbs::put(&message, &this.users, SystemTime::now());
            if put.as_ref().is_err_and(NotTaken::is_proof) && this.users.has_passwords() {
                sleep(sasl::REFUSAL).await;
            }
            let taken = this.take(put);
            if taken.is_err() {
                this.metrics.amqp.refused.of(AmqpRefusal::Token).increment(1);
            }
            cbs::reply(taken)
        })
    }

    /// Who was let in without a name is nobody still if a token proves nothing: Azure's clients sign with whatever
    /// key they were given for an emulator.
    fn take(&self, put: Result<Proven, NotTaken>) -> Result<(), NotTaken> {
        let mut standing = self.standing.write().unwrap_or_else(PoisonError::into_inner);
        let nobody = standing.identity == Identity::anonymous();
        let Proven { caller, until } = match put {
            Err(refused) if refused.is_proof() && nobody => return Ok(()),
            put => put?,
        };
        let identity = Identity::Known(caller);
        if nobody || standing.identity == Identity::Unproven {
            *standing = Standing { identity, until: Some(until) };
        } else if standing.identity == identity {
            standing.until = standing.until.map(|known| known.max(until));
        } else {
            return Err(cbs::OF_ANOTHER);
        }
        self.proven.notify_one();
        Ok(())
    }

    /// Completes when the last token has expired by which the peer is somebody.
    async fn expired(&self) {
        loop {
            let until = self.standing.read().unwrap_or_else(PoisonError::into_inner).until;
            let Some(until) = until else {
                self.proven.notified().await;
                continue;
            };
            let left = until.duration_since(SystemTime::now()).unwrap_or_default();
            if left.is_zero() {
                return;
            }
            // The clock may be set meanwhile.
            drop(timeout(left.min(CLOCK), self.proven.notified()).await);
        }
    }

    /// How the peer's container calls itself.
    pub(super) fn container(&self) -> Option<Arc<str>> {
        self.watch.peer().map(|open| Arc::from(open.container_id.as_str()))
    }

    /// A place for one more link.
    pub(super) fn slot(&self) -> Result<LinkSlot, Error> {
        let open = self.links.fetch_add(1, Ordering::Relaxed);
        let slot = LinkSlot(Arc::clone(&self.links));
        let unproven = self.identity() == Identity::Unproven;
        let limit = if unproven { UNPROVEN_LINKS } else { self.limits.links };
        if open < limit {
            return Ok(slot);
        }
        let whose = if unproven { " before a token is put" } else { "" };
        let text = format!("at most {limit} links on a connection{whose}");
        Err(error(AmqpError::ResourceLimitExceeded, text))
    }

    /// An address that no other link of this connection has.
    pub(super) fn dynamic_address(&self) -> String {
        let number = self.dynamic.fetch_add(1, Ordering::Relaxed);
        format!("reply/{}-{number}", self.id.0)
    }

    pub(super) async fn close_link(&self, receiver: Receiver, why: Error) {
        if let Err(silence) = timeout(CLOSE_TIMEOUT, receiver.close_with_error(why)).await {
            debug!(%silence, "no answer to a detach");
        }
    }

    pub(super) async fn close_sender(&self, sender: Sender, why: Error) {
        if let Err(silence) = timeout(CLOSE_TIMEOUT, sender.close_with_error(why)).await {
            debug!(%silence, "no answer to a detach");
        }
    }
}
