//! Waits.

use std::time::{Duration, Instant};

use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_bus::Caller;
use opgate_bus::core::{Code, Failure, Outcome, Payload};
use serde_amqp::Value;

use super::node::*;

#[tokio::test]
async fn a_wait_ends_with_the_operation() {
    let node = Node::open();
    let identity = node.running().await;
    let wait = node.send(ask("WAIT", OPERATION).identity(&identity).with("timeout", "30s"));
    let end = async {
        let id: opgate_bus::core::OperationId = identity.parse().unwrap();
        let ended = node.bus.finish(&Caller::anonymous(), id, Outcome::Succeeded(None)).await;
        ended.unwrap();
    };
    let (waited, ()) = tokio::join!(wait, end);
    assert_eq!((waited.status(), waited.text("state")), (200, "SUCCEEDED".to_owned()));
}

#[tokio::test]
async fn what_a_reply_cannot_carry_is_named_in_it() {
    let node = Node::open();
    let large = r#"{"b":18446744073709551617, "a":1}"#;
    let mut failure = Failure::new(Code::NotFound, "gone");
    failure.retry_after = Some(Duration::from_micros(1500));
    for (outcome, expected) in [
        (Outcome::Succeeded(Some(Payload::json("{\"a\":1}"))), None),
        (Outcome::Succeeded(Some(Payload::json(large))), Some("result-text, result-numbers")),
        (Outcome::Failed(Failure::new(Code::NotFound, "gone")), None),
        (Outcome::Failed(failure), Some("error-retry")),
    ] {
        let identity = node.running().await;
        let id: opgate_bus::core::OperationId = identity.parse().unwrap();
        node.bus.finish(&Caller::anonymous(), id, outcome).await.unwrap();
        let read = node.send(ask("READ", OPERATION).identity(&identity)).await;
        let said = read.0.application_properties.get("opgate-loss").cloned();
        assert_eq!(said, expected.map(|text| SimpleValue::String(text.to_owned())));
    }
}

#[tokio::test]
async fn a_wait_is_over_before_its_client_gives_up() {
    let node = Node::open();
    let identity = node.running().await;
    let about = || ask("WAIT", OPERATION).identity(&identity);
    for waiting in [
        about().with("timeout", SimpleValue::Uint(100)),
        about().with("timeout", "100ms"),
        about().with("com.microsoft:server-timeout", SimpleValue::Uint(300)),
        about().with("timeout", "1h").with("com.microsoft:server-timeout", SimpleValue::Uint(300)),
    ] {
        let began = Instant::now();
        let waited = node.send(waiting).await;
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!((waited.status(), waited.field("done")), (200, Value::Bool(false)));
    }
}
