//! The listener: connections, sessions, links, and the way of a request and its reply.

mod address;
mod cbs;
mod connection;
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
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opgate_edge::{Acceptor, Drain, Tls, tls};
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
    limits: Limits,
    product: Product,
    users: Arc<Users>,
    metrics: Arc<Metrics>,
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
        Ok(Self {
            acceptor,
            tls: None,
            limits,
            product,
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

    /// Serves until the drain is over: then no more requests are taken, what was taken is answered, and
    /// connections are closed with `amqp:connection:forced`.
    pub async fn serve(self, places: Places, drain: Drain) {
        let Self { acceptor, tls, limits, product, users, metrics } = self;
        let properties = connection::properties(product);
        let drains = drain.clone();
        let shared = Shared { places, limits, properties, users, drain: drains, metrics, tls };
        let shared = Arc::new(shared);
        let last = AtomicU64::new(0);
        acceptor
            .serve(drain, move |stream, peer| {
                let id = ConnectionId(last.fetch_add(1, Ordering::Relaxed) + 1);
                let shared = Arc::clone(&shared);
                async move {
                    let Shared { tls, limits, drain, .. } = &*shared;
                    let within = limits.handshake_timeout;
                    let secured = tls::secure(tls.as_ref(), stream, peer, within, drain).await;
                    let Some((stream, peer)) = secured else { return };
                    let certificate = peer.tls.and_then(|tls| tls.certificate);
                    let origin =
                        Origin { peer: Some(peer.remote), address: peer.remote.ip(), certificate };
                    connection::serve(shared, id, stream, origin).await;
                }
            })
            .await;
    }
}
