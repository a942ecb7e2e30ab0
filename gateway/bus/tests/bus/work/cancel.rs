//! Cancellation of what workers carry out.

use std::time::Duration;

use opgate_bus::core::{Epoch, Outcome, Report, State};
use tempfile::tempdir;

use super::support::{Frozen, Setup, ask, look, pass, succeeded};

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
