//! Passing a cancel on.

use bytes::Bytes;
use opgate_bus::core::{CancelDelivery, Outcome, State};
use opgate_rpc::proto::{Any, Status};
use tempfile::tempdir;

use crate::side::{Setup, delivered, log};
use crate::upstream::{CANCEL, GET, NAME, Operation, START, Upstream, WAIT};

fn canceled() -> Operation {
    let status = Status { code: 1, message: "canceled".to_owned(), details: Vec::new() };
    Operation { name: NAME.to_owned(), done: true, error: Some(status), ..Operation::default() }
}

fn thing() -> Any {
    Any::new("acme.v1.Thing", Bytes::new())
}

#[tokio::test]
async fn a_cancel_that_is_taken_is_looked_after_at_once() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let id = side.start().await;
    upstream.expect(START).await.runs(None);
    let wait = upstream.expect(WAIT).await;
    side.cancel(id).await;
    let cancel = upstream.expect(CANCEL).await;
    assert_eq!(cancel.named().name, NAME);
    cancel.message(b"");
    side.until(id, |now| delivered(now, CancelDelivery::Acked)).await;
    upstream.expect(GET).await.show(&canceled());
    assert_eq!(side.ended(id).await.state, State::Canceled);
    drop(wait);
}

#[tokio::test]
async fn who_does_not_cancel_says_so_and_the_operation_goes_on() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::polling().open(&dir, &upstream);
    for (code, word) in [(12, "UNIMPLEMENTED"), (9, "FAILED_PRECONDITION"), (5, "NOT_FOUND")] {
        let id = side.start().await;
        upstream.expect(START).await.runs(None);
        let get = upstream.expect(GET).await;
        side.cancel(id).await;
        upstream.expect(CANCEL).await.refuse(code, "no", Vec::new());
        let now = side.until(id, |now| delivered(now, CancelDelivery::Refused)).await;
        assert!(log(&now)[0].contains(&format!("{word}: no")), "{now:?}");
        get.done(thing());
        assert_eq!(side.ended(id).await.state, State::Succeeded);
    }
    assert!(upstream.is_quiet());
}

#[tokio::test]
async fn who_is_not_reached_is_told_again_and_not_for_ever() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::polling().open(&dir, &upstream);
    for (passing, end) in [(2, CancelDelivery::Acked), (3, CancelDelivery::GaveUp)] {
        let id = side.start().await;
        upstream.expect(START).await.runs(None);
        let get = upstream.expect(GET).await;
        side.cancel(id).await;
        for _ in 0..passing {
            upstream.expect(CANCEL).await.refuse(14, "draining", Vec::new());
        }
        if end == CancelDelivery::Acked {
            upstream.expect(CANCEL).await.message(b"");
            side.until(id, |now| delivered(now, end)).await;
            upstream.expect(GET).await.done(thing());
        } else {
            side.until(id, |now| delivered(now, end)).await;
            get.done(thing());
        }
        assert_eq!(side.ended(id).await.state, State::Succeeded);
    }
}

#[tokio::test]
async fn a_route_may_say_that_there_are_no_cancels() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let setup = Setup { waits: 0, ..Setup::with(&[("cancel", "false")]) };
    let side = setup.open(&dir, &upstream);
    let id = side.start().await;
    upstream.expect(START).await.runs(None);
    let get = upstream.expect(GET).await;
    side.cancel(id).await;
    side.until(id, |now| delivered(now, CancelDelivery::Refused)).await;
    get.done(thing());
    assert_eq!(side.ended(id).await.state, State::Succeeded);
    assert!(upstream.is_quiet());
}

#[tokio::test]
async fn a_cancel_before_the_name_is_known_goes_as_soon_as_it_is() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::polling().open(&dir, &upstream);
    let id = side.start().await;
    let call = upstream.expect(START).await;
    side.cancel(id).await;
    call.runs(None);
    let mut calls = [upstream.call().await, upstream.call().await];
    calls.sort_by_key(|call| call.path() != CANCEL);
    let [cancel, get] = calls;
    assert_eq!((cancel.path(), get.path()), (CANCEL, GET));
    cancel.message(b"");
    side.until(id, |now| delivered(now, CancelDelivery::Acked)).await;
    upstream.expect(GET).await.show(&canceled());
    assert_eq!(side.ended(id).await.state, State::Canceled);
    drop(get);
}

#[tokio::test]
async fn what_ends_by_hand_here_is_canceled_there() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::polling().open(&dir, &upstream);
    let id = side.start().await;
    upstream.expect(START).await.runs(None);
    let get = upstream.expect(GET).await;
    side.bus.finish(&side.caller, id, Outcome::Succeeded(None)).await.unwrap();
    let cancel = upstream.expect(CANCEL).await;
    assert_eq!(cancel.named().name, NAME);
    cancel.message(b"");
    drop(get);
}
