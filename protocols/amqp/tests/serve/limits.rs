//! What a peer may take, and what it is told when it wants more.

use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use fe2o3_amqp_types::definitions::{AmqpError, ConnectionError, Handle, LinkError};
use fe2o3_amqp_types::messaging::{AmqpValue, Body, MessageId};
use fe2o3_amqp_types::performatives::Detach;
use serde_amqp::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::raw::{AMQP, Frame, Raw, begin, encode, frame, receiving, sending};
use crate::replies::request;
use crate::server::{Server, settings};

fn detach(handle: u32) -> Detach {
    Detach { handle: handle.into(), closed: true, error: None }
}

#[tokio::test]
async fn more_sessions_than_there_are_channels_end_the_connection() {
    let mut few = settings();
    few.limits.sessions = 2;
    let server = Server::with(few).await;
    let mut client = Raw::connect(&server).await;
    assert_eq!(client.open(|_| {}).await.channel_max.0, 1);
    for channel in 0..2 {
        client.send(channel, &begin(), &[]).await;
        let Frame::Begin(_) = client.next().await else { panic!("no Begin") };
    }
    // Both are of use, and one that ends makes room.
    client.sender(0, Some("$management")).await;
    let end = fe2o3_amqp_types::performatives::End { error: None };
    client.send(1, &end, &[]).await;
    let Frame::End(_) = client.next().await else { panic!("no End") };
    client.send(1, &begin(), &[]).await;
    let Frame::Begin(_) = client.next().await else { panic!("no Begin") };
    client.send(2, &begin(), &[]).await;
    assert_eq!(client.closed().await, ConnectionError::FramingError.into());
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_connection_too_many_is_closed_at_once_and_one_that_ended_makes_room() {
    let mut few = settings();
    few.limits.connections = 1;
    let server = Server::with(few).await;
    let mut first = Raw::begin(&server).await;
    assert!(Raw::connect(&server).await.is_closed().await);
    first.sender(0, Some("$management")).await;
    drop(first);
    // Some time or other it is seen that the first is gone.
    loop {
        let mut next = TcpStream::connect(server.address).await.unwrap();
        let mut answer = [0; 8];
        if next.write_all(&AMQP).await.is_ok() && next.read_exact(&mut answer).await.is_ok() {
            assert_eq!(answer, AMQP);
            return;
        }
    }
}

#[tokio::test]
async fn a_message_too_large_ends_its_link_and_nothing_else() {
    let mut small = settings();
    small.limits.message_bytes = 4096;
    let server = Server::with(small).await;
    let mut client = Raw::begin(&server).await;
    client.sender(0, Some("$management")).await;
    let large = |size: usize| {
        let mut message = request(1.into(), None);
        message.body = Body::Value(AmqpValue(Value::from("x".repeat(size))));
        encode(message)
    };
    for (handle, frames) in [(1, 1), (2, 2), (3, 10)] {
        let attach = client.attach(sending(handle, Some("$management"))).await;
        assert_eq!(attach.max_message_size, Some(4096));
        let payload = large(5000);
        let mut transfer = client.delivery(handle, Some(false));
        for part in payload.chunks(payload.len().div_ceil(frames)) {
            transfer.more = part.as_ptr_range().end != payload.as_ptr_range().end;
            client.send(0, &transfer, part).await;
        }
        assert_eq!(client.refused().await, LinkError::MessageSizeExceeded.into());
        client.send(0, &detach(handle), &[]).await;
        // One that is as large as it may be, over the link beside it.
        client.transfer(0, Some(false), &large(4000)).await;
        client.disposition().await;
    }
}

#[tokio::test]
async fn messages_are_larger_than_the_frames_of_either_side() {
    let mut small = settings();
    small.limits.frame_bytes = 512;
    let server = Server::with(small).await;
    let connection = Connection::builder().container_id("client").max_frame_size(600);
    let mut connection = connection.open(&*server.url()).await.unwrap();
    let mut session = Session::begin(&mut connection).await.unwrap();
    let mut receiver = Receiver::attach(&mut session, "replies", "$management").await.unwrap();
    let mut sender = Sender::attach(&mut session, "requests", "$management").await.unwrap();
    for size in [0, 400, 600, 100_000] {
        let mut message = request(MessageId::Ulong(size), None);
        let text = "x".repeat(usize::try_from(size).unwrap());
        message.body = Body::Value(AmqpValue(Value::from(text)));
        let body = message.body.clone();
        sender.send(message).await.unwrap().accepted_or("not accepted").unwrap();
        let delivery = receiver.recv::<Body<Value>>().await.unwrap();
        receiver.accept(&delivery).await.unwrap();
        assert_eq!(delivery.body(), &body);
    }
    // One of more bytes than was said is not taken, whatever is in it.
    let mut client = Raw::begin(&server).await;
    client.sender(0, Some("$management")).await;
    client.transfer(0, Some(false), &[0; 600]).await;
    assert_eq!(client.closed().await, ConnectionError::FramingError.into());
}

/// Attaches links on a channel; whether each was let in.
async fn attach_all(client: &mut Raw, channel: u16, handles: std::ops::Range<u32>) -> Vec<bool> {
    let attach = |handle| frame(0, channel, &receiving(handle, None, None), &[]);
    let frames: Vec<u8> = handles.clone().flat_map(attach).collect();
    client.bytes(&frames).await;
    let mut welcome = Vec::new();
    while welcome.len() < handles.len() {
        match client.beside_flows().await {
            Frame::Attach(attach) => welcome.push(attach.source.is_some()),
            Frame::Detach(detach) => {
                let condition = detach.error.unwrap().condition;
                assert_eq!(condition, AmqpError::ResourceLimitExceeded.into());
            }
            other @ (Frame::Open(_)
            | Frame::Begin(_)
            | Frame::Flow(_)
            | Frame::Transfer(..)
            | Frame::Disposition(_)
            | Frame::End(_)
            | Frame::Close(_)
            | Frame::Empty) => panic!("{other:?}"),
        }
    }
    welcome
}

#[tokio::test]
async fn thousands_of_links_are_shared_out_among_the_sessions_of_a_connection() {
    let mut many = settings();
    many.limits.links = 2001;
    let server = Server::with(many).await;
    let mut client = Raw::connect(&server).await;
    client.open(|_| {}).await;
    let mut wide = begin();
    wide.handle_max = Handle(1000);
    for channel in 0..11 {
        client.send(channel, &wide, &[]).await;
        let Frame::Begin(_) = client.next().await else { panic!("no Begin") };
    }
    for channel in 1..11 {
        let welcome = attach_all(&mut client, channel, 0..200).await;
        assert!(welcome.into_iter().all(|welcome| welcome));
    }
    client.sender(0, Some("$management")).await;
    assert_eq!(attach_all(&mut client, 0, 1..11).await, [false; 10]);
    // A bystander has links of its own.
    Raw::begin(&server).await.sender(0, Some("$management")).await;
    // All of them are links: the last one has an answer.
    let mut last = request(1.into(), None);
    last.properties.as_mut().unwrap().reply_to = Some("receiver-199".into());
    client.request(0, last).await;
    client.send(10, &crate::raw::flow(199, 0, 1), &[]).await;
    loop {
        match client.beside_flows().await {
            Frame::Transfer(..) => return,
            Frame::Detach(_) | Frame::Disposition(_) => {}
            other @ (Frame::Open(_)
            | Frame::Begin(_)
            | Frame::Attach(_)
            | Frame::Flow(_)
            | Frame::End(_)
            | Frame::Close(_)
            | Frame::Empty) => panic!("{other:?}"),
        }
    }
}
