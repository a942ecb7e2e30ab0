//! The client of a gRPC service with google.longrunning operations, as a backend: whatever protocol an
//! operation was started in, it is carried out by a method that returns `google.longrunning.Operation`.
//!
//! ```text
//!             start (idempotency-key = the operation's id)
//!   done -----------------------> succeeded, failed or canceled, as it says
//!   refused for good -----------> failed, with the service's own words
//!   certainly not looked at ----> the same start again, under the next lease
//!   no answer to what was sent -> failed as "outcome_unknown"; where it may come twice: again
//!   not done -------------------> its name is durable, then it is waited for until it is done (watch.rs)
//! ```
//!
//! One future, that of the lease, follows an operation upstream, however many wait for it here: by
//! `WaitOperation` where the service has it, else by `GetOperation`. Payloads are bytes: a request that
//! is protobuf already goes as it came, and a result keeps its type. An operation that is not found any
//! more is looked for some time before it fails (semantics S6): nobody knows then how it ended.

mod call;
mod cancel;
mod endpoint;
mod plan;
mod reply;
mod request;
mod said;
mod settings;
mod start;
mod watch;

use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use opgate_bus::{Admission, Backend, Backoff, Gate, Lease, Offer, Route, Snapshot};
use opgate_core::{Error, Outcome};
use opgate_egress::{Multiplexed, Network, System};
use tokio::sync::{Notify, Semaphore};

use crate::types::Types;
use plan::Plan;

pub use endpoint::Endpoint;
pub use plan::{
    CANCEL, FORWARDED, HEADERS, IDEMPOTENT, METADATA, METHOD, REQUEST, REQUEST_ID, REQUEST_TYPE,
    RESULT, START_WITHIN, check_options, is_ours,
};
#[cfg(feature = "fidelity")]
pub(crate) use reply::failed;
pub use settings::Settings;

/// Time for one call unless configured otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// The wait between the first two looks unless configured otherwise: Google's clients' first.
pub const POLL_FIRST: Duration = Duration::from_secs(1);
/// The longest wait between two looks unless configured otherwise.
pub const POLL_LONGEST: Duration = Duration::from_secs(30);
/// How long an operation upstream is looked for that is not found, unless configured otherwise.
pub const GRACE: Duration = Duration::from_mins(5);
/// Operations that are waited for at once unless configured otherwise: servers take some 100 calls over
/// one connection.
pub const WAITS: usize = 64;

/// What an operation's state is called here while it runs upstream, where its metadata has no word.
const RUNNING: &str = "RUNNING";
/// And once it is done.
const DONE: &str = "DONE";

/// The backend of one upstream service. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Upstream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    /// What is known of its messages.
    types: RwLock<Arc<Types>>,
    /// For starts, looks and cancels.
    line: Multiplexed,
    /// For waits: nothing else is to wait behind them.
    waiting: Multiplexed,
    /// Room for waits.
    waits: Semaphore,
    /// Whether the service said that it has no `WaitOperation`.
    waitless: AtomicBool,
}

impl Upstream {
    /// Calls the service over the system's network. `types`: what is known of its messages.
    pub fn new(settings: Settings, types: Arc<Types>) -> Self {
        Self::on(Arc::new(System::default()), settings, types)
    }

    /// Calls the service over another network.
    pub fn on(network: Arc<dyn Network>, settings: Settings, types: Arc<Types>) -> Self {
        let line = |network| {
            let destination = settings.endpoint.destination().clone();
            Multiplexed::new(network, destination, settings.tls.clone())
        };
        let (line, waiting) = (line(Arc::clone(&network)), line(network));
        Self(Arc::new(Inner {
            types: RwLock::new(types),
            line,
            waiting,
            waits: Semaphore::new(settings.waits.min(Semaphore::MAX_PERMITS)),
            waitless: AtomicBool::new(false),
            settings,
        }))
    }
}

impl Upstream {
    /// Knows other types from now on.
    pub fn learn(&self, types: Arc<Types>) {
        *self.0.types.write().unwrap_or_else(PoisonError::into_inner) = types;
    }
}

impl Inner {
    fn types(&self) -> Arc<Types> {
        Arc::clone(&self.types.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Backend for Upstream {
    /// Refuses an input that the request upstream cannot be made of.
    fn admit(&self, offer: &Offer<'_>) -> Result<Admission, Error> {
        let plan = request::plan(&self.0.types(), offer.route)?;
        request::check(&plan, &offer.start.input)?;
        Ok(Admission::Accept)
    }

    fn run(&self, lease: Lease) -> Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let plan = request::plan(&inner.types(), lease.route())?;
            let (name, now) = match name(lease.operation()) {
                Some(name) => (name, None),
                None => match Box::pin(inner.start(&lease, &plan)).await? {
                    start::Begun::Ended(outcome) => return Ok(outcome),
                    start::Begun::Running(name, now) => (name, Some(now)),
                },
            };
            inner.wait(&lease, &plan, &name, now).await
        })
    }

    fn gate(&self) -> Option<&Gate> {
        Some(&self.0.settings.gate)
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(self.0.settings.retry)
    }

    fn abandon(
        &self,
        route: &Route,
        operation: Arc<Snapshot>,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        // What is done upstream is not to be canceled.
        let name = name(&operation).filter(|_| &*operation.native_state != DONE)?;
        let (inner, route) = (Arc::clone(&self.0), route.clone());
        Some(Box::pin(async move { inner.abandon(&route, &operation, &name).await }))
    }
}

/// The name of an operation upstream, where the service has said one.
fn name(operation: &Snapshot) -> Option<String> {
    let name = &operation.routed.native_ref;
    (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
}

impl Inner {
    /// Waits for the end, and tells the service of a cancel. `started`: the operation, where it just was.
    async fn wait(
        &self,
        lease: &Lease,
        plan: &Plan<'_>,
        name: &str,
        started: Option<Arc<Snapshot>>,
    ) -> Result<Outcome, Error> {
        let hurry = Notify::new();
        tokio::select! {
            outcome = self.watch(lease, plan, name, started, &hurry) => outcome,
            never = self.pass_cancel_on(lease, plan, name, &hurry) => match never {},
        }
    }
}
