//! Links, sessions and connections that end with deliveries open.

use opgate_bus::Pull;
use opgate_core::State;

use crate::gateway::{Gateway, Worker, identity};

#[tokio::test]
async fn what_a_worker_leaves_behind_is_the_next_ones() {
    let gateway = Gateway::start().await;
    let mut first = Worker::connect(&gateway, "first", 10).await;
    let id = gateway.begin().await;
    first.next().await;
    // Detached, ended, closed: each gives back what is open, and none is a failure.
    first.receiver.close().await.unwrap();
    let mut second = Worker::connect(&gateway, "second", 10).await;
    second.next().await;
    second.session.end().await.unwrap();
    let mut third = Worker::connect(&gateway, "third", 10).await;
    third.next().await;
    third.connection.close().await.unwrap();
    let mut last = Worker::connect(&gateway, "last", 10).await;
    let delivery = last.next().await;
    assert_eq!(identity(&delivery), id.to_string());
    let header = delivery.message().header.clone().unwrap();
    assert_eq!(header.delivery_count, 0);
    last.receiver.accept(&delivery).await.unwrap();
    let ended = gateway.ended(id).await;
    assert_eq!((ended.state, ended.epoch.0), (State::Succeeded, 4));
    assert!(ended.log.is_empty(), "{:?}", ended.log);
}

#[tokio::test]
async fn who_is_cut_off_has_failed_at_what_it_had() {
    let pull = Pull { attempts: 2, ..Pull::default() };
    let gateway = Gateway::with(pull, opgate_amqp::queue::Settings::default()).await;
    let id = gateway.begin().await;
    for attempt in 0..2 {
        // A runtime of its own is a process of its own: with it goes the connection, without a word.
        let address = gateway.address;
        let begun = tokio::task::spawn_blocking(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let mut worker = runtime.block_on(Worker::at(address, "lost", 1));
            let delivery = runtime.block_on(worker.next());
            runtime.shutdown_background();
            std::mem::forget(worker);
            identity(&delivery)
        });
        assert_eq!(begun.await.unwrap(), id.to_string(), "attempt {attempt}");
    }
    let ended = gateway.ended(id).await;
    assert_eq!(ended.state, State::Failed);
    let log: Vec<&str> = ended.log.iter().map(|line| &*line.message).collect();
    let expected = [
        "attempt 1 of 2: anonymous@lost was cut off",
        "attempt 2 of 2: anonymous@lost was cut off",
    ];
    assert_eq!(log, expected);
}
