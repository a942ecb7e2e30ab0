//! A listener on a port of its own, with nodes that say what they were asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fe2o3_amqp_types::definitions::{AmqpError, Error};
use fe2o3_amqp_types::messaging::{AmqpValue, ApplicationProperties, Body};
use opgate_amqp::node::{
    Content, Node, Places, Queues, Reply, Replying, Request, Taking, WorkerLink, Working,
};
use opgate_amqp::{Amqp, Anonymous, Limits, Product, Settings, Users};
use opgate_edge::{Drain, DrainTrigger};
use opgate_telemetry::Metrics;
use serde_amqp::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Answers a request with its own body, and who sent it to where. A request whose operation is `WAIT` is answered
/// once the gate has a permit for it.
pub(crate) struct Echo {
    pub(crate) gate: Arc<Semaphore>,
    /// How many have passed it.
    pub(crate) passed: Arc<AtomicUsize>,
}

impl Node for Echo {
    fn call(&self, request: Request) -> Replying {
        let operation = request
            .message
            .application_properties
            .as_ref()
            .and_then(|properties| properties.get("operation").cloned());
        let reply = Reply {
            subject: None,
            content_type: None,
            content_encoding: None,
            application_properties: ApplicationProperties::builder()
                .insert("statusCode", 200)
                .insert("principal", request.caller.principal.to_string())
                .insert("tenant", request.caller.tenant.as_str().to_owned())
                .insert("node", request.node.to_string())
                .insert("patience", format!("{:?}", request.patience))
                .build(),
            body: match request.message.body {
                Body::Value(AmqpValue(value)) => Body::Value(AmqpValue(Content::Value(value))),
                Body::Data(data) => Body::Data(data),
                Body::Sequence(_) | Body::Empty => Body::Empty,
            },
        };
        let waits = operation == Some("WAIT".into());
        let (gate, passed) = (Arc::clone(&self.gate), Arc::clone(&self.passed));
        Replying::later(async move {
            if waits {
                gate.acquire().await.unwrap().forget();
                passed.fetch_add(1, Ordering::Relaxed);
            }
            reply
        })
    }
}

/// One queue, `work`, whose links are closed at once; takes any message but an empty one.
struct OneQueue;

impl Queues for OneQueue {
    fn check(&self, queue: &str) -> Result<(), Error> {
        if queue == "work" { Ok(()) } else { Err(AmqpError::NotFound.into()) }
    }

    fn work(&self, link: WorkerLink) -> Working {
        Box::pin(async move { drop(link) })
    }

    fn take(&self, _: &str, message: Request) -> Taking {
        let body = &message.message.body;
        let empty = matches!(body, Body::Value(value) if value.0 == Value::Null);
        Box::pin(async move { if empty { Err(AmqpError::InvalidField.into()) } else { Ok(()) } })
    }
}

/// A listener that serves.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) passed: Arc<AtomicUsize>,
    pub(crate) users: Arc<Users>,
    pub(crate) drain: DrainTrigger,
    pub(crate) task: JoinHandle<()>,
}

/// The settings of a test: no users, everybody on this machine is welcome.
pub(crate) fn settings() -> Settings {
    Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        anonymous: Anonymous::Auto,
        users: std::collections::BTreeMap::new(),
        limits: Limits::default(),
        product: Product::default(),
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(settings()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let metrics = Metrics::register(&[]);
        let amqp = Amqp::bind(settings, metrics).await.unwrap();
        let (address, users) = (amqp.local_addr().unwrap(), amqp.users());
        let gate = Arc::new(Semaphore::new(0));
        let passed = Arc::default();
        let echo = Arc::new(Echo { gate: Arc::clone(&gate), passed: Arc::clone(&passed) });
        let places = Places {
            management: Some(echo.clone()),
            http: Some(echo),
            queues: Some(Arc::new(OneQueue)),
        };
        let (trigger, drain) = Drain::new();
        let task = tokio::spawn(amqp.serve(places, drain));
        Self { address, gate, passed, users, drain: trigger, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("amqp://{}", self.address)
    }
}
