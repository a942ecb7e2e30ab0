//! What a process leaves to the next one.

use std::sync::Arc;
use std::time::Duration;

use opgate_bus::core::{Code, Epoch, Outcome, State};
use opgate_bus::{Durability, Start, Until};
use opgate_store::Clock;
use tempfile::{TempDir, tempdir};

use crate::support::{LONG, PanicsOnce, Setup, start, stopped_clock, succeeded};

fn synced(dir: &TempDir) -> Setup {
    let mut setup = Setup::at(dir);
    setup.store.durability = Durability::Fsync;
    setup
}

#[tokio::test]
async fn a_drain_gives_leases_back_and_the_next_process_goes_on() {
    let dir = tempdir().unwrap();
    let first = Setup { concurrency: 1, ..synced(&dir) }.open();
    let running = first.start("hold").await;
    first.script.running(1).await;
    let queued = first.start("quick").await;
    first.bus.drain().await;
    first.script.running(0).await;
    let left = first.bus.get(&first.caller, running).await.unwrap();
    assert_eq!((left.state, left.epoch), (State::Running, Epoch(1)));
    drop(first);

    let second = Setup { concurrency: 1, ..synced(&dir) }.open();
    let resumed = second.until(running, |now| now.epoch == Epoch(2)).await;
    assert_eq!(resumed.state, State::Running);
    assert_eq!(resumed.times.started, left.times.started);
    second.script.open_gate();
    assert_eq!(second.ended(running).await.outcome, Some(succeeded("held")));
    assert_eq!(second.ended(queued).await.outcome, Some(succeeded("quick")));
}

#[tokio::test]
async fn a_drain_waits_for_what_is_held_and_gives_the_rest_back_at_once() {
    let dir = tempdir().unwrap();
    let mut setup = synced(&dir);
    setup.options.grace = LONG;
    let bench = setup.open();
    let (held, other) = (bench.start("grip").await, bench.start("hold").await);
    bench.script.running(2).await;
    let draining = tokio::spawn({
        let bus = bench.bus.clone();
        async move { bus.drain().await }
    });
    bench.script.running(1).await;
    assert!(!draining.is_finished());
    bench.script.open_gate();
    tokio::time::timeout(LONG, draining).await.unwrap().unwrap();
    let ended = bench.bus.get(&bench.caller, held).await.unwrap();
    assert_eq!(ended.outcome, Some(succeeded("gripped")));
    assert_eq!(bench.bus.get(&bench.caller, other).await.unwrap().state, State::Running);
}

#[tokio::test]
async fn what_is_held_for_longer_than_a_drain_may_take_is_given_back() {
    let dir = tempdir().unwrap();
    let mut setup = synced(&dir);
    setup.options.grace = Duration::from_millis(20);
    let bench = setup.open();
    let held = bench.start("grip").await;
    bench.script.running(1).await;
    tokio::time::timeout(LONG, bench.bus.drain()).await.unwrap();
    bench.script.running(0).await;
    assert_eq!(bench.bus.get(&bench.caller, held).await.unwrap().state, State::Running);
}

#[tokio::test]
async fn a_drain_answers_waits() {
    let dir = tempdir().unwrap();
    let bench = synced(&dir).open();
    let id = bench.start("hold").await;
    bench.script.running(1).await;
    // The wait is polled first, and so it has begun when the drain does.
    let wait = bench.bus.wait(&bench.caller, id, Until::Done, Duration::MAX);
    let both = async { tokio::join!(wait, bench.bus.drain()) };
    let (answered, ()) = tokio::time::timeout(LONG, both).await.unwrap();
    assert_eq!(answered.unwrap().state, State::Running);
}

#[tokio::test]
async fn a_deadline_outlives_the_process() {
    let dir = tempdir().unwrap();
    let clock = stopped_clock();
    let setup = || Setup { clock: Clock::Manual(clock.clone()), ..synced(&dir) };
    let limit = Duration::from_millis(20);
    let first = setup().open();
    let limited = Start { deadline: Some(limit), ..start("hold") };
    let id = first.bus.start(&first.caller, limited).await.unwrap().snapshot.id;
    first.script.running(1).await;
    first.bus.drain().await;
    drop(first);

    let second = setup().open();
    second.script.running(1).await;
    clock.advance(limit);
    let ended = second.ended(id).await;
    let failure = ended.outcome.as_ref().and_then(Outcome::failure).unwrap();
    assert_eq!((failure.code, ended.epoch), (Code::DeadlineExceeded, Epoch(2)));
}

#[tokio::test]
async fn what_became_overdue_in_between_is_ended_without_another_lease() {
    let dir = tempdir().unwrap();
    let clock = stopped_clock();
    let setup = || Setup { clock: Clock::Manual(clock.clone()), ..synced(&dir) };
    let limit = Duration::from_millis(20);
    let first = setup().open();
    let limited = Start { deadline: Some(limit), ..start("hold") };
    let id = first.bus.start(&first.caller, limited).await.unwrap().snapshot.id;
    first.script.running(1).await;
    first.bus.drain().await;
    drop(first);

    clock.advance(limit);
    let second = setup().open();
    let ended = second.ended(id).await;
    let failure = ended.outcome.as_ref().and_then(Outcome::failure).unwrap();
    assert_eq!((failure.code, ended.epoch), (Code::DeadlineExceeded, Epoch(1)));
    assert_eq!(second.script.tries(id), 0);
}

#[tokio::test]
async fn a_defect_of_the_dispatcher_does_not_end_the_dispatching() {
    let dir = tempdir().unwrap();
    let first = Setup { concurrency: 1, ..synced(&dir) }.open();
    let stranded = first.start("hold").await;
    first.script.running(1).await;
    first.bus.drain().await;
    drop(first);

    // Of the operation without a route the dispatcher tells the log, and there it panics.
    let log = Arc::new(PanicsOnce::of("::dispatch::intake"));
    let _log = tracing::subscriber::set_default(Arc::clone(&log));
    let second = Setup { route: "renamed", ..synced(&dir) }.open();
    let moved = Start { route: "renamed".into(), ..start("quick") };
    let id = second.bus.start(&second.caller, moved).await.unwrap().snapshot.id;
    assert_eq!(second.ended(id).await.state, State::Succeeded);
    assert!(log.panicked());
    let left = second.bus.get(&second.caller, stranded).await.unwrap();
    assert_eq!(left.state, State::Running);
}

#[tokio::test]
async fn a_cancel_that_was_not_heard_is_heard_by_the_next_process() {
    let dir = tempdir().unwrap();
    let first = synced(&dir).open();
    let id = first.start("large").await;
    first.script.running(1).await;
    first.bus.cancel(&first.caller, id, "stop").await.unwrap();
    first.bus.drain().await;
    drop(first);

    let second = synced(&dir).open();
    let resumed = second.until(id, |now| now.epoch == Epoch(2)).await;
    assert!(resumed.is_canceling());
}

#[tokio::test]
async fn without_its_route_an_operation_waits_for_somebody() {
    let dir = tempdir().unwrap();
    let first = Setup { concurrency: 1, ..synced(&dir) }.open();
    first.start("hold").await;
    first.script.running(1).await;
    let id = first.start("quick").await;
    first.bus.drain().await;
    drop(first);

    let second = Setup { route: "renamed", ..synced(&dir) }.open();
    let moved = Start { route: "renamed".into(), ..start("quick") };
    let other = second.bus.start(&second.caller, moved).await.unwrap().snapshot.id;
    second.ended(other).await;
    assert_eq!(second.bus.get(&second.caller, id).await.unwrap().state, State::Accepted);
    // Its backend is there, and can be asked.
    assert!(second.bus.unreachable().is_empty());
    second.bus.finish(&second.caller, id, succeeded("by hand")).await.unwrap();
    assert_eq!(second.ended(id).await.state, State::Succeeded);
}
