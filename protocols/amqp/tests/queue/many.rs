//! Many operations, and workers that race for them.

use std::collections::BTreeMap;

use opgate_core::State;

use crate::gateway::{Gateway, Worker, identity};

const OPERATIONS: usize = 1000;

#[tokio::test]
async fn a_thousand_operations_are_each_done_once_by_two_workers() {
    let gateway = Gateway::start().await;
    let credit = u32::try_from(OPERATIONS).unwrap();
    let mut workers = [
        Worker::connect(&gateway, "one", credit).await,
        Worker::connect(&gateway, "two", credit).await,
    ];
    let mut ids = Vec::new();
    for _ in 0..OPERATIONS {
        ids.push(gateway.begin().await);
    }
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    let [one, two] = &mut workers;
    for _ in 0..OPERATIONS {
        let (worker, delivery) = tokio::select! {
            delivery = one.receiver.recv() => (&*one, delivery.unwrap()),
            delivery = two.receiver.recv() => (&*two, delivery.unwrap()),
        };
        *done.entry(identity(&delivery)).or_default() += 1;
        worker.receiver.accept(&delivery).await.unwrap();
    }
    assert!(done.values().all(|times| *times == 1), "done more than once");
    for id in ids {
        let ended = gateway.ended(id).await;
        assert_eq!((ended.state, ended.epoch.0), (State::Succeeded, 1));
    }
}
