//! Cancels, and what nobody waits for any more.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use opgate_bus::core::{CancelDelivery, OperationId, Outcome, State};
use opgate_bus::{Backend as _, Start};
use opgate_nexus::backend::Completion;
use tempfile::tempdir;

use crate::handler::{Handler, JSON, RUNNING};
use crate::side::{Setup, Side, start, taken};

const CANCELED: (&str, &str) = ("nexus-operation-state", "canceled");
const CANCEL: &str = "/nexus/ours/do/cancel";

async fn delivered(side: &Side, id: OperationId, delivery: CancelDelivery) -> u32 {
    let holds = |now: &opgate_bus::Snapshot| {
        now.cancel.as_ref().is_some_and(|cancel| cancel.delivery == delivery)
    };
    side.until(id, holds).await.cancel.as_ref().unwrap().attempts
}

#[tokio::test]
async fn it_is_canceled_when_the_handler_says_so() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let call = handler.call().await;
    let callback = call.parameter("callback").unwrap();
    call.answer(201, &[JSON], RUNNING);
    side.running(id).await;
    side.cancel(id).await;
    let cancel = handler.expect(&Method::POST, CANCEL).await;
    assert_eq!(cancel.header("nexus-operation-token"), Some("t 1/2"));
    assert_eq!(cancel.header("nexus-request-id"), None);
    assert_eq!(cancel.header("nexus-callback-token"), None);
    assert_eq!(cancel.header("request-timeout"), Some("20000ms"));
    assert!(cancel.body.is_empty());
    cancel.answer(202, &[], "");
    assert_eq!(delivered(&side, id, CancelDelivery::Acked).await, 1);
    assert_eq!(side.get(id).await.state, State::Running);
    let body = r#"{"message":"as told"}"#;
    assert_eq!(side.complete(&callback, &[CANCELED, JSON], body).await, taken());
    assert_eq!(side.get(id).await.state, State::Canceled);
    side.stop().await;
}

#[tokio::test]
async fn before_the_token_is_known_it_waits_for_it() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let start = handler.call().await;
    side.cancel(id).await;
    assert!(handler.is_quiet());
    start.answer(201, &[JSON], RUNNING);
    handler.expect(&Method::POST, CANCEL).await.answer(202, &[], "");
    delivered(&side, id, CancelDelivery::Acked).await;
    side.stop().await;
}

#[tokio::test]
async fn an_outcome_nobody_knows_is_found_out_first() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let lost = handler.call().await;
    let request = lost.header("nexus-request-id").unwrap().to_owned();
    side.cancel(id).await;
    drop(lost);
    let again = handler.expect(&Method::POST, "/nexus/ours/do").await;
    assert_eq!(again.header("nexus-request-id"), Some(&*request));
    again.answer(201, &[JSON], RUNNING);
    handler.expect(&Method::POST, CANCEL).await.answer(202, &[], "");
    delivered(&side, id, CancelDelivery::Acked).await;
    side.stop().await;
}

#[tokio::test]
async fn an_old_handler_is_told_in_the_path() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    // One that calls it a token does not show its age.
    let id = side.start().await;
    handler.call().await.answer(201, &[JSON], RUNNING);
    side.running(id).await;
    side.cancel(id).await;
    handler.expect(&Method::POST, CANCEL).await.answer(404, &[], "");
    let in_path = handler.expect(&Method::POST, "/nexus/ours/do/t%201%2F2/cancel").await;
    assert_eq!(in_path.header("nexus-operation-token"), None);
    in_path.answer(202, &[], "");
    delivered(&side, id, CancelDelivery::Acked).await;
    // It is known from now on.
    let id = side.start().await;
    handler.call().await.answer(201, &[JSON], r#"{"id":"i","state":"running"}"#);
    side.running(id).await;
    side.cancel(id).await;
    handler.expect(&Method::POST, "/nexus/ours/do/i/cancel").await.answer(202, &[], "");
    delivered(&side, id, CancelDelivery::Acked).await;
    side.stop().await;
}

#[tokio::test]
async fn a_handler_may_refuse_and_the_work_goes_on() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    for (status, also_in_path, said) in [
        (403, false, "the upstream does not cancel it: "),
        (501, true, "the upstream does not know what to cancel: "),
    ] {
        let id = side.start().await;
        let call = handler.call().await;
        let callback = call.parameter("callback").unwrap();
        call.answer(201, &[JSON], RUNNING);
        side.running(id).await;
        side.cancel(id).await;
        handler.call().await.answer(status, &[], "");
        if also_in_path {
            handler.call().await.answer(status, &[], "");
        }
        delivered(&side, id, CancelDelivery::Refused).await;
        let log = side.get(id).await;
        assert!(log.log[0].message.starts_with(said), "{log:?}");
        let succeeded = ("nexus-operation-state", "succeeded");
        assert_eq!(side.complete(&callback, &[succeeded], "").await, taken());
        assert_eq!(side.get(id).await.state, State::Succeeded);
    }
    side.stop().await;
}

#[tokio::test]
async fn a_cancel_is_tried_a_bounded_number_of_times() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    handler.call().await.answer(201, &[JSON], RUNNING);
    side.running(id).await;
    side.cancel(id).await;
    for _ in 0..3 {
        handler.expect(&Method::POST, CANCEL).await.answer(503, &[], "");
    }
    assert_eq!(delivered(&side, id, CancelDelivery::GaveUp).await, 3);
    assert!(handler.is_quiet());
    assert!(!side.get(id).await.is_done());
    side.stop().await;
}

#[tokio::test]
async fn who_is_asked_says_it_in_the_result() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::with(Completion::Poll).open(&dir, &handler).await;
    let id = side.start().await;
    handler.call().await.answer(201, &[JSON], RUNNING);
    let look = handler.expect(&Method::GET, "/nexus/ours/do/result").await;
    side.cancel(id).await;
    handler.expect(&Method::POST, CANCEL).await.answer(202, &[], "");
    delivered(&side, id, CancelDelivery::Acked).await;
    look.answer(424, &[JSON, CANCELED], r#"{"message":"as told"}"#);
    let ended = side.ended(id).await;
    assert_eq!((ended.state, &*ended.native_state), (State::Canceled, "canceled"));
    side.stop().await;
}

#[tokio::test]
async fn what_is_abandoned_is_canceled_upstream_unless_that_ended_it() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let route = side.bus.route("route").unwrap().clone();
    let id = side.start().await;
    let start = handler.call().await;
    let unknown = side.get(id).await;
    assert!(side.upstream.abandon(&route, unknown).is_none(), "nobody to tell");
    let callback = start.parameter("callback").unwrap();
    start.answer(201, &[JSON], RUNNING);
    let running = side.running(id).await;
    let abandoned = side.upstream.abandon(&route, running).unwrap();
    let answered = async {
        let cancel = handler.expect(&Method::POST, CANCEL).await;
        assert_eq!(cancel.header("nexus-operation-token"), Some("t 1/2"));
        cancel.answer(202, &[], "");
    };
    tokio::join!(abandoned, answered);
    assert_eq!(side.complete(&callback, &[CANCELED, JSON], "{}").await, taken());
    let ended: Arc<_> = side.get(id).await;
    assert!(matches!(ended.outcome, Some(Outcome::Canceled(_))));
    assert!(side.upstream.abandon(&route, ended).is_none(), "the handler knows");
    side.stop().await;
}

#[tokio::test]
async fn who_ends_it_by_hand_or_by_its_deadline_ends_it_upstream() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    handler.call().await.answer(201, &[JSON], RUNNING);
    side.running(id).await;
    side.bus.finish(&side.caller, id, Outcome::Succeeded(None)).await.unwrap();
    let cancel = handler.expect(&Method::POST, CANCEL).await;
    assert_eq!(cancel.header("nexus-operation-token"), Some("t 1/2"));
    cancel.answer(202, &[], "");

    let start = Start { deadline: Some(Duration::from_secs(3)), ..start() };
    let id = side.started(start).await;
    handler.call().await.answer(201, &[JSON], r#"{"token":"late","state":"running"}"#);
    let cancel = handler.expect(&Method::POST, CANCEL).await;
    assert_eq!(cancel.header("nexus-operation-token"), Some("late"));
    cancel.answer(202, &[], "");
    assert_eq!(side.get(id).await.state, State::Failed);
    side.stop().await;
}

#[tokio::test]
async fn what_the_handler_ended_is_not_canceled() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let call = handler.call().await;
    let callback = call.parameter("callback").unwrap();
    call.answer(201, &[JSON], RUNNING);
    side.running(id).await;
    let succeeded = ("nexus-operation-state", "succeeded");
    assert_eq!(side.complete(&callback, &[succeeded], "").await, taken());
    // What was to be told has been told when the bus is still.
    side.stop().await;
    assert!(handler.is_quiet());
}
