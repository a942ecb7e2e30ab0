//! Following an operation that runs upstream.

use std::time::Duration;

use opgate_bus::ORPHANED;
use opgate_bus::core::{Code, Outcome, State};
use opgate_rpc::proto::{Any, ErrorInfo};
use prost_types::value::Kind;
use tempfile::tempdir;

use crate::side::{Setup, log};
use crate::upstream::{GET, NAME, START, Upstream, WAIT};

/// Metadata that tells how far it is.
fn progress(percent: f64, message: &str) -> Any {
    let value = |kind| prost_types::Value { kind: Some(kind) };
    let fields = [
        ("progressPercent".to_owned(), value(Kind::NumberValue(percent))),
        ("statusMessage".to_owned(), value(Kind::StringValue(message.to_owned()))),
        ("state".to_owned(), value(Kind::StringValue("BAKING".to_owned()))),
    ];
    Any::pack("google.protobuf.Struct", &prost_types::Struct { fields: fields.into() })
}

fn thing() -> Any {
    Any::new("acme.v1.Thing", "")
}

#[tokio::test]
async fn what_metadata_tells_is_told_here() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let id = side.start().await;
    upstream.expect(START).await.runs(Some(progress(10.0, "mixing")));
    let now = side.running(id).await;
    let told = now.progress.as_deref().unwrap();
    assert_eq!(
        (told.percent, &*told.message, &*now.native_state),
        (Some(10.0), "mixing", "BAKING")
    );
    upstream.expect(WAIT).await.runs(Some(progress(40.0, "")));
    let now = side
        .until(id, |now| now.progress.as_ref().is_some_and(|now| now.percent == Some(40.0)))
        .await;
    assert_eq!(&*now.progress.as_ref().unwrap().message, "mixing");
    // What is no news is no change, and of what is not known nothing is told.
    upstream.expect(WAIT).await.runs(Some(progress(40.0, "")));
    upstream.expect(WAIT).await.runs(Some(Any::new("acme.v1.Metadata", &b"\xff"[..])));
    let wait = upstream.expect(WAIT).await;
    let later = side.bus.get(&side.caller, id).await.unwrap();
    assert_eq!(&*later.native_state, "RUNNING");
    wait.done(thing());
    assert_eq!(side.ended(id).await.state, State::Succeeded);
}

#[tokio::test]
async fn a_service_without_waits_is_asked_and_not_again_whether_it_has_them() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    for waits in [true, false] {
        let id = side.start().await;
        upstream.expect(START).await.runs(None);
        if waits {
            upstream.expect(WAIT).await.refuse(12, "no such method", Vec::new());
        }
        let get = upstream.expect(GET).await;
        assert_eq!(get.named().name, NAME);
        get.runs(None);
        upstream.expect(GET).await.done(thing());
        assert_eq!(side.ended(id).await.state, State::Succeeded);
    }
    assert!(upstream.is_quiet());
}

#[tokio::test]
async fn who_finds_no_room_to_wait_asks() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup { waits: 1, ..Setup::default() }.open(&dir, &upstream);
    let first = side.start().await;
    upstream.expect(START).await.runs(None);
    let wait = upstream.expect(WAIT).await;
    let second = side.start().await;
    upstream.expect(START).await.runs(None);
    upstream.expect(GET).await.done(thing());
    assert_eq!(side.ended(second).await.state, State::Succeeded);
    wait.done(thing());
    assert_eq!(side.ended(first).await.state, State::Succeeded);
}

#[tokio::test]
async fn a_wait_that_comes_to_nothing_is_no_trouble() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let id = side.start().await;
    upstream.expect(START).await.runs(None);
    // As servers do that take their own time for the caller's, and those that go.
    for code in [4, 14] {
        upstream.expect(WAIT).await.refuse(code, "later", Vec::new());
        upstream.expect(GET).await.runs(None);
    }
    drop(upstream.expect(WAIT).await);
    upstream.expect(GET).await.runs(None);
    // One that is not allowed is not asked for again.
    upstream.expect(WAIT).await.refuse(7, "not you", Vec::new());
    upstream.expect(GET).await.runs(None);
    upstream.expect(GET).await.done(thing());
    let ended = side.ended(id).await;
    assert_eq!((ended.state, log(&ended)), (State::Succeeded, vec![]));
}

#[tokio::test]
async fn trouble_never_ends_an_operation_and_is_told_once_for_as_long_as_it_lasts() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::polling().open(&dir, &upstream);
    let id = side.start().await;
    upstream.expect(START).await.runs(None);
    for _ in 0..4 {
        upstream.expect(GET).await.refuse(14, "draining", Vec::new());
    }
    drop(upstream.expect(GET).await);
    upstream.expect(GET).await.runs(None);
    upstream.expect(GET).await.refuse(8, "too often", Vec::new());
    upstream.expect(GET).await.done(thing());
    let ended = side.ended(id).await;
    let lines = log(&ended);
    assert_eq!((ended.state, lines.len()), (State::Succeeded, 2), "{lines:?}");
    assert!(lines[0].contains("UNAVAILABLE: draining"), "{lines:?}");
    assert!(lines[1].contains("RESOURCE_EXHAUSTED: too often"), "{lines:?}");
}

#[tokio::test]
async fn what_is_not_found_any_more_is_looked_for_a_while() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let setup = Setup { grace: Duration::from_millis(100), ..Setup::polling() };
    let side = setup.open(&dir, &upstream);
    // It comes back.
    let id = side.start().await;
    upstream.expect(START).await.runs(None);
    upstream.expect(GET).await.refuse(5, "who?", Vec::new());
    let look = upstream.expect(GET).await;
    side.until(id, |now| &*now.native_state == ORPHANED).await;
    look.done(thing());
    assert_eq!(side.ended(id).await.state, State::Succeeded);
    // It does not.
    let id = side.start().await;
    upstream.expect(START).await.runs(None);
    let detail = Any::pack(ErrorInfo::NAME, &ErrorInfo::default());
    let ended = loop {
        tokio::select! {
            call = upstream.expect(GET) => call.refuse(5, "who?", vec![detail.clone()]),
            ended = side.ended(id) => break ended,
        }
    };
    let Some(Outcome::Failed(failure)) = &ended.outcome else { panic!("{ended:?}") };
    assert_eq!((failure.code, failure.reason.as_deref()), (Code::Unavailable, Some("record_lost")));
    assert!(failure.message.contains("who?"));
}

#[tokio::test]
async fn a_restart_does_not_begin_the_grace_anew() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::polling().open(&dir, &upstream);
    let id = side.start().await;
    upstream.expect(START).await.runs(None);
    upstream.expect(GET).await.refuse(5, "who?", Vec::new());
    let held = upstream.expect(GET).await;
    side.until(id, |now| &*now.native_state == ORPHANED).await;
    side.stop().await;
    drop(held);
    // That is longer ago now than what is borne: the first look is the last.
    let side = Setup { grace: Duration::from_nanos(1), ..Setup::polling() }.open(&dir, &upstream);
    upstream.expect(GET).await.refuse(5, "who?", Vec::new());
    let ended = side.ended(id).await;
    assert_eq!((ended.state, log(&ended).len()), (State::Failed, 1), "{ended:?}");
    assert!(upstream.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn what_is_no_operation_is_borne_a_while_and_then_is_the_end() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup { grace: Duration::ZERO, ..Setup::polling() }.open(&dir, &upstream);
    for (answer, code) in [(&b"\xff\xff"[..], Code::Unknown), (b"", Code::Unimplemented)] {
        let id = side.start().await;
        upstream.expect(START).await.runs(None);
        let call = upstream.expect(GET).await;
        if answer.is_empty() {
            call.refuse(12, "?", Vec::new());
        } else {
            call.message(answer);
        }
        let ended = side.ended(id).await;
        let Some(Outcome::Failed(failure)) = &ended.outcome else { panic!("{ended:?}") };
        assert_eq!((failure.code, failure.reason.as_deref()), (code, Some("unreadable")));
    }
}
