//! What a process leaves to the next one.

use http::Method;
use opgate_bus::core::{CancelDelivery, Epoch, State};
use opgate_nexus::backend::Completion;
use tempfile::tempdir;

use crate::handler::{Handler, JSON, RUNNING};
use crate::side::{Setup, taken};

const SUCCEEDED: (&str, &str) = ("nexus-operation-state", "succeeded");

#[tokio::test]
async fn what_has_a_token_is_never_started_again() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let first = Setup::default().open(&dir, &handler).await;
    let id = first.start().await;
    let call = handler.call().await;
    let callback = call.parameter("callback").unwrap();
    call.answer(201, &[JSON], RUNNING);
    first.running(id).await;
    let before = first.address;
    first.stop().await;

    let second = Setup::default().open(&dir, &handler).await;
    let resumed = second.until(id, |now| now.epoch == Epoch(2)).await;
    assert_eq!(resumed.routed.native_ref, "t 1/2");
    // The port is another here; a daemon has its address.
    let callback = callback.replace(&before.to_string(), &second.address.to_string());
    assert_eq!(second.complete(&callback, &[SUCCEEDED], "").await, taken());
    assert_eq!(second.get(id).await.state, State::Succeeded);
    assert!(handler.is_quiet());
    second.stop().await;
}

#[tokio::test]
async fn a_start_of_which_nobody_knows_is_sent_again_as_the_same() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let first = Setup::default().open(&dir, &handler).await;
    let id = first.start().await;
    let call = handler.call().await;
    let request = call.header("nexus-request-id").unwrap().to_owned();
    let token = call.header("nexus-callback-token").unwrap().to_owned();
    first.stop().await;
    drop(call);

    let second = Setup::default().open(&dir, &handler).await;
    let call = handler.expect(&Method::POST, "/nexus/ours/do").await;
    assert_eq!(call.header("nexus-request-id"), Some(&*request));
    assert_eq!(call.header("nexus-callback-token"), Some(&*token));
    call.answer(201, &[JSON], RUNNING);
    assert_eq!(second.running(id).await.epoch, Epoch(2));
    second.stop().await;
}

#[tokio::test]
async fn polling_goes_on_with_the_token() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let first = Setup::with(Completion::Poll).open(&dir, &handler).await;
    let id = first.start().await;
    handler.call().await.answer(201, &[JSON], RUNNING);
    let look = handler.expect(&Method::GET, "/nexus/ours/do/result").await;
    first.stop().await;
    drop(look);

    let second = Setup::with(Completion::Poll).open(&dir, &handler).await;
    let look = handler.expect(&Method::GET, "/nexus/ours/do/result").await;
    assert_eq!(look.header("nexus-operation-token"), Some("t 1/2"));
    look.answer(200, &[JSON], "1");
    assert_eq!(second.ended(id).await.state, State::Succeeded);
    second.stop().await;
}

#[tokio::test]
async fn a_cancel_that_was_taken_is_not_sent_again_and_one_that_was_not_is() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let first = Setup::default().open(&dir, &handler).await;
    let taken = first.start().await;
    handler.call().await.answer(201, &[JSON], RUNNING);
    first.running(taken).await;
    first.cancel(taken).await;
    handler.expect(&Method::POST, "/nexus/ours/do/cancel").await.answer(202, &[], "");
    let delivered = |now: &opgate_bus::Snapshot, delivery| {
        now.cancel.as_ref().is_some_and(|cancel| cancel.delivery == delivery)
    };
    first.until(taken, |now| delivered(now, CancelDelivery::Acked)).await;
    let open = first.start().await;
    handler.call().await.answer(201, &[JSON], r#"{"token":"other","state":"running"}"#);
    first.running(open).await;
    first.cancel(open).await;
    let lost = handler.expect(&Method::POST, "/nexus/ours/do/cancel").await;
    first.stop().await;
    drop(lost);

    let second = Setup::default().open(&dir, &handler).await;
    let again = handler.expect(&Method::POST, "/nexus/ours/do/cancel").await;
    assert_eq!(again.header("nexus-operation-token"), Some("other"));
    again.answer(202, &[], "");
    second.until(open, |now| delivered(now, CancelDelivery::Acked)).await;
    assert!(handler.is_quiet());
    second.stop().await;
}
