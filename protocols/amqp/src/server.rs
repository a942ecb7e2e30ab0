//! The listener: connections, sessions, links, and the way of a request and its reply.

mod address;
mod cbs;
mod connection;
mod incoming;
mod refuse;
mod replies;
mod requests;
mod sasl;
mod session;
pub(crate) mod settings;
mod users;
mod waiting;
mod weight;

use std::io::Result;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use fe2o3_amqp_types::definitions::Fields;
use opgate_edge::{Acceptor, Drain, Most, Tls, tls};
use opgate_telemetry::{Listener, Metrics};

use crate::node::{ConnectionId, Places};
use connection::Shared;
use sasl::Origin;
use settings::{Limits, Product, Settings};
pub use users::Users;

/// The AMQP listener.
#[derive(Debug)]
pub struct Amqp {
    acceptor: Acceptor,
    tls: Option<Tls>,
    terms: TermsInForce,
    users: Arc<Users>,
    metrics: Arc<Metrics>,
}

/// What a connection may take and is told, from when it is accepted.
#[derive(Debug)]
struct Terms {
    limits: Limits,
    /// What the container says of itself.
    properties: Fields,
}

impl Terms {
    fn new(limits: Limits, product: Product) -> Self {
        Self { limits, properties: connection::properties(product) }
    }
}

/// What connections may take and are told, which can be replaced while the listener serves. Clones share it.
#[derive(Clone, Debug)]
pub struct TermsInForce {
    most: Most,
    terms: Arc<RwLock<Arc<Terms>>>,
}

impl TermsInForce {
    /// Has other terms: the number of connections from now on, all else for those that are accepted from now on. What
    /// is open goes on by the terms it was opened with.
    pub fn replace(&self, limits: Limits, product: Product) {
        self.most.set(limits.connections);
        let terms = Arc::new(Terms::new(limits, product));
        *self.terms.write().unwrap_or_else(PoisonError::into_inner) = terms;
    }

    fn now(&self) -> Arc<Terms> {
        Arc::clone(&self.terms.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Amqp {
    /// Binds the address. Connections wait in the kernel's queue until [`Amqp::serve`].
    ///
    /// # Errors
    /// Whatever keeps the address from being bound.
    pub async fn bind(settings: Settings, metrics: Arc<Metrics>) -> Result<Self> {
        let Settings { listen, anonymous, users, limits, product } = settings;
        let acceptor =
            Acceptor::bind(listen, Listener::Amqp, limits.connections, Arc::clone(&metrics))
                .await?;
        let terms = Arc::new(RwLock::new(Arc::new(Terms::new(limits, product))));
        let terms = TermsInForce { most: acceptor.most(), terms };
        Ok(Self {
            acceptor,
            tls: None,
            terms,
            users: Arc::new(Users::new(anonymous, users)),
            metrics,
        })
    }

    /// The address bound, with the port the kernel chose.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.acceptor.local_addr()
    }

    /// Has connections secured.
    #[must_use]
    pub fn secured(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// Its users, who can be replaced while it serves.
    pub fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users)
    }

    /// What connections may take and are told, which can be replaced while it serves.
    pub fn terms(&self) -> TermsInForce {
        self.terms.clone()
    }

    /// Serves until the drain is over: then no more requests are taken, what was taken is answered, and
    /// connections are closed with `amqp:connection:forced`.
    pub async fn serve(self, places: Places, drain: Drain) {
        let Self { acceptor, tls, terms, users, metrics } = self;
        let shared = Arc::new(Shared { places, users, drain: drain.clone(), metrics, tls });
        let last = AtomicU64::new(0);
        acceptor
            .serve(drain, move |stream, peer| {
                let id = ConnectionId(last.fetch_add(1, Ordering::Relaxed) + 1);
                let (shared, terms) = (Arc::clone(&shared), terms.now());
                async move {
                    let Shared { tls, drain, .. } = &*shared;
                    let within = terms.limits.handshake_timeout;
                    let secured = tls::secure(tls.as_ref(), stream, peer, within, drain).await;
                    let Some((stream, peer)) = secured else { return };
                    let certificate = peer.tls.and_then(|tls| tls.certificate);
                    let origin =
                        Origin { peer: Some(peer.remote), address: peer.remote.ip(), certificate };
                    connection::serve(shared, terms, id, stream, origin).await;
                }
            })
            .await;
    }
}
