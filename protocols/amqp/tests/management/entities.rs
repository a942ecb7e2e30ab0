//! Operations as entities.

use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_bus::core::Face;
use serde_amqp::primitives::{Binary, Symbol};
use serde_json::json;

use super::node::*;
use serde_amqp::Value;

#[tokio::test]
async fn an_operation_is_made_read_and_deleted() {
    let node = Node::open();
    let body = map([
        ("service", "scripted".into()),
        ("operation", "RUN".into()),
        ("input", map([("n", Value::Int(7)), ("list", Value::List(vec![Value::Bool(true)]))])),
        ("parent", "projects/p".into()),
        ("timeout", "1h".into()),
        ("inputType", Value::Null),
    ]);
    let made = node.send(ask("CREATE", OPERATION).body(body)).await;
    assert_eq!(made.status(), 201, "{made:?}");
    let identity = made.text("identity");
    assert_eq!(made.text("name"), format!("projects/p/operations/{identity}"));
    assert_eq!(made.text("type"), OPERATION);

    let id = identity.parse().unwrap();
    let stored = node.bus.get(&opgate_bus::Caller::anonymous(), id).await.unwrap();
    assert_eq!(json(&stored.input), json!({"n": 7, "list": [true]}));
    assert_eq!((stored.origin.face, stored.parent.as_str()), (Face::Amqp, "projects/p"));
    assert_eq!(stored.origin.request_id.as_deref(), Some("0"));
    assert!(stored.deadline.is_some());

    let read = |ask: Ask| node.send(ask);
    for found in [
        read(ask("READ", OPERATION).identity(&identity)).await,
        read(ask("READ", OPERATION).with("name", &*made.text("name"))).await,
        read(ask("READ", "").identity(&identity)).await,
        read(ask("READ", OPERATION).with("identity", Symbol::from(&*identity))).await,
        read(ask("READ", OPERATION).with("identity", Binary::from(identity.clone()))).await,
        read(ask("READ", OPERATION).identity(&identity).at("elsewhere/$management")).await,
    ] {
        assert_eq!((found.status(), found.text("identity")), (200, identity.clone()));
        let millis = Value::Timestamp(stored.times.accepted.millis().into());
        assert_eq!(found.field("createTime"), millis);
        assert_eq!(
            found.field("input"),
            map([("n", Value::Int(7)), ("list", Value::List(vec![Value::Bool(true)])),])
        );
    }
    let gone = node.send(ask("DELETE", OPERATION).identity(&identity)).await;
    assert_eq!((gone.status(), gone.value()), (204, map([])));
    let read = node.send(ask("READ", OPERATION).identity(&identity)).await;
    assert_eq!(read.refusal("no such operation"), (404, "amqp:not-found".to_owned()));
}

#[tokio::test]
async fn what_has_no_input_shows_none() {
    let node = Node::open();
    for input in [None, Some(("input", Value::Null))] {
        let body = [("route", "done".into())].into_iter().chain(input);
        let body = Value::Map(body.map(|(name, value)| (Value::from(name), value)).collect());
        let made = node.send(ask("CREATE", OPERATION).body(body)).await;
        assert_eq!(made.status(), 201, "{made:?}");
        // Its result is its input.
        assert_eq!(made.text("state"), "SUCCEEDED");
        let Value::Map(shown) = made.value() else { panic!("{made:?}") };
        for name in ["input", "inputType", "result", "resultType"] {
            assert_eq!(shown.get(&Value::from(name)), None, "{name}");
        }
    }
    // Content without a byte is content.
    let body = map([("route", "done".into()), ("input", Value::Binary(Vec::new().into()))]);
    let made = node.send(ask("CREATE", OPERATION).body(body)).await;
    assert_eq!(made.field("input"), Value::Binary(Vec::new().into()));
}

#[tokio::test]
async fn a_cancel_is_asked_for_in_either_way() {
    let node = Node::open();
    let identity = node.running().await;
    let why = ask("CANCEL", OPERATION).identity(&identity).with("reason", "enough");
    assert_eq!(node.send(why).await.status(), 200);
    let done = node.send(ask("WAIT", OPERATION).identity(&identity)).await;
    assert_eq!((done.status(), done.text("state")), (200, "CANCELED".to_owned()));
    let Value::Map(cancel) = done.field("cancel") else { panic!("{done:?}") };
    assert_eq!(cancel.get(&Value::from("reason")), Some(&Value::from("enough")));
    // Once more is no error.
    let again = node.send(ask("CANCEL", OPERATION).identity(&identity)).await;
    assert_eq!(again.status(), 200);

    let identity = node.running().await;
    let update = map([("cancelRequested", Value::Bool(true))]);
    let asked = node.send(ask("UPDATE", OPERATION).identity(&identity).body(update)).await;
    assert_eq!((asked.status(), asked.field("cancelRequested")), (200, Value::Bool(true)));
    let done = node.send(ask("WAIT", OPERATION).identity(&identity)).await;
    assert_eq!(done.text("state"), "CANCELED");
}

#[tokio::test]
async fn an_update_ends_an_operation_by_hand() {
    let node = Node::open();
    let identity = node.running().await;
    let read = node.send(ask("READ", OPERATION).identity(&identity)).await;
    // A client sends back all that it has read.
    let Value::Map(mut all) = read.value() else { panic!("{read:?}") };
    all.swap_remove(&Value::from("updateTime"));
    all.swap_remove(&Value::from("startTime"));
    all.swap_remove(&Value::from("version"));
    all.insert("state".into(), "SUCCEEDED".into());
    all.insert("result".into(), map([("answer", Value::Int(42))]));
    all.swap_remove(&Value::from("epoch"));
    let ended = node.send(ask("UPDATE", OPERATION).identity(&identity).body(Value::Map(all))).await;
    assert_eq!((ended.status(), ended.text("state")), (200, "SUCCEEDED".to_owned()), "{ended:?}");
    assert_eq!(ended.field("result"), map([("answer", Value::Int(42))]));
    // Another end is refused.
    let failed = map([("state", "FAILED".into()), ("error", "no".into())]);
    let refused = node.send(ask("UPDATE", OPERATION).identity(&identity).body(failed)).await;
    assert_eq!(refused.status(), 409, "{refused:?}");

    let identity = node.running().await;
    let error = map([
        ("code", "NOT_FOUND".into()),
        ("message", "no such scene".into()),
        ("retryable", Value::Bool(false)),
    ]);
    let failed = map([("state", "failed".into()), ("error", error)]);
    let ended = node.send(ask("UPDATE", OPERATION).identity(&identity).body(failed)).await;
    assert_eq!((ended.status(), ended.text("state")), (200, "FAILED".to_owned()));
    let Value::Map(error) = ended.field("error") else { panic!("{ended:?}") };
    let field = |name: &str| error.get(&Value::from(name)).cloned().unwrap();
    assert_eq!((field("code"), field("message")), ("NOT_FOUND".into(), "no such scene".into()));
    assert_eq!(field("statusCode"), Value::Int(404));
    assert_eq!(field("errorCondition"), Value::Symbol(Symbol::from("amqp:not-found")));
}

#[tokio::test]
async fn a_change_is_of_the_version_that_is_named() {
    let node = Node::open();
    let identity = node.running().await;
    let about = |operation| ask(operation, OPERATION).identity(&identity);
    let stale = node.send(about("CANCEL").with("version", SimpleValue::Ulong(999))).await;
    assert_eq!(stale.status(), 412);
    assert_eq!(stale.condition(), "amqp:precondition-failed");
    let stale = node.send(about("UPDATE").body(map([("version", Value::Int(999))]))).await;
    assert_eq!(stale.refusal("version").0, 412);
    let stale = node.send(about("DELETE").with("version", SimpleValue::Int(999))).await;
    assert_eq!(stale.status(), 412);
    assert_eq!(node.send(about("READ")).await.text("identity"), identity);
}

#[tokio::test]
async fn a_repeat_is_known_by_its_key_and_never_by_its_message_id() {
    let node = Node::open();
    let body = || map([("route", "run".into())]);
    // Every one of these has the message id 0.
    assert_ne!(node.running().await, node.running().await);
    let keyed = |body| ask("CREATE", OPERATION).with("idempotency-key", "k").body(body);
    let first = node.send(keyed(body())).await.text("identity");
    assert_eq!(node.send(keyed(body())).await.text("identity"), first);
    let other = ask("CREATE", OPERATION).with("opgate-request-id", "k").body(body());
    assert_eq!(node.send(other).await.text("identity"), first);
    let other = map([("route", "run".into()), ("input", Value::Int(1))]);
    let refused = node.send(keyed(other)).await;
    let exists = "com.microsoft:entity-already-exists";
    assert_eq!((refused.status(), refused.condition()), (409, exists.to_owned()));
}

#[tokio::test]
async fn an_operation_that_is_large_is_read_without_its_largest_parts() {
    let node = Node::open();
    let large = "x".repeat(3 * 1024 * 1024);
    let body = map([("route", "done".into()), ("input", large.into())]);
    let made = node.send(ask("CREATE", OPERATION).body(body)).await;
    assert_eq!(made.status(), 201);
    assert_eq!(made.field("omitted"), Value::List(vec!["input".into()]));
    assert!(matches!(made.field("result"), Value::String(_)));
    let many = Value::List(vec!["input".into(); 256]);
    let columns = ask("QUERY", MANAGEMENT).body(map([("attributeNames", many)]));
    let refused = node.send(columns).await;
    assert_eq!(refused.refusal("attributeNames").0, 413);
    let deeper = ask("READ", MANAGEMENT).identity(&made.text("identity"));
    assert_eq!(node.send(deeper).await.status(), 404);
}

#[tokio::test]
async fn a_node_tells_what_there_is() {
    let node = Node::open();
    let about = |operation| ask(operation, MANAGEMENT).with("name", "self");
    let types = node.send(about("GET-TYPES")).await;
    assert_eq!(types.field(OPERATION), Value::List(vec![]));
    assert_eq!(types.field(DOMAIN), Value::List(vec![]));
    let only = node.send(about("GET-OPERATIONS").with("entityType", DOMAIN)).await;
    let Value::Map(only) = only.value() else { panic!() };
    let [(of, Value::Map(operations))] = &*only.iter().collect::<Vec<_>>() else { panic!() };
    assert_eq!(**of, Value::from(DOMAIN));
    assert!(operations.contains_key(&Value::from("REMOVE")));
    let attributes = node.send(about("GET-ATTRIBUTES")).await;
    let Value::List(attributes) = attributes.field(OPERATION) else { panic!() };
    for name in ["identity", "name", "type", "state", "createTime", "result"] {
        assert!(attributes.contains(&Value::from(name)), "{name}");
    }
    let nodes = node.send(about("GET-MGMT-NODES")).await;
    let expected = ["$management", "queue/q/$management"].map(Value::from).to_vec();
    assert_eq!(nodes.value(), Value::List(expected));
    let own = node.send(about("READ")).await;
    assert_eq!((own.text("name"), own.text("type")), ("self".into(), MANAGEMENT.into()));
    assert_eq!(node.send(about("REGISTER")).await.refusal("REGISTER").0, 501);
    assert_eq!(node.send(about("GET-ANNOTATIONS")).await.status(), 200);
}

#[tokio::test]
async fn an_event_hub_has_one_partition_whose_last_event_is_the_newest_operation() {
    let node = Node::open();
    let hub = ask("READ", "com.microsoft:eventhub").with("name", "projects");
    let hub = node.send(hub.with("security_token", "t")).await;
    assert_eq!((hub.status(), hub.text("name")), (200, "projects".to_owned()));
    assert_eq!(hub.field("partition_count"), Value::Int(1));
    let Value::Array(ids) = hub.field("partition_ids") else { panic!("{hub:?}") };
    assert_eq!(ids.0, [Value::from("0")]);
    assert!(matches!(hub.field("created_at"), Value::Timestamp(_)));

    let partition = || {
        let ask = ask("READ", "com.microsoft:partition").with("name", "projects");
        node.send(ask.with("partition", "0"))
    };
    assert_eq!(partition().await.field("is_partition_empty"), Value::Bool(true));
    let body = map([("route", "run".into()), ("parent", "projects/p".into())]);
    let made = node.send(ask("CREATE", OPERATION).body(body)).await;
    let found = partition().await;
    assert_eq!(found.field("is_partition_empty"), Value::Bool(false));
    assert_eq!(found.field("last_enqueued_time_utc"), made.field("createTime"));
    let other = ask("READ", "com.microsoft:partition").with("name", "n").with("partition", "1");
    assert_eq!(node.send(other).await.refusal("partition").0, 404);
}
