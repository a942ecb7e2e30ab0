//! What becomes of a request is told once, however it came.

use fe2o3_amqp_types::messaging::{Body, DeliveryState, Message, MessageId};
use serde_amqp::Value;

use crate::raw::{Frame, Raw, encode, frame, receiving};
use crate::replies::request;
use crate::server::Server;

async fn client(server: &Server) -> Raw {
    let mut client = Raw::begin(server).await;
    client.attach(receiving(0, Some("$management"), None)).await;
    client.credit(0, 0, 100).await;
    client.sender(1, Some("$management")).await;
    client
}

fn read(id: u32) -> Message<Body<Value>> {
    request(MessageId::Ulong(id.into()), None)
}

/// Reads until `replies` have come: what was accepted, delivery by delivery, in the order in which it was told.
async fn accepted(client: &mut Raw, mut replies: u32) -> Vec<u32> {
    let mut told = Vec::new();
    while replies > 0 {
        let frame = client.beside_flows().await;
        if let Frame::Disposition(disposition) = frame {
            assert!(disposition.settled);
            assert!(matches!(disposition.state, Some(DeliveryState::Accepted(_))));
            told.extend(disposition.first..=disposition.last.unwrap_or(disposition.first));
        } else if let Frame::Transfer(transfer, _) = frame {
            assert!(!transfer.more);
            replies -= 1;
        } else {
            panic!("{frame:?}");
        }
    }
    told
}

#[tokio::test]
async fn each_of_many_that_come_in_one_breath_is_told_once() {
    let server = Server::start().await;
    let mut client = client(&server).await;
    let mut breath = Vec::new();
    for id in 0..50 {
        let transfer = client.delivery(1, Some(false));
        breath.extend(frame(0, 0, &transfer, &encode(read(id))));
    }
    client.bytes(&breath).await;
    assert_eq!(accepted(&mut client, 50).await, (0..50).collect::<Vec<_>>());
}

/// Null, left out, or false in two bytes: each means that it is not settled.
#[tokio::test]
async fn in_whatever_way_a_request_says_that_it_is_not_settled() {
    let server = Server::start().await;
    let mut client = client(&server).await;
    let ways: [&[u8]; 5] = [&[0x43, 0x42], &[0x43, 0x40], &[0x43, 0x56, 0], &[0x43], &[]];
    for (id, way) in (0_u8..).zip(ways) {
        // Handle, delivery-id, delivery-tag, and message-format with `settled` as the way has it.
        let count = 3 + u8::from(!way.is_empty()) + u8::from(way.len() > 1);
        let fields = [&[0x52, 1, 0x52, id, 0xa0, 1, id], way].concat();
        let size = u8::try_from(fields.len() + 1).unwrap();
        let performative = [&[0x00, 0x53, 0x14, 0xc0, size, count], &*fields].concat();
        let bytes = [performative, encode(read(id.into()))].concat();
        let size = u32::try_from(8 + bytes.len()).unwrap().to_be_bytes();
        client.bytes(&[&size[..], &[2, 0, 0, 0], &bytes].concat()).await;
        assert_eq!(accepted(&mut client, 1).await, [u32::from(id)], "{way:x?}");
    }
}

#[tokio::test]
async fn one_of_several_frames_among_others() {
    let server = Server::start().await;
    let mut client = client(&server).await;
    client.request(1, read(0)).await;
    let payload = encode(read(1));
    let (begin, end) = payload.split_at(payload.len() / 2);
    let mut transfer = client.delivery(1, Some(false));
    transfer.more = true;
    client.send(0, &transfer, begin).await;
    transfer.more = false;
    client.send(0, &transfer, end).await;
    client.request(1, read(2)).await;
    let mut told = accepted(&mut client, 3).await;
    told.sort_unstable();
    assert_eq!(told, [0, 1, 2]);
    // And none again.
    client.request(1, read(3)).await;
    assert_eq!(accepted(&mut client, 1).await, [3]);
}

#[tokio::test]
async fn nothing_of_what_its_sender_has_settled() {
    let server = Server::start().await;
    let mut client = client(&server).await;
    client.transfer(1, Some(true), &encode(read(0))).await;
    assert!(accepted(&mut client, 1).await.is_empty());
    client.request(1, read(1)).await;
    assert_eq!(accepted(&mut client, 1).await, [1]);
}

#[tokio::test]
async fn that_it_cannot_be_read() {
    let server = Server::start().await;
    let mut client = client(&server).await;
    // Properties that are a map, where a list is due.
    client.transfer(1, Some(false), &[0x00, 0x53, 0x73, 0xc1, 0x01, 0x00]).await;
    let Frame::Disposition(disposition) = client.beside_flows().await else { panic!() };
    assert!(disposition.settled);
    assert!(matches!(disposition.state, Some(DeliveryState::Rejected(_))), "{disposition:?}");
}

/// A client that gives no credit for replies yet hears at once that its requests were taken.
#[tokio::test]
async fn before_a_reply_that_waits_for_credit() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), None)).await;
    client.sender(1, Some("$management")).await;
    for id in 0..3 {
        let sent = client.request(1, read(id)).await;
        let disposition = client.disposition().await;
        assert_eq!((disposition.first, disposition.last, disposition.settled), (sent, None, true));
    }
    client.credit(0, 0, 3).await;
    assert!(accepted(&mut client, 3).await.is_empty());
}

/// Its reply has a link that is gone, or none ever.
#[tokio::test]
async fn without_a_link_for_its_reply() {
    let server = Server::start().await;
    let mut client = client(&server).await;
    let sent = client.request(1, request(MessageId::Ulong(0), Some("nowhere"))).await;
    assert_eq!(client.disposition().await.first, sent);
}
