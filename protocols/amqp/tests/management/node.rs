//! A node, and requests to it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp_types::messaging::{
    AmqpValue, ApplicationProperties, Body, Message, MessageId, Properties,
};
use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_amqp::management::{DoorSettings, Management, ReplyWhen, Settings};
use opgate_amqp::node::{ConnectionId, Node as _, Reply, Request};
use opgate_bus::core::{Code, Error, ErrorKind, Expects, Failure, Kind, Outcome, Payload};
use opgate_bus::{Admission, Backend, Bus, Caller, Lease, Offer, Route, Router};
use opgate_store::{Clock, Options, Store};
use opgate_telemetry::Metrics;
use serde_amqp::Value;
use tempfile::TempDir;

pub(crate) const OPERATION: &str = "org.opgate.operation";
pub(crate) const MANAGEMENT: &str = "org.amqp.management";
pub(crate) const DOMAIN: &str = "com.example:thing";

/// Ends as the name of the operation says; `RUN` when it is canceled or ended by hand.
struct Scripted;

impl Backend for Scripted {
    fn admit(&self, offer: &Offer<'_>) -> Result<Admission, Error> {
        match offer.route.kind.operation() {
            "DONE" => Ok(Admission::Done(Outcome::Succeeded(Some(offer.start.input.clone())))),
            "NOTHING" => Ok(Admission::Done(Outcome::Succeeded(None))),
            "FAIL" => {
                let mut failure = Failure::new(Code::NotFound, "no such thing");
                failure.reason = Some("gone".to_owned());
                Ok(Admission::Done(Outcome::Failed(failure)))
            }
            "REFUSE" => Err(Error::new(ErrorKind::QuotaExceeded, "used up")),
            _ => Ok(Admission::Accept),
        }
    }

    fn run(&self, lease: Lease) -> Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>> {
        Box::pin(async move {
            lease.canceled().await;
            Ok(Outcome::Canceled(None))
        })
    }
}

/// A node and what it stands on.
pub(crate) struct Node {
    pub(crate) management: Management,
    pub(crate) bus: Bus,
    _dir: TempDir,
}

const KINDS: [&str; 5] = ["RUN", "DONE", "NOTHING", "FAIL", "REFUSE"];

fn route(operation: &str) -> Route {
    Route {
        name: operation.to_lowercase().into(),
        kind: Kind::new("scripted", operation).unwrap(),
        backend: "scripted".into(),
        retention: Duration::from_hours(1),
        timeout: None,
        options: BTreeMap::new(),
        expects: Expects::default(),
        resources: Vec::new(),
    }
}

pub(crate) fn door(route: &str, operation: &str, reply: ReplyWhen) -> DoorSettings {
    DoorSettings {
        route: route.to_owned(),
        entity_type: Some(DOMAIN.to_owned()),
        operation: operation.to_owned(),
        reply,
        ..DoorSettings::default()
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        doors: vec![
            door("run", "RUN", ReplyWhen::Accepted),
            door("run", "DELETE", ReplyWhen::Completed),
            door("done", "DONE", ReplyWhen::Completed),
            door("nothing", "REMOVE", ReplyWhen::Completed),
            door("fail", "FAIL", ReplyWhen::Completed),
            door("refuse", "REFUSE", ReplyWhen::Accepted),
            DoorSettings {
                node: Some("queue/q/$management".to_owned()),
                input: Some(serde_json::json!({
                    "who": "${/name}", "why": "${/properties/why}", "what": "${/body/what}",
                })),
                ..door("done", "SHAPED", ReplyWhen::Completed)
            },
        ],
        ..Settings::default()
    }
}

impl Node {
    pub(crate) fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Metrics::register(&["scripted"]);
        let mut options = Options::new(dir.path().join("data"));
        options.durability = opgate_bus::Durability::Memory;
        let (store, _) = Store::open(&options, Clock::System, &metrics).unwrap();
        let mut router = Router::builder().backend("scripted", Arc::new(Scripted), 4096);
        for operation in KINDS {
            router = router.route(route(operation));
        }
        let router = router.build().unwrap();
        let bus = Bus::open(store, router, opgate_bus::Options::default(), Arc::clone(&metrics));
        let management = Management::new(settings(), bus.clone(), metrics).unwrap();
        Self { management, bus, _dir: dir }
    }

    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        Answer(self.management.call(ask.0).await)
    }

    /// The identity of a new operation that runs until somebody ends it.
    pub(crate) async fn running(&self) -> String {
        let answer = self.send(ask("CREATE", OPERATION).body(map([("route", "run".into())]))).await;
        assert_eq!(answer.status(), 201, "{answer:?}");
        answer.text("identity")
    }
}

/// A request.
pub(crate) struct Ask(pub(crate) Request);

pub(crate) fn ask(operation: &str, of: &str) -> Ask {
    let message = Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(Properties {
            message_id: Some(MessageId::Ulong(0)),
            ..Properties::default()
        }),
        application_properties: Some(ApplicationProperties::default()),
        body: Body::Empty,
        footer: None,
    };
    let request = Request {
        caller: Caller::anonymous(),
        connection: ConnectionId(1),
        link: 1,
        node: "$management".into(),
        patience: None,
        message,
        values: None,
    };
    Ask(request).with("operation", operation).with("type", of)
}

impl Ask {
    pub(crate) fn with(mut self, name: &str, value: impl Into<SimpleValue>) -> Self {
        let properties = self.0.message.application_properties.get_or_insert_default();
        properties.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn identity(self, identity: &str) -> Self {
        self.with("identity", identity)
    }

    pub(crate) fn at(mut self, node: &str) -> Self {
        self.0.node = node.into();
        self
    }

    pub(crate) fn by(mut self, link: u64) -> Self {
        self.0.link = link;
        self
    }

    pub(crate) fn body(mut self, value: Value) -> Self {
        self.0.message.body = Body::Value(AmqpValue(value));
        self
    }
}

pub(crate) fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Map(fields.into_iter().map(|(name, value)| (Value::from(name), value)).collect())
}

/// A reply.
#[derive(Debug)]
pub(crate) struct Answer(pub(crate) Reply);

impl Answer {
    /// Its status code, which is there in both spellings.
    pub(crate) fn status(&self) -> i32 {
        let properties = &self.0.application_properties;
        assert_eq!(properties.get("statusCode"), properties.get("status-code"));
        let Some(SimpleValue::Int(code)) = properties.get("statusCode") else {
            panic!("no status: {:?}", self.0)
        };
        *code
    }

    fn said(&self, names: [&str; 2]) -> String {
        let found = names.map(|name| match self.0.application_properties.get(name) {
            Some(SimpleValue::String(text)) => text.clone(),
            Some(SimpleValue::Symbol(symbol)) => symbol.as_str().to_owned(),
            _ => String::new(),
        });
        assert_eq!(found[0], found[1]);
        found[0].clone()
    }

    pub(crate) fn description(&self) -> String {
        self.said(["statusDescription", "status-description"])
    }

    pub(crate) fn condition(&self) -> String {
        self.said(["errorCondition", "error-condition"])
    }

    /// Code and condition of a refusal, whose body is an empty map and whose description names `field`.
    pub(crate) fn refusal(&self, field: &str) -> (i32, String) {
        assert_eq!(self.value(), map([]), "{self:?}");
        assert!(self.description().contains(field), "{self:?}");
        (self.status(), self.condition())
    }

    /// As its client reads it.
    pub(crate) fn value(&self) -> Value {
        let Body::Value(AmqpValue(value)) = &self.0.body else { panic!("no value: {:?}", self.0) };
        serde_amqp::from_slice(&serde_amqp::to_vec(value).unwrap()).unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Value {
        let Value::Map(map) = self.value() else { panic!("no map: {:?}", self.0) };
        map.get(&Value::from(name)).cloned().unwrap_or_default()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        let Value::String(text) = self.field(name) else { panic!("no {name}: {:?}", self.0) };
        text
    }

    /// The rows of a QUERY, as many as it says there are.
    pub(crate) fn rows(&self) -> Vec<Vec<Value>> {
        assert_eq!(self.status(), 200, "{self:?}");
        let Value::List(rows) = self.field("results") else { panic!("no rows: {:?}", self.0) };
        let count = u32::try_from(rows.len()).unwrap();
        assert_eq!(self.0.application_properties.get("count"), Some(&SimpleValue::Uint(count)));
        let row = |row| {
            let Value::List(row) = row else { panic!("no row: {row:?}") };
            row
        };
        rows.into_iter().map(row).collect()
    }

    /// The first column.
    pub(crate) fn column(&self) -> Vec<String> {
        let first = |row: Vec<Value>| {
            let Some(Value::String(text)) = row.first() else { panic!("no text: {row:?}") };
            text.clone()
        };
        self.rows().into_iter().map(first).collect()
    }
}

/// The JSON that an operation was given.
pub(crate) fn json(payload: &Payload) -> serde_json::Value {
    assert!(payload.is_json(), "{payload:?}");
    serde_json::from_slice(&payload.bytes).unwrap()
}
