//! opgate's side: a bus with the backend.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use opgate_bus::core::{
    CancelDelivery, Expects, Face, Header, Kind, OperationId, Payload, Version,
};
use opgate_bus::{
    Backoff, Bus, Caller, Durability, Gate, ResourceRule, Route, Router, Snapshot, Start, Until,
};
use opgate_egress::Client;
use opgate_oci::backend::{Endpoint, Settings, Upstream as Backend};
use opgate_oci::signature::Signer;
use opgate_store::{Clock, Store};
use opgate_telemetry::Metrics;
use tempfile::TempDir;

use crate::upstream::{LONG, Upstream};

const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(2), longest: Duration::from_millis(8), attempts: 3 };

/// What a side is built with.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) resources: Vec<ResourceRule>,
    pub(crate) signer: Option<Signer>,
    pub(crate) prefix: &'static str,
    pub(crate) timeout: Duration,
    pub(crate) poll_longest: Duration,
    pub(crate) grace: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self::with(&[])
    }
}

impl Setup {
    /// A compartment is deleted at identity, with other options over that.
    pub(crate) fn with(options: &[(&str, &str)]) -> Self {
        let usual =
            [("request", "DELETE /20160918/compartments/{compartmentId}"), ("dialect", "identity")];
        let all = usual.iter().chain(options);
        Self {
            options: all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            resources: Vec::new(),
            signer: None,
            prefix: "",
            timeout: LONG,
            poll_longest: Duration::from_millis(20),
            grace: LONG,
        }
    }

    pub(crate) fn open(&self, dir: &TempDir, upstream: &Upstream) -> Side {
        let mut store = opgate_store::Options::new(dir.path().join("data"));
        store.durability = Durability::Memory;
        let metrics = Metrics::register(&["up"]);
        let (store, _) = Store::open(&store, Clock::System, &metrics).unwrap();
        let url = format!("http://{}{}", upstream.address, self.prefix);
        let settings = Settings {
            name: "up".into(),
            endpoint: Endpoint::parse(&url).unwrap(),
            signer: self.signer.clone(),
            timeout: self.timeout,
            poll_first: Duration::from_millis(2),
            poll_longest: self.poll_longest,
            grace: self.grace,
            retry: BACKOFF,
            gate: Gate::default(),
        };
        let client = Client::new(&opgate_egress::Settings::default()).unwrap();
        let router = Router::builder()
            .backend("up", Arc::new(Backend::new(settings, client)), 64)
            .route(Route {
                name: "route".into(),
                kind: Kind::new("identity", "DELETE_COMPARTMENT").unwrap(),
                backend: "up".into(),
                retention: Duration::from_hours(1),
                timeout: None,
                options: self.options.clone(),
                expects: Expects::default(),
                resources: self.resources.clone(),
            })
            .build()
            .unwrap();
        let options = opgate_bus::Options { backoff: BACKOFF, ..opgate_bus::Options::default() };
        let bus = Bus::open(store, router, options, metrics);
        Side { bus, caller: Caller::anonymous() }
    }
}

/// opgate's side of a test.
pub(crate) struct Side {
    pub(crate) bus: Bus,
    pub(crate) caller: Caller,
}

pub(crate) fn start(input: &str) -> Start {
    Start::new(Face::Native, "test", "route", Payload::json(input.to_owned()))
}

pub(crate) fn header(name: &str, value: &'static str) -> Header {
    Header { name: name.into(), value: value.into() }
}

/// Whether a cancel is as far as this.
pub(crate) fn delivered(now: &Snapshot, delivery: CancelDelivery) -> bool {
    now.cancel.as_ref().is_some_and(|cancel| cancel.delivery == delivery)
}

/// The texts of an operation's log.
pub(crate) fn log(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.log.iter().map(|entry| &*entry.message).collect()
}

impl Side {
    pub(crate) async fn start(&self) -> OperationId {
        self.started(start(r#"{"compartmentId":"ocid1.compartment.oc1..c/1"}"#)).await
    }

    pub(crate) async fn started(&self, start: Start) -> OperationId {
        self.bus.start(&self.caller, start).await.unwrap().snapshot.id
    }

    pub(crate) async fn cancel(&self, id: OperationId) {
        self.bus.cancel(&self.caller, id, "enough").await.unwrap();
    }

    /// The operation once it has ended.
    pub(crate) async fn ended(&self, id: OperationId) -> Arc<Snapshot> {
        let snapshot = self.bus.wait(&self.caller, id, Until::Done, LONG).await.unwrap();
        assert!(snapshot.is_done(), "{snapshot:?}");
        snapshot
    }

    /// The operation once `holds` is true of it.
    pub(crate) async fn until(
        &self,
        id: OperationId,
        holds: impl Fn(&Snapshot) -> bool,
    ) -> Arc<Snapshot> {
        let mut version = Version(0);
        loop {
            let until = Until::Newer(version);
            let snapshot = self.bus.wait(&self.caller, id, until, LONG).await.unwrap();
            if holds(&snapshot) {
                return snapshot;
            }
            assert!(snapshot.version > version && !snapshot.is_done(), "{snapshot:?}");
            version = snapshot.version;
        }
    }

    /// The operation once its work request is durable.
    pub(crate) async fn running(&self, id: OperationId) -> Arc<Snapshot> {
        self.until(id, |now| !now.routed.native_ref.is_empty()).await
    }

    /// Stops as a daemon does: nothing is lost, and nothing of it goes on.
    pub(crate) async fn stop(self) {
        self.bus.quiesce().await;
        self.bus.drain().await;
    }
}
