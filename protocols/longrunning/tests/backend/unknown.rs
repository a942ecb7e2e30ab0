//! Starts of which nobody knows what became.

use std::time::Duration;

use http::HeaderMap;
use opgate_bus::Snapshot;
use opgate_bus::core::{Code, Epoch, Failure, Outcome, State};
use opgate_rpc::proto::{Any, RetryInfo};
use tempfile::tempdir;

use crate::side::Setup;
use crate::upstream::{Call, GET, START, Upstream};

fn failure(ended: &Snapshot) -> &Failure {
    match &ended.outcome {
        Some(Outcome::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

fn nothing() -> Any {
    Any::new("google.protobuf.Empty", "")
}

/// Ways in which the answer to a call that was made gets lost.
const LOST: [fn(Call); 6] = [
    drop,
    |call| call.refuse(14, "try again", Vec::new()),
    |call| call.refuse(4, "too late", Vec::new()),
    |call| call.message(b"\xff\xff"),
    |call| call.raw(503, "text/html", "<p>".into(), HeaderMap::new()),
    // Neither done nor named.
    |call| call.message(b""),
];

#[tokio::test]
async fn a_call_that_must_not_come_twice_is_not_made_again_and_its_end_says_so() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    for (index, lose) in LOST.into_iter().enumerate() {
        let id = side.start().await;
        lose(upstream.expect(START).await);
        let ended = side.ended(id).await;
        let failure = failure(&ended);
        assert_eq!(failure.reason.as_deref(), Some("outcome_unknown"), "{index}: {failure:?}");
        assert_eq!((failure.code, failure.retryable), (Code::Unknown, Some(false)));
        assert_eq!(ended.epoch, Epoch(1));
    }
    assert!(upstream.is_quiet());
}

#[tokio::test]
async fn a_call_that_may_come_twice_is_made_again_under_the_same_key() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::idempotent().open(&dir, &upstream);
    for lose in LOST {
        let id = side.start().await;
        let call = upstream.expect(START).await;
        let key = call.header("idempotency-key").unwrap().to_owned();
        assert_eq!(key, id.to_string());
        lose(call);
        let again = upstream.expect(START).await;
        assert_eq!(again.header("idempotency-key"), Some(&*key));
        again.done(nothing());
        assert_eq!(side.ended(id).await.state, State::Succeeded);
    }
    // Not for ever.
    let id = side.start().await;
    for _ in 0..3 {
        drop(upstream.expect(START).await);
    }
    let ended = side.ended(id).await;
    assert_eq!(failure(&ended).code, Code::Unavailable);
    assert!(upstream.is_quiet());
}

#[tokio::test]
async fn a_service_that_is_silent_is_not_waited_for_without_end() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let setup = Setup { timeout: Duration::from_millis(500), ..Setup::default() };
    let side = setup.open(&dir, &upstream);
    let id = side.start().await;
    let call = upstream.expect(START).await;
    assert_eq!(call.header("grpc-timeout"), Some("500000u"));
    let ended = side.ended(id).await;
    assert_eq!(failure(&ended).reason.as_deref(), Some("outcome_unknown"));
    assert!(failure(&ended).message.contains("no answer within"), "{ended:?}");
    drop(call);
    assert!(upstream.is_quiet());
}

#[tokio::test]
async fn what_was_certainly_not_looked_at_is_made_again() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    // At once, as the service did not take the stream.
    let id = side.start().await;
    upstream.expect(START).await.turn_away();
    let again = upstream.expect(START).await;
    again.done(nothing());
    let ended = side.ended(id).await;
    assert_eq!((ended.state, ended.epoch), (State::Succeeded, Epoch(1)));
    // After a while, as it asks for that.
    for code in [8, 14] {
        let id = side.start().await;
        let wait = RetryInfo { retry_delay: Some(Duration::from_millis(1).into()) };
        let wait = Any::pack(RetryInfo::NAME, &wait);
        upstream.expect(START).await.refuse(code, "busy", vec![wait]);
        upstream.expect(START).await.done(nothing());
        let ended = side.ended(id).await;
        assert_eq!((ended.state, ended.epoch), (State::Succeeded, Epoch(2)));
    }
    assert!(upstream.is_quiet());
}

#[tokio::test]
async fn a_service_that_is_not_there_is_called_again_and_nothing_is_unknown() {
    let dir = tempdir().unwrap();
    let upstream = Upstream::start().await;
    let address = upstream.address;
    let side = Setup::default().open(&dir, &upstream);
    drop(upstream);
    let id = side.start().await;
    let ended = side.ended(id).await;
    assert_eq!((failure(&ended).code, ended.epoch), (Code::Unavailable, Epoch(3)), "{ended:?}");
    assert_eq!(failure(&ended).reason.as_deref(), Some("backend"));
    // It comes back: the connection is made anew.
    let mut upstream = Upstream::at(address).await;
    let id = side.start().await;
    upstream.expect(START).await.done(nothing());
    assert_eq!(side.ended(id).await.state, State::Succeeded);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_taken() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let setup = Setup { grace: Duration::ZERO, ..Setup::polling() };
    let side = setup.open(&dir, &upstream);
    let huge = vec![0; 5 * 1024 * 1024];
    let id = side.start().await;
    upstream.expect(START).await.done(Any::new("a.B", huge.clone()));
    let ended = side.ended(id).await;
    assert_eq!(failure(&ended).reason.as_deref(), Some("too_large"));
    let id = side.start().await;
    upstream.expect(START).await.runs(None);
    upstream.expect(GET).await.done(Any::new("a.B", huge));
    let ended = side.ended(id).await;
    assert_eq!(failure(&ended).reason.as_deref(), Some("too_large"));
    // A frame that announces 4 GiB, and brings nothing.
    let id = side.start().await;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", 0.into());
    let announced = bytes::Bytes::from_static(b"\0\xff\xff\xff\xff");
    upstream.expect(START).await.raw(200, "application/grpc", announced, trailers);
    let ended = side.ended(id).await;
    assert_eq!(failure(&ended).reason.as_deref(), Some("outcome_unknown"));
}
