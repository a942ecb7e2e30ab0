//! Errors and logs that are lists of their own.

use std::time::{Duration, Instant};

use http::Method;
use opgate_bus::core::{Code, State};
use tempfile::tempdir;

use crate::side::{Setup, log};
use crate::upstream::{LOOK, Upstream};

fn errors() -> String {
    format!("{LOOK}/errors")
}

fn logs() -> String {
    format!("{LOOK}/logs")
}

fn entry(second: u8, message: &str) -> String {
    format!(r#"{{"message":"{message}","timestamp":"2026-01-02T03:04:{second:02}Z"}}"#)
}

#[tokio::test]
async fn pages_are_read_and_only_what_is_new_is_told() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    for (dialect, open, close) in [("work-requests", "[", "]"), ("modern", r#"{"items":["#, "]}")] {
        let side = Setup::with(&[("dialect", dialect)]).open(&dir, &upstream);
        let id = side.start().await;
        upstream.start_call().await.start();
        let page = |lines: &[String]| format!("{open}{}{close}", lines.join(","));
        for status in ["IN_PROGRESS", "FAILED"] {
            upstream.look().await.show(status, "");
            let call = upstream.expect(&Method::GET, &errors()).await;
            assert_eq!(
                (call.parameter("limit").as_deref(), call.parameter("page")),
                (Some("100"), None)
            );
            let error = r#"{"code":"InternalError","message":"broke",
                "timestamp":"2026-01-02T03:04:09Z"}"#;
            let lines = if status == "FAILED" { vec![error.to_owned()] } else { Vec::new() };
            call.answer(200, &[], page(&lines));
            let call = upstream.expect(&Method::GET, &logs()).await;
            call.answer(200, &[("opc-next-page", "t/2")], page(&[entry(2, "b")]));
            let call = upstream.expect(&Method::GET, &logs()).await;
            assert_eq!(call.parameter("page").as_deref(), Some("t/2"));
            // The last page of some services has an empty token.
            call.answer(200, &[("opc-next-page", "")], page(&[entry(1, "a"), entry(2, "b")]));
        }
        let ended = side.ended(id).await;
        assert_eq!(log(&ended), ["a", "b", "broke"], "{dialect}");
        let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
        assert_eq!((failure.code, &*failure.message), (Code::Internal, "broke"));
        side.stop().await;
    }
}

#[tokio::test]
async fn container_engine_is_told_the_compartment() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("dialect", "container-engine")]).open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    upstream.look().await.show("SUCCEEDED", r#""compartmentId":"ocid1.compartment.oc1..x/y""#);
    for list in [errors(), logs()] {
        let call = upstream.expect(&Method::GET, &list).await;
        assert_eq!(call.parameter("compartmentId").as_deref(), Some("ocid1.compartment.oc1..x/y"));
        assert_eq!(call.parameter("limit"), None);
        call.answer(200, &[("opc-next-page", "none")], "[]");
    }
    assert_eq!(side.ended(id).await.state, State::Succeeded);
    assert!(upstream.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn an_upstream_without_such_lists_is_not_asked_again() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("dialect", "modern")]).open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    upstream.look().await.show("IN_PROGRESS", "");
    upstream.expect(&Method::GET, &errors()).await.refuse(404, "NotFound", "no");
    upstream.expect(&Method::GET, &logs()).await.refuse(405, "MethodNotAllowed", "no");
    upstream.look().await.show("SUCCEEDED", "");
    let ended = side.ended(id).await;
    assert_eq!((ended.state, ended.log.len()), (State::Succeeded, 0));
    assert!(upstream.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn a_list_that_was_not_there_is_asked_once_more_for_the_reason_of_a_failure() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("dialect", "modern")]).open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    upstream.look().await.show("IN_PROGRESS", "");
    for list in [errors(), logs()] {
        upstream.expect(&Method::GET, &list).await.refuse(404, "NotAuthorizedOrNotFound", "no");
    }
    upstream.look().await.show("FAILED", "");
    let body = r#"{"items":[{"code":"X","message":"why"}]}"#;
    upstream.expect(&Method::GET, &errors()).await.answer(200, &[], body);
    upstream.expect(&Method::GET, &logs()).await.refuse(404, "NotFound", "no");
    let ended = side.ended(id).await;
    assert_eq!(ended.outcome.as_ref().unwrap().failure().unwrap().message, "why");
    assert!(upstream.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn an_upstream_that_asks_to_be_left_alone_about_a_list_is() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("dialect", "modern")]).open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    upstream.look().await.show("IN_PROGRESS", "");
    let began = Instant::now();
    let busy = upstream.expect(&Method::GET, &errors()).await;
    busy.answer(429, &[("retry-after", "1")], r#"{"code":"TooManyRequests","message":"later"}"#);
    // Nor is the other list asked for meanwhile.
    let look = upstream.look().await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    look.show("SUCCEEDED", "");
    for list in [errors(), logs()] {
        upstream.expect(&Method::GET, &list).await.answer(200, &[], r#"{"items":[]}"#);
    }
    assert_eq!(side.ended(id).await.state, State::Succeeded);
    side.stop().await;
}

#[tokio::test]
async fn the_end_waits_for_its_reasons_and_not_for_ever() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("dialect", "modern")]).open(&dir, &upstream);
    for lost in [false, true] {
        let id = side.start().await;
        upstream.start_call().await.start();
        for _ in 0..(if lost { 2 } else { 1 }) {
            upstream.look().await.show("FAILED", "");
            upstream.expect(&Method::GET, &errors()).await.refuse(503, "X", "later");
            let page = format!("[{}]", entry(1, "what could be read"));
            upstream.expect(&Method::GET, &logs()).await.answer(200, &[], page);
        }
        if !lost {
            upstream.look().await.show("FAILED", "");
            let body = r#"[{"code":"X","message":"why"}]"#;
            upstream.expect(&Method::GET, &errors()).await.answer(200, &[], body);
            upstream.expect(&Method::GET, &logs()).await.answer(200, &[], "[]");
        }
        let ended = side.ended(id).await;
        let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
        let why =
            if lost { "the work request ended as FAILED and does not say why" } else { "why" };
        assert_eq!(failure.message, why);
        let trouble = "the work request's errors cannot be listed: 503 X: later";
        assert_eq!(log(&ended)[..2], ["what could be read", trouble]);
    }
    side.stop().await;
}

#[tokio::test]
async fn an_error_that_was_read_once_is_the_reason_of_a_failure() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("dialect", "modern")]).open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    upstream.look().await.show("IN_PROGRESS", "");
    let body = r#"[{"code":"LimitExceeded","message":"why"}]"#;
    upstream.expect(&Method::GET, &errors()).await.answer(200, &[], body);
    upstream.expect(&Method::GET, &logs()).await.answer(200, &[], "[]");
    for _ in 0..2 {
        upstream.look().await.show("FAILED", "");
        upstream.expect(&Method::GET, &errors()).await.refuse(503, "X", "later");
        upstream.expect(&Method::GET, &logs()).await.answer(200, &[], "[]");
    }
    let ended = side.ended(id).await;
    let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
    assert_eq!((failure.code, &*failure.message), (Code::ResourceExhausted, "why"));
    side.stop().await;
}

#[tokio::test]
async fn a_list_that_is_too_large_is_named_and_the_work_request_is_followed() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("dialect", "modern")]).open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    // Once more for the end.
    for status in ["IN_PROGRESS", "IN_PROGRESS", "SUCCEEDED", "SUCCEEDED"] {
        upstream.look().await.show(status, "");
        let error = r#"[{"code":"X","message":"slow"}]"#;
        upstream.expect(&Method::GET, &errors()).await.answer(200, &[], error);
        let large = vec![b' '; 1024 * 1024 + 1];
        upstream.expect(&Method::GET, &logs()).await.answer(200, &[], large);
    }
    let ended = side.ended(id).await;
    assert_eq!((ended.state, log(&ended).len(), log(&ended)[0]), (State::Succeeded, 2, "slow"));
    assert!(log(&ended)[1].starts_with("the work request's logs cannot be listed: "), "{ended:?}");
    assert!(upstream.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn a_list_without_an_end_is_left() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("dialect", "modern")]).open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    upstream.look().await.show("SUCCEEDED", "");
    // The same token again, and tokens without end.
    for _ in 0..2 {
        let call = upstream.expect(&Method::GET, &errors()).await;
        call.answer(200, &[("opc-next-page", "same")], "[]");
    }
    for number in 0..10 {
        let call = upstream.expect(&Method::GET, &logs()).await;
        call.answer(200, &[("opc-next-page", &number.to_string())], "[]");
    }
    assert_eq!(side.ended(id).await.state, State::Succeeded);
    assert!(upstream.is_quiet());
    side.stop().await;
}
