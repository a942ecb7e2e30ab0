//! Looking for the result.

use std::time::Duration;

use http::Method;
use opgate_bus::ORPHANED;
use opgate_bus::core::{Code, Outcome, Payload, State};
use opgate_nexus::backend::Completion;
use tempfile::tempdir;

use crate::handler::{Handler, JSON, RUNNING};
use crate::side::{Setup, taken};

const RESULT: &str = "/nexus/ours/do/result";
const IN_PATH: &str = "/nexus/ours/do/t%201%2F2/result";

#[tokio::test]
async fn without_a_callback_the_handler_is_asked_until_it_knows() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::with(Completion::Poll).open(&dir, &handler).await;
    let id = side.start().await;
    handler.call().await.answer(201, &[JSON], RUNNING);
    // It is to hold the request, and may let go of it sooner, or say that the wait is over.
    for status in [408, 412, 408] {
        let look = handler.expect(&Method::GET, RESULT).await;
        assert_eq!(look.header("nexus-operation-token"), Some("t 1/2"));
        assert_eq!(look.parameter("wait").as_deref(), Some("40ms"));
        assert_eq!(look.header("request-timeout"), Some("20040ms"));
        look.answer(status, &[], "");
    }
    handler.expect(&Method::GET, RESULT).await.answer(200, &[JSON], "[1e400]");
    let ended = side.ended(id).await;
    assert_eq!(ended.outcome, Some(Outcome::Succeeded(Some(Payload::json("[1e400]")))));
    assert_eq!(&*ended.native_state, "succeeded");
    side.stop().await;
}

#[tokio::test]
async fn trouble_does_not_end_it_and_is_told_once() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::with(Completion::Poll).open(&dir, &handler).await;
    let id = side.start().await;
    handler.call().await.answer(201, &[JSON], RUNNING);
    for status in [500, 401, 503, 520] {
        handler.expect(&Method::GET, RESULT).await.answer(status, &[], "");
    }
    drop(handler.expect(&Method::GET, RESULT).await);
    let body = r#"{"message":"boom"}"#;
    handler.expect(&Method::GET, RESULT).await.answer(424, &[JSON], body);
    let ended = side.ended(id).await;
    assert_eq!((ended.state, ended.log.len()), (State::Failed, 1));
    assert!(ended.log[0].message.starts_with("the result cannot be looked for"), "{ended:?}");
    side.stop().await;
}

#[tokio::test]
async fn a_result_that_is_too_large_is_the_end() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::with(Completion::Poll).open(&dir, &handler).await;
    let id = side.start().await;
    handler.call().await.answer(201, &[JSON], RUNNING);
    let look = handler.expect(&Method::GET, RESULT).await;
    look.answer(200, &[JSON], vec![b'1'; 5 * 1024 * 1024]);
    let ended = side.ended(id).await;
    let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
    assert_eq!(failure.code, Code::ResourceExhausted);
    side.stop().await;
}

#[tokio::test]
async fn an_old_handler_has_the_token_in_the_path() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::with(Completion::Poll).open(&dir, &handler).await;
    let id = side.start().await;
    handler.call().await.answer(201, &[JSON], RUNNING);
    handler.expect(&Method::GET, RESULT).await.answer(404, &[], "");
    let look = handler.expect(&Method::GET, IN_PATH).await;
    assert_eq!(look.parameter("wait").as_deref(), Some("40ms"));
    look.answer(412, &[], "");
    // What is known is not asked for again, by no other operation either.
    handler.expect(&Method::GET, IN_PATH).await.answer(200, &[], "");
    side.ended(id).await;
    let id = side.start().await;
    handler.call().await.answer(201, &[JSON], RUNNING);
    handler.expect(&Method::GET, IN_PATH).await.answer(200, &[], "");
    side.ended(id).await;
    side.stop().await;
}

#[tokio::test]
async fn an_operation_out_of_sight_fails_and_is_canceled() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::with(Completion::Poll).open(&dir, &handler).await;
    for status in [404, 400, 405, 501] {
        let id = side.start().await;
        handler.call().await.answer(201, &[JSON], RUNNING);
        handler.expect(&Method::GET, RESULT).await.answer(status, &[], "");
        handler.expect(&Method::GET, IN_PATH).await.answer(status, &[], "");
        handler.expect(&Method::POST, "/nexus/ours/do/cancel").await.answer(202, &[], "");
        let ended = side.ended(id).await;
        let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
        assert_eq!(failure.code, Code::FailedPrecondition);
        assert_eq!(failure.reason.as_deref(), Some("out_of_sight"));
    }
    side.stop().await;
}

#[tokio::test]
async fn what_was_seen_is_orphaned_once_it_is_not_found_and_fails_after_the_grace() {
    for completion in [Completion::Poll, Completion::Both] {
        let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
        let setup = Setup { grace: Duration::from_millis(200), ..Setup::with(completion) };
        let side = setup.open(&dir, &handler).await;
        // It comes back.
        let id = side.start().await;
        handler.call().await.answer(201, &[JSON], RUNNING);
        handler.expect(&Method::GET, RESULT).await.answer(412, &[], "");
        handler.expect(&Method::GET, RESULT).await.answer(404, &[], "");
        handler.expect(&Method::GET, IN_PATH).await.answer(404, &[], "");
        let look = handler.expect(&Method::GET, RESULT).await;
        assert_eq!(&*side.get(id).await.native_state, ORPHANED);
        look.answer(412, &[], "");
        let look = handler.expect(&Method::GET, RESULT).await;
        assert_eq!(&*side.get(id).await.native_state, "running");
        look.answer(200, &[], "");
        assert_eq!(side.ended(id).await.state, State::Succeeded);
        // It does not.
        let id = side.start().await;
        handler.call().await.answer(201, &[JSON], RUNNING);
        handler.expect(&Method::GET, RESULT).await.answer(412, &[], "");
        let ended = loop {
            tokio::select! {
                call = handler.call() => call.answer(404, &[], ""),
                ended = side.ended(id) => break ended,
            }
        };
        let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
        assert_eq!(
            (failure.code, failure.reason.as_deref()),
            (Code::Unavailable, Some("record_lost"))
        );
        assert_eq!((&*ended.native_state, ended.log.len()), (ORPHANED, 1), "{ended:?}");
        side.stop().await;
    }
}

#[tokio::test]
async fn beside_a_callback_the_handler_is_asked_without_a_wait() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::with(Completion::Both).open(&dir, &handler).await;
    let id = side.start().await;
    let start = handler.call().await;
    assert!(start.parameter("callback").is_some());
    start.answer(201, &[JSON], RUNNING);
    let look = handler.expect(&Method::GET, RESULT).await;
    assert_eq!(look.parameter("wait"), None);
    look.answer(412, &[], "");
    // The callback was lost, and the result is found all the same.
    handler.expect(&Method::GET, RESULT).await.answer(200, &[JSON], "1");
    let ended = side.ended(id).await;
    assert_eq!(ended.outcome, Some(Outcome::Succeeded(Some(Payload::json("1")))));
    side.stop().await;
}

#[tokio::test]
async fn beside_a_callback_what_was_seen_is_looked_for_until_it_is_back() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::with(Completion::Both).open(&dir, &handler).await;
    let id = side.start().await;
    handler.call().await.answer(201, &[JSON], RUNNING);
    handler.expect(&Method::GET, RESULT).await.answer(412, &[], "");
    for _ in 0..5 {
        handler.expect(&Method::GET, RESULT).await.answer(404, &[], "");
        handler.expect(&Method::GET, IN_PATH).await.answer(404, &[], "");
    }
    handler.expect(&Method::GET, RESULT).await.answer(200, &[], "");
    let ended = side.ended(id).await;
    assert_eq!(ended.state, State::Succeeded);
    let told: Vec<&str> = ended.log.iter().map(|line| &*line.message).collect();
    assert_eq!(
        told,
        [
            "the result cannot be looked for: the operation is not found upstream: HTTP 404 Not Found"
        ]
    );
    side.stop().await;
}

#[tokio::test]
async fn without_get_result_the_callback_is_waited_for() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::with(Completion::Both).open(&dir, &handler).await;
    let id = side.start().await;
    let start = handler.call().await;
    let callback = start.parameter("callback").unwrap();
    start.answer(201, &[JSON], RUNNING);
    handler.expect(&Method::GET, RESULT).await.answer(400, &[], "");
    handler.expect(&Method::GET, IN_PATH).await.answer(404, &[], "");
    let succeeded = ("nexus-operation-state", "succeeded");
    assert_eq!(side.complete(&callback, &[succeeded, JSON], "1").await, taken());
    assert_eq!(side.get(id).await.state, State::Succeeded);
    assert!(handler.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn a_callback_that_comes_while_the_result_is_looked_for_is_the_end() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::with(Completion::Both).open(&dir, &handler).await;
    let id = side.start().await;
    let start = handler.call().await;
    let callback = start.parameter("callback").unwrap();
    start.answer(201, &[JSON], RUNNING);
    let look = handler.expect(&Method::GET, RESULT).await;
    let succeeded = ("nexus-operation-state", "succeeded");
    assert_eq!(side.complete(&callback, &[succeeded, JSON], "1").await, taken());
    look.answer(200, &[JSON], "1");
    let ended = side.get(id).await;
    assert_eq!(ended.state, State::Succeeded);
    assert!(ended.conflicts.is_empty());
    side.stop().await;
}
