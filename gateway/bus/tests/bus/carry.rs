//! How operations are carried out, and what ends a lease.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use opgate_bus::core::{Code, Epoch, ErrorKind, Failure, Outcome, Parent, Report, State, Version};
use opgate_bus::{Backoff, Snapshot, Start, Until, Watch};
use opgate_store::{Clock, FEED_CAPACITY};
use tempfile::tempdir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::support::{LONG, RETENTION, Setup, kind, start, stopped_clock, stranger, succeeded};

fn failure(snapshot: &Arc<Snapshot>) -> Failure {
    snapshot.outcome.as_ref().and_then(Outcome::failure).cloned().expect("a failure")
}

#[tokio::test]
async fn what_cannot_be_done_now_is_tried_again_under_the_next_lease() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("flaky 2").await;
    let ended = bench.ended(id).await;
    assert_eq!(ended.outcome, Some(succeeded("flaky")));
    assert_eq!(ended.epoch, Epoch(3));
    let lines: Vec<&str> = ended.log.iter().map(|entry| &*entry.message).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[1].starts_with("attempt 2 of 3: not now; next in "), "{lines:?}");
}

#[tokio::test]
async fn attempts_are_bounded_and_the_last_error_is_the_failure() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("flaky 3").await;
    let failure = failure(&bench.ended(id).await);
    assert_eq!((failure.code, &*failure.message), (Code::Unavailable, "not now"));
    assert_eq!(failure.reason.as_deref(), Some("backend"));
    assert_eq!(bench.script.tries(id), 3);
}

#[tokio::test]
async fn an_error_that_will_not_heal_is_not_tried_again() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("never").await;
    assert_eq!(failure(&bench.ended(id).await).code, Code::PermissionDenied);
    assert_eq!(bench.script.tries(id), 1);
}

#[tokio::test]
async fn a_panic_is_contained_and_counts_as_an_attempt() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("panic").await;
    assert_eq!(failure(&bench.ended(id).await).code, Code::Internal);
    assert_eq!(bench.script.tries(id), 3);
    let next = bench.start("quick").await;
    assert_eq!(bench.ended(next).await.state, State::Succeeded);
}

#[tokio::test]
async fn an_outcome_that_cannot_be_kept_is_a_failure_not_an_open_end() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("huge").await;
    let failure = failure(&bench.ended(id).await);
    assert_eq!(failure.reason.as_deref(), Some("outcome_refused"));
}

#[tokio::test]
async fn a_backend_carries_out_as_many_at_a_time_as_configured() {
    let dir = tempdir().unwrap();
    let bench = Setup { concurrency: 2, ..Setup::at(&dir) }.open();
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(bench.start("hold").await);
    }
    bench.script.running(2).await;
    bench.script.open_gate();
    for id in ids {
        bench.ended(id).await;
    }
    assert_eq!(bench.script.most.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn what_was_accepted_or_canceled_while_the_feed_ran_ahead_is_heard_of() {
    let dir = tempdir().unwrap();
    let mut setup = Setup::at(&dir);
    let hour = Duration::from_hours(1);
    setup.options.backoff = Backoff { first: hour, longest: hour, attempts: 3 };
    let bench = setup.open();
    let resting = bench.start("flaky 9").await;
    bench.until(resting, |now| !now.log.is_empty()).await;
    let (bus, caller) = (bench.bus.clone(), bench.caller.clone());
    // This thread's runtime, and with it the dispatcher, stands still until the other is done.
    let starting = std::thread::spawn(move || {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let id = bus.start(&caller, start("quick")).await.unwrap().snapshot.id;
            bus.cancel(&caller, resting, "enough").await.unwrap();
            let mut starts = JoinSet::new();
            for _ in 0..=FEED_CAPACITY {
                let (bus, caller) = (bus.clone(), caller.clone());
                starts.spawn(async move { bus.start(&caller, start("done")).await.is_ok() });
            }
            assert!(starts.join_all().await.into_iter().all(|accepted| accepted));
            id
        })
    });
    let id = starting.join().unwrap();
    assert_eq!(bench.script.tries(id), 0);
    assert_eq!(bench.ended(id).await.outcome, Some(succeeded("quick")));
    assert_eq!(bench.ended(resting).await.state, State::Canceled);
}

#[tokio::test]
async fn a_rest_is_bounded_whatever_the_backend_asks_for() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("later").await;
    let resting = bench.until(id, |now| !now.log.is_empty()).await;
    assert_eq!(&*resting.log[0].message, "attempt 1 of 3: not now; next in 86400.0 s");
    assert_eq!(&*resting.log[0].code, "", "no error of the work");
    // It rests, and neither it nor another is lost.
    bench.bus.cancel(&bench.caller, id, "enough").await.unwrap();
    assert_eq!(bench.ended(id).await.state, State::Canceled);
    let next = bench.start("quick").await;
    assert_eq!(bench.ended(next).await.state, State::Succeeded);
}

#[tokio::test]
async fn without_the_journal_nothing_is_leased_and_nothing_is_lost() {
    let dir = tempdir().unwrap();
    let clock = stopped_clock();
    let mut setup =
        Setup { concurrency: 1, clock: Clock::Manual(clock.clone()), ..Setup::at(&dir) };
    setup.store.max_bytes = Some(4 * 1024 * 1024);
    let bench = setup.open();
    let large = format!("quick {}", "x".repeat(3 * 1024 * 1024));
    let filler = bench.start(&large).await;
    bench.ended(filler).await;
    let running = bench.start("hold").await;
    bench.script.running(1).await;
    let queued = bench.start("quick").await;
    // There is no room for a second large one. What is small is still taken, so that the first one
    // can end, and leave its place.
    assert_eq!(kind(bench.bus.start(&bench.caller, start(&large)).await), ErrorKind::Unavailable);
    bench.script.open_gate();
    bench.ended(running).await;
    // A change would end this at once: only without one does it last.
    let until = Until::Newer(Version(1));
    let patience = Duration::from_millis(200);
    let waited = bench.bus.wait(&bench.caller, queued, until, patience).await.unwrap();
    assert_eq!(waited.state, State::Accepted);
    // The filler expires, and leaves.
    clock.advance(RETENTION);
    bench.store.tidy();
    // Told of it, the dispatcher does not wait for its own half-minute look.
    let ended = bench.bus.wait(&bench.caller, queued, Until::Done, LONG / 3).await.unwrap();
    assert_eq!(ended.state, State::Succeeded);
}

#[tokio::test]
async fn a_deadline_ends_what_runs_and_what_waits() {
    let dir = tempdir().unwrap();
    let clock = stopped_clock();
    let setup = Setup { concurrency: 1, clock: Clock::Manual(clock.clone()), ..Setup::at(&dir) };
    let bench = setup.open();
    let limit = Duration::from_millis(20);
    let limited = |instruction| Start { deadline: Some(limit), ..start(instruction) };
    let running = bench.bus.start(&bench.caller, limited("hold")).await.unwrap().snapshot.id;
    bench.script.running(1).await;
    let queued = bench.bus.start(&bench.caller, limited("quick")).await.unwrap().snapshot.id;
    clock.advance(limit);
    for id in [queued, running] {
        let ended = bench.ended(id).await;
        assert_eq!(failure(&ended).code, Code::DeadlineExceeded);
        assert_eq!(failure(&ended).reason.as_deref(), Some("deadline"));
        assert!(ended.conflicts.is_empty());
    }
    bench.script.running(0).await;
    assert_eq!(bench.script.tries(queued), 0);
}

#[tokio::test]
async fn by_hand_an_operation_ends_and_its_lease_with_it() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("hold").await;
    bench.script.running(1).await;
    let receipt = bench.bus.finish(&bench.caller, id, succeeded("by hand")).await.unwrap();
    assert_eq!(receipt.snapshot.state, State::Succeeded);
    bench.script.running(0).await;
    let same = bench.bus.finish(&bench.caller, id, succeeded("by hand")).await.unwrap();
    assert!(same.repeated);
    let other = bench.bus.finish(&bench.caller, id, succeeded("otherwise")).await;
    assert_eq!(kind(other), ErrorKind::Conflict);
}

#[tokio::test]
async fn the_word_of_an_earlier_lease_is_refused() {
    let dir = tempdir().unwrap();
    let mut bench = Setup::at(&dir).open();
    let id = bench.start("leak").await;
    let stale = bench.leaked.recv().await.unwrap();
    assert_eq!(stale.epoch(), Epoch(1));
    bench.until(id, |now| now.epoch == Epoch(2)).await;
    let report = Report { native_state: Some("late".into()), ..Report::default() };
    assert_eq!(kind(stale.report(report).await), ErrorKind::Conflict);
    bench.script.open_gate();
    let ended = bench.ended(id).await;
    assert_eq!((&*ended.native_state, ended.epoch), ("", Epoch(2)));
}

#[tokio::test]
async fn a_removal_hides_an_operation_whose_work_goes_on_and_sees_it() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("tell").await;
    bench.script.running(1).await;
    let removed = bench.bus.remove(&bench.caller, id).await.unwrap().snapshot;
    assert_eq!(kind(bench.bus.get(&bench.caller, id).await), ErrorKind::NotFound);
    let watch = Watch::Scope { scope: Parent::root(), after: removed.changed, filter: None };
    let mut watching = bench.bus.watch(&bench.caller, watch).unwrap();
    bench.script.open_gate();
    let mut last = removed;
    while !last.is_done() {
        last = watching.next().await.unwrap().unwrap();
    }
    assert_eq!(last.outcome, Some(succeeded("removed")));
}

#[tokio::test]
async fn strangers_the_removed_and_the_expired_are_all_not_found() {
    let dir = tempdir().unwrap();
    let clock = stopped_clock();
    let bench = Setup { clock: Clock::Manual(clock.clone()), ..Setup::at(&dir) }.open();
    let (bus, caller, stranger) = (&bench.bus, &bench.caller, &stranger());
    let id = bench.start("done").await;
    let removed = bench.start("done").await;
    bus.remove(caller, removed).await.unwrap();
    let absent = opgate_bus::core::OperationId::from_bits(7);
    for (caller, id) in [(stranger, id), (caller, removed), (caller, absent)] {
        let expected = opgate_bus::core::Error::not_found().to_string();
        let errors = [
            bus.peek(caller, id).unwrap().unwrap_err(),
            bus.get(caller, id).await.unwrap_err(),
            bus.wait(caller, id, Until::Done, LONG).await.unwrap_err(),
            bus.cancel(caller, id, "").await.unwrap_err(),
            bus.remove(caller, id).await.unwrap_err(),
            bus.finish(caller, id, succeeded("")).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.kind, error.to_string()), (ErrorKind::NotFound, expected.clone()));
        }
    }
    assert_eq!(bus.get(caller, id).await.unwrap().version, Version(1));
    clock.advance(RETENTION);
    assert_eq!(kind(bus.get(caller, id).await), ErrorKind::NotFound);
    assert_eq!(kind(bus.cancel(caller, id, "").await), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_outcome_waits_for_room_on_the_disk() {
    let dir = tempdir().unwrap();
    let clock = stopped_clock();
    let mut setup = Setup { clock: Clock::Manual(clock.clone()), ..Setup::at(&dir) };
    setup.store.max_bytes = Some(2 * 1024 * 1024);
    let bench = setup.open();
    let id = bench.start("large").await;
    bench.script.running(1).await;
    let filler = |fill: usize| Start {
        headers: vec![opgate_bus::core::Header {
            name: "filler".into(),
            value: vec![b'x'; fill].into(),
        }],
        ..start("done")
    };
    // Large ones first, then small ones, until nothing fits any more.
    for fill in [60_000, 1_000] {
        while bench.bus.start(&bench.caller, filler(fill)).await.is_ok() {}
    }
    assert!(bench.bus.health().borrow().unwritable.is_some());
    bench.script.open_gate();
    let mut health = bench.bus.health();
    bench.script.running(0).await;
    let open = bench.bus.get(&bench.caller, id).await.unwrap();
    assert_eq!(open.state, State::Running);
    // The fillers expire, and leave.
    clock.advance(RETENTION);
    bench.store.tidy();
    health.wait_for(|health| health.unwritable.is_none()).await.unwrap();
    assert_eq!(bench.ended(id).await.state, State::Succeeded);
    assert_eq!(bench.script.tries(id), 1);
}

#[tokio::test]
async fn what_rests_is_put_back_to_work_at_once_and_its_attempts_count_from_the_first() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    // It asks for a rest without an end.
    let id = bench.start("later").await;
    let after = |epoch: u32| {
        let bench = &bench;
        async move {
            let mut now = bench.bus.get(&bench.caller, id).await.unwrap();
            while now.log.iter().filter(|line| line.error).count() < epoch as usize {
                let until = Until::Newer(now.version);
                now = bench.bus.wait(&bench.caller, id, until, LONG).await.unwrap();
            }
            now
        }
    };
    let first = after(1).await;
    assert_eq!(first.epoch, Epoch(1));
    let receipt = bench.bus.redrive(&bench.caller, id).await.unwrap();
    let line = receipt.snapshot.log.last().unwrap();
    assert_eq!(
        (&*line.message, line.error),
        (&*format!("put back to work by {}", bench.caller.principal), false)
    );
    let second = after(2).await;
    assert_eq!(second.epoch, Epoch(2));
    assert!(second.log.last().unwrap().message.starts_with("attempt 1 of 3: "), "{:?}", second.log);
    bench.bus.cancel(&bench.caller, id, "").await.unwrap();
    assert_eq!(bench.ended(id).await.state, State::Canceled);
}

#[tokio::test]
async fn what_is_leased_is_put_back_to_work_under_the_next_lease_unless_it_is_held() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let held = bench.start("grip").await;
    let free = bench.start("hold").await;
    bench.script.running(2).await;
    bench.bus.redrive(&bench.caller, free).await.unwrap();
    let mut now = bench.bus.get(&bench.caller, free).await.unwrap();
    while now.epoch < Epoch(2) {
        let until = Until::Newer(now.version);
        now = bench.bus.wait(&bench.caller, free, until, LONG).await.unwrap();
    }
    bench.script.running(2).await;
    assert_eq!((bench.script.tries(free), bench.script.tries(held)), (2, 1));
    // What must not be cut short comes to its end.
    bench.bus.redrive(&bench.caller, held).await.unwrap();
    bench.script.open_gate();
    let ended = bench.ended(held).await;
    assert_eq!((ended.outcome.clone(), ended.epoch), (Some(succeeded("gripped")), Epoch(1)));
    assert_eq!(bench.ended(free).await.epoch, Epoch(2));
    assert_eq!(bench.script.tries(held), 1);
    let error = bench.bus.redrive(&bench.caller, held).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::FailedPrecondition);
}
