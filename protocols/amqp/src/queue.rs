//! Queues: AMQP 1.0 as a transport of workers.
//!
//! A worker receives from `queue/{name}`. Each delivery is an operation under a lease that opgate extends
//! for as long as the link lives and the delivery is not settled; how the worker settles it is how the
//! lease ends. What the worker made of it is sent to `queue/{name}` before, by the message id.
//!
//! A lease is ended exactly once: each open delivery is one task ([`delivery`]) that ends with it, whatever
//! becomes of link, session and connection. Who is late is fenced by the epoch in the lease, which is the
//! message id.

mod delivery;
mod message;
mod open;
mod ordered;
mod outcome;
mod report;
mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod told;
mod worker;

use std::sync::{Arc, PoisonError, RwLock};

use fe2o3_amqp_types::definitions::{AmqpError, Error as Refusal};
use opgate_bus::Bus;
use tokio_util::task::TaskTracker;

use crate::node::{Queues, Request, Taking, WorkerLink, Working};
use open::Open;
pub use ordered::{Inbound, Reading};
pub use settings::Settings;

/// The queues of a bus, for workers that come over AMQP.
#[derive(Clone, Debug)]
pub struct WorkQueues(Arc<Shared>);

/// What all worker links share.
#[derive(Debug)]
struct Shared {
    bus: Bus,
    /// What the next link may have.
    settings: RwLock<Settings>,
    open: Arc<Open>,
    /// The open deliveries: they outlive their links for as long as it takes to end their leases.
    deliveries: TaskTracker,
}

impl WorkQueues {
    /// Queues of that bus.
    pub fn new(bus: Bus, settings: Settings) -> Self {
        let open = Arc::new(Open::new(settings.held_bytes));
        let (settings, deliveries) = (RwLock::new(settings), TaskTracker::new());
        Self(Arc::new(Shared { bus, settings, open, deliveries }))
    }

    /// Has other bounds: of what results may weigh from now on, all else for links that are attached from now on.
    pub fn bound(&self, settings: Settings) {
        self.0.open.bound(settings.held_bytes);
        *self.0.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// Resolves once no delivery is open any more: their links have to end for that.
    pub async fn settled(&self) {
        self.0.deliveries.close();
        self.0.deliveries.wait().await;
    }
}

impl Shared {
    /// What a link may have that is attached now.
    fn settings(&self) -> Settings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues for WorkQueues {
    fn check(&self, queue: &str) -> Result<(), Refusal> {
        if self.0.bus.has_queue(queue) {
            return Ok(());
        }
        let text = format!("no route leads to a queue {queue:?}");
        Err(Refusal::new(AmqpError::NotFound, Some(text), None))
    }

    fn work(&self, link: WorkerLink) -> Working {
        Box::pin(worker::work(Arc::clone(&self.0), link))
    }

    fn take(&self, _queue: &str, request: Request) -> Taking {
        let Request { connection, message, values, .. } = request;
        report::take(&self.0, connection, message, values.as_ref())
    }
}
