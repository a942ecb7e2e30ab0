//! A gateway that serves, until it is told to stop.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opgate_amqp::http::HttpNode;
use opgate_amqp::queue::WorkQueues;
use opgate_amqp::{TermsInForce, Users};
use opgate_bus::{Bus, Health};
use opgate_edge::{Condition, DrainTrigger, Exporter, LimitsInForce};
use opgate_oci::signature::Verifier;
use opgate_store::Store;
use opgate_telemetry::{Metrics, Reload};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{error, warn};

use crate::audit::Audit;
use crate::faces::{Faces, Front, Parts};
use crate::latest::Latest;
use crate::settings::{self, BackendKind, Problems, Settings};
use crate::tls::Secured;
use crate::upstreams::Upstreams;
use crate::{BEAT, StartError};

/// How often the store may forget what is due.
const TIDY: Duration = Duration::from_secs(1);
/// How long the admin listener's requests have to end: operators watch the drain through it.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// How long deliveries whose links have ended may take to end.
const SETTLING: Duration = Duration::from_secs(5);

/// How long a request takes at most from its last byte to its start.
const DECODING: Duration = Duration::from_secs(5);

/// Why settings that were read again are not in force.
#[derive(Debug)]
pub enum Unusable<'a> {
    /// What is wrong with them.
    Problems(&'a Problems),
    /// They do not go together with what of them takes a restart.
    Together(StartError),
}

/// The addresses bound, with the ports the system chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// gRPC and every other HTTP protocol.
    pub http: SocketAddr,
    /// AMQP.
    pub amqp: SocketAddr,
    /// Whether that speaks TLS.
    pub http_tls: bool,
    /// Metrics and health.
    pub admin: SocketAddr,
    /// Whether that speaks TLS.
    pub admin_tls: bool,
}

/// A gateway that serves. Dropping it cuts every connection; what was acknowledged is durable.
#[derive(Debug)]
pub struct Running {
    pub(crate) addresses: Addresses,
    /// Those in force.
    pub(crate) settings: Latest<Settings>,
    pub(crate) exporter: Exporter,
    pub(crate) upstreams: Upstreams,
    pub(crate) parts: Parts,
    pub(crate) front: Front,
    /// HTTP over AMQP.
    pub(crate) over_amqp: Arc<HttpNode>,
    pub(crate) drain: Mutex<settings::Drain>,
    /// What the peers of the listeners may take.
    pub(crate) limits: LimitsInForce,
    pub(crate) terms: TermsInForce,
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    /// Who may sign OCI requests.
    pub(crate) verifier: Arc<Verifier>,
    /// What listeners prove themselves with.
    pub(crate) secured: Secured,
    /// Whether new traffic is welcome.
    pub(crate) traffic: Condition,
    pub(crate) http: Serving,
    pub(crate) amqp: Serving,
    /// The queues that workers receive from over AMQP.
    pub(crate) workers: WorkQueues,
    /// Who may come over AMQP.
    pub(crate) users: Arc<Users>,
    pub(crate) admin: Serving,
    /// What goes on beside the requests.
    pub(crate) upkeep: JoinSet<()>,
    /// Who asked for what; none where nobody keeps it.
    pub(crate) audit: Option<Arc<Audit>>,
}

impl Running {
    /// Where it serves.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Whether the part that must never hang, the journal's thread, still moves; as `/livez` answers.
    pub fn liveness(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let store = self.store.clone();
        move || store.beats_within(BEAT)
    }

    /// Goes by settings that were read again, but for what takes a restart: by other routes and what faces make of
    /// them, by which keys OCI requests are signed, who may come over AMQP, the certificates and authorities of TLS,
    /// how much peers may take, how each upstream is called, and how much each backend carries out at once. No request
    /// is dropped for it, and connections stay who they are, but for those of AMQP whose user is one no longer.
    ///
    /// Returned is what has to wait for a restart with the backend that it is about. The audit file is opened anew in
    /// any case.
    ///
    /// # Errors
    /// Settings that could not be used are counted, and change nothing.
    pub fn reload<'a>(
        &self,
        loaded: Result<&Settings, &'a Problems>,
    ) -> Result<Vec<String>, Unusable<'a>> {
        if let Some(audit) = &self.audit {
            audit.reopen();
        }
        let taken = match loaded {
            Ok(read) => self.take_over(read).map_err(Unusable::Together),
            Err(problems) => Err(Unusable::Problems(problems)),
        };
        let result = if taken.is_ok() { Reload::Applied } else { Reload::Refused };
        self.metrics.gateway.reloads.of(result).increment(1);
        taken
    }

    fn take_over(&self, read: &Settings) -> Result<Vec<String>, StartError> {
        let before = self.settings.get();
        let (next, waiting) = before.taken_over(read, |backend| self.exporter.admit(backend));
        // All that may fail comes first.
        let made = self.upstreams.router(&next, self.bus.rerouting())?;
        let has_route = |route: &str| made.router.route(route).is_some();
        let management = self.front.management();
        let faces = Faces::new(&next, &self.parts, has_route, Some(&management))?;
        let keys = &next.oci.keys;
        if read.oci.keys.required != keys.required {
            warn!(
                signed = keys.required,
                "with these keys oci.signatures would be otherwise: that takes a restart"
            );
        }
        self.verifier.replace(keys.keyring.clone());
        self.users.replace(next.amqp.anonymous, next.amqp.users.clone());
        self.secured.replace(&next);
        self.limits.replace(next.http.limits());
        self.terms.replace(next.amqp.limits, next.amqp.product.clone());
        self.workers.bound(next.amqp_work);
        self.over_amqp.bound(next.amqp_answer_bytes());
        self.bus.bound(&next.bus());
        self.bus.notify_by(next.notifier(&self.upstreams.client));
        for (name, backend) in &next.backends {
            if let Some(read) = read.backends.get(name) {
                backend.renew(read);
            }
            self.bus.govern(name, backend.manner.rate, backend.manner.breaking);
            match &backend.kind {
                BackendKind::Worker(worker) => {
                    self.bus.employ(name, worker.pull(backend.concurrency));
                }
                BackendKind::Showcase
                | BackendKind::Nexus(_)
                | BackendKind::Oci(_)
                | BackendKind::Amqp(_)
                | BackendKind::Longrunning(_) => _ = self.bus.allot(name, backend.concurrency),
            }
        }
        *self.drain.lock().unwrap_or_else(PoisonError::into_inner) = next.drain;
        self.upstreams.keep(made.typed, &next);
        // Requests that the old faces have taken find the old routes, as long as their bodies may take to arrive.
        let arriving = before.http.body_timeout.max(next.http.body_timeout);
        self.bus.reroute(made.router, arriving + DECODING);
        self.front.replace(faces);
        self.settings.replace(next);
        Ok(waiting)
    }

    /// Stops in order: says it is not ready, goes on accepting for the notice, closes the port,
    /// answers every wait, lets open requests end within the timeout, gives leases back, syncs.
    pub async fn drain(self) {
        let Self {
            drain, bus, metrics, traffic, http, amqp, workers, admin, upkeep, audit, ..
        } = self;
        let limits = drain.into_inner().unwrap_or_else(PoisonError::into_inner);
        traffic.fails("draining");
        metrics.gateway.draining.set_condition(true);
        sleep(limits.notice).await;
        tokio::join!(http.stop(limits.timeout), amqp.stop(limits.timeout), bus.quiesce());
        // What workers settled last is on its way to the journal.
        if timeout(SETTLING, workers.settled()).await.is_err() {
            warn!("deliveries were left open");
        }
        bus.drain().await;
        drop(upkeep);
        admin.stop(ADMIN_DRAIN).await;
        if let Some(audit) = audit {
            audit.flush().await;
        }
    }
}

/// A listener that serves.
#[derive(Debug)]
pub(crate) struct Serving {
    trigger: DrainTrigger,
    /// The one task, in a set because dropping that ends it.
    task: JoinSet<()>,
}

impl Serving {
    /// Runs `serve` until the drain that `trigger` begins is over.
    pub(crate) fn new(
        trigger: DrainTrigger,
        serve: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let mut task = JoinSet::new();
        task.spawn(serve);
        Self { trigger, task }
    }

    /// Closes the port, and gives open requests that long to end.
    async fn stop(mut self, limit: Duration) {
        self.trigger.begin(limit);
        if let Some(Err(error)) = self.task.join_next().await {
            error!(%error, "a listener did not end well");
        }
    }
}

/// Tidies the store, and says through `journal` whether it can be written: from now on.
pub(crate) fn upkeep(store: Store, journal: Condition) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let mut health = store.health();
    let tell = move |health: &mut watch::Receiver<Health>| match health
        .borrow_and_update()
        .unwritable
        .clone()
    {
        None => journal.holds(),
        Some(reason) => journal.fails(reason),
    };
    tell(&mut health);
    tasks.spawn(async move {
        while health.changed().await.is_ok() {
            tell(&mut health);
        }
    });
    tasks.spawn(async move {
        let mut ticks = interval(TIDY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            store.tidy();
        }
    });
    tasks
}
