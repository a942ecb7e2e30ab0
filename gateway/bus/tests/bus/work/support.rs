//! A gateway whose operations are pulled by workers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use opgate_bus::core::{Face, Kind, OperationId, Outcome, Payload, Tenant, Timestamp};
use opgate_bus::{
    Ask, Bus, Caller, Durability, Leased, Options, Pull, QUEUE, Route, Router, Snapshot, Start,
    Until,
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
        let metrics = Metrics::register(&["shop"]);
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
            });
        }
        let bus = Bus::open(store.clone(), router.build().unwrap(), self.options, metrics);
        Shop { bus, store, caller: Caller::anonymous() }
    }
}

/// The gateway, and whoever starts operations there.
pub(super) struct Shop {
    pub(super) bus: Bus,
    pub(super) store: Store,
    pub(super) caller: Caller,
}

impl Shop {
    pub(super) async fn start(&self) -> OperationId {
        self.bus.start(&self.caller, build()).await.unwrap().snapshot.id
    }

    /// Starts one and leases it.
    pub(super) async fn begun(&self) -> Leased {
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
    Ask { queue: "builds".into(), max: 1, wait: LONG, length: None, worker: "ann".into() }
}

/// An ask for what is there already.
pub(super) fn look() -> Ask {
    Ask { wait: Duration::ZERO, ..ask() }
}

pub(super) fn succeeded() -> Outcome {
    Outcome::Succeeded(Some(Payload::json("{}")))
}

pub(super) fn tenant(name: &str) -> Caller {
    Caller { tenant: Tenant::new(name).unwrap(), principal: name.into() }
}

/// Whether two instants are as good as the same: the clock of the machine runs on.
pub(super) fn about(at: Timestamp, expected: Timestamp) -> bool {
    at.since(expected).max(expected.since(at)) < Duration::from_secs(10)
}
