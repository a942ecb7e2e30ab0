//! A gateway whose operations are pulled by workers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opgate_bus::core::{Expects, Face, Kind, OperationId, Outcome, Payload, Tenant, Timestamp};
use opgate_bus::{
    Ask, Bus, Caller, Durability, Leased, Options, Pull, QUEUE, Route, Router, Snapshot, Start,
    Until, WorksOn,
};
use opgate_store::{Clock, Store};
use opgate_telemetry::Metrics;
use tempfile::TempDir;

use crate::support::{LONG, RETENTION};

/// The routes there are, and the queue of each.
pub(super) const ROUTES: [(&str, &str); 2] = [("build", "builds"), ("ship", "ships")];

/// What a shop is opened with.
pub(super) struct Setup {
    pub(super) store: opgate_store::Options,
    pub(super) clock: Clock,
    pub(super) options: Options,
    pub(super) pull: Pull,
}

impl Setup {
    /// In a directory that exists; fast, for nothing is synced.
    pub(super) fn at(dir: &TempDir) -> Self {
        let mut store = opgate_store::Options::new(dir.path().join("data"));
        store.durability = Durability::Memory;
        Self { store, clock: Clock::System, options: Options::default(), pull: Pull::default() }
    }

    pub(super) fn open(self) -> Shop {
        let recorder = PrometheusBuilder::new().build_recorder();
        let rendered = recorder.handle();
        let metrics = metrics::with_local_recorder(&recorder, || Metrics::register(&["shop"]));
        let (store, _) = Store::open(&self.store, self.clock, &metrics).unwrap();
        let mut router = Router::builder().worker("shop", self.pull);
        for (name, queue) in ROUTES {
            router = router.route(Route {
                name: name.into(),
                kind: Kind::new("test", name).unwrap(),
                backend: "shop".into(),
                retention: RETENTION,
                timeout: None,
                options: BTreeMap::from([(QUEUE.into(), queue.into())]),
                expects: Expects::default(),
                resources: Vec::new(),
            });
        }
        let bus = Bus::open(store.clone(), router.build().unwrap(), self.options, metrics);
        Shop { bus, store, caller: Caller::anonymous(), rendered }
    }
}

/// The gateway, and whoever starts operations there.
pub(crate) struct Shop {
    pub(crate) bus: Bus,
    pub(super) store: Store,
    pub(super) caller: Caller,
    rendered: PrometheusHandle,
}

impl Shop {
    pub(super) async fn start(&self) -> OperationId {
        self.bus.start(&self.caller, build()).await.unwrap().snapshot.id
    }

    /// Starts one and leases it.
    pub(crate) async fn begun(&self) -> Leased {
        let id = self.start().await;
        let leased = self.lease(ask()).await;
        assert_eq!(leased.snapshot.id, id);
        leased
    }

    /// The one operation an ask is answered with.
    pub(super) async fn lease(&self, ask: Ask) -> Leased {
        let mut leased = self.bus.lease(ask).await.unwrap();
        assert_eq!(leased.len(), 1, "{leased:?}");
        leased.pop().unwrap()
    }

    /// What a series of the backend says.
    pub(super) fn value(&self, name: &str) -> usize {
        let series = format!("{name}{{backend=\"shop\"}} ");
        let text = self.rendered.render();
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.expect("the series is there").parse().unwrap()
    }

    /// Resolves once so many operations wait for a worker.
    pub(super) async fn queued(&self, count: usize) {
        self.reaches("opgate_operations_queued", count).await;
    }

    /// Resolves once so many operations are dealt or leased.
    pub(super) async fn leased_out(&self, count: usize) {
        self.reaches("opgate_leases", count).await;
    }

    /// Resolves once so many workers wait.
    pub(super) async fn asking(&self, count: usize) {
        self.reaches("opgate_lease_asks", count).await;
    }

    async fn reaches(&self, name: &str, count: usize) {
        let began = std::time::Instant::now();
        while self.value(name) != count {
            assert!(began.elapsed() < LONG, "{name} is {}", self.value(name));
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn get(&self, id: OperationId) -> Arc<Snapshot> {
        self.bus.get(&self.caller, id).await.unwrap()
    }

    /// The operation once it has ended.
    pub(super) async fn ended(&self, id: OperationId) -> Arc<Snapshot> {
        let snapshot = self.bus.wait(&self.caller, id, Until::Done, LONG).await.unwrap();
        assert!(snapshot.is_done(), "{snapshot:?}");
        snapshot
    }
}

/// A start whose operation waits in the queue `builds`.
pub(super) fn build() -> Start {
    Start::new(Face::Native, "test", "build", Payload::json("{}"))
}

/// An ask that waits for one operation of the queue `builds` as long as it takes.
pub(super) fn ask() -> Ask {
    Ask {
        queue: "builds".into(),
        max: 1,
        bytes: usize::MAX,
        least: 0,
        wait: LONG,
        length: None,
        worker: "ann".into(),
    }
}

/// An ask for what is there already.
pub(super) fn look() -> Ask {
    Ask { wait: Duration::ZERO, ..ask() }
}

pub(super) fn succeeded() -> Outcome {
    Outcome::Succeeded(Some(Payload::json("{}")))
}

pub(super) fn tenant(name: &str) -> Caller {
    Caller {
        tenant: Tenant::new(name).unwrap(),
        principal: name.into(),
        works_on: WorksOn::nothing(),
    }
}

/// Whether two instants are as good as the same: the clock of the machine runs on.
pub(super) fn about(at: Timestamp, expected: Timestamp) -> bool {
    at.since(expected).max(expected.since(at)) < Duration::from_secs(10)
}

/// Has the paused clock stand still but for [`pass`]: without it, it leaps ahead whenever everybody
/// waits, also for the store's thread.
#[derive(Debug)]
pub(super) struct Frozen {
    _thaw: std::sync::mpsc::Sender<()>,
}

impl Frozen {
    pub(super) fn new() -> Self {
        let (thaw, thawed) = std::sync::mpsc::channel();
        drop(tokio::task::spawn_blocking(move || {
            // Over when the test is, however long a busy machine takes over it; one that waits for nothing fails in the end.
            let _over: Result<(), _> = thawed.recv_timeout(10 * LONG);
        }));
        Self { _thaw: thaw }
    }
}

pub(super) async fn pass(time: Duration) {
    tokio::time::advance(time).await;
}

/// Polls a future once, and drops it unless it was ready.
pub(super) async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}
