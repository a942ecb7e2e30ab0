//! Completions that are not taken.

use std::time::Duration;

use opgate_bus::core::{Code, State};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::handler::{Handler, JSON, RUNNING};
use crate::side::{Setup, refused, taken};

const SUCCEEDED: (&str, &str) = ("nexus-operation-state", "succeeded");
const FAILED: (&str, &str) = ("nexus-operation-state", "failed");

#[tokio::test]
async fn a_handle_that_is_not_ours_is_not_found() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let call = handler.call().await;
    let callback = call.parameter("callback").unwrap();
    let (front, handle) = callback.rsplit_once('/').unwrap();
    let other = if handle.as_bytes()[10] == b'A' { "B" } else { "A" };
    let mut altered = handle.to_owned();
    altered.replace_range(10..11, other);
    let elsewhere = front.strip_suffix("/up").unwrap();
    let token = side.bus.handle("nexus operation", &["up"], id).unwrap();
    let foreign = side.bus.handle("nexus callback", &["down"], id).unwrap();
    for url in [
        format!("{front}/{altered}"),
        format!("{front}/{id}"),
        format!("{front}/"),
        front.to_owned(),
        format!("{front}/{handle}/more"),
        format!("{elsewhere}/down/{handle}"),
        format!("{elsewhere}/down/{foreign}"),
        format!("{front}/{token}"),
    ] {
        let answer = side.complete(&url, &[SUCCEEDED], "").await;
        assert_eq!(answer, refused(404, "NOT_FOUND"), "{url}");
    }
    assert!(!side.get(id).await.is_done());
    assert_eq!(side.complete(&callback, &[SUCCEEDED], "").await, taken());
    side.stop().await;
}

#[tokio::test]
async fn what_is_malformed_changes_nothing() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let call = handler.call().await;
    let callback = call.parameter("callback").unwrap();
    call.answer(201, &[JSON], RUNNING);
    let before = side.running(id).await.version;
    for (headers, body) in [
        (&[][..], ""),
        (&[("nexus-operation-state", "running")], ""),
        (&[SUCCEEDED, ("nexus-operation-close-time", "Fri, 02 Jan 2026 03:04:05 GMT")], ""),
        (&[SUCCEEDED, ("nexus-link", "nowhere")], ""),
        (&[FAILED], r#"{"message":"m"}"#),
        (&[FAILED, ("content-type", "text/plain")], "m"),
        (&[FAILED, JSON], "m"),
        (&[FAILED, JSON], ""),
    ] {
        let answer = side.complete(&callback, headers, body.to_owned()).await;
        assert_eq!(answer, refused(400, "BAD_REQUEST"), "{headers:?}");
    }
    assert_eq!(side.get(id).await.version, before);
    // A body of just that size is taken.
    let largest = "x".repeat(1024);
    assert_eq!(side.complete(&callback, &[SUCCEEDED], largest).await, taken());
    side.stop().await;
}

#[tokio::test]
async fn what_is_too_large_to_be_kept_ends_it_for_nobody_sends_another() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let call = handler.call().await;
    let callback = call.parameter("callback").unwrap();
    call.answer(201, &[JSON], RUNNING);
    side.running(id).await;
    for _ in 0..2 {
        let answer = side.complete(&callback, &[SUCCEEDED], "x".repeat(1025)).await;
        assert_eq!(answer, refused(400, "BAD_REQUEST"));
    }
    let ended = side.get(id).await;
    let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
    assert_eq!((failure.code, ended.conflicts.len()), (Code::ResourceExhausted, 0), "{failure:?}");
    // It has ended there: there is nothing to cancel.
    assert!(handler.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let setup = Setup { request_timeout: Duration::from_millis(20), ..Setup::default() };
    let side = setup.open(&dir, &handler).await;
    let id = side.start().await;
    let call = handler.call().await;
    let callback = call.parameter("callback").unwrap();
    let path = callback.split_once("/nexus/").unwrap().1.to_owned();
    call.answer(201, &[JSON], RUNNING);
    let mut stream = TcpStream::connect(side.address).await.unwrap();
    let head = format!(
        "POST /nexus/{path} HTTP/1.1\r\nhost: a\r\nnexus-operation-state: succeeded\r\n\
         content-length: 5\r\nconnection: close\r\n\r\nab"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 520"), "{answer}");
    assert!(answer.contains("nexus-request-retryable: true"), "{answer}");
    assert_eq!(side.running(id).await.state, State::Running);
    side.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_answered_as_if_it_were_taken() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let call = handler.call().await;
    let callback = call.parameter("callback").unwrap();
    let path = callback.split_once("/nexus/").unwrap().1.to_owned();
    call.answer(201, &[JSON], RUNNING);
    for (framing, body) in
        [("transfer-encoding: chunked", "2\r\nab\r\nno chunk\r\n"), ("content-length: 5", "ab")]
    {
        let mut stream = TcpStream::connect(side.address).await.unwrap();
        let request = format!(
            "POST /nexus/{path} HTTP/1.1\r\nhost: a\r\nnexus-operation-state: succeeded\r\n\
             {framing}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        // Who sent half of it may still listen.
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(!answer.starts_with("HTTP/1.1 2"), "{framing}: {answer}");
    }
    assert_eq!(side.running(id).await.state, State::Running);
    side.stop().await;
}
