//! What a process leaves to the next one.

use http::Method;
use opgate_bus::core::{CancelDelivery, Epoch, State};
use tempfile::tempdir;

use crate::side::{Setup, delivered, log};
use crate::upstream::{ID, LOOK, Upstream};

#[tokio::test]
async fn what_has_a_work_request_is_never_started_again() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let lines = |more: &str| {
        format!(
            r#""percentComplete":40,
               "logs":[{{"message":"timeless"}},
                       {{"message":"one","timestamp":"2026-01-02T03:04:05Z"}}{more}]"#
        )
    };
    let first = Setup::default().open(&dir, &upstream);
    let id = first.start().await;
    upstream.start_call().await.start();
    upstream.look().await.show("IN_PROGRESS", &lines(""));
    first.until(id, |now| now.log.len() == 2).await;
    let look = upstream.look().await;
    first.stop().await;
    drop(look);

    let second = Setup::default().open(&dir, &upstream);
    let look = upstream.look().await;
    let resumed = second.until(id, |now| now.epoch == Epoch(2)).await;
    assert_eq!(resumed.routed.native_ref, ID);
    look.show("SUCCEEDED", &lines(r#",{"message":"two","timestamp":"2026-01-02T03:04:06Z"}"#));
    let ended = second.ended(id).await;
    // Nothing is told twice.
    assert_eq!((ended.state, log(&ended)), (State::Succeeded, vec!["one", "timeless", "two"]));
    assert!(upstream.is_quiet());
    second.stop().await;
}

#[tokio::test]
async fn a_start_of_which_nobody_knows_is_sent_again_as_the_same() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let first = Setup::default().open(&dir, &upstream);
    let id = first.start().await;
    let call = upstream.start_call().await;
    let token = call.header("opc-retry-token").unwrap().to_owned();
    first.stop().await;
    drop(call);

    let second = Setup::default().open(&dir, &upstream);
    let call = upstream.start_call().await;
    assert_eq!(call.header("opc-retry-token"), Some(&*token));
    call.start();
    assert_eq!(second.running(id).await.epoch, Epoch(2));
    upstream.look().await.show("SUCCEEDED", "");
    second.ended(id).await;
    second.stop().await;
}

#[tokio::test]
async fn a_cancel_that_was_taken_is_not_sent_again_and_one_that_was_not_is() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let setup = Setup::with(&[("cancel", "true")]);
    for taken in [true, false] {
        let first = setup.open(&dir, &upstream);
        let id = first.start().await;
        upstream.start_call().await.start();
        let look = upstream.look().await;
        first.cancel(id).await;
        let cancel = upstream.expect(&Method::DELETE, LOOK).await;
        if taken {
            cancel.answer(204, &[], "");
            first.until(id, |now| delivered(now, CancelDelivery::Acked)).await;
            first.stop().await;
        } else {
            first.stop().await;
            drop(cancel);
        }
        drop(look);

        let second = setup.open(&dir, &upstream);
        let mut looks = Vec::new();
        for _ in 0..(if taken { 1 } else { 2 }) {
            let call = upstream.call().await;
            if call.is(&Method::DELETE, LOOK) {
                assert!(!taken);
                call.answer(204, &[], "");
            } else {
                looks.push(call);
            }
        }
        second.until(id, |now| delivered(now, CancelDelivery::Acked)).await;
        looks.pop().unwrap().show("CANCELED", "");
        assert_eq!(second.ended(id).await.state, State::Canceled);
        assert!(upstream.is_quiet());
        second.stop().await;
    }
}
