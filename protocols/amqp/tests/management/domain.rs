//! Requests of routes.

use std::time::Duration;

use fe2o3_amqp_types::messaging::{AmqpSequence, AmqpValue, Batch, Body, Data};
use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_amqp::management::{DoorSettings, Management, ReplyWhen};
use opgate_amqp::node::Content;
use opgate_bus::core::OperationId;
use serde_amqp::Value;
use serde_amqp::primitives::{Binary, Symbol};
use serde_json::json;

use super::node::*;

#[tokio::test]
async fn a_request_starts_an_operation_and_is_answered_with_its_identity() {
    let node = Node::open();
    let body = map([("what", "body".into()), ("n", Value::Uint(1))]);
    let request = ask("RUN", DOMAIN).with("name", "thing").with("n", SimpleValue::Int(2));
    let request = request.with("com.microsoft:server-timeout", SimpleValue::Uint(10_000));
    let started = node.send(request.body(body).at("projects/p/$management")).await;
    assert_eq!((started.status(), started.text("type")), (202, OPERATION.to_owned()));
    let id: OperationId = started.text("identity").parse().unwrap();
    let found = node.bus.get(&opgate_bus::Caller::anonymous(), id).await.unwrap();
    assert_eq!(json(&found.input), json!({"what": "body", "n": 2, "name": "thing"}));
    assert_eq!(found.parent.as_str(), "projects/p");
    assert_eq!(&*found.origin.endpoint, "projects/p/$management RUN com.example:thing");
    assert_eq!(started.text("name"), format!("projects/p/operations/{id}"));
}

#[tokio::test]
async fn a_request_that_waits_is_answered_with_the_end() {
    let node = Node::open();
    let done = node.send(ask("DONE", DOMAIN).body(map([("a", Value::Int(1))]))).await;
    assert_eq!((done.status(), done.value()), (200, map([("a", Value::Int(1))])));
    let nothing = node.send(ask("REMOVE", DOMAIN)).await;
    assert_eq!((nothing.status(), nothing.value()), (200, map([])));
    let failed = node.send(ask("FAIL", DOMAIN)).await;
    assert_eq!((failed.status(), &*failed.condition()), (404, "amqp:not-found"));
    assert_eq!((&*failed.description(), &*failed.text("code")), ("no such thing", "NOT_FOUND"));
    let refused = node.send(ask("REFUSE", DOMAIN)).await;
    assert_eq!(refused.refusal("used up"), (403, "amqp:resource-limit-exceeded".to_owned()));
}

#[tokio::test]
async fn what_came_as_values_is_answered_as_those() {
    let node = Node::open();
    let lists =
        [vec![Value::Ubyte(1), Value::Symbol(Symbol::from("a"))], vec![], vec![Value::Null]];
    let lists: Vec<AmqpSequence<Value>> = lists.into_iter().map(AmqpSequence).collect();
    let sequences = Body::Sequence(lists.into());
    let value = Value::Map([(Value::Int(1), Value::Timestamp(7.into()))].into_iter().collect());
    for body in [sequences, Body::Value(AmqpValue(value))] {
        let mut request = ask("DONE", DOMAIN);
        request.0.message.body = body.clone();
        let done = node.send(request).await;
        let value = |content| match content {
            Content::Written(value) => serde_amqp::from_slice(&value).unwrap(),
            Content::Value(_) | Content::Operation(_) => panic!("{content:?}"),
        };
        let answered: Body<Value> = match done.0.body {
            Body::Value(AmqpValue(content)) => Body::Value(AmqpValue(value(content))),
            Body::Sequence(lists) => {
                let list = |list: AmqpSequence<Content>| {
                    AmqpSequence(list.0.into_iter().map(value).collect())
                };
                Body::Sequence(lists.into_iter().map(list).collect::<Vec<_>>().into())
            }
            other @ (Body::Data(_) | Body::Empty) => panic!("{other:?}"),
        };
        assert_eq!(answered, body);
    }
}

#[tokio::test]
async fn a_request_that_would_wait_too_long_is_answered_with_what_there_is() {
    let node = Node::open();
    let request =
        ask("DELETE", DOMAIN).with("com.microsoft:server-timeout", SimpleValue::Uint(2000));
    let asked = std::time::Instant::now();
    let started = node.send(request).await;
    assert!(asked.elapsed() < Duration::from_secs(20));
    assert_eq!((started.status(), started.field("done")), (202, Value::Bool(false)));
}

#[tokio::test]
async fn a_door_of_one_node_shapes_its_input() {
    let node = Node::open();
    let request = || {
        let request = ask("SHAPED", DOMAIN).with("name", Symbol::from("me")).with("why", "because");
        request.body(map([("what", Value::List(vec![Value::Int(1)]))]))
    };
    let done = node.send(request().at("queue/q/$management")).await;
    let expected = map([
        ("who", "me".into()),
        ("why", "because".into()),
        ("what", Value::List(vec![Value::Long(1)])),
    ]);
    assert_eq!((done.status(), done.value()), (200, expected));
    assert_eq!(node.send(request()).await.refusal("SHAPED").0, 501);
}

#[tokio::test]
async fn data_is_the_input_as_it_came() {
    let node = Node::open();
    let data = |kind: &str, parts: &[&[u8]]| {
        let mut request = ask("DONE", DOMAIN);
        let message = &mut request.0.message;
        message.properties.as_mut().unwrap().content_type = Some(Symbol::from(kind));
        let parts = parts.iter().map(|part| Data(Binary::from(part.to_vec())));
        message.body = Body::Data(Batch::new(parts.collect::<Vec<_>>()));
        request
    };
    let done = node.send(data("image/x-strange; v=1", &[b"\0\xff", b"\x01"])).await;
    assert_eq!(done.0.content_type.as_deref(), Some("image/x-strange; v=1"));
    let Body::Data(parts) = &done.0.body else { panic!("{done:?}") };
    let parts: Vec<&[u8]> = parts.iter().map(|data| data.0.as_slice()).collect();
    assert_eq!(parts.concat(), b"\0\xff\x01");
    let done = node.send(data("application/json", &[br#"{"a":[1.5]}"#])).await;
    let Body::Data(parts) = &done.0.body else { panic!("{done:?}") };
    assert_eq!(
        (parts.len(), parts.iter().next().unwrap().0.as_slice()),
        (1, &br#"{"a":[1.5]}"#[..])
    );
    // JSON is looked into where something is added to it.
    let added = node.send(data("application/json", &[br#"{"a":1}"#]).with("name", "n")).await;
    assert_eq!(added.value(), map([("a", Value::Long(1)), ("name", "n".into())]));
    let odd = node.send(data("application/json", &[b"{"]).with("name", "n")).await;
    assert_eq!(odd.refusal("body").0, 400);
}

#[test]
fn what_can_be_no_door_is_told_by_its_key() {
    let check = |door: DoorSettings| {
        let problems = Management::check(&[door]).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.key).collect::<Vec<_>>()
    };
    let good = || door("r", "DO", ReplyWhen::Accepted);
    let input = |text: &str| DoorSettings { input: Some(text.into()), ..good() };
    assert_eq!(check(good()), [""; 0]);
    assert_eq!(check(input("${/properties/a}${/body}${}")), [""; 0]);
    for (odd, key) in [
        (DoorSettings { node: Some("queue/q".into()), ..good() }, "node"),
        (DoorSettings { entity_type: Some(OPERATION.into()), ..good() }, "type"),
        (DoorSettings { entity_type: Some(String::new()), ..good() }, "type"),
        (DoorSettings { entity_type: None, operation: "QUERY".into(), ..good() }, "operation"),
        (DoorSettings { operation: String::new(), ..good() }, "operation"),
        (DoorSettings { timeout: Some(Duration::from_secs(1)), ..good() }, "timeout"),
        (input("${/header/a}"), "input"),
        (input("${id}"), "input"),
        (input("${"), "input"),
    ] {
        assert_eq!(check(odd), [key]);
    }
    assert_eq!(Management::check(&[good(), good()]).unwrap_err()[0].key, "operation");
}
