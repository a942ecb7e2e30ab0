//! What a process leaves to the next one.

use opgate_bus::core::{Epoch, State};
use serde_json::json;
use tempfile::tempdir;

use crate::side::{Setup, failure, result};
use crate::upstream::Upstream;

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
