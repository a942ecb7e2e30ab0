//! What a process leaves to the next one.

use std::time::Duration;

use opgate_bus::Until;
use opgate_bus::core::{Epoch, State};
use serde_json::json;
use tempfile::tempdir;

use crate::side::{Setup, failure, result};
use crate::upstream::{LONG, Upstream};

#[tokio::test]
async fn a_request_that_may_have_been_sent_is_not_sent_by_the_next_process() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let first = Setup::with(&[]).open(&dir, &upstream);
    let id = first.start().await;
    let call = upstream.call().await;
    first.stop().await;

    let second = Setup::with(&[]).open(&dir, &upstream);
    let ended = second.ended(id).await;
    let told = failure(&ended);
    assert_eq!(told.reason.as_deref(), Some("outcome_unknown"));
    assert!(told.message.contains("stopped"), "{}", told.message);
    assert!(upstream.is_quiet());
    second.stop().await;
    drop(call);
}

#[tokio::test]
async fn an_orderly_stop_waits_for_the_reply() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let setup = Setup { stop: LONG, ..Setup::with(&[]) };
    let first = setup.open(&dir, &upstream);
    let id = first.start().await;
    let call = upstream.call().await;
    let (bus, caller) = (first.bus.clone(), first.caller.clone());
    let stopping = tokio::spawn(first.stop());
    // Waits are answered as soon as it stops.
    let now = bus.wait(&caller, id, Until::Done, LONG).await.unwrap();
    assert!(!now.is_done() && !stopping.is_finished(), "{now:?}");
    call.answer(200, json!("done")).await;
    stopping.await.unwrap();
    assert_eq!(result(&bus.get(&caller, id).await.unwrap()), Some("\"done\""));
}

#[tokio::test]
async fn it_waits_for_none_that_may_come_twice_or_can_be_asked_about() {
    for options in [("idempotent", "true"), ("completion", "poll")] {
        let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
        let setup = Setup { stop: Duration::MAX, ..Setup::with(&[options]) };
        let side = setup.open(&dir, &upstream);
        side.start().await;
        let call = upstream.call().await;
        if options.0 == "completion" {
            call.answer(202, json!({"identity": "there"})).await;
            upstream.expect("READ").await;
        }
        tokio::time::timeout(LONG, side.stop()).await.unwrap();
    }
}

#[tokio::test]
async fn one_that_may_come_twice_is_sent_again_under_the_same_key() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let setup = Setup::with(&[("idempotent", "true")]);
    let first = setup.open(&dir, &upstream);
    let id = first.start().await;
    let call = upstream.call().await;
    first.stop().await;

    let second = setup.open(&dir, &upstream);
    let again = upstream.call().await;
    assert_eq!(again.property("idempotency-key"), call.property("idempotency-key"));
    again.answer(200, json!("done")).await;
    let ended = second.ended(id).await;
    assert_eq!((result(&ended), ended.epoch), (Some("\"done\""), Epoch(2)));
    second.stop().await;
}

#[tokio::test]
async fn what_has_an_identity_is_never_started_again() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let setup = Setup::with(&[("completion", "poll")]);
    let first = setup.open(&dir, &upstream);
    let id = first.start().await;
    upstream.expect("DELETE").await.answer(202, json!({"identity": "there"})).await;
    let look = upstream.expect("READ").await;
    first.stop().await;
    drop(look);

    let second = setup.open(&dir, &upstream);
    upstream.expect("READ").await.answer(200, json!({"state": "SUCCEEDED"})).await;
    let ended = second.ended(id).await;
    assert_eq!((ended.state, ended.epoch), (State::Succeeded, Epoch(2)));
    assert!(upstream.is_quiet());
    second.stop().await;
}
