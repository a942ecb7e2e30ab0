//! Requests that are refused: the description says which field, what was wrong, what is allowed.

use fe2o3_amqp_types::primitives::SimpleValue;
use serde_amqp::Value;

use super::node::*;

const INVALID: &str = "amqp:invalid-field";

#[tokio::test]
async fn what_is_wrong_is_told_by_its_field() {
    let node = Node::open();
    let identity = node.running().await;
    let create = |body| ask("CREATE", OPERATION).body(body);
    let update = |body| ask("UPDATE", OPERATION).identity(&identity).body(body);
    let query = || ask("QUERY", MANAGEMENT);
    let route = || ("route", Value::from("run"));
    for (request, field) in vec![
        (ask("READ", OPERATION), "identity"),
        (ask("READ", OPERATION).identity(&identity).with("name", "n"), "name"),
        (ask("READ", OPERATION).with("identity", SimpleValue::Int(1)), "identity"),
        (ask("WAIT", OPERATION).identity(&identity).with("timeout", "soon"), "timeout"),
        (ask("CANCEL", OPERATION).identity(&identity).with("version", "x"), "version"),
        (create(Value::List(vec![])), "body"),
        (create(map([])), "route"),
        (create(map([route(), ("colour", "red".into())])), "colour"),
        (create(map([route(), ("service", "other".into())])), "service"),
        (create(map([route(), ("timeout", "soon".into())])), "timeout"),
        (create(map([route(), ("timeout", Value::Int(0))])), "timeout"),
        (create(map([route(), ("parent", "a//b".into())])), "parent"),
        (create(map([route(), ("parent", "q".into())])).at("p/$management"), "parent"),
        (create(map([route(), ("callbacks", Value::Int(1))])), "callbacks"),
        (create(map([route(), ("callbacks", Value::List(vec!["http://h".into()]))])), "callbacks"),
        (
            create(map([route(), ("inputType", "text/xml".into()), ("input", Value::Int(1))])),
            "input",
        ),
        (create(map([route()])).with("name", "mine"), "name"),
        (update(map([("progress", Value::Int(50))])), "progress"),
        (update(map([("state", "HAPPY".into())])), "state"),
        (update(map([("result", Value::Int(1))])), "result"),
        (update(map([("state", "FAILED".into()), ("result", Value::Int(1))])), "result"),
        (update(map([("state", "FAILED".into()), ("error", Value::Int(1))])), "error"),
        (update(map([("cancelRequested", Value::Null)])), "cancelRequested"),
        (query().with("offset", "-1"), "offset"),
        (query().with("count", SimpleValue::Int(-1)), "count"),
        (query().with("filter", "colour = red"), "filter"),
        (query().body(map([("attributeNames", "state".into())])), "attributeNames"),
    ] {
        let refused = node.send(request).await;
        assert_eq!(refused.refusal(field), (400, INVALID.to_owned()), "{field}");
    }
    let read = node.send(ask("READ", OPERATION).identity(&identity)).await;
    let unchanged = (read.field("done"), read.field("cancelRequested"));
    assert_eq!(unchanged, (Value::Bool(false), Value::Bool(false)));
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let node = Node::open();
    for (request, status, word) in [
        (ask("READ", OPERATION).identity("nothing"), 404, "no such operation"),
        (ask("CREATE", OPERATION).body(map([("route", "none".into())])), 404, "route"),
        (ask("PEEK", OPERATION), 501, "CANCEL"),
        (ask("READ", "com.example:nothing"), 501, DOMAIN),
        (ask("com.microsoft:peek-message", "entity-mgmt"), 501, "entity-mgmt"),
        (ask("QUERY", DOMAIN), 501, "REMOVE"),
        (ask("DEREGISTER", MANAGEMENT), 501, "QUERY"),
    ] {
        assert_eq!(node.send(request).await.refusal(word).0, status, "{word}");
    }
    let mut bare = ask("READ", OPERATION);
    bare.0.message.application_properties = None;
    assert_eq!(node.send(bare).await.refusal("operation"), (400, INVALID.to_owned()));
}
