//! What is sent to start an operation, and what each reply means.

use std::time::Duration;

use http::Method;
use opgate_bus::Start;
use opgate_bus::core::{Callback, Code, Epoch, Header, Link, Outcome, Payload, State, Trace};
use opgate_egress::Credentials;
use opgate_nexus::backend::{Completion, HEADERS, OPERATION, SERVICE};
use tempfile::tempdir;

use crate::handler::{Handler, JSON, RUNNING};
use crate::side::{Setup, start};

fn header(name: &str, value: &'static str) -> Header {
    Header { name: name.into(), value: value.into() }
}

#[tokio::test]
async fn a_start_says_all_that_is_known() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let options = [(SERVICE, "their/s"), (OPERATION, "do it"), (HEADERS, "x-tenant,acme-*")];
    let setup = Setup {
        options: options.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        credentials: Credentials::bearer("secret").unwrap(),
        query: "?key=abc",
        ..Setup::default()
    };
    let side = setup.open(&dir, &handler).await;
    let start = Start {
        deadline: Some(Duration::from_hours(1)),
        links: vec![Link { url: "temporal:///a/b?c=d".into(), kind: "a.B".into() }],
        headers: vec![
            header("X-Tenant", "one"),
            header("x-tenant", "two"),
            header("acme-x", "3"),
            header("x-other", "no"),
            header("authorization", "no"),
            header("nexus-request-id", "no"),
        ],
        trace: Some(Box::new(Trace { parent: "00-1-2-01".into(), state: "a=b".into() })),
        // They are the caller's and opgate's business.
        callbacks: vec![Callback::new("http://caller/cb", vec![header("Token", "theirs")])],
        ..start()
    };
    let id = side.started(start).await;
    let call = handler.expect(&Method::POST, "/nexus/their%2Fs/do%20it").await;
    assert_eq!(call.body, r#"{ "n": 1e400 }"#);
    assert_eq!(call.parameter("key").as_deref(), Some("abc"));
    let callback = call.parameter("callback").unwrap();
    let token = call.header("nexus-callback-token").unwrap();
    assert_eq!(callback, format!("http://{}/nexus/callback/up/{token}", side.address));
    let id = id.to_string();
    for (name, value) in [
        ("content-type", Some("application/json")),
        ("nexus-request-id", Some(&*id)),
        ("nexus-link", Some(r#"<temporal:///a/b?c=d>; type="a.B""#)),
        ("request-timeout", Some("20000ms")),
        ("authorization", Some("Bearer secret")),
        ("x-tenant", Some("one")),
        ("acme-x", Some("3")),
        ("x-other", None),
        ("traceparent", Some("00-1-2-01")),
        ("tracestate", Some("a=b")),
        ("temporal-nexus-failure-support", Some("true")),
        ("nexus-callback-source", None),
    ] {
        assert_eq!(call.header(name), value, "{name}");
    }
    let left = call.header("operation-timeout").unwrap().strip_suffix("ms").unwrap();
    assert!((3_000_000..=3_600_000).contains(&left.parse::<u32>().unwrap()), "{left}");
    call.answer(200, &[], "");
    side.stop().await;
}

#[tokio::test]
async fn who_polls_gives_no_callback() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::with(Completion::Poll).open(&dir, &handler).await;
    let id = side.start().await;
    let call = handler.expect(&Method::POST, "/nexus/ours/do").await;
    assert_eq!(call.head.uri.query(), None);
    assert_eq!(call.header("nexus-callback-token"), None);
    call.answer(200, &[], "");
    assert_eq!(side.ended(id).await.outcome, Some(Outcome::Succeeded(None)));
    side.stop().await;
}

#[tokio::test]
async fn a_200_ends_it_with_the_result_and_the_links() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let link = ("nexus-link", r#"<opgate:///operations/9>; type="opgate.v1.Operation""#);
    let pb = ("content-type", "application/x-protobuf; message-type=\"a.B\"");
    handler.call().await.answer(200, &[pb, link], vec![8, 1]);
    let ended = side.ended(id).await;
    let result = Payload::protobuf("a.B", vec![8, 1]);
    assert_eq!(ended.outcome, Some(Outcome::Succeeded(Some(result))));
    assert_eq!(&*ended.links_out[0].url, "opgate:///operations/9");
    assert_eq!(&*ended.native_state, "succeeded");
    side.stop().await;
}

#[tokio::test]
async fn a_424_is_how_it_ended() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    for (state, body, expected) in [
        ("failed", r#"{"message":"boom"}"#, State::Failed),
        ("canceled", r#"{"message":"boom"}"#, State::Canceled),
        (
            "failed",
            r#"{"message":"boom","metadata":{"type":"nexus.OperationError"},"details":{"state":"canceled"}}"#,
            State::Canceled,
        ),
    ] {
        let id = side.start().await;
        handler.call().await.answer(424, &[JSON, ("nexus-operation-state", state)], body);
        let ended = side.ended(id).await;
        assert_eq!(ended.state, expected);
        let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
        assert_eq!(failure.message, "boom");
        assert_eq!(failure.native.as_ref().unwrap().bytes, body);
    }
    side.stop().await;
}

#[tokio::test]
async fn a_refusal_for_good_is_the_failure_in_the_handlers_words() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let body = r#"{"message":"no","metadata":{"type":"nexus.HandlerError"},"details":{"type":"UNAUTHORIZED"}}"#;
    handler.call().await.answer(403, &[JSON], body);
    let ended = side.ended(id).await;
    let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
    assert_eq!((failure.code, &*failure.message), (Code::PermissionDenied, "no"));
    assert_eq!(failure.native.as_ref().unwrap().bytes, body);
    assert_eq!(ended.epoch, Epoch(1));
    assert!(handler.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn whatever_may_heal_is_sent_again_as_the_same_start() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let first = handler.call().await;
    let (request, token) = (
        first.header("nexus-request-id").unwrap().to_owned(),
        first.header("nexus-callback-token").unwrap().to_owned(),
    );
    // Nobody knows whether this one had an effect.
    drop(first);
    let second = handler.call().await;
    assert_eq!(second.header("nexus-request-id"), Some(&*request));
    assert_eq!(second.header("nexus-callback-token"), Some(&*token));
    second.answer(503, &[], "");
    let third = handler.call().await;
    assert_eq!(third.header("nexus-request-id"), Some(&*request));
    third.answer(200, &[JSON], "1");
    let ended = side.ended(id).await;
    assert_eq!((ended.state, ended.epoch), (State::Succeeded, Epoch(3)));
    // Another operation is another request.
    let other = side.start().await;
    let call = handler.call().await;
    assert_eq!(call.header("nexus-request-id"), Some(&*other.to_string()));
    assert_ne!(call.header("nexus-callback-token"), Some(&*token));
    call.answer(200, &[], "");
    side.stop().await;
}

#[tokio::test]
async fn attempts_are_bounded() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    for _ in 0..3 {
        handler.call().await.answer(520, &[], "");
    }
    let ended = side.ended(id).await;
    let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
    assert_eq!(
        (failure.code, failure.reason.as_deref()),
        (Code::DeadlineExceeded, Some("backend"))
    );
    assert!(handler.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn a_handler_that_does_not_answer_in_time_is_asked_again() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let setup = Setup { timeout: Duration::from_secs(1), ..Setup::default() };
    let side = setup.open(&dir, &handler).await;
    let id = side.start().await;
    let silent = handler.call().await;
    let second = handler.call().await;
    assert_eq!(second.header("nexus-request-id"), silent.header("nexus-request-id"));
    second.answer(200, &[], "");
    assert_eq!(side.ended(id).await.state, State::Succeeded);
    side.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_the_end() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    handler.call().await.answer(200, &[], vec![b'x'; 5 * 1024 * 1024]);
    let ended = side.ended(id).await;
    let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
    assert_eq!((failure.code, failure.retryable), (Code::ResourceExhausted, Some(false)));
    side.stop().await;
}

#[tokio::test]
async fn a_201_is_kept_before_anything_waits_for_it() {
    let (dir, mut handler) = (tempdir().unwrap(), Handler::start().await);
    let side = Setup::default().open(&dir, &handler).await;
    let id = side.start().await;
    let link = ("nexus-link", r#"<a://b>; type="c""#);
    handler.call().await.answer(201, &[JSON, link], RUNNING);
    let running = side.running(id).await;
    assert_eq!(running.routed.native_ref, "t 1/2");
    assert_eq!((&*running.native_state, running.state), ("running", State::Running));
    assert_eq!(&*running.links_out[0].url, "a://b");
    side.stop().await;
}
