//! The operations gateway as a library: the only place that knows every part.
//!
//! Entry point: [`Gateway::start`], with [`settings::Settings`].

mod audit;
mod backends;
mod faces;
mod running;
pub mod settings;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opgate_amqp::Amqp;
use opgate_amqp::http::HttpNode;
use opgate_amqp::management::Management;
use opgate_amqp::node::Places;
use opgate_amqp::queue::WorkQueues;
use opgate_bus::Bus;
use opgate_edge::{Admin, Drain, Exporter, Frontend, HttpListener, Readiness};
use opgate_egress::Client;
use opgate_longrunning::Longrunning;
use opgate_native::{Names, Native};
use opgate_nexus::Nexus;
use opgate_nexus::backend::{CallbackBase, Completions};
use opgate_oci::Oci;
use opgate_oci::signature::Verifier;
use opgate_store::{Clock, OpenError, Store};
use opgate_telemetry::{Listener, Metrics};
use tracing::{info, warn};

use opgate_core::Face;
pub use opgate_core::{Code, Timestamp};
pub use running::{Addresses, Running};

use audit::Audit;
use faces::Faces;
use running::Serving;
use settings::{OciKeys, Settings};
use tls::Secured;

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
    /// every address is bound and the gateway is ready.
    ///
    /// # Errors
    /// Whatever keeps it from that. Nothing stays open then.
    pub async fn start(settings: Settings) -> Result<Running, StartError> {
        let client = Client::new(&settings.egress)
            .map_err(|error| StartError::Configuration(error.to_string()))?;
        // Where upstreams reach this daemon is known when it has its port.
        let here = CallbackBase::default();
        let backends: Vec<&str> = settings.backends.keys().map(String::as_str).collect();
        let exporter =
            Exporter::new(&backends).map_err(|error| StartError::Internal(error.to_string()))?;
        let metrics = exporter.metrics();
        let router = settings.router(&client, &here, &metrics)?;

        let readiness = Readiness::new();
        let journal = readiness.condition("journal", "opening");
        let listeners = readiness.condition("listeners", "not bound");
        let traffic = readiness.condition("traffic", "starting");

        let audit = Audit::open(&settings.audit)
            .map_err(|(path, source)| StartError::Audit { path, source })?
            .map(Arc::new);
        let store = open(&settings, &metrics).await?;
        let (http, admin, amqp) = match bind(&settings, exporter, &readiness, &store).await {
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

        let bus = Bus::open(store.clone(), router, settings.bus(), Arc::clone(&metrics));
        if let Some(audit) = &audit {
            bus.audited(Arc::clone(audit) as _);
        }
        let (trigger, drain) = Drain::new();
        let face = Longrunning::new(
            &settings.grpc(),
            bus.clone(),
            readiness,
            drain.clone(),
            Arc::clone(&metrics),
        );
        let grpc = match face {
            Ok(face) => face,
            Err(problems) => {
                bus.drain().await;
                return Err(StartError::Configuration(problems.join("; ")));
            }
        };
        let verifier = Arc::new(Verifier::new(settings.oci.keys.keyring.clone()));
        let mut oci = settings.oci();
        if required {
            oci.authenticator = Arc::clone(&verifier) as _;
        }
        let oci = match Oci::new(oci, bus.clone(), Arc::clone(&metrics)) {
            Ok(oci) => oci,
            Err(problems) => {
                bus.drain().await;
                let problems = problems.into_iter().map(|problem| problem.text);
                return Err(StartError::Configuration(problems.collect::<Vec<_>>().join("; ")));
            }
        };
        let (named, full, losing, work_requests) =
            (grpc.clone(), grpc.clone(), grpc.clone(), oci.clone());
        let (sealing, opening) = (bus.clone(), bus.clone());
        let names = Names::default()
            .with("grpc", move |operation| Some(named.name(operation)))
            .with("nexus", move |operation| opgate_nexus::token::of(&sealing, operation).ok())
            .with("oci", move |operation| Some(work_requests.name(operation)))
            .with("amqp", |operation| Some(operation.id.to_string()))
            .losing("grpc", move |operation| losing.lost(operation))
            .losing("nexus", |operation| Nexus::lost(operation))
            .losing("oci", |operation| Oci::lost(operation))
            .losing("amqp", |operation| Management::lost(operation))
            .reading(move |caller, name| opgate_nexus::token::open(&opening, caller, name).ok())
            .reading(|_, name| Oci::read(name));
        let management = settings.management(move |operation| full.name(operation), names.clone());
        let management = match Management::new(management, bus.clone(), Arc::clone(&metrics)) {
            Ok(management) => management,
            Err(problems) => {
                bus.drain().await;
                let problems = problems.into_iter().map(|problem| problem.text);
                return Err(StartError::Configuration(problems.collect::<Vec<_>>().join("; ")));
            }
        };
        let native = match Native::new(settings.native(names), bus.clone(), Arc::clone(&metrics)) {
            Ok(native) => native,
            Err(defect) => {
                bus.drain().await;
                return Err(StartError::Internal(defect));
            }
        };
        let native: Arc<dyn Frontend> = Arc::new(native);
        let rest = Arc::new(grpc.rest());
        let completions =
            Completions::new(bus.clone(), settings.completions(), Arc::clone(&metrics));
        let nexus = Nexus::new(settings.nexus(), bus.clone(), Arc::clone(&metrics));
        let mut paths: Vec<(&str, Face, Arc<dyn Frontend>)> = vec![
            (Completions::PATH, Face::Nexus, Arc::new(completions)),
            (Nexus::PATH, Face::Nexus, Arc::new(nexus)),
        ];
        paths.extend(Native::PATHS.map(|path| (path, Face::Native, Arc::clone(&native))));
        let audited = audit.is_some();
        let faces = Faces { grpc: Arc::new(grpc), paths, oci: oci.clone(), rest, audited };
        let faces: Arc<dyn Frontend> = Arc::new(faces);
        let http = Serving::new(trigger, http.serve(Arc::clone(&faces), drain));
        let (trigger, drain) = Drain::new();
        let users = amqp.users();
        let answer_bytes =
            usize::try_from(settings.amqp.limits.message_bytes).unwrap_or(usize::MAX);
        let workers = WorkQueues::new(bus.clone(), settings.amqp_work);
        let places = Places {
            management: Some(Arc::new(management)),
            http: Some(Arc::new(HttpNode::new(faces, answer_bytes))),
            queues: Some(Arc::new(workers.clone())),
        };
        let amqp = Serving::new(trigger, amqp.serve(places, drain));
        let (trigger, drain) = Drain::new();
        let admin = admin.with("/backends", backends::page(&settings, &bus));
        let admin = Serving::new(trigger, admin.serve(drain));
        let limits = Mutex::new(settings.drain);
        let upkeep = running::upkeep(store.clone(), journal);
        traffic.holds();
        Ok(Running {
            addresses,
            limits,
            bus,
            store,
            metrics,
            oci,
            signed: required,
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
async fn open(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Store, StartError> {
    let (options, metrics) = (settings.store(), Arc::clone(metrics));
    let opened =
        tokio::task::spawn_blocking(move || Store::open(&options, Clock::System, &metrics)).await;
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
