//! A backend hears that an operation it was given has ended without it.

use std::time::Duration;

use opgate_bus::core::{ErrorKind, OperationId, Outcome, Report, State};
use opgate_bus::{Backoff, Options, Start};
use tempfile::tempdir;

use crate::support::{Bench, LONG, Setup, kind, start, succeeded};

async fn conclude(bench: &Bench, id: OperationId, native_state: &str) {
    let report = Report { native_state: Some(native_state.into()), ..Report::default() };
    bench.bus.conclude(id, "script", report, Outcome::Succeeded(None)).await.unwrap();
}

/// Rests for good between two attempts.
fn restful(setup: Setup) -> Setup {
    let backoff =
        Backoff { first: Duration::from_hours(1), longest: Duration::from_hours(1), attempts: 9 };
    let options = Options { backoff, ..setup.options };
    Setup { options, ..setup }
}

/// Once it has failed and rests.
async fn rests(bench: &Bench, id: OperationId) {
    bench.until(id, |now| !now.log.is_empty()).await;
}

#[tokio::test]
async fn of_what_ends_under_its_lease_by_hand_by_its_upstream_or_by_its_deadline() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let by_hand = bench.start("hold").await;
    bench.started(by_hand).await;
    bench.bus.finish(&bench.caller, by_hand, succeeded("by hand")).await.unwrap();
    assert_eq!(bench.script.abandoned(1).await, [by_hand]);
    let told = bench.start("hold").await;
    bench.started(told).await;
    conclude(&bench, told, "told so").await;
    assert_eq!(bench.script.abandoned(2).await, [by_hand, told]);
    let limited = Start { deadline: Some(Duration::from_secs(2)), ..start("hold") };
    let late = bench.bus.start(&bench.caller, limited).await.unwrap().snapshot.id;
    assert_eq!(bench.ended(late).await.state, State::Failed);
    assert_eq!(bench.script.abandoned(3).await, [by_hand, told, late]);
}

#[tokio::test]
async fn of_what_ends_between_two_attempts() {
    let dir = tempdir().unwrap();
    let bench = restful(Setup::at(&dir)).open();
    let by_hand = bench.start("flaky 8").await;
    rests(&bench, by_hand).await;
    bench.bus.finish(&bench.caller, by_hand, succeeded("by hand")).await.unwrap();
    assert_eq!(bench.script.abandoned(1).await, [by_hand]);
    let limited = Start { deadline: Some(Duration::from_secs(2)), ..start("flaky 8") };
    let late = bench.bus.start(&bench.caller, limited).await.unwrap().snapshot.id;
    bench.ended(late).await;
    assert_eq!(bench.script.abandoned(2).await, [by_hand, late]);
    assert_eq!(bench.script.tries(late), 1);
}

#[tokio::test]
async fn of_what_the_process_before_gave_it() {
    let dir = tempdir().unwrap();
    let first = Setup { concurrency: 2, ..Setup::at(&dir) }.open();
    let given = [first.start("hold").await, first.start("hold").await];
    first.script.running(2).await;
    first.bus.drain().await;
    drop(first);
    // One is given anew, the other waits for its turn.
    let second = Setup { concurrency: 1, ..Setup::at(&dir) }.open();
    second.script.running(1).await;
    for id in given.into_iter().rev() {
        second.bus.finish(&second.caller, id, succeeded("by hand")).await.unwrap();
    }
    // Ids of one millisecond are in no order.
    let by_id = |mut ids: Vec<OperationId>| {
        ids.sort_unstable();
        ids
    };
    assert_eq!(by_id(second.script.abandoned(2).await), by_id(given.to_vec()));
}

#[tokio::test]
async fn but_not_of_what_it_ended_itself_and_not_of_what_it_never_had() {
    let dir = tempdir().unwrap();
    let bench = Setup { concurrency: 1, ..Setup::at(&dir) }.open();
    for instruction in ["quick", "done", "never", "flaky 1", "huge"] {
        let id = bench.start(instruction).await;
        bench.ended(id).await;
    }
    let holds = bench.start("hold").await;
    bench.started(holds).await;
    let queued = bench.start("quick").await;
    bench.bus.finish(&bench.caller, queued, succeeded("by hand")).await.unwrap();
    let queued = bench.start("quick").await;
    bench.bus.cancel(&bench.caller, queued, "enough").await.unwrap();
    let contradicted = bench.bus.finish(&bench.caller, queued, succeeded("late")).await;
    assert_eq!(kind(contradicted), ErrorKind::Conflict);
    bench.bus.finish(&bench.caller, holds, succeeded("by hand")).await.unwrap();
    // One is told of after all others would have been.
    assert_eq!(bench.script.abandoned(1).await, [holds]);
    bench.bus.drain().await;
    assert_eq!(bench.script.abandoned(1).await, [holds]);
}

#[tokio::test]
async fn a_backend_that_panics_over_it_harms_nobody() {
    let dir = tempdir().unwrap();
    let bench = Setup { concurrency: 1, ..Setup::at(&dir) }.open();
    for (told, how) in [(1, "panic at once"), (2, "panic")] {
        let id = bench.start("hold").await;
        bench.started(id).await;
        conclude(&bench, id, how).await;
        bench.script.abandoned(told).await;
    }
    let id = bench.start("quick").await;
    assert_eq!(bench.ended(id).await.state, State::Succeeded);
}

#[tokio::test]
async fn a_backend_that_is_stuck_over_it_holds_up_neither_others_nor_for_long_the_drain() {
    let dir = tempdir().unwrap();
    let bench = Setup { concurrency: 1, ..Setup::at(&dir) }.open();
    let id = bench.start("hold").await;
    bench.started(id).await;
    conclude(&bench, id, "stuck").await;
    bench.script.abandoned(1).await;
    let other = bench.start("quick").await;
    assert_eq!(bench.ended(other).await.state, State::Succeeded);
    tokio::time::timeout(LONG, bench.bus.drain()).await.unwrap();
}
