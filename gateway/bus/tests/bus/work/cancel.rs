//! Cancellation of what workers carry out.

use std::pin::pin;
use std::time::{Duration, Instant};

use opgate_bus::Pull;
use opgate_bus::core::{Epoch, Outcome, Report, State};
use opgate_store::Peek;
use tempfile::tempdir;

use super::support::{Frozen, Setup, ask, look, pass, poll_once, succeeded};
use crate::support::LONG;

#[tokio::test]
async fn a_worker_is_told_and_may_end_it_as_it_likes() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    for outcome in [Outcome::Canceled(None), succeeded()] {
        let leased = shop.begun().await;
        shop.bus.cancel(&shop.caller, leased.snapshot.id, "enough").await.unwrap();
        let held = shop.bus.report(&leased.token, Report::default(), None).await.unwrap();
        assert!(held.snapshot.is_canceling());
        let receipt = shop.bus.complete(&leased.token, outcome.clone()).await.unwrap();
        assert_eq!(receipt.snapshot.outcome, Some(outcome));
    }
}

#[tokio::test]
async fn what_nobody_has_leased_is_canceled_at_once() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let id = shop.start().await;
    let receipt = shop.bus.cancel(&shop.caller, id, "enough").await.unwrap();
    assert_eq!(receipt.snapshot.state, State::Canceled);
    assert!(shop.bus.lease(look()).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_given_back_after_a_cancel_is_canceled() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    for rest in [None, Some(Duration::from_hours(1))] {
        let leased = shop.begun().await;
        let id = leased.snapshot.id;
        shop.bus.cancel(&shop.caller, id, "enough").await.unwrap();
        // The dispatcher may hear of the cancel before or after the operation is back.
        shop.bus.release(&leased.token, rest, None).await.unwrap();
        let ended = shop.ended(id).await;
        assert_eq!((ended.state, ended.epoch), (State::Canceled, Epoch(1)));
    }
}

#[tokio::test]
async fn what_waits_again_is_canceled_at_once() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    for rest in [None, Some(Duration::from_hours(1))] {
        let leased = shop.begun().await;
        let id = leased.snapshot.id;
        shop.bus.release(&leased.token, rest, None).await.unwrap();
        shop.bus.cancel(&shop.caller, id, "enough").await.unwrap();
        let ended = shop.ended(id).await;
        assert_eq!((ended.state, ended.epoch), (State::Canceled, Epoch(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_runs_out_after_a_cancel_is_canceled() {
    let _frozen = Frozen::new();
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let leased = shop.begun().await;
    shop.bus.cancel(&shop.caller, leased.snapshot.id, "enough").await.unwrap();
    pass(leased.length).await;
    assert_eq!(shop.ended(leased.snapshot.id).await.state, State::Canceled);
    let other = shop.start().await;
    assert_eq!(shop.lease(ask()).await.snapshot.id, other);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_is_on_record_stands_when_the_last_lease_runs_out() {
    let _frozen = Frozen::new();
    let dir = tempdir().unwrap();
    let pull = Pull { attempts: 1, lease: Duration::from_secs(1), ..Pull::default() };
    let shop = Setup { pull, ..Setup::at(&dir) }.open();
    // What the dispatcher hears of first is up to chance where both are there.
    for _ in 0..16 {
        let id = shop.begun().await.snapshot.id;
        let mut cancel = pin!(shop.bus.cancel(&shop.caller, id, "enough"));
        let at_once = poll_once(cancel.as_mut()).await;
        // The dispatcher has no turn meanwhile.
        let began = Instant::now();
        let is_canceling = |peek: Peek| matches!(peek, Peek::Resident(it) if it.is_canceling());
        while !is_canceling(shop.store.peek(id)) {
            assert!(began.elapsed() < LONG, "the cancel request is not on record");
            std::thread::yield_now();
        }
        pass(Duration::from_secs(1)).await;
        assert_eq!(shop.ended(id).await.outcome, Some(Outcome::Canceled(None)));
        match at_once {
            Some(receipt) => receipt.unwrap(),
            None => cancel.await.unwrap(),
        };
    }
}
