//! A client that is not ours.

use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use fe2o3_amqp_types::messaging::{Body, MessageId};
use serde_amqp::Value;

use crate::replies::request;
use crate::server::Server;

#[tokio::test]
async fn requests_of_many_frames_and_their_replies_over_two_sessions() {
    let server = Server::start().await;
    let mut connection = Connection::builder()
        .container_id("client")
        .max_frame_size(1024)
        .open(&*server.url())
        .await
        .unwrap();
    let mut requests = Session::begin(&mut connection).await.unwrap();
    let mut replies = Session::begin(&mut connection).await.unwrap();
    let mut receiver = Receiver::attach(&mut replies, "replies", "$management").await.unwrap();
    let mut sender = Sender::attach(&mut requests, "requests", "$management").await.unwrap();
    for size in [0, 1000, 10_000, 1_000_000] {
        let mut message = request(MessageId::Ulong(size), None);
        let text = "x".repeat(usize::try_from(size).unwrap());
        message.body = Body::Value(fe2o3_amqp_types::messaging::AmqpValue(Value::from(text)));
        let body = message.body.clone();
        sender.send(message).await.unwrap().accepted_or("not accepted").unwrap();
        let delivery = receiver.recv::<Body<Value>>().await.unwrap();
        receiver.accept(&delivery).await.unwrap();
        assert_eq!(delivery.body(), &body);
    }
    sender.close().await.unwrap();
    receiver.close().await.unwrap();
    requests.end().await.unwrap();
    replies.end().await.unwrap();
    connection.close().await.unwrap();
}
