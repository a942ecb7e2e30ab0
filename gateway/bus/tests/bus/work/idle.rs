//! Workers that wait.

use std::time::Duration;

use opgate_bus::Ask;
use opgate_bus::core::ErrorKind;
use tempfile::tempdir;
use tokio::task::JoinSet;

use super::support::{Setup, ask, look, poll_once};
use crate::support::{LONG, kind};

const IDLE: usize = 10_000;

#[tokio::test]
async fn an_ask_is_small() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let lease = shop.bus.lease(ask());
    assert!(size_of_val(&lease) <= 1024, "{} bytes", size_of_val(&lease));
}

#[tokio::test]
async fn one_operation_wakes_one_of_ten_thousand_the_first() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let mut idle = JoinSet::new();
    for n in 0..IDLE {
        let bus = shop.bus.clone();
        idle.spawn(async move { (n, bus.lease(ask()).await.unwrap()) });
    }
    shop.asking(IDLE).await;
    for expected in 0..3 {
        let id = shop.start().await;
        let (n, leased) = idle.join_next().await.unwrap().unwrap();
        assert_eq!((n, leased[0].snapshot.id), (expected, id));
        assert_eq!(shop.value("opgate_lease_asks"), IDLE - 1 - expected);
    }
    assert!(idle.try_join_next().is_none());
    // Whoever goes leaves nothing behind.
    idle.shutdown().await;
    assert_eq!(shop.value("opgate_lease_asks"), 0);
    let id = shop.start().await;
    assert_eq!(shop.lease(ask()).await.snapshot.id, id);
}

#[tokio::test]
async fn waits_are_bounded_and_a_wait_that_is_over_makes_room() {
    let dir = tempdir().unwrap();
    let mut setup = Setup::at(&dir);
    setup.options.askers = 1;
    let shop = setup.open();
    let mut first = Box::pin(shop.bus.lease(ask()));
    assert!(poll_once(&mut first).await.is_none());
    assert_eq!(kind(shop.bus.lease(ask()).await), ErrorKind::TooManyRequests);
    // Who does not wait needs no room.
    assert!(shop.bus.lease(look()).await.unwrap().is_empty());
    drop(first);
    let short = Ask { wait: Duration::from_millis(5), ..ask() };
    assert!(shop.bus.lease(short.clone()).await.unwrap().is_empty());
    assert!(shop.bus.lease(short).await.unwrap().is_empty());
    let served = tokio::time::timeout(LONG, shop.bus.lease(ask()));
    let (served, _) = tokio::join!(served, shop.start());
    assert_eq!(served.unwrap().unwrap().len(), 1);
    assert_eq!(shop.value("opgate_lease_asks"), 0);
}

#[tokio::test]
async fn who_asks_after_an_acknowledgement_is_not_told_that_there_is_nothing() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let here = tokio::runtime::Handle::current();
    for wait in [Duration::ZERO, Duration::from_nanos(1)] {
        // While this thread waits for the other one, nobody can have heard of the operation.
        let started =
            std::thread::scope(|scope| scope.spawn(|| here.block_on(shop.start())).join().unwrap());
        assert_eq!(shop.lease(Ask { wait, ..ask() }).await.snapshot.id, started);
    }
    assert!(shop.bus.lease(look()).await.unwrap().is_empty());
}
