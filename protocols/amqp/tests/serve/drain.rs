//! The orderly stop.

use std::time::Duration;

use fe2o3_amqp_types::messaging::{DeliveryState, MessageId};
use fe2o3_amqp_types::performatives::Close;

use crate::raw::{Frame, Raw, receiving};
use crate::replies::{request, waiting};
use crate::server::Server;

#[tokio::test]
async fn what_was_taken_is_answered_and_the_connection_closed_with_the_reason() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), None)).await;
    client.credit(0, 0, 10).await;
    client.sender(1, Some("$management")).await;
    client.request(1, waiting(1)).await;
    client.disposition().await;
    server.drain.begin(Duration::from_mins(1));
    // One that was under way goes back: somebody else may serve it.
    client.request(1, request(2.into(), None)).await;
    let state = client.disposition().await.state;
    assert!(matches!(state, Some(DeliveryState::Released(_))), "{state:?}");
    server.gate.add_permits(1);
    let correlation = client.message().await.1.properties.unwrap().correlation_id;
    assert_eq!(correlation, Some(MessageId::Ulong(1)));
    let Frame::Close(close) = client.next().await else { panic!("no Close") };
    assert!(format!("{:?}", close.error.unwrap().condition).contains("ConnectionForced"));
    client.send(0, &Close { error: None }, &[]).await;
    server.task.await.unwrap();
}

#[tokio::test]
async fn whoever_does_not_answer_a_close_is_cut() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    server.drain.begin(Duration::from_mins(1));
    let Frame::Close(_) = client.next().await else { panic!("no Close") };
    assert!(client.is_closed().await);
    server.task.await.unwrap();
}
