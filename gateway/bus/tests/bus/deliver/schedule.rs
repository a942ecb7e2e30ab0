//! When callbacks are attempted, and what becomes of them.

use std::time::Duration;

use opgate_bus::core::{DeliveryState, ErrorKind};
use opgate_bus::{Callbacks, Told};
use tempfile::tempdir;

use super::support::{Post, SECOND, callbacks, later, owing};
use crate::support::{RETENTION, kind};

/// The rest after an attempt: what doubling gives, a fifth more or less.
fn about(rest: Duration, full: Duration) -> bool {
    (full.mul_f64(0.8)..=full.mul_f64(1.2)).contains(&rest)
}

#[tokio::test(start_paused = true)]
async fn a_callback_is_told_when_its_operation_has_ended_and_told_once() {
    let dir = tempdir().unwrap();
    let mut post = Post::open(&dir, callbacks());
    let start = opgate_bus::Start {
        callbacks: owing(&["http://a/1"]).callbacks,
        ..crate::support::start("hold")
    };
    let id = post.bench.bus.start(&post.bench.caller, start).await.unwrap().snapshot.id;
    post.bench.script.running(1).await;
    post.nothing_happens().await;
    post.bench.script.open_gate();
    let call = post.call().await;
    assert_eq!((call.id(), call.notice.callback, call.notice.attempt), (id, 0, 1));
    assert!(call.notice.operation.is_done());
    post.pass(SECOND).await;
    call.comes_to(Told::Taken);
    let delivery = post.settled(id, DeliveryState::Delivered).await;
    assert_eq!((delivery.attempts, delivery.next, &*delivery.problem), (1, None, ""));
    assert_eq!(delivery.last, Some(post.now()));
    post.pass(RETENTION).await;
    post.nothing_happens().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_is_told_again_after_longer_and_longer() {
    let dir = tempdir().unwrap();
    let mut post = Post::open(&dir, callbacks());
    let id = post.owe(&["http://a/1"]).await;
    for (attempt, full) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
        let call = post.call().await;
        assert_eq!(call.notice.attempt, attempt);
        call.comes_to(later("busy"));
        let rest = post.rest(id, attempt).await;
        assert!(about(rest, SECOND * full), "{attempt}: {rest:?}");
        post.pass(rest.saturating_sub(Duration::from_millis(2))).await;
        post.nothing_happens().await;
        post.pass(Duration::from_millis(3)).await;
    }
    post.call().await.comes_to(Told::Taken);
    let delivery = post.settled(id, DeliveryState::Delivered).await;
    assert_eq!((delivery.attempts, &*delivery.problem), (5, ""));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_says_how_long_it_wants_to_be_left_alone_within_the_longest() {
    let dir = tempdir().unwrap();
    let mut post = Post::open(&dir, callbacks());
    let id = post.owe(&["http://a/1"]).await;
    let asks = [(30, 30), (5000, 100)];
    for (attempt, (asked, given)) in (1..).zip(asks) {
        let after = Some(SECOND * asked);
        post.call().await.comes_to(Told::Later { problem: "full".to_owned(), after });
        assert_eq!(post.rest(id, attempt).await, SECOND * given);
        post.pass(SECOND * given).await;
    }
    post.call().await.comes_to(Told::Taken);
    post.settled(id, DeliveryState::Delivered).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_a_dead_letter_until_somebody_redrives_it() {
    let dir = tempdir().unwrap();
    let mut post = Post::open(&dir, callbacks());
    let id = post.owe(&["http://a/1", "http://b/2"]).await;
    let (first, second) = (post.call().await, post.call().await);
    let (a, b) =
        if first.url().starts_with("http://a") { (first, second) } else { (second, first) };
    a.comes_to(Told::Refused { problem: "404 Not Found".to_owned() });
    let dead = post.settled(id, DeliveryState::Dead).await;
    assert_eq!((dead.attempts, &*dead.problem, dead.next), (1, "404 Not Found", None));
    // The other one's attempt is under way, and not owed twice by that.
    let (bus, caller) = (post.bench.bus.clone(), post.bench.caller.clone());
    bus.redrive(&caller, id).await.unwrap();
    let again = post.call().await;
    assert_eq!((again.url(), again.notice.attempt), ("http://a/1", 1));
    post.nothing_happens().await;
    again.comes_to(Told::Taken);
    b.comes_to(Told::Taken);
    post.settled(id, DeliveryState::Delivered).await;
    post.delivery(id, 1, |delivery| delivery.state == DeliveryState::Delivered).await;
    assert_eq!(kind(bus.redrive(&caller, id).await), ErrorKind::FailedPrecondition);
    assert_eq!(post.bench.store.owed(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_too_long_is_given_up_and_a_redrive_begins_anew() {
    let dir = tempdir().unwrap();
    let mut post = Post::open(&dir, callbacks());
    let id = post.owe(&["http://a/1"]).await;
    post.call().await.comes_to(later("busy"));
    post.rest(id, 1).await;
    post.pass(SECOND * 1000).await;
    post.call().await.comes_to(later("still busy"));
    let dead = post.settled(id, DeliveryState::Dead).await;
    assert_eq!((dead.attempts, &*dead.problem), (2, "given up after 1000 s: still busy"));
    post.bench.bus.redrive(&post.bench.caller, id).await.unwrap();
    let call = post.call().await;
    assert_eq!(call.notice.attempt, 1);
    call.comes_to(later("busy"));
    // Its time is counted from the redrive.
    assert!(about(post.rest(id, 1).await, SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_fails_in_a_row_is_left_alone_and_holds_nobody_up() {
    let dir = tempdir().unwrap();
    let mut post = Post::open(&dir, Callbacks { per_destination: 1, failures: 2, ..callbacks() });
    let mut dead = Vec::new();
    for n in 0..4 {
        dead.push(post.owe(&[&format!("http://dead/{n}")]).await);
    }
    for _ in 0..2 {
        let call = post.call().await;
        let id = call.id();
        call.comes_to(later("no answer"));
        post.rest(id, 1).await;
    }
    let versions = |post: &Post, ids: &[_]| {
        let snapshot = |id: &_| post.bench.bus.peek(&post.bench.caller, *id).unwrap().unwrap();
        ids.iter().map(|id| snapshot(id).version).collect::<Vec<_>>()
    };
    let before = versions(&post, &dead);
    post.pass(SECOND * 59).await;
    post.nothing_happens().await;
    assert_eq!(versions(&post, &dead), before, "waiting is no attempt, and no write");
    let id = post.owe(&["http://alive/1"]).await;
    let call = post.call().await;
    assert_eq!(call.url(), "http://alive/1");
    call.comes_to(Told::Taken);
    post.settled(id, DeliveryState::Delivered).await;

    post.pass(SECOND).await;
    let probe = post.call().await;
    post.nothing_happens().await;
    let id = probe.id();
    probe.comes_to(Told::Taken);
    post.settled(id, DeliveryState::Delivered).await;
    for _ in 0..3 {
        post.call().await.comes_to(Told::Taken);
    }
    for id in dead {
        post.settled(id, DeliveryState::Delivered).await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_so_many_attempts_are_under_way_in_all_and_to_one_destination() {
    let dir = tempdir().unwrap();
    let mut post =
        Post::open(&dir, Callbacks { concurrency: 3, per_destination: 2, ..callbacks() });
    for n in 0..4 {
        post.owe(&[&format!("http://slow/{n}")]).await;
    }
    // Destinations take turns: these two are under way before there is another.
    let slow = [post.call().await, post.call().await];
    post.nothing_happens().await;
    post.owe(&["http://other/1", "http://third/1"]).await;
    let other = post.call().await;
    assert!(!other.url().contains("slow"), "{}", other.url());
    post.nothing_happens().await;
    for call in slow.into_iter().chain([other]) {
        call.comes_to(Told::Taken);
    }
    for _ in 0..3 {
        post.call().await.comes_to(Told::Taken);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_over_one_callback_is_a_failed_attempt_of_it_and_no_more() {
    let dir = tempdir().unwrap();
    let mut post = Post::open(&dir, callbacks());
    let id = post.owe(&["http://a/1"]).await;
    drop(post.call().await);
    assert!(about(post.rest(id, 1).await, SECOND));
    let nowhere = post.owe(&["http://panic/1"]).await;
    let call = post.call().await;
    assert_eq!(call.id(), nowhere);
    call.comes_to(Told::Taken);
    post.settled(nowhere, DeliveryState::Delivered).await;
    post.pass(SECOND * 2).await;
    post.call().await.comes_to(Told::Taken);
    let delivery = post.settled(id, DeliveryState::Delivered).await;
    assert_eq!(delivery.attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn while_too_much_is_owed_starts_that_bring_more_are_refused_and_others_are_not() {
    let dir = tempdir().unwrap();
    let mut post = Post::open(&dir, Callbacks { owed: 2, ..callbacks() });
    let (bus, caller) = (post.bench.bus.clone(), post.bench.caller.clone());
    let id = post.owe(&["http://a/1", "http://a/2"]).await;
    let refused = bus.start(&caller, owing(&["http://a/3"])).await;
    assert_eq!(kind(refused), ErrorKind::TooManyRequests);
    post.owe(&[]).await;
    post.call().await.comes_to(Told::Taken);
    post.call().await.comes_to(Told::Taken);
    post.settled(id, DeliveryState::Delivered).await;
    post.delivery(id, 1, |delivery| delivery.state == DeliveryState::Delivered).await;
    post.owe(&["http://a/3"]).await;
}
