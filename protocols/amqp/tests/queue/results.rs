//! Results on their way while something else happens.

use std::time::Duration;

use fe2o3_amqp::Sender;
use fe2o3_amqp_types::messaging::{AmqpValue, Body, Outcome as Settled, Properties, Target};
use opgate_core::{Outcome, Payload};
use serde_amqp::Value;

use crate::gateway::{Gateway, Incoming, Message, Worker, message};

fn text(text: &str) -> Body<Value> {
    Body::Value(AmqpValue(Value::String(text.to_owned())))
}

/// What "done" makes of an operation.
fn done() -> Outcome {
    Outcome::Succeeded(Some(Payload::new("text/plain; charset=utf-8", "done")))
}

fn report(delivery: &Incoming) -> Message {
    let map = [(Value::from("percent"), Value::Int(50))].into_iter().collect();
    message(delivery, Some("opgate:report"), Body::Value(AmqpValue(Value::Map(map))))
}

/// A link whose messages say where they go.
async fn relay(worker: &mut Worker) -> Sender {
    let builder = Sender::builder().name("relay").target(Target::default());
    builder.attach(&mut worker.session).await.unwrap()
}

/// The same message, for a link of that kind.
fn to(node: &str, mut message: Message) -> Message {
    let properties = message.properties.get_or_insert_with(Properties::default);
    properties.to = Some(node.to_owned());
    message
}

#[tokio::test]
async fn a_drain_lets_reports_and_results_in() {
    for relayed in [false, true] {
        let gateway = Gateway::start().await;
        let mut worker = Worker::connect(&gateway, "ann", 10).await;
        let mut results = if relayed {
            relay(&mut worker).await
        } else {
            Sender::attach(&mut worker.session, "others", "queue/builds").await.unwrap()
        };
        let id = gateway.begin().await;
        let delivery = worker.next().await;
        // Keeps the connection open: a client of the crate may forget what came right before a Close.
        gateway.begin().await;
        let _open = worker.next().await;
        gateway.drain.begin(Duration::from_mins(1));
        if relayed {
            let other = to("$management", message(&delivery, None, Body::Empty));
            let told = results.send(other).await.unwrap();
            assert!(matches!(told, Settled::Released(_)), "{told:?}");
        }
        let mut sent = Vec::new();
        for message in [report(&delivery), message(&delivery, None, text("done"))] {
            sent.push(results.send_batchable(to("queue/builds", message)).await.unwrap());
        }
        worker.receiver.accept(&delivery).await.unwrap();
        let ended = gateway.ended(id).await;
        assert_eq!(ended.outcome, Some(done()));
        for told in sent {
            let told = told.await.unwrap();
            assert!(matches!(told, Settled::Accepted(_)), "{told:?}");
        }
    }
}

#[tokio::test]
async fn a_result_waits_for_no_reply() {
    let gateway = Gateway::start().await;
    let mut worker = Worker::connect(&gateway, "ann", 1).await;
    let mut relay = relay(&mut worker).await;
    let id = gateway.begin().await;
    let delivery = worker.next().await;
    // As many as are answered at a time, and one that waits for them.
    for _ in 0..200 {
        let request = to("$management", message(&delivery, None, Body::Empty));
        let told = relay.send(request).await.unwrap();
        assert!(matches!(told, Settled::Accepted(_)), "{told:?}");
    }
    let request = to("$management", message(&delivery, None, Body::Empty));
    let _waits = relay.send_batchable(request).await.unwrap();
    let result = to("queue/builds", message(&delivery, None, text("done")));
    let _told = relay.send_batchable(result).await.unwrap();
    worker.receiver.accept(&delivery).await.unwrap();
    assert_eq!(gateway.ended(id).await.outcome, Some(done()));
}

#[tokio::test]
async fn who_leaves_after_its_last_word_has_said_it() {
    const OPERATIONS: usize = 50;
    let gateway = Gateway::start().await;
    let mut ids = Vec::new();
    for _ in 0..OPERATIONS {
        ids.push(gateway.begin().await);
    }
    for end in 0..3 {
        let mut worker = Worker::connect(&gateway, "ann", 100).await;
        let mut deliveries = Vec::new();
        for _ in 0..OPERATIONS {
            deliveries.push(worker.next().await);
        }
        for delivery in &deliveries {
            let result = message(delivery, None, text("done"));
            drop(worker.results.send_batchable(result).await.unwrap());
        }
        for delivery in &deliveries {
            worker.receiver.accept(delivery).await.unwrap();
        }
        match end {
            0 => worker.receiver.close().await.unwrap(),
            // What is under way at the end is answered with an error by some.
            1 => drop(worker.session.end().await),
            _ => drop(worker.connection.close().await),
        }
        gateway.queues.settled().await;
        let mut left = Vec::new();
        for id in std::mem::take(&mut ids) {
            let now = gateway.get(id).await;
            if now.is_done() {
                assert_eq!(now.outcome, Some(done()), "{end}");
            } else {
                left.push(id);
            }
        }
        // A client that closes its connection may leave unsaid what it was about to say.
        assert!(left.is_empty() || end == 2, "{end}");
        ids = left;
        while ids.len() < OPERATIONS {
            ids.push(gateway.begin().await);
        }
    }
}
