//! Operations that AMQP requests started on the other faces, and those of the other faces as AMQP entities.

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use fe2o3_amqp_types::messaging::{AmqpValue, ApplicationProperties, Body, Message, Properties};
use fe2o3_amqp_types::primitives::SimpleValue;
use serde_amqp::Value as Amqp;

use super::*;
use crate::grpc::RUN;

const OPERATION: &str = "org.opgate.operation";
const SHOWCASE: &str = "org.opgate.showcase";

/// A client of a management node.
pub(crate) struct Agent {
    _connection: ConnectionHandle<()>,
    _session: SessionHandle<()>,
    sender: Sender,
    receiver: Receiver,
    asked: u64,
}

/// A reply: its status, and the map in its body.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) condition: Option<String>,
    description: String,
    body: Amqp,
}

impl Said {
    pub(crate) fn field(&self, name: &str) -> Amqp {
        let Amqp::Map(map) = &self.body else { panic!("no map: {self:?}") };
        map.get(&Amqp::from(name)).cloned().unwrap_or_default()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        let Amqp::String(text) = self.field(name) else { panic!("no {name}: {self:?}") };
        text
    }
}

impl Agent {
    pub(crate) async fn connect(daemon: &Daemon, node: &str) -> Self {
        let stream = tokio::net::TcpStream::connect(daemon.amqp).await.unwrap();
        Self::over(stream, node).await
    }

    pub(crate) async fn over(stream: tokio::net::TcpStream, node: &str) -> Self {
        let connection = Connection::builder().container_id("agent").hostname("localhost");
        let mut connection = connection.open_with_stream(stream).await.unwrap();
        let mut session = Session::begin(&mut connection).await.unwrap();
        let sender = Sender::attach(&mut session, "requests", node).await.unwrap();
        let receiver = Receiver::builder()
            .name("replies")
            .source(node)
            .target("agent-1")
            .attach(&mut session)
            .await
            .unwrap();
        Self { _connection: connection, _session: session, sender, receiver, asked: 0 }
    }

    pub(crate) async fn ask(
        &mut self,
        operation: &str,
        of: &str,
        properties: &[(&str, SimpleValue)],
        body: Amqp,
    ) -> Said {
        let mut all = ApplicationProperties::default();
        for (name, value) in
            [("operation", operation.into()), ("type", of.into())].iter().chain(properties)
        {
            all.insert((*name).to_owned(), value.clone());
        }
        let id = self.asked;
        self.asked += 1;
        let message = Message::builder()
            .properties(Properties::builder().message_id(id).reply_to("agent-1").build())
            .application_properties(all)
            .body(Body::Value(AmqpValue(body)))
            .build();
        self.sender.send(message).await.unwrap().accepted_or("not accepted").unwrap();
        let reply = tokio::time::timeout(PATIENCE, self.receiver.recv::<Body<Amqp>>());
        let reply = reply.await.unwrap().unwrap();
        self.receiver.accept(&reply).await.unwrap();
        let reply = reply.into_message();
        assert_eq!(reply.properties.unwrap().correlation_id, Some(id.into()));
        let properties = reply.application_properties.unwrap();
        let Some(SimpleValue::Int(status)) = properties.get("statusCode").cloned() else {
            panic!("{properties:?}")
        };
        let text = |name: &str| {
            let found = properties.get(name)?;
            if let SimpleValue::String(text) = found {
                return Some(text.clone());
            }
            let SimpleValue::Symbol(symbol) = found else { return None };
            Some(symbol.as_str().to_owned())
        };
        let Body::Value(AmqpValue(body)) = reply.body else { panic!("{:?}", reply.body) };
        Said {
            status,
            condition: text("errorCondition"),
            description: text("statusDescription").unwrap(),
            body,
        }
    }

    /// An entity's READ, CANCEL, WAIT and the like.
    pub(crate) async fn about(&mut self, operation: &str, name: &str) -> Said {
        self.ask(operation, OPERATION, &[("identity", name.into())], Amqp::Null).await
    }
}

/// The body of the answer to a GET over AMQP's form of HTTP.
pub(super) async fn http_get(daemon: &Daemon, path: &str) -> Amqp {
    let mut agent = Agent::connect(daemon, "/management").await;
    let properties = Properties::builder().message_id(7_u64).subject("GET").to(path.to_owned());
    let message = Message::builder()
        .properties(properties.reply_to("agent-1").build())
        .body(Body::Value(AmqpValue(Amqp::Null)))
        .build();
    agent.sender.send(message).await.unwrap().accepted_or("not accepted").unwrap();
    let reply = tokio::time::timeout(PATIENCE, agent.receiver.recv::<Body<Amqp>>());
    let reply = reply.await.unwrap().unwrap();
    agent.receiver.accept(&reply).await.unwrap();
    let Body::Value(AmqpValue(body)) = reply.into_message().body else { panic!("no value") };
    body
}

pub(crate) fn map<const N: usize>(fields: [(&str, Amqp); N]) -> Amqp {
    Amqp::Map(fields.into_iter().map(|(name, value)| (Amqp::from(name), value)).collect())
}

#[tokio::test]
async fn what_amqp_started_is_awaited_and_has_one_end_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let mut agent = Agent::connect(&daemon, "projects/p/$management").await;
    let play = map([("duration", "200ms".into()), ("result", map([("answer", Amqp::Int(42))]))]);
    let started = agent.ask("run", SHOWCASE, &[], play).await;
    assert_eq!(started.status, 202, "{started:?}");
    let (identity, name) = (started.text("identity"), started.text("name"));
    let shown = native(&daemon, &identity);
    assert_eq!(
        (&shown["origin"]["face"], &shown["names"]["amqp"]),
        (&json!("amqp"), &json!(identity))
    );
    assert_eq!(shown["names"]["grpc"], name);
    let (token, ocid) =
        (shown["names"]["nexus"].as_str().unwrap(), shown["names"]["oci"].as_str().unwrap());

    let grpc = Client::connect(daemon.http).await;
    assert!(grpc.wait(&name, Duration::from_mins(1)).await.unwrap().response.is_some());
    let reply = result(&daemon, token);
    assert_eq!((reply.status, &*reply.body), (200, &br#"{"answer":42}"#[..]));
    assert_eq!(rest(&daemon, &name)["response"]["value"], json!({"answer": 42.0}));
    let reply = raw(daemon.http, "GET", &format!("/20160918/workRequests/{ocid}"), &[], b"");
    assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("SUCCEEDED")));
    assert_eq!(ops(&daemon, &["get", &identity])["result"]["json"], json!({"answer": 42}));
    // By whatever name, it is one operation with one version.
    let [version, ..] = versions(&daemon, token, &name).await;
    for name in [&*identity, &*name, token, ocid] {
        let read = agent.about("READ", name).await;
        assert_eq!((read.status, read.text("identity")), (200, identity.clone()), "{name}");
        let Amqp::Ulong(own) = read.field("version") else { panic!("{read:?}") };
        assert_eq!(own.to_string(), version.as_f64().unwrap().to_string());
        assert_eq!(read.field("result"), map([("answer", Amqp::Long(42))]));
    }
}

#[tokio::test]
async fn what_the_others_started_is_an_entity() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let mut agent = Agent::connect(&daemon, "$management").await;
    let grpc = Client::connect(daemon.http).await;
    let play = json!({"hold": true});
    let (token, nexus) = started(&daemon, &play.to_string());
    let by_grpc = grpc.start_beneath("projects/p", RUN, &play).await.unwrap().name;
    let path = "/20160918/compartments/ocid1.compartment.oc1..c";
    let reply = raw(daemon.http, "DELETE", path, &[], b"");
    let by_oci = reply.header("opc-work-request-id").unwrap();
    let body = json!({"route": "showcase-run", "input": {"json": play}}).to_string();
    let reply = raw(daemon.http, "POST", "/opgate/v1/operations", &[JSON], body.as_bytes());
    let by_native = reply.json()["id"].as_str().unwrap().to_owned();
    for (face, name) in
        [("nexus", &*token), ("grpc", &*by_grpc), ("oci", by_oci), ("native", &*by_native)]
    {
        let read = agent.about("READ", name).await;
        assert_eq!(read.status, 200, "{face}: {read:?}");
        let Amqp::Map(origin) = read.field("origin") else { panic!("{read:?}") };
        assert_eq!(origin.get(&Amqp::from("face")), Some(&Amqp::from(face)));
    }
    let listed =
        agent.ask("QUERY", "org.amqp.management", &[("name", "self".into())], Amqp::Null).await;
    let Amqp::List(rows) = listed.field("results") else { panic!("{listed:?}") };
    assert_eq!(rows.len(), 4);
    let canceled = agent.about("CANCEL", &token).await;
    assert_eq!(canceled.status, 200, "{canceled:?}");
    assert_eq!(agent.about("WAIT", &token).await.text("state"), "CANCELED");
    assert_eq!(
        grpc.get(nexus["names"]["grpc"].as_str().unwrap()).await.unwrap().error.unwrap().code,
        1
    );
    let reply = result(&daemon, &token);
    assert_eq!((reply.status, reply.header("nexus-operation-state")), (424, Some("canceled")));
}

#[tokio::test]
async fn what_amqp_started_is_canceled_through_any_face() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let mut agent = Agent::connect(&daemon, "$management").await;
    let grpc = Client::connect(daemon.http).await;
    for through in ["grpc", "rest", "nexus", "ops", "amqp"] {
        let started = agent.ask("run", SHOWCASE, &[], map([("hold", Amqp::Bool(true))])).await;
        let (identity, name) = (started.text("identity"), started.text("name"));
        match through {
            "grpc" => grpc.cancel(&name).await.unwrap(),
            "rest" => {
                let reply = raw(daemon.http, "POST", &format!("/v1/{name}:cancel"), &[JSON], b"{}");
                assert_eq!(reply.status, 200);
            }
            "nexus" => {
                let token =
                    native(&daemon, &identity)["names"]["nexus"].as_str().unwrap().to_owned();
                let header = format!("Nexus-Operation-Token: {token}");
                let path = "/nexus/showcase/run/cancel";
                assert_eq!(raw(daemon.http, "POST", path, &[&header], b"").status, 202);
            }
            "ops" => drop(ops(&daemon, &["cancel", &identity])),
            _ => assert_eq!(agent.about("CANCEL", &identity).await.status, 200),
        }
        let ended = agent.about("WAIT", &identity).await;
        assert_eq!((ended.status, ended.text("state")), (200, "CANCELED".to_owned()), "{through}");
        assert_eq!(grpc.get(&name).await.unwrap().error.unwrap().code, 1, "{through}");
    }
}

#[tokio::test]
async fn a_failure_is_a_status_to_who_waits_and_an_attribute_to_who_reads() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let mut agent = Agent::connect(&daemon, "$management").await;
    let play = || map([("code", "NOT_FOUND".into()), ("message", "no such scene".into())]);
    let failed = agent.ask("fail", SHOWCASE, &[], play()).await;
    assert_eq!((failed.status, &*failed.description), (404, "no such scene"), "{failed:?}");
    assert_eq!(failed.condition.as_deref(), Some("amqp:not-found"));
    let create =
        map([("service", "showcase".into()), ("operation", "fail".into()), ("input", play())]);
    let made = agent.ask("CREATE", OPERATION, &[], create).await;
    assert_eq!((made.status, made.text("state")), (201, "FAILED".to_owned()), "{made:?}");
    let error = native(&daemon, &made.text("identity"))["error"].clone();
    assert_eq!((&error["code"], &error["message"]), (&json!("NOT_FOUND"), &json!("no such scene")));
    let refusal = map([("kind", "NOT_FOUND".into()), ("message", "no such scene".into())]);
    let refused = agent.ask("error", SHOWCASE, &[], refusal).await;
    assert_eq!((refused.status, &*refused.description), (404, "no such scene"), "{refused:?}");
    let echoed =
        agent.ask("echo", SHOWCASE, &[("name", "n".into())], map([("a", Amqp::Int(1))])).await;
    assert_eq!(
        (echoed.status, echoed.body),
        (200, map([("a", Amqp::Long(1)), ("name", "n".into())]))
    );
}
