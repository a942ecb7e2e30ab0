//! Queues without links: what becomes of deliveries, and of what workers send.

mod deliveries;
mod messages;
mod outcomes;
mod table;

pub(crate) use messages::template;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp_types::messaging::{Body, Message, MessageId, Properties};
use opgate_bus::{
    Ask, Bus, Caller, Durability, Leased, Options, Pull, QUEUE, Route, Router, Start,
};
use opgate_bus::{Snapshot, Until};
use opgate_core::{Expects, Face, Kind, OperationId, Payload};
use opgate_store::{Clock, Store};
use opgate_telemetry::Metrics;
use serde_amqp::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use super::delivery::{Delivery, Unwanted};
use super::open::key;
use super::{Settings, Shared, WorkQueues};
use crate::node::ConnectionId;

const LONG: Duration = Duration::from_mins(1);
/// Whose deliveries they are.
const CONNECTION: ConnectionId = ConnectionId(7);

/// A gateway with one queue, `builds`.
struct Shop {
    queues: WorkQueues,
    _dir: TempDir,
}

impl Shop {
    fn open(pull: Pull, settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = opgate_store::Options::new(dir.path().join("data"));
        options.durability = Durability::Memory;
        let metrics = Metrics::register(&[]);
        let (store, _) = Store::open(&options, Clock::System, &metrics).unwrap();
        let route = Route {
            name: "build".into(),
            kind: Kind::new("test", "build").unwrap(),
            backend: "shop".into(),
            retention: LONG,
            timeout: None,
            options: BTreeMap::from([(QUEUE.into(), "builds".into())]),
            expects: Expects::default(),
            resources: Vec::new(),
        };
        let router = Router::builder().worker("shop", pull).route(route).build().unwrap();
        let bus = Bus::open(store, router, Options::default(), metrics);
        Self { queues: WorkQueues::new(bus, settings), _dir: dir }
    }

    fn new() -> Self {
        Self::open(Pull::default(), Settings::default())
    }

    fn shared(&self) -> &Shared {
        &self.queues.0
    }

    fn bus(&self) -> &Bus {
        &self.shared().bus
    }

    async fn start(&self) -> OperationId {
        let start = Start::new(Face::Native, "test", "build", Payload::json("{}"));
        self.bus().start(&Caller::anonymous(), start).await.unwrap().snapshot.id
    }

    async fn lease(&self) -> Leased {
        let ask = Ask {
            queue: "builds".into(),
            max: 1,
            bytes: usize::MAX,
            least: 0,
            wait: LONG,
            length: None,
            worker: "ann@a".into(),
        };
        self.bus().lease(ask).await.unwrap().pop().unwrap()
    }

    /// Starts one and leases it.
    async fn begun(&self) -> Leased {
        let id = self.start().await;
        let leased = self.lease().await;
        assert_eq!(leased.snapshot.id, id);
        leased
    }

    fn delivery(&self, leased: Leased) -> Delivery {
        let since = Instant::now();
        let shared = self.shared();
        Delivery {
            bus: shared.bus.clone(),
            entry: shared.open.add(&key(CONNECTION, &leased.token)),
            leased,
            since,
            until: shared.settings().longest.map(|longest| since + longest),
            inbound: super::Inbound::default(),
            unwanted: Arc::new(Unwanted::default()),
        }
    }

    async fn get(&self, id: OperationId) -> Arc<Snapshot> {
        self.bus().get(&Caller::anonymous(), id).await.unwrap()
    }

    async fn ended(&self, id: OperationId) -> Arc<Snapshot> {
        let ended = self.bus().wait(&Caller::anonymous(), id, Until::Done, LONG).await.unwrap();
        assert!(ended.is_done(), "{ended:?}");
        ended
    }
}

/// A message about a delivery.
fn about(token: &str, subject: Option<&str>, body: Body<Value>) -> Message<Body<Value>> {
    let properties = Properties {
        correlation_id: Some(MessageId::String(token.to_owned())),
        subject: subject.map(str::to_owned),
        ..Properties::default()
    };
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(properties),
        application_properties: None,
        body,
        footer: None,
    }
}
