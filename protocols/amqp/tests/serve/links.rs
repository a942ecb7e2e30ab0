//! Sessions and links, as they come and go.

use std::time::{Duration, Instant};

use fe2o3_amqp_types::definitions::{AmqpError, ReceiverSettleMode};
use fe2o3_amqp_types::messaging::{AmqpValue, Body, DeliveryState, Message, MessageId};
use fe2o3_amqp_types::performatives::{Close, Detach, End, Flow};
use fe2o3_amqp_types::primitives::Symbol;
use opgate_amqp::Product;
use serde_amqp::Value;

use crate::raw::{Frame, Raw, begin, flow, frame, receiving, sending};
use crate::replies::{request, waiting};
use crate::server::{Server, settings};

fn detach(handle: u32) -> Detach {
    Detach { handle: handle.into(), closed: true, error: None }
}

#[tokio::test]
async fn what_is_not_there_is_attached_and_detached_with_the_reason() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    let answer = client.attach(sending(0, Some("no/such/node"))).await;
    assert!(answer.target.is_none());
    let refused = client.detach().await;
    assert!(refused.closed);
    assert!(format!("{:?}", refused.error.unwrap().condition).contains("NotFound"));
    client.send(0, &detach(0), &[]).await;

    let answer = client.attach(receiving(0, Some("queue/none"), None)).await;
    assert!(answer.source.is_none());
    let refused = client.detach().await;
    assert!(format!("{:?}", refused.error.unwrap().condition).contains("NotFound"));
    client.send(0, &detach(0), &[]).await;

    // The session is as good as before, and so are the names and handles.
    client.sender(0, Some("$management")).await;
}

#[tokio::test]
async fn a_link_that_is_refused_is_given_no_credit() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(9, Some("$management"), None)).await;
    client.credit(9, 0, 10).await;
    for handle in 0..3 {
        client.send(0, &sending(handle, Some("no/such/node")), &[]).await;
        // Sent in the same breath, against all rules.
        client.transfer(handle, Some(false), b"\x00\x53\x77\x40").await;
        let Frame::Attach(answer) = client.next().await else { panic!("no Attach") };
        assert_eq!(answer.target, None);
        // And nothing in between.
        let Frame::Detach(refused) = client.next().await else { panic!("no Detach") };
        assert!(refused.closed);
        client.transfer(handle, Some(false), b"\x00\x53\x77\x40").await;
        client.send(0, &detach(handle), &[]).await;
    }
    // Its handle and its name are free, and what takes them has credit.
    client.sender(0, Some("$management")).await;
    client.request(0, request(1.into(), None)).await;
    client.disposition().await;
    client.message().await;
}

#[tokio::test]
async fn a_link_to_a_coordinator_of_transactions_is_refused_and_nothing_else() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    // By its code, and by its name with a capability.
    for target in
        [&b"\x00\x53\x30\x45"[..], b"\x00\xa3\x15amqp:coordinator:list\xc0\x08\x01\xa3\x05local"]
    {
        let source = b"\x00\x53\x28\x45";
        let fields =
            [b"\xa1\x03txn\x43\x42\x40\x40", &source[..], target, b"\x40\x40\x43"].concat();
        let length = u8::try_from(fields.len() + 1).unwrap();
        let attach = [&b"\x00\x53\x12\xc0"[..], &[length, 10], &fields].concat();
        let size = u32::try_from(attach.len() + 8).unwrap().to_be_bytes();
        client.bytes(&[&size[..], &[2, 0, 0, 0], &attach].concat()).await;
        let Frame::Attach(answer) = client.next().await else { panic!("no Attach") };
        assert_eq!((&*answer.name, answer.target), ("txn", None));
        assert_eq!(client.refused().await, AmqpError::NotImplemented.into());
        client.send(0, &detach(0), &[]).await;
    }
    client.sender(0, Some("$management")).await;
}

#[tokio::test]
async fn open_begin_and_attach_say_who_we_are() {
    let server = Server::start().await;
    let mut client = Raw::connect(&server).await;
    let open = client.open(|_| {}).await;
    assert!(!open.properties.unwrap().is_empty());
    let offered = format!("{:?}", open.offered_capabilities);
    assert!(offered.contains("ANONYMOUS-RELAY"), "{offered}");
    client.send(0, &begin(), &[]).await;
    let Frame::Begin(begin) = client.next().await else { panic!("no Begin") };
    assert!(!begin.properties.unwrap().is_empty());
    assert!(begin.incoming_window > 1_000_000);
    let attach = client.attach(sending(0, Some("$management"))).await;
    assert!(!attach.properties.unwrap().is_empty());
    assert_eq!(attach.max_message_size, Some(4 << 20));
}

#[tokio::test]
async fn a_second_link_of_one_name_and_direction_is_refused_and_the_first_goes_on() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), None)).await;
    client.credit(0, 0, 10).await;
    client.sender(1, Some("$management")).await;
    let twin = |handle, of: u32| {
        let (mut twin, name) = match of {
            0 => (receiving(handle, Some("$management"), None), "receiver-0"),
            _ => (sending(handle, Some("$management")), "sender-1"),
        };
        name.clone_into(&mut twin.name);
        twin
    };
    for (handle, of) in [(2, 0), (3, 1), (4, 1), (3, 0)] {
        let twin = twin(handle, of);
        let answer = client.attach(twin.clone()).await;
        assert_eq!(answer.name, twin.name);
        assert_ne!(answer.role, twin.role);
        assert_eq!(client.refused().await, AmqpError::NotAllowed.into());
        if handle != 4 {
            client.send(0, &detach(handle), &[]).await;
        }
        client.request(1, request(1.into(), None)).await;
        client.disposition().await;
        client.message().await;
    }
    // What is detached is no more, whether that has been answered or not.
    let breath = [frame(0, 0, &detach(1), &[]), frame(0, 0, &twin(5, 1), &[])];
    client.bytes(&breath.concat()).await;
    let mut answers = Vec::new();
    while answers.len() < 2 {
        answers.push(client.beside_flows().await);
    }
    let attached = answers.iter().any(|frame| {
        matches!(frame, Frame::Attach(attach) if attach.name == "sender-1" && attach.target.is_some())
    });
    assert!(attached, "{answers:?}");
    client.request(5, request(2.into(), None)).await;
    client.disposition().await;
    client.message().await;
}

#[tokio::test]
async fn sessions_that_begin_and_end_in_one_breath_harm_no_other() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.attach(receiving(0, Some("$management"), None)).await;
    client.credit(0, 0, 1000).await;
    client.sender(1, Some("$management")).await;
    for round in 0..100_u64 {
        let breath = [frame(0, 1, &begin(), &[]), frame(0, 1, &End { error: None }, &[])];
        client.bytes(&breath.concat().repeat(3)).await;
        let (mut begun, mut ended) = (0, 0);
        while (begun, ended) != (3, 3) {
            match client.beside_flows().await {
                Frame::Begin(_) => begun += 1,
                Frame::End(_) => ended += 1,
                other @ (Frame::Open(_)
                | Frame::Attach(_)
                | Frame::Flow(_)
                | Frame::Transfer(..)
                | Frame::Disposition(_)
                | Frame::Detach(_)
                | Frame::Close(_)
                | Frame::Empty) => panic!("in round {round}: {other:?}"),
            }
        }
        client.request(1, request(round.into(), None)).await;
        client.disposition().await;
        client.message().await;
    }
}

#[tokio::test]
async fn a_link_too_many_is_refused_and_one_that_ended_makes_room() {
    let mut few = settings();
    few.limits.links = 2;
    let server = Server::with(few).await;
    let mut client = Raw::begin(&server).await;
    client.sender(0, Some("$management")).await;
    client.sender(1, Some("$management")).await;
    client.attach(sending(2, Some("$management"))).await;
    let refused = client.detach().await;
    assert!(format!("{:?}", refused.error.unwrap().condition).contains("ResourceLimitExceeded"));
    client.send(0, &detach(2), &[]).await;
    client.send(0, &detach(1), &[]).await;
    client.detach().await;
    client.sender(2, Some("$management")).await;
}

#[tokio::test]
async fn the_container_says_what_it_is_told_to() {
    let mut settings = settings();
    settings.product = Product { name: "RabbitMQ".into(), version: "4.1.0".into() };
    let server = Server::with(settings).await;
    let said = Raw::connect(&server).await.open(|_| {}).await.properties.unwrap();
    let said = |name: &str| said.get(&Symbol::from(name)).cloned();
    assert_eq!(said("product"), Some("RabbitMQ".into()));
    assert_eq!(said("version"), Some("4.1.0".into()));
    assert_eq!(said("node"), Some("opgate".into()));
}

#[tokio::test]
async fn end_and_close_are_answered() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.sender(0, Some("$management")).await;
    client.send(0, &End { error: None }, &[]).await;
    let Frame::End(end) = client.next().await else { panic!("no End") };
    assert_eq!(end.error, None);
    client.send(0, &Close { error: None }, &[]).await;
    let Frame::Close(close) = client.next().await else { panic!("no Close") };
    assert_eq!(close.error, None);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn what_a_worker_sends_is_accepted_or_rejected_once_that_is_known() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.sender(0, Some("queue/work")).await;
    let message = |body| Message::builder().body(body).build();
    client.request(0, message(Body::Empty)).await;
    let state = client.disposition().await.state;
    assert!(matches!(state, Some(DeliveryState::Rejected(_))), "{state:?}");
    let value = AmqpValue(Value::from(1));
    client.request(0, message(Body::Value(value))).await;
    let state = client.disposition().await.state;
    assert!(matches!(state, Some(DeliveryState::Accepted(_))), "{state:?}");
}

#[tokio::test]
async fn a_message_that_is_none_is_rejected_and_the_link_goes_on() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    client.sender(0, Some("$management")).await;
    client.transfer(0, Some(false), b"\x00\x53\x77\xa1\x02\xff\xff").await;
    let state = client.disposition().await.state;
    assert!(matches!(state, Some(DeliveryState::Rejected(_))), "{state:?}");
    client.transfer(0, Some(false), b"\x00\x53\x77\xa1\x02ok").await;
    let state = client.disposition().await.state;
    assert!(matches!(state, Some(DeliveryState::Accepted(_))), "{state:?}");
}

#[tokio::test]
async fn what_waits_for_earlier_requests_is_not_too_much() {
    let mut few = settings();
    few.limits.credit = 10;
    few.limits.frame_bytes = 4 << 20;
    let server = Server::with(few).await;
    let mut client = Raw::begin(&server).await;
    client.sender(0, Some("$management")).await;
    for id in 0..10 {
        client.request(0, waiting(id)).await;
        let state = client.disposition().await.state;
        assert!(matches!(state, Some(DeliveryState::Accepted(_))), "{state:?}");
    }
    // Three megabytes each: what waits is not read yet.
    let many = AmqpValue(Value::from("x".repeat(3 << 20)));
    let mut sent = Vec::new();
    for _ in 0..8 {
        let message = Message::builder().body(Body::Value(many.clone())).build();
        sent.push(client.request(0, message).await);
    }
    let refused = client.disposition().await;
    let Some(DeliveryState::Rejected(why)) = &refused.state else { panic!("{refused:?}") };
    let why = format!("{:?}", why.error);
    assert!(why.contains("ResourceLimitExceeded"), "{why}");
    assert!(refused.first > sent[1], "some of them wait");
    server.gate.add_permits(10);
    // The oldest is served once there is a place for it.
    loop {
        let next = client.disposition().await;
        if next.first == sent[0] {
            assert!(matches!(next.state, Some(DeliveryState::Accepted(_))), "{next:?}");
            break;
        }
    }
}

#[tokio::test]
async fn requests_are_settled_by_whoever_receives_them_first() {
    let server = Server::start().await;
    let mut client = Raw::begin(&server).await;
    let mut attach = sending(0, Some("$management"));
    attach.rcv_settle_mode = ReceiverSettleMode::Second;
    let answer = client.attach(attach).await;
    assert_eq!(answer.rcv_settle_mode, ReceiverSettleMode::First);
}

#[tokio::test]
async fn a_session_is_told_how_it_is_when_it_asks() {
    let server = Server::start().await;
    let mut client = Raw::connect(&server).await;
    client.open(|_| {}).await;
    client.send(0, &begin(), &[]).await;
    let Frame::Begin(begun) = client.next().await else { panic!("no Begin") };
    let session = |next_incoming_id, next_outgoing_id, echo| Flow {
        next_incoming_id: Some(next_incoming_id),
        next_outgoing_id,
        handle: None,
        delivery_count: None,
        link_credit: None,
        echo,
        ..flow(0, 0, 0)
    };
    let first = begun.next_outgoing_id;
    client.send(0, &session(first, 0, true), &[]).await;
    let Frame::Flow(told) = client.next().await else { panic!("no Flow") };
    let expected = Flow {
        incoming_window: begun.incoming_window,
        outgoing_window: begun.outgoing_window,
        ..session(0, first, false)
    };
    assert_eq!(told, expected);
    // After a request of one frame, and its reply.
    client.attach(receiving(1, Some("$management"), None)).await;
    client.credit(1, 0, 1).await;
    client.attach(sending(0, Some("$management"))).await;
    client.request(0, request(MessageId::Ulong(1), None)).await;
    client.disposition().await;
    client.message().await;
    client.send(0, &session(first + 1, 1, true), &[]).await;
    client.send(0, &session(first + 1, 1, false), &[]).await;
    let Frame::Flow(told) = client.next().await else { panic!("no Flow") };
    let next_outgoing_id = first.wrapping_add(1);
    assert_eq!(told, Flow { next_incoming_id: Some(1), next_outgoing_id, ..expected });
}

#[tokio::test]
async fn who_asks_for_signs_of_life_gets_them_and_whoever_gives_none_is_let_go() {
    let mut idle = settings();
    idle.limits.idle_timeout = Duration::from_secs(1);
    let server = Server::with(idle).await;
    let mut client = Raw::connect(&server).await;
    let begun = Instant::now();
    let open = client.open(|open| open.idle_time_out = Some(400)).await;
    // Half of what it is given, so that one sign of life may be late (section 2.4.5).
    assert_eq!(open.idle_time_out, Some(500));
    let Frame::Empty = client.next().await else { panic!("no sign of life") };
    let Frame::Empty = client.next().await else { panic!("no sign of life") };
    // This one gives none.
    loop {
        match client.next().await {
            Frame::Empty => {}
            Frame::Close(_) => break,
            other @ (Frame::Open(_)
            | Frame::Begin(_)
            | Frame::Attach(_)
            | Frame::Flow(_)
            | Frame::Transfer(..)
            | Frame::Disposition(_)
            | Frame::Detach(_)
            | Frame::End(_)) => panic!("{other:?}"),
        }
    }
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(client.is_closed().await);
}
