//! Waits.

use std::time::{Duration, Instant};

use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_bus::Caller;
use opgate_bus::core::Outcome;
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
