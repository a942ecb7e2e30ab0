//! A gateway that serves, until it is told to stop.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opgate_amqp::Users;
use opgate_amqp::queue::WorkQueues;
use opgate_bus::{Bus, Health};
use opgate_edge::{Condition, DrainTrigger};
use opgate_oci::Oci;
use opgate_oci::signature::Verifier;
use opgate_store::Store;
use opgate_telemetry::{Metrics, Reload};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{error, warn};

use crate::BEAT;
use crate::audit::Audit;
use crate::settings::{self, Problems, Settings};
use crate::tls::Secured;

/// How often the store may forget what is due.
const TIDY: Duration = Duration::from_secs(1);
/// How long the admin listener's requests have to end: operators watch the drain through it.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// How long deliveries whose links have ended may take to end.
const SETTLING: Duration = Duration::from_secs(5);

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
    pub(crate) limits: Mutex<settings::Drain>,
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    /// Has tenancies.
    pub(crate) oci: Oci,
    /// Whether requests to it must be signed.
    pub(crate) signed: bool,
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

    /// Takes from settings that were read again what can change without a restart: who may sign OCI
    /// requests, by which keys, how far their clocks may be off, and for which hosts; who may come over
    /// AMQP; the certificates and authorities of TLS; how often each upstream is called, and when it is left alone; the
    /// notice of the drain. No request is dropped for it, and connections stay
    /// who they are, but for those of AMQP whose user is one no longer. Settings that could not be used are counted, and
    /// change nothing. The audit file is opened anew in any case.
    pub fn reload(&self, loaded: Result<&Settings, &Problems>) {
        if let Some(audit) = &self.audit {
            audit.reopen();
        }
        let result = match loaded {
            Ok(settings) => {
                let keys = &settings.oci.keys;
                if keys.required != self.signed {
                    warn!(
                        signed = self.signed,
                        "with these keys oci.signatures would be otherwise: that takes a restart"
                    );
                }
                self.oci.replace_tenancies(keys.tenancies.clone());
                self.verifier.replace(keys.keyring.clone());
                self.users.replace(settings.amqp.anonymous, settings.amqp.users.clone());
                self.secured.replace(settings);
                for (name, backend) in &settings.backends {
                    self.bus.govern(name, backend.manner.rate, backend.manner.breaking);
                }
                let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
                limits.notice = settings.drain.notice;
                drop(limits);
                Reload::Applied
            }
            Err(_) => Reload::Refused,
        };
        self.metrics.gateway.reloads.of(result).increment(1);
    }

    /// Stops in order: says it is not ready, goes on accepting for the notice, closes the port,
    /// answers every wait, lets open requests end within the timeout, gives leases back, syncs.
    pub async fn drain(self) {
        let Self {
            limits, bus, metrics, traffic, http, amqp, workers, admin, upkeep, audit, ..
        } = self;
        let limits = limits.into_inner().unwrap_or_else(PoisonError::into_inner);
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
