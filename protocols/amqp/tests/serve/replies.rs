//! A reply finds its way, whichever way its client asks for it.

use std::sync::atomic::Ordering;

use fe2o3_amqp_types::definitions::{ReceiverSettleMode, Role, SenderSettleMode};
use fe2o3_amqp_types::messaging::{
    Accepted, AmqpValue, ApplicationProperties, Body, DeliveryState, Message, MessageId, Properties,
};
use fe2o3_amqp_types::performatives::{Detach, Disposition};
use fe2o3_amqp_types::primitives::{SimpleValue, Uuid};
use serde_amqp::Value;

use crate::raw::{Frame, Raw, flow, frame, receiving, sending};
use crate::server::{Server, settings};

pub(crate) fn request(id: MessageId, reply_to: Option<&str>) -> Message<Body<Value>> {
    let properties = Properties {
        message_id: Some(id),
        reply_to: reply_to.map(str::to_owned),
        ..Properties::default()
    };
    Message::builder()
        .properties(properties)
        .application_properties(
            ApplicationProperties::builder().insert("operation", "READ").build(),
        )
        .body(Body::Empty)
        .build()
}

pub(crate) fn waiting(id: u64) -> Message<Body<Value>> {
    let mut message = request(MessageId::Ulong(id), None);
    let properties = ApplicationProperties::builder().insert("operation", "WAIT").build();
    message.application_properties = Some(properties);
    message
}

fn correlation(message: &Message<Body<Value>>) -> MessageId {
    message.properties.as_ref().unwrap().correlation_id.clone().unwrap()
}

#[tokio::test]
async fn to_the_address_given_for_a_dynamic_source() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    let source = client.attach(receiving(0, None, None)).await.source.unwrap();
    let address = source.address.unwrap();
    assert!(source.dynamic);
    client.credit(0, 0, 10).await;
    client.sender(1, Some("$management")).await;
    let sent = client.request(1, request(7.into(), Some(&address))).await;
    // Settled first: uamqp gives up on a reply that overtakes that.
    let disposition = client.disposition().await;
    assert_eq!((disposition.first, disposition.settled), (sent, true));
    assert!(matches!(disposition.state, Some(DeliveryState::Accepted(_))));
    let (transfer, reply) = client.message().await;
    assert_eq!(transfer.handle.0, 0);
    assert_eq!(correlation(&reply), MessageId::Ulong(7));
    assert_eq!(reply.properties.unwrap().to, Some(address));
}

#[tokio::test]
async fn to_the_target_that_the_client_named() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), Some("mine"))).await;
    client.attach(receiving(1, Some("$management"), Some("another"))).await;
    client.credit(0, 0, 10).await;
    client.credit(1, 0, 10).await;
    client.sender(2, Some("$management")).await;
    client.request(2, request(1.into(), Some("mine"))).await;
    client.disposition().await;
    assert_eq!(client.message().await.0.handle.0, 0);
}

#[tokio::test]
async fn without_an_address_over_the_newest_link_from_the_node() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), Some("$management"))).await;
    client.attach(receiving(1, Some("$management"), Some("$management"))).await;
    client.attach(receiving(2, Some("other/$management"), Some("$management"))).await;
    for handle in 0..3 {
        client.credit(handle, 0, 10).await;
    }
    client.sender(3, Some("$management")).await;
    client.request(3, request(1.into(), None)).await;
    client.disposition().await;
    assert_eq!(client.message().await.0.handle.0, 1);
}

#[tokio::test]
async fn each_of_several_pairs_has_its_own_replies() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    for pair in [0, 2, 4] {
        client.attach(receiving(pair, Some("$management"), None)).await;
        client.credit(pair, 0, 10).await;
        client.sender(pair + 1, Some("$management")).await;
    }
    for pair in [2, 0, 4] {
        client.request(pair + 1, request(1.into(), None)).await;
        client.disposition().await;
        assert_eq!(client.message().await.0.handle.0, pair);
    }
}

#[tokio::test]
async fn over_the_other_link_of_a_pair_by_name() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    let mut pair = receiving(0, Some("/management"), Some("/management"));
    pair.name = "management-link-pair".into();
    client.attach(pair).await;
    let mut other = receiving(1, Some("/management"), Some("/management"));
    other.name = "something else".into();
    client.attach(other).await;
    client.credit(0, 0, 10).await;
    client.credit(1, 0, 10).await;
    let mut sender = sending(2, Some("/management"));
    sender.name = "management-link-pair".into();
    client.attach(sender).await;
    client.request(2, request(1.into(), Some("$me"))).await;
    client.disposition().await;
    assert_eq!(client.message().await.0.handle.0, 0);
}

#[tokio::test]
async fn the_message_id_comes_back_in_its_own_type_and_a_correlation_id_wins() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), None)).await;
    client.credit(0, 0, 10).await;
    client.sender(1, Some("$management")).await;
    let ids = [
        MessageId::Ulong(0),
        MessageId::Uuid(Uuid::from([9; 16])),
        MessageId::Binary(vec![0, 255].into()),
        MessageId::String("text".into()),
    ];
    for id in ids {
        client.request(1, request(id.clone(), None)).await;
        client.disposition().await;
        assert_eq!(correlation(&client.message().await.1), id);

        let mut both = request(MessageId::String("not this one".into()), None);
        both.properties.as_mut().unwrap().correlation_id = Some(id.clone());
        client.request(1, both).await;
        client.disposition().await;
        assert_eq!(correlation(&client.message().await.1), id);
    }
}

#[tokio::test]
async fn a_relay_takes_each_message_to_the_node_it_names() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, None, None)).await;
    client.attach(receiving(1, Some("projects/p/$management"), None)).await;
    client.credit(1, 0, 10).await;
    client.sender(2, None).await;
    let mut message = request(1.into(), None);
    message.properties.as_mut().unwrap().to = Some("amqp://host/projects/p/$management".into());
    client.request(2, message).await;
    client.disposition().await;
    let (transfer, reply) = client.message().await;
    assert_eq!(transfer.handle.0, 1);
    let node = reply.application_properties.unwrap().get("node").cloned();
    assert_eq!(node, Some("projects/p/$management".into()));

    for nowhere in [Some("no/such/node"), None] {
        let mut message = request(1.into(), None);
        message.properties.as_mut().unwrap().to = nowhere.map(str::to_owned);
        client.request(2, message).await;
        let state = client.disposition().await.state;
        let Some(DeliveryState::Rejected(rejected)) = state else { panic!("{state:?}") };
        assert!(format!("{:?}", rejected.error.unwrap().condition).contains("NotFound"));
    }
}

#[tokio::test]
async fn a_reply_link_may_be_called_by_its_name() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    // As Azure's client for JavaScript puts tokens: a receiver without a target.
    let mut receiver = receiving(0, Some("$management"), None);
    receiver.name = "cbs-of-mine".to_owned();
    client.attach(receiver).await;
    client.credit(0, 0, 10).await;
    client.sender(1, Some("$management")).await;
    client.request(1, request(4.into(), Some("cbs-of-mine"))).await;
    client.disposition().await;
    let (transfer, reply) = client.message().await;
    assert_eq!((transfer.handle.0, correlation(&reply)), (0, MessageId::Ulong(4)));
}

#[tokio::test]
async fn over_a_link_that_is_attached_in_one_breath_with_the_request() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.sender(0, Some("$management")).await;
    for handle in 1..=100 {
        let target = format!("mine-{handle}");
        let attach = receiving(handle, Some("$management"), Some(&target));
        let transfer = client.delivery(0, Some(true));
        let request = crate::raw::encode(request(u64::from(handle).into(), Some(&target)));
        let breath = [
            frame(0, 0, &attach, &[]),
            frame(0, 0, &flow(handle, 0, 1), &[]),
            frame(0, 0, &transfer, &request),
        ];
        client.bytes(&breath.concat()).await;
        let Frame::Attach(_) = client.beside_flows().await else { panic!("no Attach") };
        let (_, reply) = client.message().await;
        assert_eq!(correlation(&reply), MessageId::Ulong(handle.into()));
    }
}

#[tokio::test]
async fn over_the_link_that_took_the_place_of_the_one_asked_for() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), Some("mine"))).await;
    client.sender(1, Some("$management")).await;
    let mut message = waiting(1);
    message.properties.as_mut().unwrap().reply_to = Some("mine".into());
    client.request(1, message).await;
    client.disposition().await;
    let detach = Detach { handle: 0.into(), closed: true, error: None };
    client.send(0, &detach, &[]).await;
    client.detach().await;
    client.attach(receiving(5, Some("$management"), Some("mine"))).await;
    client.credit(5, 0, 10).await;
    server.gate.add_permits(1);
    assert_eq!(correlation(&client.message().await.1), MessageId::Ulong(1));
}

#[tokio::test]
async fn how_long_its_client_waits_is_told_to_the_node() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), None)).await;
    client.credit(0, 0, 10).await;
    client.sender(1, Some("$management")).await;
    for (said, heard) in [
        (SimpleValue::Uint(1500), "Some(1.5s)"),
        (SimpleValue::Ulong(20), "Some(20ms)"),
        (SimpleValue::Int(7), "Some(7ms)"),
        (SimpleValue::Long(0), "Some(0ns)"),
        (SimpleValue::Int(-1), "None"),
        (SimpleValue::from("soon"), "None"),
    ] {
        let mut message = request(1.into(), None);
        let properties =
            ApplicationProperties::builder().insert("com.microsoft:server-timeout", said).build();
        message.application_properties = Some(properties);
        client.request(1, message).await;
        client.disposition().await;
        let properties = client.message().await.1.application_properties.unwrap();
        assert_eq!(properties.get("patience"), Some(&heard.into()));
    }
}

#[tokio::test]
async fn replies_wait_for_credit_and_hold_up_no_other_link() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), Some("poor"))).await;
    client.attach(receiving(1, Some("$management"), Some("rich"))).await;
    client.credit(1, 0, 10).await;
    client.sender(2, Some("$management")).await;
    for id in 0..3 {
        client.request(2, request(MessageId::Ulong(id), Some("poor"))).await;
        client.disposition().await;
    }
    client.request(2, request(MessageId::Ulong(9), Some("rich"))).await;
    client.disposition().await;
    assert_eq!(correlation(&client.message().await.1), MessageId::Ulong(9));
    client.credit(0, 0, 2).await;
    assert_eq!(correlation(&client.message().await.1), MessageId::Ulong(0));
    assert_eq!(correlation(&client.message().await.1), MessageId::Ulong(1));
    // The third has no credit: what comes next is for the other link.
    client.request(2, request(MessageId::Ulong(10), Some("rich"))).await;
    client.disposition().await;
    assert_eq!(correlation(&client.message().await.1), MessageId::Ulong(10));
}

#[tokio::test]
async fn what_is_made_for_a_client_that_takes_nothing_has_an_end() {
    let mut large_frames = settings();
    large_frames.limits.frame_bytes = 2 << 20;
    let server = Server::with(large_frames).await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), None)).await;
    client.sender(1, Some("$management")).await;
    // Their replies are as large: sixteen are made, as many requests wait for them, and the others cannot.
    let sent = 40;
    for id in 0..sent {
        let mut large = request(MessageId::Ulong(id), None);
        large.body = Body::Value(AmqpValue(Value::from("x".repeat(1 << 20))));
        client.request(1, large).await;
    }
    let mut made = 0;
    loop {
        let disposition = client.disposition().await;
        match disposition.state {
            Some(DeliveryState::Accepted(_)) => {
                made += disposition.last.unwrap_or(disposition.first) - disposition.first + 1;
            }
            Some(DeliveryState::Rejected(_)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!((12..=17).contains(&made), "{made} were answered");
    // Another pair of links is served, one request at a time.
    let small = request(MessageId::Ulong(77), Some("beside"));
    let mut rejected = 1 + ask_beside(&mut client, small).await;
    rejected += answered_beside(&mut client).await;
    // As soon as it takes them, all that could wait are answered.
    client.credit(0, 0, 100).await;
    let mut answered = 0;
    while answered + rejected < sent {
        let frame = client.next().await;
        if let Frame::Transfer(transfer, _) = frame {
            answered += u64::from(!transfer.more);
        } else if let Frame::Disposition(of) = frame
            && matches!(of.state, Some(DeliveryState::Rejected(_)))
        {
            rejected += 1;
        }
    }
    assert!(answered > 25, "{answered} answered, {rejected} rejected");
}

/// Asks over a pair of links of its own, and reads until that is accepted: how many requests were rejected meanwhile.
async fn ask_beside(client: &mut Raw, message: Message<Body<Value>>) -> u64 {
    client.send(0, &receiving(10, Some("$management"), Some("beside")), &[]).await;
    client.credit(10, 0, 10).await;
    client.send(0, &sending(11, Some("$management")), &[]).await;
    let mut message = Some(message);
    let mut rejected = 0;
    loop {
        let frame = client.next().await;
        if let Frame::Flow(flow) = frame {
            // The fourth link, as the server counts.
            if flow.handle.is_some_and(|handle| handle.0 == 3)
                && let Some(message) = message.take()
            {
                client.request(11, message).await;
            }
        } else if let Frame::Disposition(of) = frame {
            match of.state {
                Some(DeliveryState::Accepted(_)) if message.is_none() => return rejected,
                Some(DeliveryState::Rejected(_)) => rejected += 1,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Reads until what was asked beside is answered, which is what comes first.
async fn answered_beside(client: &mut Raw) -> u64 {
    let mut rejected = 0;
    loop {
        let frame = client.next().await;
        if let Frame::Transfer(transfer, _) = frame {
            assert_eq!(transfer.handle.0, 2);
            return rejected;
        } else if let Frame::Disposition(_) = frame {
            rejected += 1;
        }
    }
}

#[tokio::test]
async fn what_could_be_made_at_once_for_a_client_that_takes_nothing_has_an_end() {
    let mut large_frames = settings();
    large_frames.limits.frame_bytes = 2 << 20;
    let server = Server::with(large_frames).await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), None)).await;
    client.sender(1, Some("$management")).await;
    for id in 0..40 {
        let mut large = waiting(id);
        large.body = Body::Value(AmqpValue(Value::from("x".repeat(1 << 20))));
        client.request(1, large).await;
        client.disposition().await;
    }
    // What is pending beside them is answered, though it is the last.
    let mut last = waiting(77);
    last.properties.as_mut().unwrap().reply_to = Some("beside".to_owned());
    ask_beside(&mut client, last).await;
    server.gate.add_permits(41);
    answered_beside(&mut client).await;
    let made = server.passed.load(Ordering::Relaxed);
    assert!(made < 20, "{made} have their replies");
    client.credit(0, 0, 100).await;
    let mut answered = 0;
    while answered < 40 {
        if let Frame::Transfer(transfer, _) = client.next().await {
            answered += u64::from(!transfer.more);
        }
    }
}

#[tokio::test]
async fn a_reply_that_takes_long_holds_up_no_other() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), None)).await;
    client.credit(0, 0, 10).await;
    client.sender(1, Some("$management")).await;
    client.request(1, waiting(1)).await;
    client.disposition().await;
    client.request(1, request(2.into(), None)).await;
    client.disposition().await;
    assert_eq!(correlation(&client.message().await.1), MessageId::Ulong(2));
    server.gate.add_permits(1);
    assert_eq!(correlation(&client.message().await.1), MessageId::Ulong(1));
}

#[tokio::test]
async fn nobody_is_answered_over_another_connection() {
    let server = Server::start().await;
    let mut other = Raw::begin(&server).await;
    let address = other.attach(receiving(0, None, Some("theirs"))).await.source.unwrap().address;
    other.credit(0, 0, 10).await;
    let mut client = Raw::begin(&server).await;
    client.sender(1, Some("$management")).await;
    for reply_to in [address.as_deref(), Some("theirs"), None] {
        client.request(1, request(1.into(), reply_to)).await;
        client.disposition().await;
    }
    // Its own request is what is answered first.
    other.sender(1, Some("$management")).await;
    other.request(1, request(5.into(), Some("theirs"))).await;
    other.disposition().await;
    assert_eq!(correlation(&other.message().await.1), MessageId::Ulong(5));
}

#[tokio::test]
async fn settled_requests_are_answered_without_a_disposition() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), None)).await;
    client.credit(0, 0, 10).await;
    client.sender(1, Some("$management")).await;
    let payload = crate::raw::encode(request(3.into(), None));
    client.transfer(1, Some(true), &payload).await;
    let (transfer, reply) = client.message().await;
    assert_eq!(correlation(&reply), MessageId::Ulong(3));
    // The client left it open, so it need not settle what it is sent.
    assert_eq!(transfer.settled, Some(true));
}

#[tokio::test]
async fn a_reply_larger_than_its_link_takes_is_told_instead() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    let mut small = receiving(0, Some("$management"), None);
    small.max_message_size = Some(1000);
    client.attach(small).await;
    client.credit(0, 0, 10).await;
    client.sender(1, Some("$management")).await;
    let mut message = request(1.into(), None);
    message.body = Body::Value(AmqpValue(Value::from("x".repeat(2000))));
    client.request(1, message).await;
    client.disposition().await;
    let (_, reply) = client.message().await;
    assert_eq!(correlation(&reply), MessageId::Ulong(1));
    let properties = reply.application_properties.unwrap();
    assert_eq!(properties.get("statusCode"), Some(&413.into()));
    // As every other error has it.
    let Body::Value(AmqpValue(Value::Map(body))) = reply.body else { panic!("{:?}", reply.body) };
    assert_eq!(body.len(), 0);
}

#[tokio::test]
async fn replies_are_left_unsettled_for_whoever_wants_to_settle_them() {
    use ReceiverSettleMode::{First, Second};
    use SenderSettleMode::{Mixed, Settled, Unsettled};
    let server = Server::start().await;
    for (sender, receiver, answered, settled) in [
        (Unsettled, First, Unsettled, false),
        (Unsettled, Second, Unsettled, false),
        (Settled, First, Settled, true),
        (Settled, Second, Settled, true),
        (Mixed, First, Mixed, true),
        (Mixed, Second, Mixed, true),
    ] {
        let mut client = Raw::begin(&server).await;
        let mut attach = receiving(0, Some("$management"), None);
        attach.snd_settle_mode = sender;
        attach.rcv_settle_mode = receiver.clone();
        assert_eq!(client.attach(attach).await.snd_settle_mode, answered);
        client.credit(0, 0, 10).await;
        client.sender(1, Some("$management")).await;
        for id in 0..3 {
            client.request(1, request(MessageId::Ulong(id), None)).await;
            client.disposition().await;
            let (transfer, _) = client.message().await;
            assert_eq!(transfer.settled.unwrap_or(false), settled);
            if !settled {
                let outcome = Disposition {
                    role: Role::Receiver,
                    first: transfer.delivery_id.unwrap(),
                    last: None,
                    settled: receiver == First,
                    state: Some(DeliveryState::Accepted(Accepted {})),
                    batchable: false,
                };
                client.send(0, &outcome, &[]).await;
                if receiver == Second {
                    let answer = client.disposition().await;
                    assert_eq!((&answer.role, answer.settled), (&Role::Sender, true));
                    assert_eq!((answer.first, answer.state), (outcome.first, outcome.state));
                }
            }
        }
    }
}
