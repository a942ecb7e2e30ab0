//! The pairings in `config/examples`, as they are shipped but for the addresses of others: started through
//! one protocol, carried out by another, there and back.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use fe2o3_amqp_types::messaging::{
    AmqpValue as AmqpBody, ApplicationProperties, Body, Message, MessageId, Properties,
};
use fe2o3_amqp_types::primitives::SimpleValue;
use serde_amqp::Value as AmqpValue;
use serde_json::{Value, json};

use crate::clients::{SOURCES, environment};
use crate::faces::{JSON, raw};
use crate::grpc;
use crate::nexus::callbacks::Desk;
use crate::process::{Daemon, Launch};

/// A daemon by the settings of this example.
fn example(dir: &Path, name: &str) -> Launch {
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    Launch::new(dir).config_file(&examples.join(name))
}

/// What `GET` of this path shows.
fn shown(daemon: &Daemon, path: &str) -> Value {
    let reply = raw(daemon.http, "GET", path, &[], b"");
    assert_eq!(reply.status, 200, "{path}: {}", reply.head);
    reply.json()
}

#[test]
fn temporals_nexus_to_oci() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let identity = Launch::new(dirs[0].path())
        .config(
            r#"
[routes.move]
service = "identity"
operation = "MOVE_COMPARTMENT"
backend = "showcase"
[routes.move.http]
reply = "oci"
request = "POST /20160918/compartments/{compartmentId}/actions/moveCompartment"
required = ["targetCompartmentId"]
[routes.move.showcase]
duration = "50ms"
"#,
        )
        .start();
    let front = example(dirs[1].path(), "temporal-to-oci.toml")
        .set(&format!("backends.identity.endpoint=http://{}", identity.http))
        .set(r#"callbacks.allow=["127.0.0.1:*"]"#)
        .start();
    let temporal = Desk::start();
    temporal.open.send_replace(true);
    let callback = format!("http%3A%2F%2F{}%2Fnexus%2Fcallback", temporal.address);
    let path = format!("/nexus/identity/moveCompartment?callback={callback}");
    let input =
        json!({"compartmentId": "ocid1.compartment.oc1..a", "to": "ocid1.compartment.oc1..b"});
    let started = raw(front.http, "POST", &path, &[JSON], input.to_string().as_bytes());
    assert_eq!(started.status, 201, "{}", started.head);
    let told = temporal.next();
    assert_eq!(
        (&*told.state, told.token.as_str().into()),
        ("succeeded", started.json()["token"].clone())
    );
    assert_eq!(
        (&told.body["status"], &told.body["operationType"]),
        (&"SUCCEEDED".into(), &"MOVE_COMPARTMENT".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_client_to_a_nexus_handler() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let handler = Launch::new(dirs[0].path())
        .config(
            r#"
[callbacks]
allow = ["127.0.0.1:*"]
plaintext = true
networks = ["127.0.0.0/8"]
[routes.charge]
service = "payments.v1"
operation = "Charge"
backend = "showcase"
[routes.charge.showcase]
duration = "50ms"
result = { charged = "${/amount}" }
"#,
        )
        .start();
    let front = example(dirs[1].path(), "google-to-nexus.toml")
        .set(&format!("backends.billing.endpoint=http://{}/nexus", handler.http))
        .start();
    let client = grpc::Client::connect(front.http).await;
    let started = client.start("/acme.v1.Billing/Charge", &json!({"amount": 5}), "").await.unwrap();
    let done = client.wait(&started.name, Duration::from_mins(1)).await.unwrap();
    assert!(done.done && done.error.is_none(), "{done:?}\n{}", front.log());
    // By REST it is started as well, and shows its result there.
    let body = json!({"amount": 7}).to_string();
    let started = raw(front.http, "POST", "/v1/charges", &[JSON], body.as_bytes()).json();
    let path = format!("/v1/{}:wait", started["name"].as_str().unwrap());
    let done = raw(front.http, "POST", &path, &[JSON], br#"{"timeout": "60s"}"#).json();
    assert_eq!(done["response"]["value"], json!({"charged": 7.0}), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ocis_sdk_to_workers_over_amqp() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = example(dir.path(), "oci-to-amqp-workers.toml").start();
    let url = format!("amqp://{}", daemon.amqp);
    let mut connection = Connection::open("worker", &*url).await.unwrap();
    let mut session = Session::begin(&mut connection).await.unwrap();
    let mut worker = Receiver::attach(&mut session, "purges", "queue/purges").await.unwrap();
    let body =
        json!({"purgeType": "NORMAL", "compartmentId": "ocid1.compartment.oc1..c"}).to_string();
    let path = "/20210201/queues/ocid1.queue.oc1..q/actions/purge";
    let started = raw(daemon.http, "POST", path, &[JSON], body.as_bytes());
    assert_eq!(started.status, 202, "{}", started.head);
    let ocid = started.header("opc-work-request-id").unwrap().to_owned();
    let delivery = worker.recv::<Body<AmqpValue>>().await.unwrap();
    assert_eq!(shown(&daemon, &format!("/20210201/workRequests/{ocid}"))["status"], "IN_PROGRESS");
    worker.accept(&delivery).await.unwrap();
    let ended = shown(&daemon, &format!("/opgate/v1/operations/{ocid}:wait?timeout=60s"));
    assert_eq!(ended["state"], "SUCCEEDED", "{ended}");
    let ended = shown(&daemon, &format!("/20210201/workRequests/{ocid}"));
    assert_eq!(
        (&ended["status"], &ended["resources"][0]["identifier"]),
        (&"SUCCEEDED".into(), &"ocid1.queue.oc1..q".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn amqps_requesters_to_a_grpc_service() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let service = Launch::new(dirs[0].path())
        .config(
            r#"
[routes.build]
service = "images"
operation = "BUILD"
backend = "showcase"
[routes.build.grpc]
method = "acme.v1.Images/Build"
request_type = "google.protobuf.Struct"
input = "json"
[routes.build.showcase]
duration = "50ms"
result = { built = "${/name} of ${/source}" }
"#,
        )
        .start();
    let front = example(dirs[1].path(), "amqp-to-grpc.toml")
        .set(&format!("backends.builders.endpoint=http://{}", service.http))
        .start();
    let url = format!("amqp://{}", front.amqp);
    let mut connection = Connection::open("requester", &*url).await.unwrap();
    let mut session = Session::begin(&mut connection).await.unwrap();
    let mut replies = Receiver::attach(&mut session, "replies", "$management").await.unwrap();
    let mut requests = Sender::attach(&mut session, "requests", "$management").await.unwrap();
    let properties = ApplicationProperties::builder()
        .insert("operation", "BUILD")
        .insert("type", "com.example:image")
        .insert("name", "web")
        .build();
    let source = [(AmqpValue::from("source"), AmqpValue::from("main"))];
    let request = Message::builder()
        .properties(Properties { message_id: Some(MessageId::Ulong(7)), ..Properties::default() })
        .application_properties(properties)
        .body(Body::Value(AmqpBody(AmqpValue::Map(source.into_iter().collect()))))
        .build();
    requests.send(request).await.unwrap().accepted_or("not accepted").unwrap();
    let reply = replies.recv::<Body<AmqpValue>>().await.unwrap();
    let reply = reply.message();
    let status = reply.application_properties.as_ref().unwrap().get("statusCode");
    assert_eq!(status, Some(&SimpleValue::Int(200)), "{reply:?}\n{}", front.log());
    let Body::Value(AmqpBody(AmqpValue::Map(built))) = &reply.body else { panic!("{reply:?}") };
    assert_eq!(built.get(&AmqpValue::from("built")), Some(&AmqpValue::from("web of main")));
    let carried = shown(&service, "/opgate/v1/operations");
    assert_eq!(carried["operations"][0]["origin"]["face"], "grpc", "{carried}");
}

#[test]
fn remote_execution_to_workers() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = example(dir.path(), "buildgrid-to-workers.toml").start();
    let mut client = Command::new(environment("requirements-buildgrid.txt").join("python"))
        .args(["remote_execution.py", &daemon.http.to_string(), "main", "ab12"])
        .current_dir(SOURCES)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(client.stdout.take().unwrap()).lines().map(Result::unwrap);
    let name = told.next().unwrap();
    assert_eq!(told.next().as_deref(), Some("QUEUED ab12"));
    let ask = |path: &str, body: Value| {
        let reply = raw(daemon.http, "POST", path, &[JSON], body.to_string().as_bytes());
        assert_eq!(reply.status, 200, "{path}: {}\n{}", reply.head, daemon.log());
        reply.json()
    };
    let leased = ask("/opgate/v1/queues/actions:lease", json!({"wait": "60s", "worker": "w"}));
    let leased = &leased["leases"][0];
    assert_eq!(name, format!("main/{}", leased["operation"]["id"].as_str().unwrap()));
    assert_eq!(leased["operation"]["input"]["json"]["actionDigest"]["hash"], "ab12");
    assert_eq!(told.next().as_deref(), Some("EXECUTING ab12"));
    let result = json!({"result": {"exitCode": 3, "stdoutRaw": "aGVsbG8="}});
    let lease = leased["lease"].as_str().unwrap();
    ask(
        &format!("/opgate/v1/leases/{lease}:finish"),
        json!({"outcome": {"succeeded": {"json": result}}}),
    );
    let rest: Vec<String> = told.collect();
    assert_eq!(rest, ["COMPLETED ab12", "exit 3 hello"]);
    assert!(client.wait().unwrap().success());
}
