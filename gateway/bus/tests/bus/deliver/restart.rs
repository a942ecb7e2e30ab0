//! What a process that stops leaves to the next one, and what the loop misses.

use std::sync::Arc;
use std::time::Duration;

use opgate_bus::core::{DeliveryState, Timestamp};
use opgate_bus::{Callbacks, Told};
use opgate_store::{Clock, FEED_CAPACITY, ManualClock};
use tempfile::tempdir;

use super::support::{Post, SECOND, callbacks, later, owing};
use crate::support::{PanicsOnce, Setup, start, stopped_clock};

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_under_way_is_made_again_by_the_next_process_under_its_number() {
    let dir = tempdir().unwrap();
    let mut post = Post::open(&dir, callbacks());
    let id = post.owe(&["http://a/1"]).await;
    post.call().await.comes_to(later("busy"));
    let rest = post.rest(id, 1).await;
    // A timer keeps whole milliseconds.
    post.pass(rest + SECOND / 1000).await;
    let cut = post.call().await;
    assert_eq!(cut.notice.attempt, 2);
    let drained = tokio::spawn({
        let bus = post.bench.bus.clone();
        async move { bus.drain().await }
    });
    post.nothing_happens().await;
    assert!(!cut.is_given_up(), "it has a moment to end");
    post.pass(SECOND * 2).await;
    drained.await.unwrap();
    assert!(cut.is_given_up());
    let clock = post.clock.clone();
    drop(post);

    let mut post = Post::at(Setup::at(&dir), clock, callbacks());
    let call = post.call().await;
    assert_eq!((call.id(), call.notice.attempt), (id, 2));
    call.comes_to(Told::Taken);
    let delivery = post.settled(id, DeliveryState::Delivered).await;
    assert_eq!(delivery.attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_ends_during_the_drain_is_on_record() {
    let dir = tempdir().unwrap();
    let mut post = Post::open(&dir, callbacks());
    let id = post.owe(&["http://a/1"]).await;
    let call = post.call().await;
    let quiesced = tokio::spawn({
        let bus = post.bench.bus.clone();
        async move { bus.quiesce().await }
    });
    post.nothing_happens().await;
    call.comes_to(Told::Taken);
    quiesced.await.unwrap();
    post.settled(id, DeliveryState::Delivered).await;
}

#[tokio::test(start_paused = true)]
async fn the_next_process_sits_out_what_is_left_of_a_rest_whatever_the_clock_says() {
    let dir = tempdir().unwrap();
    let mut post = Post::open(&dir, callbacks());
    let id = post.owe(&["http://a/1"]).await;
    let after = Some(SECOND * 50);
    post.call().await.comes_to(Told::Later { problem: "full".to_owned(), after });
    assert_eq!(post.rest(id, 1).await, SECOND * 50);
    post.bench.bus.drain().await;
    let clock = post.clock.clone();
    drop(post);

    let mut post = Post::at(Setup::at(&dir), clock, callbacks());
    post.pass(SECOND * 49).await;
    post.nothing_happens().await;
    post.pass(SECOND).await;
    post.call().await.comes_to(later("busy"));
    post.rest(id, 2).await;
    post.bench.bus.drain().await;
    drop(post);

    // A clock set back by a day makes nobody wait for a day.
    let day = Duration::from_hours(24);
    let back =
        Clock::Manual(stopped_clock()).now().nanos() - i64::try_from(day.as_nanos()).unwrap();
    let clock = ManualClock::at(Timestamp::from_nanos(back));
    let mut post = Post::at(Setup::at(&dir), clock, Callbacks { longest: SECOND, ..callbacks() });
    let mut waited = 0;
    let call = loop {
        post.pass(SECOND).await;
        waited += 1;
        if let Some(call) = post.calls().await.pop() {
            break call;
        }
        assert!(waited < 1000, "a clock that was set back makes it wait");
    };
    call.comes_to(Told::Taken);
    post.settled(id, DeliveryState::Delivered).await;
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_the_table_waits_on_disk_and_is_found_again() {
    let dir = tempdir().unwrap();
    // Nobody delivers in this one: all of it is left to the next.
    let first = Setup::at(&dir).open();
    let mut owed = Vec::new();
    for n in 0..600 {
        let url = format!("http://a/{n}");
        owed.push(first.bus.start(&first.caller, owing(&[&url])).await.unwrap().snapshot.id);
    }
    first.bus.drain().await;
    drop(first);

    let small = Callbacks { owed: 8, ..callbacks() };
    let mut post = Post::at(Setup::at(&dir), stopped_clock(), small);
    assert_eq!(post.bench.store.owed(), 600);
    for _ in 0..600 {
        post.call().await.comes_to(Told::Taken);
    }
    for id in owed {
        post.settled(id, DeliveryState::Delivered).await;
    }
    assert_eq!(post.bench.store.owed(), 0);
}

/// The loop does not run while this blocks its only thread, and so the feed runs ahead of it.
#[tokio::test(start_paused = true)]
async fn what_the_feed_did_not_tell_is_found_in_the_index() {
    let dir = tempdir().unwrap();
    let mut post = Post::open(&dir, callbacks());
    post.nothing_happens().await;
    let (bus, caller) = (post.bench.bus.clone(), post.bench.caller.clone());
    let beside = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let owes = bus.start(&caller, owing(&["http://a/1"])).await.unwrap().snapshot.id;
            let mut starts = tokio::task::JoinSet::new();
            for _ in 0..=FEED_CAPACITY {
                let (bus, caller) = (bus.clone(), caller.clone());
                starts.spawn(async move { bus.start(&caller, start("done")).await.unwrap() });
            }
            starts.join_all().await;
            owes
        })
    });
    let owes = beside.join().unwrap();
    let call = post.call().await;
    assert_eq!(call.id(), owes);
    call.comes_to(Told::Taken);
    post.settled(owes, DeliveryState::Delivered).await;
}

#[tokio::test(start_paused = true)]
async fn a_defect_of_the_loop_does_not_end_the_delivery() {
    let dir = tempdir().unwrap();
    // The loop tells the log of what it cannot name the destination of, and there it panics, once.
    let log = Arc::new(PanicsOnce::of("::deliver::attempt"));
    let _log = tracing::subscriber::set_default(Arc::clone(&log));
    let mut post = Post::open(&dir, callbacks());
    let id = post.owe(&["http://panic/1"]).await;
    while !log.panicked() {
        tokio::task::yield_now().await;
    }
    post.pass(SECOND).await;
    post.call().await.comes_to(Told::Taken);
    post.settled(id, DeliveryState::Delivered).await;
}
