//! The operations gateway as a library: the only place that knows every part.
//!
//! Entry point: [`Gateway::start`], with [`settings::Settings`].

mod audit;
mod backends;
mod faces;
mod latest;
mod running;
pub mod settings;
mod tls;
mod upstreams;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opgate_amqp::Amqp;
use opgate_amqp::http::HttpNode;
use opgate_amqp::node::Places;
use opgate_amqp::queue::WorkQueues;
use opgate_bus::{Bus, Router};
use opgate_edge::{Admin, Drain, Exporter, HttpListener, Readiness};
use opgate_egress::Client;
use opgate_native::Console;
use opgate_nexus::backend::CallbackBase;
use opgate_oci::signature::Verifier;
pub use opgate_store::Recovering;
use opgate_store::{Clock, OpenError, Store};
use opgate_telemetry::{Listener, Metrics};
use tracing::{info, warn};

pub use opgate_core::{Code, Timestamp};
pub use running::{Addresses, Running, Unusable};

use audit::Audit;
use faces::{Faces, Front, Parts};
use latest::Latest;
use running::Serving;
use settings::{OciKeys, Settings};
use tls::Secured;
use upstreams::Upstreams;

/// Longest time the journal thread may go without a sign of life before `/livez` says so. A sync of
/// a struggling disk takes seconds, and ending the daemon would not make it faster.
const BEAT: Duration = Duration::from_secs(30);

/// The gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings cannot be used after all: [`Settings::load`] tells all that it can find.
    #[error("{0}")]
    Configuration(String),
    /// The data directory cannot be made or used, or another process uses it.
    #[error(transparent)]
    Directory(OpenError),
    /// The journal is damaged, or cannot be read or written.
    #[error(transparent)]
    Journal(OpenError),
    /// A listener could not be bound.
    #[error("cannot listen on {address}, from {listener}.listen: {source}")]
    Listen {
        /// The section of the listener.
        listener: &'static str,
        /// Its address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The audit file cannot be opened.
    #[error("audit.file: {path}: {source}")]
    Audit {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A defect of opgate.
    #[error("{0}")]
    Internal(String),
}

/// The daemon's parts, put together.
#[derive(Clone, Copy, Debug)]
pub struct Gateway;

impl Gateway {
    /// Opens the journal, takes up what has not ended, binds the listeners and serves. On return
    /// every address is bound and the gateway is ready. While what has not ended is read, `show` is told how far that is,
    /// often, and on a thread of its own.
    ///
    /// # Errors
    /// Whatever keeps it from that. Nothing stays open then.
    pub async fn start(
        settings: Settings,
        show: impl FnMut(Recovering) + Send + 'static,
    ) -> Result<Running, StartError> {
        let client = Client::new(&settings.egress)
            .map_err(|error| StartError::Configuration(error.to_string()))?;
        // Where upstreams reach this daemon is known when it has its port.
        let here = CallbackBase::default();
        let backends: Vec<&str> = settings.backends.keys().map(String::as_str).collect();
        let exporter =
            Exporter::new(&backends).map_err(|error| StartError::Internal(error.to_string()))?;
        let metrics = exporter.metrics();
        let notifier = settings.notifier(&client);
        let typed = Mutex::default();
        let upstreams =
            Upstreams { client, here: here.clone(), metrics: Arc::clone(&metrics), typed };
        let made = upstreams.router(&settings, Router::builder().notifier(notifier))?;
        upstreams.keep(made.typed, &settings);

        let readiness = Readiness::new();
        let journal = readiness.condition("journal", "opening");
        let listeners = readiness.condition("listeners", "not bound");
        let traffic = readiness.condition("traffic", "starting");

        let audit = Audit::open(&settings.audit)
            .map_err(|(path, source)| StartError::Audit { path, source })?
            .map(Arc::new);
        let store = open(&settings, &metrics, show).await?;
        let (http, admin, amqp) = match bind(&settings, exporter.clone(), &readiness, &store).await
        {
            Ok(bound) => bound,
            Err(problem) => {
                store.close().await;
                return Err(problem);
            }
        };
        let addresses = Addresses {
            http: http.1,
            http_tls: settings.http.tls.is_some(),
            amqp: amqp.1,
            admin: admin.1,
            admin_tls: settings.admin.tls.is_some(),
        };
        let secured = Secured::new(&settings, &metrics);
        let (http, admin, amqp) = (
            http.0.secured(secured.http.clone()),
            admin.0.secured(secured.admin.clone()),
            amqp.0.secured(secured.amqp.clone()),
        );
        for (address, tls) in [
            (addresses.http, &settings.http.tls),
            (addresses.amqp, &settings.amqp_tls),
            (addresses.admin, &settings.admin.tls),
        ] {
            if !settings::is_loopback(address) && tls.as_ref().is_none_or(|tls| tls.plaintext) {
                warn!(%address, "listening without TLS beyond this machine, as configured");
            }
        }
        if settings::is_loopback(addresses.http) {
            let scheme = if secured.http.is_some() { "https" } else { "http" };
            here.set(&format!("{scheme}://{}", addresses.http));
        } else {
            for backend in settings.without_callback() {
                warn!(backend, "no callback: its operations end only as far as it has get-result");
            }
        }
        let OciKeys { required, ref keyring, .. } = settings.oci.keys;
        if required && keyring.is_empty() && !settings.oci.services.is_empty() {
            warn!(
                "OCI requests must be signed and no keys are configured: all of them are refused"
            );
        }
        listeners.holds();

        let bus = Bus::open(store.clone(), made.router, settings.bus(), Arc::clone(&metrics));
        if let Some(audit) = &audit {
            bus.audited(Arc::clone(audit) as _);
        }
        let (trigger, drain) = Drain::new();
        let verifier = Arc::new(Verifier::new(settings.oci.keys.keyring.clone()));
        let parts = Parts {
            bus: bus.clone(),
            readiness,
            drain: drain.clone(),
            metrics: Arc::clone(&metrics),
            verifier: required.then(|| Arc::clone(&verifier)),
            audited: audit.is_some(),
        };
        let faces = Faces::new(&settings, &parts, |route| bus.route(route).is_some(), None);
        let front = match faces {
            Ok(faces) => Front::new(faces),
            Err(problem) => {
                bus.drain().await;
                return Err(problem);
            }
        };
        let (limits, terms) = (http.limits(), amqp.terms());
        let http = Serving::new(trigger, http.serve(Arc::new(front.clone()), drain));
        let (trigger, drain) = Drain::new();
        let users = amqp.users();
        let workers = WorkQueues::new(bus.clone(), settings.amqp_work);
        let over_amqp =
            Arc::new(HttpNode::new(Arc::new(front.clone()), settings.amqp_answer_bytes()));
        let places = Places {
            management: Some(Arc::new(front.clone())),
            http: Some(Arc::clone(&over_amqp) as _),
            queues: Some(Arc::new(workers.clone())),
        };
        let amqp = Serving::new(trigger, amqp.serve(places, drain));
        let of_now = front.clone();
        let console = settings.console.clone();
        let console = console.map(|console| Console::new(console, move || of_now.native()));
        let console = match console.transpose() {
            Ok(console) => console,
            Err(defect) => {
                bus.drain().await;
                return Err(StartError::Internal(defect));
            }
        };
        let (trigger, drain) = Drain::new();
        let drained = Mutex::new(settings.drain);
        let settings = Latest::new(settings);
        let admin = admin.with("/backends", backends::page(&settings, &bus));
        let admin = match console {
            Some(console) => admin.mount(Console::PATH, Arc::new(console)),
            None => admin,
        };
        let admin = Serving::new(trigger, admin.serve(drain));
        let upkeep = running::upkeep(store.clone(), journal);
        traffic.holds();
        Ok(Running {
            addresses,
            settings,
            exporter,
            upstreams,
            parts,
            front,
            over_amqp,
            drain: drained,
            limits,
            terms,
            bus,
            store,
            metrics,
            verifier,
            secured,
            traffic,
            http,
            amqp,
            workers,
            users,
            admin,
            upkeep,
            audit,
        })
    }
}

/// Where the listeners are, bound.
type Bound = ((HttpListener, SocketAddr), (Admin, SocketAddr), (Amqp, SocketAddr));

/// Binds the listeners. Nobody is answered yet.
async fn bind(
    settings: &Settings,
    exporter: Exporter,
    readiness: &Readiness,
    store: &Store,
) -> Result<Bound, StartError> {
    let refused =
        |listener, address| move |source| StartError::Listen { listener, address, source };
    let address = settings.http.listen;
    let metrics = exporter.metrics();
    let http =
        HttpListener::bind(address, Listener::Http, settings.http.limits(), Arc::clone(&metrics))
            .await
            .and_then(|http| http.local_addr().map(|bound| (http, bound)))
            .map_err(refused("http", address))?;
    let address = settings.amqp.listen;
    let amqp = Amqp::bind(settings.amqp.clone(), metrics)
        .await
        .and_then(|amqp| amqp.local_addr().map(|bound| (amqp, bound)))
        .map_err(refused("amqp", address))?;
    let address = settings.admin.listen;
    let store = store.clone();
    let beat = Box::new(move || store.beats_within(BEAT));
    let admin = Admin::bind(address, exporter, readiness.clone(), beat)
        .await
        .and_then(|admin| admin.local_addr().map(|bound| (admin, bound)))
        .map_err(refused("admin", address))?;
    Ok((http, admin, amqp))
}

/// Opens the store, on a thread that may block.
async fn open(
    settings: &Settings,
    metrics: &Arc<Metrics>,
    show: impl FnMut(Recovering) + Send + 'static,
) -> Result<Store, StartError> {
    let (options, metrics) = (settings.store(), Arc::clone(metrics));
    let opened = tokio::task::spawn_blocking(move || {
        Store::open_showing(&options, Clock::System, &metrics, show)
    })
    .await;
    let (store, recovery) = match opened {
        Ok(opened) => opened.map_err(|error| match error {
            OpenError::InUse(_) | OpenError::Directory { .. } => StartError::Directory(error),
            OpenError::Journal { .. } | OpenError::Damaged { .. } => StartError::Journal(error),
            // Not to be started again: it would not be otherwise.
            OpenError::Newer { .. } => StartError::Configuration(error.to_string()),
        })?,
        Err(error) => return Err(StartError::Internal(error.to_string())),
    };
    info!(
        dir = %settings.data.dir.display(),
        durability = store.durability().name(),
        live = recovery.live,
        stored = recovery.stored,
        took_ms = u64::try_from(recovery.took.as_millis()).unwrap_or(u64::MAX),
        "journal open"
    );
    Ok(store)
}
