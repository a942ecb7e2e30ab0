//! Canceling a work request.

use http::Method;
use opgate_bus::core::{CancelDelivery, Outcome, State};
use tempfile::tempdir;

use crate::side::{Setup, delivered, log};
use crate::upstream::{LOOK, Upstream};

#[tokio::test]
async fn a_cancel_is_passed_on_and_the_upstream_says_how_it_ends() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("cancel", "true")]).open(&dir, &upstream);
    for (status, state) in [("CANCELED", State::Canceled), ("SUCCEEDED", State::Succeeded)] {
        let id = side.start().await;
        upstream.start_call().await.start();
        let look = upstream.look().await;
        side.cancel(id).await;
        upstream.expect(&Method::DELETE, LOOK).await.answer(204, &[], "");
        let now = side.until(id, |now| delivered(now, CancelDelivery::Acked)).await;
        assert_eq!((now.state, now.cancel.as_ref().unwrap().attempts), (State::Running, 1));
        look.show("CANCELING", "");
        upstream.look().await.show(status, "");
        assert_eq!(side.ended(id).await.state, state);
    }
    side.stop().await;
}

#[tokio::test]
async fn where_nothing_can_be_canceled_nobody_is_asked() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    let look = upstream.look().await;
    side.cancel(id).await;
    let now = side.until(id, |now| delivered(now, CancelDelivery::Refused)).await;
    assert!(log(&now)[0].contains("cannot be canceled there"), "{now:?}");
    look.show("SUCCEEDED", "");
    assert_eq!(side.ended(id).await.state, State::Succeeded);
    assert!(upstream.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn a_refusal_is_recorded_with_its_reason_and_the_work_goes_on() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("cancel", "true")]).open(&dir, &upstream);
    let (refused, gone) = ("does not cancel it", "does not know what to cancel");
    for (status, said) in [(404, gone), (405, refused), (409, refused), (501, refused)] {
        let id = side.start().await;
        upstream.start_call().await.start();
        let look = upstream.look().await;
        side.cancel(id).await;
        upstream.expect(&Method::DELETE, LOOK).await.refuse(status, "IncorrectState", "has begun");
        let now = side.until(id, |now| delivered(now, CancelDelivery::Refused)).await;
        let text = format!("the upstream {said}: {status} IncorrectState: has begun");
        assert_eq!(log(&now), [text]);
        look.show("SUCCEEDED", "");
        assert_eq!(side.ended(id).await.state, State::Succeeded);
    }
    side.stop().await;
}

#[tokio::test]
async fn a_cancel_that_does_not_arrive_is_told_a_bounded_number_of_times() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("cancel", "true")]).open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    let look = upstream.look().await;
    side.cancel(id).await;
    for _ in 0..3 {
        upstream.expect(&Method::DELETE, LOOK).await.refuse(503, "ServiceUnavailable", "later");
    }
    let now = side.until(id, |now| delivered(now, CancelDelivery::GaveUp)).await;
    assert_eq!(now.cancel.as_ref().unwrap().attempts, 3);
    look.show("SUCCEEDED", "");
    side.ended(id).await;
    side.stop().await;
}

#[tokio::test]
async fn what_is_canceled_before_its_work_request_is_known_is_canceled_once_it_is() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("dialect", "modern")]).open(&dir, &upstream);
    let id = side.start().await;
    let call = upstream.start_call().await;
    side.cancel(id).await;
    call.start();
    // The look and the cancel go out side by side.
    for _ in 0..2 {
        let call = upstream.call().await;
        if call.is(&Method::DELETE, LOOK) {
            call.answer(202, &[], "");
        } else {
            call.refuse(404, "NotAuthorizedOrNotFound", "not yet");
        }
    }
    upstream.look().await.show("CANCELED", "");
    for _ in 0..2 {
        upstream.call().await.answer(200, &[], "[]");
    }
    let ended = side.ended(id).await;
    assert_eq!(ended.outcome, Some(Outcome::Canceled(None)));
    side.stop().await;
}

#[tokio::test]
async fn what_is_ended_by_hand_is_canceled_upstream() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("cancel", "true")]).open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    let look = upstream.look().await;
    side.bus.finish(&side.caller, id, Outcome::Canceled(None)).await.unwrap();
    upstream.expect(&Method::DELETE, LOOK).await.answer(204, &[], "");
    drop(look);
    assert_eq!(side.ended(id).await.state, State::Canceled);
    side.stop().await;
}
