//! The metric catalogue of opgate, as typed handles.
//!
//! Every metric is declared once, in [`catalogue`]; every series with a fixed set of labels exists from the start and
//! reads 0, so an alert never meets "no data". A call site holds a handle and never names a metric, a label string or
//! a macro: recording costs no allocation and no look-up beyond an array index.
//!
//! This crate must never know where the numbers go: it takes handles from whatever `metrics` recorder is current when
//! [`Metrics::register`] runs, and renders by itself only what the recorder cannot hold cheaply (see [`requests`]) or
//! does not know ([`process`]).
//!
//! Entry point: [`Metrics::register`].

pub mod catalogue;
mod exposition;
mod groups;
mod handle;
mod label;
pub mod process;
pub mod requests;

use std::fmt;
use std::sync::Arc;

pub use catalogue::{CATALOGUE, Kind, MetricSpec, Unit};
pub use groups::{
    AmqpMetrics, BackendMetrics, BusMetrics, CallbackMetrics, DispatchMetrics, EdgeMetrics,
    GatewayMetrics, JournalMetrics, SignatureMetrics, StoreMetrics, Translation, Translations,
};
pub use handle::{Counter, Family, Gauge, Held, Histogram};
pub use label::{
    AmqpLoss, AmqpRefusal, CallbackResult, Code, Cut, HandshakeFault, JournalFault, Label,
    Listener, Method, Outcome, Permit, Place, Protocol, Reload, Removal, SignatureFault, State,
};
pub use requests::{InFlight, Requests};

/// Every handle of the daemon, grouped by the part that records it.
#[derive(Debug)]
pub struct Metrics {
    /// The daemon as a whole.
    pub gateway: GatewayMetrics,
    /// Requests by protocol, method and code: the path every request takes.
    pub requests: Requests,
    /// Sockets and connections.
    pub edge: EdgeMetrics,
    /// Operations as the bus sees them.
    pub bus: BusMetrics,
    /// The durable log.
    pub journal: JournalMetrics,
    /// What is held in memory, and the recovery that filled it.
    pub store: StoreMetrics,
    /// Leases and calls to backends.
    pub dispatch: DispatchMetrics,
    /// Callbacks and their delivery.
    pub callbacks: CallbackMetrics,
    /// Signatures of requests.
    pub signatures: SignatureMetrics,
    /// AMQP.
    pub amqp: AmqpMetrics,
}

impl Metrics {
    /// Creates every handle and every series with fixed labels, from the `metrics` recorder current on this thread.
    ///
    /// `backends` are the configured backend names: the closed set of values of the label `backend`. Without a
    /// recorder the handles record nothing.
    pub fn register(backends: &[&str]) -> Arc<Self> {
        handle::describe(CATALOGUE);
        Arc::new(Self {
            gateway: GatewayMetrics::register(),
            requests: Requests::new(),
            edge: EdgeMetrics::register(),
            bus: BusMetrics::register(backends),
            journal: JournalMetrics::register(),
            store: StoreMetrics::register(),
            dispatch: DispatchMetrics::register(backends),
            callbacks: CallbackMetrics::register(),
            signatures: SignatureMetrics::register(),
            amqp: AmqpMetrics::register(),
        })
    }

    /// Has handles for one more backend, from the `metrics` recorder current on this thread; for one that has them
    /// already, nothing is done. False where more have come since the start than there is room for.
    pub fn admit(&self, backend: &str) -> bool {
        self.dispatch.add(backend) && self.bus.translations.add(backend)
    }

    /// Writes the families the recorder does not hold (requests and process) in the Prometheus text format, to be
    /// appended to what the recorder renders. Reads `/proc`: not for a task that must not block.
    pub fn render(&self, out: &mut impl fmt::Write) -> fmt::Result {
        self.requests.render(out)?;
        process::render(out)
    }
}
