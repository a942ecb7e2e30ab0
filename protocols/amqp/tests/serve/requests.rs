//! Requests that come in one frame, of which the AMQP crate never hears, beside those that come in several.

use fe2o3_amqp_types::definitions::LinkError;
use fe2o3_amqp_types::messaging::MessageId;
use fe2o3_amqp_types::performatives::{Begin, Flow};

use crate::raw::{Frame, Raw, begin, encode, flow, frame, message, receiving, sending};
use crate::replies::{request, waiting};
use crate::server::{Server, settings};

const CREDIT: u32 = 8;

async fn client(begin: Begin) -> (Server, Raw) {
    let mut settings = settings();
    settings.limits.credit = CREDIT;
    let server = Server::with(settings).await;
    let mut client = Raw::connect(&server).await;
    client.open(|_| {}).await;
    client.send(0, &begin, &[]).await;
    let Frame::Begin(_) = client.next().await else { panic!("no Begin") };
    client.attach(receiving(0, Some("$management"), None)).await;
    let credit = flow(0, 0, 1000);
    let place = Flow { next_outgoing_id: begin.next_outgoing_id, ..credit };
    client.send(0, &place, &[]).await;
    (server, client)
}

#[tokio::test]
async fn they_are_answered_in_the_order_in_which_they_came() {
    let (_server, mut client) = client(begin()).await;
    client.sender(1, Some("$management")).await;
    let mut next = 0;
    for _ in 0..20 {
        let mut breath = Vec::new();
        for id in next..next + 3 {
            let payload = encode(request(MessageId::Ulong(id), None));
            let mut transfer = client.delivery(1, Some(false));
            if id % 3 == 1 {
                let (beginning, end) = payload.split_at(payload.len() / 2);
                transfer.more = true;
                breath.extend(frame(0, 0, &transfer, beginning));
                transfer.more = false;
                breath.extend(frame(0, 0, &transfer, end));
            } else {
                breath.extend(frame(0, 0, &transfer, &payload));
            }
        }
        client.bytes(&breath).await;
        let mut answered = 0;
        while answered < 3 {
            if let Frame::Transfer(_, payload) = client.beside_flows().await {
                let reply = message(&payload);
                let expected = MessageId::Ulong(next + answered);
                assert_eq!(reply.properties.unwrap().correlation_id, Some(expected));
                answered += 1;
            }
        }
        next += 3;
    }
}

/// Numbers of the session and of the link begin high, so that they wrap.
#[tokio::test]
async fn credit_is_given_anew_and_counts_each_of_them() {
    let first = u32::MAX - 20;
    let (_server, mut client) = client(Begin { next_outgoing_id: first, ..begin() }).await;
    let mut attach = sending(1, Some("$management"));
    attach.initial_delivery_count = Some(first);
    client.attach(attach).await;
    let (mut limit, mut sent) = (first, 0_u32);
    let mut answered = 0;
    while answered < 100 {
        let next = client.next().await;
        if let Frame::Flow(Flow {
            handle: Some(_),
            delivery_count,
            link_credit,
            next_incoming_id,
            ..
        }) = next
        {
            let (count, credit) = (delivery_count.unwrap(), link_credit.unwrap());
            assert!(count.wrapping_sub(first) <= sent, "{count} of {sent}");
            assert!(next_incoming_id.unwrap().wrapping_sub(first) <= sent);
            assert!(credit <= CREDIT);
            limit = count.wrapping_add(credit);
        } else if let Frame::Transfer(..) = next {
            answered += 1;
        } else {
            assert!(
                matches!(next, Frame::Disposition(_) | Frame::Flow(_) | Frame::Empty),
                "{next:?}"
            );
        }
        while first.wrapping_add(sent) != limit {
            client.request(1, request(MessageId::Ulong(sent.into()), None)).await;
            sent += 1;
        }
    }
    // Half of it is used up before more is given.
    assert!((100..=100 + CREDIT * 2).contains(&sent), "{sent}");
}

#[tokio::test]
async fn who_asks_how_its_link_stands_is_told() {
    let (_server, mut client) = client(begin()).await;
    client.sender(1, Some("$management")).await;
    for id in 0..3 {
        client.request(1, waiting(id)).await;
    }
    let mut accepted = 0;
    while accepted < 3 {
        let told = client.disposition().await;
        accepted += told.last.unwrap_or(told.first) - told.first + 1;
    }
    let place = flow(1, 3, CREDIT - 3);
    client.send(0, &Flow { next_outgoing_id: 3, echo: true, ..place }, &[]).await;
    let Frame::Flow(told) = client.next().await else { panic!("no answer") };
    assert_eq!((told.delivery_count, told.link_credit), (Some(3), Some(CREDIT - 3)));
    assert_eq!(told.next_incoming_id, Some(3));
}

#[tokio::test]
async fn more_than_the_credit_given_closes_the_link() {
    let (_server, mut client) = client(begin()).await;
    client.sender(1, Some("$management")).await;
    let mut breath = Vec::new();
    for id in 0..=u64::from(CREDIT) {
        let transfer = client.delivery(1, Some(false));
        breath.extend(frame(0, 0, &transfer, &encode(waiting(id))));
    }
    client.bytes(&breath).await;
    let detach = loop {
        let next = client.beside_flows().await;
        if let Frame::Detach(detach) = next {
            break detach;
        }
        assert!(matches!(next, Frame::Disposition(_)), "{next:?}");
    };
    assert_eq!(detach.error.unwrap().condition, LinkError::TransferLimitExceeded.into());
}
