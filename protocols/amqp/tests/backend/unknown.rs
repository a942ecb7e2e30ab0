//! Requests of which nobody knows what became of them.

use std::time::Duration;

use opgate_bus::core::{CancelDelivery, Code, Epoch, State};
use serde_json::json;
use tempfile::tempdir;

use crate::side::{Setup, delivered, failure, logged, result};
use crate::upstream::{Nature, Upstream};

#[tokio::test]
async fn a_connection_lost_before_the_reply_leaves_the_outcome_unknown() {
    for taken in [true, false] {
        let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
        let side = Setup::with(&[]).open(&dir, &upstream);
        let id = side.start().await;
        let call = upstream.call().await;
        if taken {
            call.accept().await;
        }
        call.cut();
        let ended = side.ended(id).await;
        let told = failure(&ended);
        assert_eq!((told.code, told.reason.as_deref()), (Code::Unknown, Some("outcome_unknown")));
        assert_eq!(told.retryable, Some(false));
        assert!(told.message.contains("connection was lost"), "{}", told.message);
        // It is not sent again; the next operation's is, over another connection.
        let next = side.start().await;
        let call = upstream.call().await;
        assert_eq!(call.property("idempotency-key"), Some(next.to_string()));
        call.answer(200, json!(1)).await;
        assert_eq!(side.ended(next).await.state, State::Succeeded);
        assert_eq!(upstream.connections(), 2);
        side.stop().await;
    }
}

#[tokio::test]
async fn where_the_route_says_so_it_is_sent_again_under_the_same_key() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("idempotent", "true")]).open(&dir, &upstream);
    let id = side.start().await;
    let call = upstream.call().await;
    call.accept().await;
    call.cut();
    let again = upstream.call().await;
    assert_eq!(again.property("idempotency-key"), Some(id.to_string()));
    assert_ne!(again.id(), call.id());
    again.answer(200, json!("done")).await;
    assert_eq!(result(&*side.ended(id).await), Some("\"done\""));
    side.stop().await;
}

#[tokio::test]
async fn half_a_connection_is_noticed_by_its_silence() {
    for idempotent in ["false", "true"] {
        let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
        let mut setup = Setup::with(&[("idempotent", idempotent)]);
        setup.idle = Duration::from_secs(2);
        let side = setup.open(&dir, &upstream);
        let id = side.start().await;
        let call = upstream.call().await;
        // Whatever comes is taken, and nothing is said any more: no heartbeats either.
        call.mute();
        if idempotent == "true" {
            let again = upstream.call().await;
            assert_eq!(again.property("idempotency-key"), Some(id.to_string()));
            again.answer(200, json!("done")).await;
            assert_eq!(result(&*side.ended(id).await), Some("\"done\""));
            assert_eq!(upstream.connections(), 2);
        } else {
            let ended = side.ended(id).await;
            let told = failure(&ended);
            assert_eq!(told.reason.as_deref(), Some("outcome_unknown"));
            assert!(told.message.contains("connection was lost"), "{}", told.message);
        }
        assert!(upstream.is_quiet());
        side.stop().await;
    }
}

#[tokio::test]
async fn silence_is_an_unknown_outcome_and_a_late_reply_is_nobodys() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("timeout", "200")]).open(&dir, &upstream);
    let id = side.start().await;
    let call = upstream.call().await;
    assert!(call.properties().contains_key("com.microsoft:server-timeout"));
    let ended = side.ended(id).await;
    assert_eq!(failure(&ended).reason.as_deref(), Some("outcome_unknown"));
    call.answer(200, json!("late")).await;
    assert_eq!(side.ended(id).await.state, State::Failed);
    side.stop().await;
}

#[tokio::test]
async fn what_got_no_credit_was_not_sent_and_is_sent_again() {
    let nature = Nature { credit: 0, ..Nature::default() };
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::of(nature).await);
    let side = Setup::with(&[("timeout", "1000")]).open(&dir, &upstream);
    let id = side.start().await;
    let now = side.until(id, |now| !now.log.is_empty()).await;
    assert!(logged(&now, "the node gave no credit in time"), "{now:?}");
    assert_eq!(&*now.native_state, "", "that it may have been sent is taken back");
    // The link that the next attempt makes.
    upstream.gives(100);
    let call = upstream.call().await;
    assert_eq!(call.property("idempotency-key"), Some(id.to_string()));
    call.answer(200, json!(1)).await;
    let ended = side.ended(id).await;
    assert_eq!(ended.state, State::Succeeded);
    assert!(ended.epoch > Epoch(1), "{ended:?}");
    assert!(upstream.is_quiet(), "it came once");
    side.stop().await;
}

#[tokio::test]
async fn more_than_there_is_credit_for_waits_for_it() {
    let nature = Nature { credit: 1, ..Nature::default() };
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::of(nature).await);
    let mut setup = Setup::with(&[("timeout", "20000")]);
    setup.timeout = Duration::from_secs(20);
    let side = setup.open(&dir, &upstream);
    let (first, second) = (side.start().await, side.start().await);
    let call = upstream.call().await;
    // The other one waits for credit: its request may not be on the way.
    call.credit(1).await;
    let other = upstream.call().await;
    other.answer(200, json!(2)).await;
    call.answer(200, json!(1)).await;
    for id in [first, second] {
        assert_eq!(side.ended(id).await.state, State::Succeeded);
    }
    side.stop().await;
}

#[tokio::test]
async fn who_never_gives_credit_is_not_reached_and_nothing_is_unknown() {
    let nature = Nature { credit: 0, ..Nature::default() };
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::of(nature).await);
    let side = Setup::with(&[("timeout", "300")]).open(&dir, &upstream);
    let id = side.start().await;
    let ended = side.ended(id).await;
    let told = failure(&ended);
    assert_eq!(told.code, Code::Unavailable, "{told:?}");
    assert!(told.message.contains("not sent") && told.message.contains("credit"), "{told:?}");
    assert_eq!(&*ended.native_state, "");
    assert!(upstream.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn a_request_that_is_with_the_node_cannot_be_called_back() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[]).open(&dir, &upstream);
    let id = side.start().await;
    let call = upstream.call().await;
    side.cancel(id).await;
    let now = side.until(id, |now| delivered(now, CancelDelivery::Refused)).await;
    assert!(logged(&now, "cannot be canceled"), "{now:?}");
    call.answer(200, json!("done")).await;
    assert_eq!(result(&*side.ended(id).await), Some("\"done\""));
    side.stop().await;
}
