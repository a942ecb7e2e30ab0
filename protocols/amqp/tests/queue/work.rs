//! What workers do with their deliveries.

use std::time::Duration;

use fe2o3_amqp::link::ReceiverAttachError;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::{Connection, Receiver, Session};
use fe2o3_amqp_types::definitions::{AmqpError, Error, SenderSettleMode};
use fe2o3_amqp_types::messaging::{AmqpValue, Body, Data, Modified, Outcome as Settled};
use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_amqp::queue;
use opgate_bus::{Caller, Pull};
use opgate_core::{Code, Outcome, Payload, State};
use serde_amqp::Value;
use serde_amqp::primitives::Binary;

use crate::gateway::{Gateway, Worker, identity, message, property};

fn text(text: &str) -> Body<Value> {
    Body::Value(AmqpValue(Value::String(text.to_owned())))
}

#[tokio::test]
async fn an_operation_is_delivered_and_done_with_its_result() {
    let gateway = Gateway::start().await;
    let mut worker = Worker::connect(&gateway, "ann", 1).await;
    let id = gateway.begin_with(Payload::json(r#"{"target": "all"}"#)).await;
    let delivery = worker.next().await;
    assert_eq!(identity(&delivery), id.to_string());
    assert_eq!(property(&delivery, "attempt"), SimpleValue::Uint(1));
    let input = Body::Data(vec![Data(Binary::from(r#"{"target": "all"}"#))].into());
    assert_eq!(delivery.body(), &input);
    assert_eq!(gateway.get(id).await.state, State::Running);
    let taken = worker.send(&delivery, None, text("done")).await;
    assert!(matches!(taken, Settled::Accepted(_)), "{taken:?}");
    assert_eq!(gateway.get(id).await.state, State::Running, "a result does not end it");
    worker.receiver.accept(&delivery).await.unwrap();
    let ended = gateway.ended(id).await;
    let result = Payload::new("text/plain; charset=utf-8", "done");
    assert_eq!(ended.outcome, Some(Outcome::Succeeded(Some(result))));
}

#[tokio::test]
async fn a_result_may_be_on_its_way_when_its_delivery_is_settled() {
    let gateway = Gateway::start().await;
    let mut worker = Worker::connect(&gateway, "ann", 50).await;
    for _ in 0..50 {
        let id = gateway.begin().await;
        let delivery = worker.next().await;
        // Not waited for: the one follows the other on the wire.
        let sent =
            worker.results.send_batchable(message(&delivery, None, text("x"))).await.unwrap();
        worker.receiver.accept(&delivery).await.unwrap();
        let ended = gateway.ended(id).await;
        assert!(matches!(&ended.outcome, Some(Outcome::Succeeded(Some(_)))), "{ended:?}");
        sent.await.unwrap();
    }
}

#[tokio::test]
async fn each_way_to_settle_ends_the_lease_its_way() {
    let gateway = Gateway::start().await;
    let mut worker = Worker::connect(&gateway, "ann", 10).await;
    let id = gateway.begin().await;
    let first = worker.next().await;
    worker.receiver.release(&first).await.unwrap();
    let second = worker.next().await;
    assert_eq!(property(&second, "attempt"), SimpleValue::Uint(2));
    let header = second.message().header.clone().unwrap();
    assert_eq!((header.first_acquirer, header.delivery_count), (false, 0));
    let failed = Modified {
        delivery_failed: Some(true),
        undeliverable_here: None,
        message_annotations: None,
    };
    worker.receiver.modify(&second, failed).await.unwrap();
    let third = worker.next().await;
    assert_eq!(third.message().header.clone().unwrap().delivery_count, 1);
    let error = Error::new(AmqpError::NotFound, Some("no file".to_owned()), None);
    worker.receiver.reject(&third, error).await.unwrap();
    let ended = gateway.ended(id).await;
    let failure = ended.outcome.as_ref().and_then(Outcome::failure).unwrap();
    assert_eq!((failure.code, &*failure.message), (Code::NotFound, "no file"));
    assert_eq!(&*ended.log[0].message, "attempt 1 of 3: anonymous@ann failed at it");
}

#[tokio::test]
async fn what_one_worker_does_not_want_is_for_another() {
    let gateway = Gateway::start().await;
    let mut picky = Worker::connect(&gateway, "picky", 10).await;
    let id = gateway.begin().await;
    let delivery = picky.next().await;
    let mut other = Worker::connect(&gateway, "other", 1).await;
    let elsewhere = Modified {
        delivery_failed: None,
        undeliverable_here: Some(true),
        message_annotations: None,
    };
    picky.receiver.modify(&delivery, elsewhere).await.unwrap();
    let delivery = other.next().await;
    other.receiver.accept(&delivery).await.unwrap();
    assert_eq!(gateway.ended(id).await.state, State::Succeeded);
}

#[tokio::test]
async fn what_one_worker_cannot_take_is_for_another_and_no_failed_attempt() {
    let gateway = Gateway::start().await;
    let mut small = Worker::taking(gateway.address, "small", 10, Some(2000)).await;
    let large = gateway.begin_with(Payload::new("text/plain", "x".repeat(4000))).await;
    let fits = gateway.begin().await;
    let delivery = small.next().await;
    assert_eq!(identity(&delivery), fits.to_string());
    small.receiver.accept(&delivery).await.unwrap();
    let mut other = Worker::connect(&gateway, "other", 1).await;
    let delivery = other.next().await;
    assert_eq!(identity(&delivery), large.to_string());
    other.receiver.accept(&delivery).await.unwrap();
    let ended = gateway.ended(large).await;
    assert_eq!(ended.state, State::Succeeded);
    let said: Vec<&str> = ended.log.iter().map(|line| &*line.message).collect();
    assert_eq!(said, ["anonymous@small does not take it: message size exceeds max of 2000 bytes"]);
}

#[tokio::test]
async fn credit_is_how_many_a_worker_has_at_most() {
    let gateway = Gateway::start().await;
    for _ in 0..5 {
        gateway.begin().await;
    }
    let mut some = Worker::connect(&gateway, "some", 2).await;
    let held = [some.next().await, some.next().await];
    // What it has no credit for is another's.
    let mut rest = Worker::connect(&gateway, "rest", 10).await;
    for _ in 0..3 {
        let delivery = rest.next().await;
        rest.receiver.accept(&delivery).await.unwrap();
    }
    for delivery in &held {
        some.receiver.accept(delivery).await.unwrap();
    }
}

#[tokio::test]
async fn credit_is_not_how_many_are_open() {
    let settings = queue::Settings { open: 2, ..queue::Settings::default() };
    let gateway = Gateway::with(Pull::default(), settings).await;
    for _ in 0..3 {
        gateway.begin().await;
    }
    let mut greedy = Worker::connect(&gateway, "greedy", 100).await;
    let held = [greedy.next().await, greedy.next().await];
    let mut other = Worker::connect(&gateway, "other", 1).await;
    let third = other.next().await;
    other.receiver.accept(&third).await.unwrap();
    gateway.begin().await;
    greedy.receiver.accept(&held[0]).await.unwrap();
    greedy.next().await;
}

#[tokio::test]
async fn what_is_open_weighs_no_more_than_allowed() {
    let settings = queue::Settings { open_bytes: 1000, ..queue::Settings::default() };
    let gateway = Gateway::with(Pull::default(), settings).await;
    let input = |bytes| Payload::new("text/plain", "x".repeat(bytes));
    for _ in 0..3 {
        gateway.begin_with(input(600)).await;
    }
    let mut greedy = Worker::connect(&gateway, "greedy", 100).await;
    let held = greedy.next().await;
    // What there is no room for is for others.
    let mut others =
        [Worker::connect(&gateway, "one", 100).await, Worker::connect(&gateway, "two", 100).await];
    for other in &mut others {
        other.next().await;
    }
    // One that is too heavy by itself goes to whoever has nothing else.
    let heavy = gateway.begin_with(input(5000)).await;
    greedy.receiver.accept(&held).await.unwrap();
    let delivery = greedy.next().await;
    assert_eq!(identity(&delivery), heavy.to_string());
    assert_eq!(property(&delivery, "attempt"), SimpleValue::Uint(1), "it was with another");
}

#[tokio::test]
async fn progress_is_shown_and_a_cancellation_is_told() {
    let gateway = Gateway::start().await;
    let mut worker = Worker::connect(&gateway, "ann", 1).await;
    let id = gateway.begin().await;
    let delivery = worker.next().await;
    let report = |percent: i32| {
        let map = [(Value::from("percent"), Value::Int(percent))].into_iter().collect();
        Body::Value(AmqpValue(Value::Map(map)))
    };
    let told = worker.send(&delivery, Some("opgate:report"), report(40)).await;
    assert!(matches!(told, Settled::Accepted(_)), "{told:?}");
    assert_eq!(gateway.get(id).await.progress.as_ref().unwrap().percent, Some(40.0));
    gateway.bus.cancel(&Caller::anonymous(), id, "enough").await.unwrap();
    let told = worker.send(&delivery, Some("opgate:report"), report(50)).await;
    let Settled::Rejected(rejected) = told else { panic!("{told:?}") };
    assert_eq!(rejected.error.unwrap().description.as_deref(), Some("enough"));
    worker.receiver.release(&delivery).await.unwrap();
    assert_eq!(gateway.ended(id).await.state, State::Canceled);
}

#[tokio::test]
async fn links_that_cannot_be_served_are_refused() {
    let gateway = Gateway::start().await;
    let url = format!("amqp://{}", gateway.address);
    let mut connection = Connection::open("ann", &*url).await.unwrap();
    let mut session = Session::begin(&mut connection).await.unwrap();
    let refused = |attached: Result<Receiver, ReceiverAttachError>| async {
        match attached {
            Ok(mut link) => format!("{:?}", link.recv::<Body<Value>>().await.unwrap_err()),
            Err(error) => format!("{error:?}"),
        }
    };
    let unknown = refused(Receiver::attach(&mut session, "a", "queue/nothing").await).await;
    assert!(unknown.contains("NotFound"), "{unknown}");
    let settled = Receiver::builder()
        .name("b")
        .source("queue/builds")
        .sender_settle_mode(SenderSettleMode::Settled)
        .credit_mode(CreditMode::Auto(1))
        .attach(&mut session)
        .await;
    let settled = refused(settled).await;
    // This client does not always tell why.
    assert!(settled.contains("NotAllowed") || settled.contains("IllegalState"), "{settled}");
}

#[tokio::test]
async fn a_drain_lets_what_is_open_be_settled() {
    let gateway = Gateway::start().await;
    let mut worker = Worker::connect(&gateway, "ann", 10).await;
    let id = gateway.begin().await;
    let delivery = worker.next().await;
    gateway.drain.begin(Duration::from_secs(20));
    worker.receiver.accept(&delivery).await.unwrap();
    assert_eq!(gateway.ended(id).await.state, State::Succeeded);
}

#[tokio::test]
async fn a_worker_that_drains_gets_what_is_ready_and_nothing_later() {
    let gateway = Gateway::start().await;
    for _ in 0..2 {
        gateway.begin().await;
    }
    let mut worker = Worker::connect(&gateway, "ann", 0).await;
    worker.receiver.set_credit(5).await.unwrap();
    // Sent at once, and the credit that is left is given back: as often as is asked.
    worker.receiver.drain().await.unwrap();
    for _ in 0..2 {
        let delivery = worker.next().await;
        worker.receiver.accept(&delivery).await.unwrap();
    }
    let id = gateway.begin().await;
    let mut other = Worker::connect(&gateway, "other", 1).await;
    let delivery = other.next().await;
    assert_eq!(identity(&delivery), id.to_string());
    assert_eq!(property(&delivery, "attempt"), SimpleValue::Uint(1), "it was with the first");
    other.receiver.accept(&delivery).await.unwrap();
}
