//! The orderly stop.

use std::time::Duration;

use fe2o3_amqp_types::messaging::{AmqpValue, Body, DeliveryState, MessageId};
use fe2o3_amqp_types::performatives::{Close, Flow};
use serde_amqp::Value;

use crate::raw::{Frame, Raw, flow, receiving};
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
async fn every_reply_comes_before_the_close() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), None)).await;
    client.credit(0, 0, 100).await;
    client.sender(1, Some("$management")).await;
    for id in 0..100 {
        let mut message = waiting(id);
        message.body = Body::Value(AmqpValue(Value::from("x".repeat(50_000))));
        client.request(1, message).await;
        client.disposition().await;
    }
    server.drain.begin(Duration::from_mins(1));
    server.gate.add_permits(100);
    let mut complete = 0;
    loop {
        let frame = client.next().await;
        if let Frame::Transfer(transfer, _) = frame {
            complete += usize::from(!transfer.more);
        } else if let Frame::Close(_) = frame {
            break;
        }
    }
    assert_eq!(complete, 100);
    client.send(0, &Close { error: None }, &[]).await;
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_who_takes_no_replies() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), None)).await;
    client.credit(0, 0, 100).await;
    client.sender(1, Some("$management")).await;
    // No more than this may be under way in the session, and nothing follows.
    let narrow = Flow { handle: None, incoming_window: 3, ..flow(0, 0, 0) };
    client.send(0, &narrow, &[]).await;
    for id in 0..10 {
        client.request(1, request(MessageId::Ulong(id), None)).await;
    }
    let mut taken = 0;
    while taken < 10 {
        if let Frame::Disposition(of) = client.next().await {
            taken += of.last.unwrap_or(of.first) - of.first + 1;
        }
    }
    server.drain.begin(Duration::from_mins(1));
    let closed = loop {
        if let Frame::Close(close) = client.next().await {
            break close;
        }
    };
    assert!(format!("{:?}", closed.error.unwrap().condition).contains("ConnectionForced"));
    assert!(client.is_closed().await);
    server.task.await.unwrap();
}

#[tokio::test]
async fn who_gives_no_credit_for_a_reply_is_told_of_the_stop_all_the_same() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), None)).await;
    client.sender(1, Some("$management")).await;
    client.request(1, request(MessageId::Ulong(1), None)).await;
    client.disposition().await;
    server.drain.begin(Duration::from_secs(2));
    let Frame::Close(close) = client.beside_flows().await else { panic!("no Close") };
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
