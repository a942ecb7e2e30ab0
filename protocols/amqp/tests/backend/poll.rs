//! Operations upstream that are long running themselves.

use std::sync::Arc;
use std::time::Duration;

use opgate_bus::core::{CancelDelivery, Code, State};
use opgate_bus::{ORPHANED, Until};
use serde_json::json;
use tempfile::tempdir;
use tokio::task::JoinSet;

use crate::side::{Setup, delivered, failure, logged, result};
use crate::upstream::{LONG, Upstream};

fn setup() -> Setup {
    Setup::with(&[("completion", "poll")])
}

#[tokio::test]
async fn what_is_begun_there_is_looked_at_until_it_has_ended() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = setup().open(&dir, &upstream);
    let id = side.start().await;
    upstream
        .expect("DELETE")
        .await
        .answer(202, json!({"identity": "there", "state": "ACCEPTED"}))
        .await;
    let look = upstream.expect("READ").await;
    assert_eq!(look.property("identity").as_deref(), Some("there"));
    assert_eq!(look.property("type").as_deref(), Some("org.opgate.operation"));
    let progress = json!({"percent": 25, "message": "a quarter"});
    look.answer(200, json!({"state": "RUNNING", "progress": progress})).await;
    let now = side.until(id, |now| now.progress.is_some()).await;
    let progress = now.progress.as_deref().unwrap();
    assert_eq!((progress.percent, &*progress.message), (Some(25.0), "a quarter"));
    assert_eq!((&*now.native_state, &now.routed.native_ref[..]), ("RUNNING", &b"there"[..]));
    let look = upstream.expect("READ").await;
    look.answer(200, json!({"state": "SUCCEEDED", "result": {"a": 1}})).await;
    assert_eq!(result(&*side.ended(id).await), Some(r#"{"a":1}"#));
    side.stop().await;
}

#[tokio::test]
async fn a_failure_there_is_the_failure_here() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = setup().open(&dir, &upstream);
    let id = side.start().await;
    upstream.expect("DELETE").await.answer(202, json!({"identity": "there"})).await;
    let error = json!({"code": "FAILED_PRECONDITION", "message": "not empty"});
    upstream.expect("READ").await.answer(200, json!({"state": "FAILED", "error": error})).await;
    let ended = side.ended(id).await;
    let told = failure(&ended);
    assert_eq!((told.code, &*told.message), (Code::FailedPrecondition, "not empty"));
    side.stop().await;
}

#[tokio::test]
async fn a_cancel_goes_there_and_its_end_comes_back() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = setup().open(&dir, &upstream);
    let id = side.start().await;
    upstream.expect("DELETE").await.answer(202, json!({"identity": "there"})).await;
    let look = upstream.expect("READ").await;
    side.cancel(id).await;
    let cancel = upstream.expect("CANCEL").await;
    assert_eq!(cancel.property("identity").as_deref(), Some("there"));
    cancel.answer(200, json!({})).await;
    side.until(id, |now| delivered(now, CancelDelivery::Acked)).await;
    look.answer(200, json!({"state": "RUNNING"})).await;
    upstream.expect("READ").await.answer(200, json!({"state": "CANCELED"})).await;
    assert_eq!(side.ended(id).await.state, State::Canceled);
    side.stop().await;
}

#[tokio::test]
async fn trouble_is_no_end_and_what_is_lost_is_after_a_while() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let mut setup = setup();
    setup.grace = Duration::from_millis(50);
    let side = setup.open(&dir, &upstream);
    let id = side.start().await;
    upstream.expect("DELETE").await.answer(202, json!({"identity": "there"})).await;
    upstream.expect("READ").await.refuse(500, "amqp:internal-error").await;
    upstream.expect("READ").await.cut();
    let now = side.until(id, |now| !now.log.is_empty()).await;
    assert!(logged(&now, "cannot be looked at"), "{now:?}");
    loop {
        let ended = tokio::select! {
            ended = side.ended(id) => ended,
            call = upstream.call() => {
                call.refuse(404, "amqp:not-found").await;
                continue;
            }
        };
        assert_eq!(failure(&ended).reason.as_deref(), Some("record_lost"));
        assert_eq!(&*ended.native_state, ORPHANED);
        break;
    }
    side.stop().await;
}

#[tokio::test]
async fn however_many_wait_there_is_one_who_looks() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Arc::new(setup().open(&dir, &upstream));
    let id = side.start().await;
    let mut waiters = JoinSet::new();
    for _ in 0..50 {
        let side = Arc::clone(&side);
        waiters.spawn(async move {
            side.bus.wait(&side.caller, id, Until::Done, LONG).await.unwrap().state
        });
    }
    upstream.expect("DELETE").await.answer(202, json!({"identity": "there"})).await;
    for percent in 0..10 {
        let look = upstream.expect("READ").await;
        assert!(upstream.is_quiet());
        look.answer(200, json!({"state": "RUNNING", "progress": {"percent": percent}})).await;
    }
    upstream.expect("READ").await.answer(200, json!({"state": "SUCCEEDED"})).await;
    while let Some(state) = waiters.join_next().await {
        assert_eq!(state.unwrap(), State::Succeeded);
    }
    Arc::into_inner(side).unwrap().stop().await;
}
