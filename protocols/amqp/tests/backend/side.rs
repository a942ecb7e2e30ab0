//! opgate's side: a bus with the backend.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use opgate_amqp::backend::{Endpoint, ReplyTo, Sasl, Settings, Upstream as Backend};
use opgate_bus::core::{
    CancelDelivery, Expects, Face, Failure, Header, Kind, OperationId, Outcome, Payload, Version,
};
use opgate_bus::{Backoff, Bus, Caller, Durability, Gate, Route, Router, Snapshot, Start, Until};
use opgate_store::{Clock, Store};
use opgate_telemetry::Metrics;
use rustls::ClientConfig;
use tempfile::TempDir;

use crate::upstream::{LONG, Upstream};

const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(2), longest: Duration::from_millis(8), attempts: 4 };

/// What a side is built with.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) timeout: Duration,
    pub(crate) reply: ReplyTo,
    pub(crate) in_flight: usize,
    pub(crate) grace: Duration,
    pub(crate) idle: Duration,
    /// How long its stop waits for replies.
    pub(crate) stop: Duration,
    /// The TLS of its endpoint.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl Setup {
    /// A queue is deleted, with other options over that.
    pub(crate) fn with(options: &[(&str, &str)]) -> Self {
        let usual = [("operation", "DELETE"), ("type", "queue"), ("name", "${/name}")];
        let all = usual.iter().chain(options);
        Self {
            options: all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            timeout: LONG,
            reply: ReplyTo::Auto,
            in_flight: 16,
            grace: LONG,
            idle: LONG,
            stop: Duration::ZERO,
            tls: None,
        }
    }

    pub(crate) fn open(&self, dir: &TempDir, upstream: &Upstream) -> Side {
        let mut store = opgate_store::Options::new(dir.path().join("data"));
        store.durability = Durability::Memory;
        let metrics = Metrics::register(&["up"]);
        let (store, _) = Store::open(&store, Clock::System, &metrics).unwrap();
        let scheme = if self.tls.is_some() { "amqps" } else { "amqp" };
        let settings = Settings {
            name: "up".into(),
            endpoint: Endpoint::parse(&format!("{scheme}://{}", upstream.address)).unwrap(),
            tls: self.tls.clone(),
            sasl: Sasl::Anonymous.into(),
            node: "$management".into(),
            reply: self.reply,
            timeout: self.timeout,
            idle: self.idle,
            in_flight: self.in_flight,
            poll_first: Duration::from_millis(2),
            poll_longest: Duration::from_millis(20),
            grace: self.grace,
            retry: BACKOFF,
            gate: Gate::default(),
        };
        let router = Router::builder()
            .backend("up", Arc::new(Backend::new(settings, None)), 64)
            .route(Route {
                name: "route".into(),
                kind: Kind::new("broker", "DELETE_QUEUE").unwrap(),
                backend: "up".into(),
                retention: Duration::from_hours(1),
                timeout: None,
                options: self.options.clone(),
                expects: Expects::default(),
                resources: Vec::new(),
            })
            .build()
            .unwrap();
        let options = opgate_bus::Options {
            backoff: BACKOFF,
            grace: self.stop,
            ..opgate_bus::Options::default()
        };
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

/// The failure that an operation ended in.
pub(crate) fn failure(ended: &Snapshot) -> &Failure {
    match ended.outcome.as_ref().unwrap() {
        Outcome::Failed(failure) => failure,
        other @ (Outcome::Succeeded(_) | Outcome::Canceled(_)) => panic!("{other:?}"),
    }
}

/// The result of an operation, as text.
pub(crate) fn result(ended: &Snapshot) -> Option<&str> {
    match ended.outcome.as_ref().unwrap() {
        Outcome::Succeeded(payload) => {
            payload.as_ref().map(|payload| std::str::from_utf8(&payload.bytes).unwrap())
        }
        other @ (Outcome::Failed(_) | Outcome::Canceled(_)) => panic!("{other:?}"),
    }
}

/// Whether a text is in an operation's log.
pub(crate) fn logged(snapshot: &Snapshot, text: &str) -> bool {
    snapshot.log.iter().any(|entry| entry.message.contains(text))
}

impl Side {
    pub(crate) async fn start(&self) -> OperationId {
        self.started(start(r#"{"name":"q"}"#)).await
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

    /// Stops as a daemon does: nothing is lost, and nothing of it goes on.
    pub(crate) async fn stop(self) {
        self.bus.quiesce().await;
        self.bus.drain().await;
    }
}
