//! Completions that come by callback.

use bytes::Bytes;
use http::Request;
use opgate_bus::core::{Code, Outcome, Payload, State};
use tempfile::tempdir;

use crate::handler::{Handler, JSON, RUNNING};
use crate::side::{Setup, refused, taken};

const SUCCEEDED: (&str, &str) = ("nexus-operation-state", "succeeded");
const FAILED: (&str, &str) = ("nexus-operation-state", "failed");
const CANCELED: (&str, &str) = ("nexus-operation-state", "canceled");

#[tokio::test]
async fn a_completion_ends_it_and_is_durable_when_it_is_answered() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let call = handler.call().await;
    let callback = call.parameter("callback").unwrap();
    call.answer(201, &[JSON], RUNNING);
    side.running(id).await;
    let headers = [
        SUCCEEDED,
        JSON,
        ("nexus-operation-token", "t 1/2"),
        ("nexus-operation-start-time", "2026-01-02T03:04:05Z"),
        ("nexus-operation-close-time", "2026-01-02T03:05:05.678901Z"),
        ("nexus-link", r#"<temporal:///n>; type="a.B""#),
    ];
    assert_eq!(side.complete(&callback, &headers, "[1e400]").await, taken());
    // No wait: it was there before the answer.
    let ended = side.get(id).await;
    assert_eq!(ended.outcome, Some(Outcome::Succeeded(Some(Payload::json("[1e400]")))));
    assert_eq!((&*ended.native_state, &*ended.links_out[0].url), ("succeeded", "temporal:///n"));
    assert!(handler.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn a_completion_may_come_before_the_answer_to_its_start() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let call = handler.call().await;
    let callback = call.parameter("callback").unwrap();
    assert_eq!(side.complete(&callback, &[SUCCEEDED], "").await, taken());
    assert_eq!(side.get(id).await.outcome, Some(Outcome::Succeeded(None)));
    call.answer(201, &[JSON], RUNNING);
    // The same once more, as a sender does that was not heard.
    assert_eq!(side.complete(&callback, &[SUCCEEDED], "").await, taken());
    assert!(side.get(id).await.conflicts.is_empty());
    side.stop().await;
}

#[tokio::test]
async fn another_end_is_a_conflict_that_stays_on_record() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let call = handler.call().await;
    let callback = call.parameter("callback").unwrap();
    call.answer(201, &[JSON], RUNNING);
    let body = r#"{"message":"boom"}"#;
    assert_eq!(side.complete(&callback, &[FAILED, JSON], body).await, taken());
    assert_eq!(side.complete(&callback, &[FAILED, JSON], body).await, taken());
    let other = side.complete(&callback, &[SUCCEEDED], "").await;
    assert_eq!(other, refused(409, "CONFLICT"));
    let ended = side.get(id).await;
    assert_eq!((ended.state, ended.conflicts.len()), (State::Failed, 1));
    assert_eq!(ended.conflicts[0].state, State::Succeeded);
    side.stop().await;
}

#[tokio::test]
async fn what_an_operation_ended_otherwise_answers_is_a_conflict_too() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let call = handler.call().await;
    let callback = call.parameter("callback").unwrap();
    call.answer(201, &[JSON], RUNNING);
    side.running(id).await;
    let by_hand = Outcome::Succeeded(None);
    side.bus.finish(&side.caller, id, by_hand.clone()).await.unwrap();
    let late = side.complete(&callback, &[CANCELED, JSON], r#"{"message":"m"}"#).await;
    assert_eq!(late, refused(409, "CONFLICT"));
    assert_eq!(side.get(id).await.outcome, Some(by_hand));
    side.stop().await;
}

#[tokio::test]
async fn failures_come_in_three_forms() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    for (state, body, code) in [
        (FAILED, r#"{"message":"m"}"#, Code::Unknown),
        (
            FAILED,
            r#"{"message":"m","metadata":{"type":"nexus.OperationError"},"details":{"state":"failed"}}"#,
            Code::Unknown,
        ),
        (
            FAILED,
            r#"{"message":"m","metadata":{"type":"temporal.api.failure.v1.Failure"},"details":{"timeoutFailureInfo":{}}}"#,
            Code::DeadlineExceeded,
        ),
        (CANCELED, r#"{"message":"m"}"#, Code::Cancelled),
    ] {
        let id = side.start().await;
        let call = handler.call().await;
        let callback = call.parameter("callback").unwrap();
        call.answer(201, &[JSON], RUNNING);
        // Handlers of before 2025-02 have only this name for the token.
        let headers = [state, JSON, ("nexus-operation-id", "t 1/2")];
        assert_eq!(side.complete(&callback, &headers, body).await, taken());
        let ended = side.get(id).await;
        assert_eq!(&*ended.native_state, state.1);
        let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
        assert_eq!((failure.code, &*failure.message), (code, "m"), "{body}");
        assert_eq!(failure.native.as_ref().unwrap().bytes, body);
    }
    side.stop().await;
}

#[tokio::test]
async fn more_links_than_fit_cost_no_result() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let links = |scheme: &str| {
        let link = |n: usize| format!("<{scheme}://{n}>; type=\"c\"");
        (0..60).map(link).collect::<Vec<_>>().join(",")
    };
    let id = side.start().await;
    let call = handler.call().await;
    let callback = call.parameter("callback").unwrap();
    call.answer(201, &[JSON, ("nexus-link", &links("first"))], RUNNING);
    side.running(id).await;
    let headers = [SUCCEEDED, JSON, ("nexus-link", &links("more"))];
    assert_eq!(side.complete(&callback, &headers, "1").await, taken());
    let ended = side.get(id).await;
    assert_eq!(ended.outcome, Some(Outcome::Succeeded(Some(Payload::json("1")))));
    assert_eq!((&*ended.native_state, ended.links_out.len()), ("succeeded", 60));
    side.stop().await;
}

#[tokio::test]
async fn what_is_removed_still_ends() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let call = handler.call().await;
    let callback = call.parameter("callback").unwrap();
    call.answer(201, &[JSON], RUNNING);
    side.running(id).await;
    side.bus.remove(&side.caller, id).await.unwrap();
    assert_eq!(side.complete(&callback, &[SUCCEEDED], "").await, taken());
    side.stop().await;
}

#[tokio::test]
async fn no_callback_is_lost_to_a_query_or_to_another_method() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let call = handler.call().await;
    let callback = call.parameter("callback").unwrap();
    call.answer(201, &[JSON], RUNNING);
    let get = Request::get(&*callback).body(Bytes::new()).unwrap();
    assert_eq!(crate::side::told(&side.send(get).await), refused(400, "BAD_REQUEST"));
    assert!(!side.running(id).await.is_done());
    let with_query = format!("{callback}?x=1");
    assert_eq!(side.complete(&with_query, &[SUCCEEDED], "").await, taken());
    assert_eq!(side.get(id).await.state, State::Succeeded);
    side.stop().await;
}
