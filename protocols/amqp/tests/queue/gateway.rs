//! A gateway with one queue, `builds`, and workers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::delivery::Delivery;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use fe2o3_amqp_types::messaging::{self, Body, MessageId, Outcome, Properties};
use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_amqp::node::{Node, Places, Replying, Request};
use opgate_amqp::queue::{self, WorkQueues};
use opgate_amqp::{Amqp, Anonymous, Limits, Product, Settings};
use opgate_bus::Until;
use opgate_bus::{Bus, Caller, Durability, Options, Pull, QUEUE, Route, Router, Snapshot, Start};
use opgate_core::{Expects, Face, Kind, OperationId, Payload};
use opgate_edge::{Drain, DrainTrigger};
use opgate_store::{Clock, Store};
use opgate_telemetry::Metrics;
use serde_amqp::Value;
use tempfile::TempDir;

pub(crate) const LONG: Duration = Duration::from_mins(1);

/// A node whose replies never come.
struct Silent;

impl Node for Silent {
    fn call(&self, _: Request) -> Replying {
        Replying::later(std::future::pending())
    }
}

pub(crate) struct Gateway {
    pub(crate) bus: Bus,
    pub(crate) address: SocketAddr,
    pub(crate) queues: WorkQueues,
    pub(crate) drain: DrainTrigger,
    _dir: TempDir,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::with(Pull::default(), queue::Settings::default()).await
    }

    pub(crate) async fn with(pull: Pull, settings: queue::Settings) -> Self {
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
        let bus = Bus::open(store, router, Options::default(), Arc::clone(&metrics));
        let listener = Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            anonymous: Anonymous::Auto,
            users: BTreeMap::new(),
            limits: Limits::default(),
            product: Product::default(),
        };
        let amqp = Amqp::bind(listener, metrics).await.unwrap();
        let address = amqp.local_addr().unwrap();
        let queues = WorkQueues::new(bus.clone(), settings);
        let places = Places {
            queues: Some(Arc::new(queues.clone())),
            management: Some(Arc::new(Silent)),
            ..Places::default()
        };
        let (trigger, drain) = Drain::new();
        tokio::spawn(amqp.serve(places, drain));
        Self { bus, address, queues, drain: trigger, _dir: dir }
    }

    pub(crate) async fn begin(&self) -> OperationId {
        self.begin_with(Payload::json("{}")).await
    }

    pub(crate) async fn begin_with(&self, input: Payload) -> OperationId {
        let start = Start::new(Face::Native, "test", "build", input);
        self.bus.start(&Caller::anonymous(), start).await.unwrap().snapshot.id
    }

    pub(crate) async fn get(&self, id: OperationId) -> Arc<Snapshot> {
        self.bus.get(&Caller::anonymous(), id).await.unwrap()
    }

    pub(crate) async fn ended(&self, id: OperationId) -> Arc<Snapshot> {
        let ended = self.bus.wait(&Caller::anonymous(), id, Until::Done, LONG).await.unwrap();
        assert!(ended.is_done(), "{ended:?}");
        ended
    }
}

pub(crate) type Incoming = Delivery<Body<Value>>;
pub(crate) type Message = messaging::Message<Body<Value>>;

/// A worker that receives from `builds`, with a link for its results.
pub(crate) struct Worker {
    pub(crate) connection: ConnectionHandle<()>,
    pub(crate) session: SessionHandle<()>,
    pub(crate) receiver: Receiver,
    pub(crate) results: Sender,
}

impl Worker {
    /// Connects as `name`, and gives this much credit, once.
    pub(crate) async fn connect(gateway: &Gateway, name: &str, credit: u32) -> Self {
        Self::at(gateway.address, name, credit).await
    }

    /// As [`Self::connect`], by the address alone.
    pub(crate) async fn at(address: SocketAddr, name: &str, credit: u32) -> Self {
        Self::taking(address, name, credit, None).await
    }

    /// As [`Self::at`], by one that takes messages of so many bytes.
    pub(crate) async fn taking(
        address: SocketAddr,
        name: &str,
        credit: u32,
        most: Option<u64>,
    ) -> Self {
        let url = format!("amqp://{address}");
        let mut connection = Connection::open(name, &*url).await.unwrap();
        let mut session = Session::begin(&mut connection).await.unwrap();
        let builder =
            Receiver::builder().name("work").source("queue/builds").credit_mode(CreditMode::Manual);
        let mut receiver = match most {
            Some(most) => builder.max_message_size(most).attach(&mut session).await.unwrap(),
            None => builder.attach(&mut session).await.unwrap(),
        };
        receiver.set_credit(credit).await.unwrap();
        let results = Sender::attach(&mut session, "results", "queue/builds").await.unwrap();
        Self { connection, session, receiver, results }
    }

    pub(crate) async fn next(&mut self) -> Incoming {
        tokio::time::timeout(LONG, self.receiver.recv()).await.unwrap().unwrap()
    }

    /// Sends a message about a delivery.
    pub(crate) async fn send(
        &mut self,
        about: &Incoming,
        subject: Option<&str>,
        body: Body<Value>,
    ) -> Outcome {
        self.results.send(message(about, subject, body)).await.unwrap()
    }
}

pub(crate) fn message(about: &Incoming, subject: Option<&str>, body: Body<Value>) -> Message {
    let properties = Properties {
        correlation_id: Some(message_id(about)),
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

pub(crate) fn message_id(delivery: &Incoming) -> MessageId {
    delivery.message().properties.as_ref().and_then(|it| it.message_id.clone()).unwrap()
}

/// What a delivery says of itself.
pub(crate) fn property(delivery: &Incoming, name: &str) -> SimpleValue {
    let properties = delivery.message().application_properties.as_ref().unwrap();
    properties.get(name).unwrap().clone()
}

/// Whose delivery it is.
pub(crate) fn identity(delivery: &Incoming) -> String {
    let SimpleValue::String(id) = property(delivery, "identity") else { panic!("no identity") };
    id
}
