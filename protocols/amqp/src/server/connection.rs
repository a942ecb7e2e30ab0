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
use opgate_edge::{Drain, Tls};
use opgate_telemetry::{AmqpRefusal, Cut, Listener, Metrics, Place};
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error as log_error};

use super::cbs::{self, NotTaken};
use super::io::Stream;
use super::refuse::error;
use super::replies::Replies;
use super::sasl::{self, Identity, Origin};
use super::session::Session;
use super::settings::{Limits, Product};
use super::users::Users;
use crate::fence::{Fence, Opening, Transport, Watch};
use crate::node::{ConnectionId, Places, Replying};
use crate::queue::Inbound;

/// Time for a peer to answer our Close or Detach.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Transfers a session may have under way: as good as no bound. A smaller one would be renewed by flows
/// without a link, which azure-eventhub does not survive; links have credit.
const WINDOW: u32 = 0x3fff_ffff;
/// Frames that may wait between the tasks of a connection.
const BUFFER: usize = 256;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) places: Places,
    pub(super) limits: Limits,
    /// What the container says of itself.
    pub(super) properties: Fields,
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
    links: Arc<AtomicUsize>,
    dynamic: AtomicUsize,
    identity: RwLock<Identity>,
    users: Arc<Users>,
    origin: Origin,
    /// Held by the token that is looked at: one at a time.
    proving: Mutex<()>,
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
pub(super) async fn serve<Io>(shared: Arc<Shared>, id: ConnectionId, io: Io, origin: Origin)
where
    Io: Transport + std::fmt::Debug + 'static,
{
    let cut = CancellationToken::new();
    let _cut = cut.clone().drop_guard();
    let opening = timeout(shared.limits.handshake_timeout, open(&shared, io, &origin, cut));
    let Opened { handle, identity, watch } = tokio::select! {
        opened = opening => match opened {
            Ok(Ok(Some(opened))) => opened,
            Ok(Ok(None)) => {
                shared.metrics.amqp.refused.of(AmqpRefusal::SignIn).increment(1);
                return debug!(peer = %origin.address, "refused");
            }
            Ok(Err(error)) => return debug!(peer = %origin.address, %error, "cannot be opened"),
            Err(_) => {
                shared.metrics.edge.cut.of(Listener::Amqp).of(Cut::Silent).increment(1);
                return debug!(peer = %origin.address, "did not open in time");
            }
        },
        () = shared.drain.started() => return,
    };
    let connection = Arc::new(Connection {
        id,
        places: shared.places.clone(),
        limits: shared.limits,
        drain: shared.drain.clone(),
        replies: Arc::default(),
        metrics: Arc::clone(&shared.metrics),
        inbound: Inbound::default(),
        properties: shared.properties.clone(),
        requests: TaskTracker::new(),
        watch,
        links: Arc::default(),
        dynamic: AtomicUsize::new(0),
        identity: RwLock::new(identity),
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
    io: Io,
    origin: &Origin,
    cut: CancellationToken,
) -> io::Result<Option<Opened>>
where
    Io: Transport + std::fmt::Debug + 'static,
{
    let limits = &shared.limits;
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
        .container_id("opgate")
        .max_frame_size(limits.frame_bytes)
        .session_max(limits.sessions)
        .idle_time_out(u32::try_from(limits.idle_timeout.as_millis()).unwrap_or(u32::MAX))
        .add_offered_capabilities("ANONYMOUS-RELAY")
        .properties(shared.properties.clone())
        .buffer_size(BUFFER)
        .build();
    let handle = acceptor.accept(Stream::new(io, cut)).await.map_err(io::Error::other)?;
    Ok(Some(Opened { handle, identity, watch }))
}

pub(super) fn properties(product: Product) -> Fields {
    let mut properties = Fields::new();
    properties.insert(Symbol::from("product"), Value::from(product.name));
    properties.insert(Symbol::from("version"), Value::from(product.version));
    properties
}

impl Connection {
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
                incoming = handle.next_incoming_session() => {
                    let Some(incoming) = incoming else {
                        if let Some(reason) = self.watch.ended() {
                            self.metrics.amqp.refused.of(AmqpRefusal::Frame).increment(1);
                            debug!(?reason, "a connection was cut");
                        }
                        return;
                    };
                    let channel = incoming.channel;
                    let acceptor = SessionAcceptor::builder()
                        .incoming_window(WINDOW)
                        .handle_max(self.limits.handle_max())
                        .properties(self.properties.clone())
                        .buffer_size(BUFFER)
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

    /// Completes when the drain has begun and every request that was taken is answered.
    async fn drained(&self) {
        self.drain.started().await;
        self.requests.close();
        self.requests.wait().await;
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a token that was put to `$cbs`. Who was let in without one is nobody still if it proves
    /// nothing: Azure's clients sign with whatever key they were given for an emulator.
    ///
    /// A token is a password that is tried: the next one is looked at a while after one that was wrong.
    pub(super) fn put_token(self: &Arc<Self>, message: Message<Body<Value>>) -> Replying {
        let this = Arc::clone(self);
        Box::pin(async move {
            let _turn = this.proving.lock().await;
            let (taken, guessed) = this.prove(&message);
            if guessed {
                sleep(sasl::REFUSAL).await;
            }
            cbs::reply(&taken)
        })
    }

    /// Takes a token; and whether it was a wrong one that somebody could have tried.
    fn prove(&self, message: &Message<Body<Value>>) -> (Result<Option<Identity>, NotTaken>, bool) {
        let mut identity = self.identity.write().unwrap_or_else(PoisonError::into_inner);
        let taken = cbs::put(message, &self.users, SystemTime::now());
        let proof = taken.as_ref().is_err_and(NotTaken::is_proof);
        let guessed = proof && self.users.has_passwords();
        if proof && *identity != Identity::Unproven {
            return (Ok(None), guessed);
        }
        if taken.is_err() {
            self.metrics.amqp.refused.of(AmqpRefusal::Token).increment(1);
        }
        let nobody = *identity == Identity::anonymous();
        if let Ok(Some(proven)) = &taken
            && (nobody || *identity == Identity::Unproven)
        {
            *identity = proven.clone();
        }
        (taken, guessed)
    }

    /// How the peer's container calls itself.
    pub(super) fn container(&self) -> Option<Arc<str>> {
        self.watch.peer().map(|open| Arc::from(open.container_id.as_str()))
    }

    /// A place for one more link.
    pub(super) fn slot(&self) -> Result<LinkSlot, Error> {
        let open = self.links.fetch_add(1, Ordering::Relaxed);
        let slot = LinkSlot(Arc::clone(&self.links));
        if open < self.limits.links {
            Ok(slot)
        } else {
            let text = format!("at most {} links on a connection", self.limits.links);
            Err(error(AmqpError::ResourceLimitExceeded, text))
        }
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
