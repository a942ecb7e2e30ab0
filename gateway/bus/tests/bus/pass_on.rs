//! Passing a cancel on to an upstream.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use opgate_bus::core::{CancelDelivery, Epoch, Error, ErrorKind, Report, Retry};
use opgate_bus::{Backoff, Breaking, CancelAttempt, Gate, Snapshot};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::tempdir;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::support::{Bench, LONG, Setup};

/// An answer of the upstream.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Takes,
    Refuses,
    KnowsNothing,
    IsAway,
}

impl Answer {
    fn attempt(self) -> CancelAttempt {
        match self {
            Self::Takes => CancelAttempt::Acknowledged,
            Self::Refuses => CancelAttempt::Refused("it never does".to_owned()),
            Self::KnowsNothing => CancelAttempt::Gone("what is that".to_owned()),
            Self::IsAway => CancelAttempt::Retry(Error::new(ErrorKind::Unavailable, "away")),
        }
    }

    /// Where it leads, and what the log says of it; nothing where it is asked again.
    const fn end(self) -> Option<(CancelDelivery, Option<&'static str>)> {
        match self {
            Self::Takes => Some((CancelDelivery::Acked, None)),
            Self::Refuses => Some((CancelDelivery::Refused, Some("it never does"))),
            Self::KnowsNothing => Some((CancelDelivery::Refused, Some("what is that"))),
            Self::IsAway => None,
        }
    }
}

const fn backoff(attempts: u32) -> Backoff {
    let wait = Duration::from_millis(1);
    Backoff { first: wait, longest: wait, attempts }
}

/// How far a cancel is, and how often it was told.
fn record(now: &Snapshot) -> (CancelDelivery, u32) {
    let cancel = now.cancel.as_ref().unwrap();
    (cancel.delivery, cancel.attempts)
}

/// Has a cancel passed on to an upstream that answers so, and then is away for ever.
async fn pass_on(bench: &mut Bench, answers: &[Answer], attempts: u32) {
    let id = bench.start("lend").await;
    let lease = bench.leaked.recv().await.unwrap();
    bench.bus.cancel(&bench.caller, id, "enough").await.unwrap();
    let (asked, hurry) = (Cell::new(0), Notify::new());
    let attempt = |_pass| {
        let number = asked.replace(asked.get() + 1);
        let answer = answers.get(number).copied().unwrap_or(Answer::IsAway);
        async move { answer.attempt() }
    };
    let settled = |now: &Snapshot| record(now).0.is_settled();
    let now = tokio::select! {
        never = lease.pass_cancel_on(backoff(attempts), &hurry, attempt) => match never {},
        now = bench.until(id, settled) => now,
    };

    let bound = usize::try_from(attempts.max(1)).unwrap();
    let within = answers.iter().take(bound);
    let (told, end) = within
        .enumerate()
        .find_map(|(index, answer)| Some((index + 1, answer.end()?)))
        .unwrap_or((bound, (CancelDelivery::GaveUp, Some("away"))));
    assert_eq!((asked.get(), record(&now)), (told, (end.0, u32::try_from(told).unwrap())));
    let said: Vec<&str> = now.log.iter().map(|entry| &*entry.message).collect();
    assert_eq!(said.len(), usize::from(end.1.is_some()), "{said:?}");
    assert!(said.iter().all(|said| said.contains(end.1.unwrap())), "{said:?}");
    assert!(!now.is_done(), "how it ends is the upstream's to say");
}

#[test]
fn it_is_told_until_it_is_answered_or_as_often_as_allowed_and_each_is_counted() {
    let answers = prop_oneof![
        1 => Just(Answer::Takes),
        1 => Just(Answer::Refuses),
        1 => Just(Answer::KnowsNothing),
        4 => Just(Answer::IsAway),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = tempdir().unwrap();
    // All of them stay with the backend.
    let setup = Setup { concurrency: 10_000, ..Setup::at(&dir) };
    let bench = RefCell::new(runtime.block_on(async { setup.open() }));
    let cases = ProptestConfig::with_cases(60);
    proptest!(cases, |(answers in vec(answers, 0..5), attempts in 0..5_u32)| {
        runtime.block_on(pass_on(&mut bench.borrow_mut(), &answers, attempts));
    });
}

#[tokio::test]
async fn who_takes_it_is_looked_at_soon() {
    let dir = tempdir().unwrap();
    let mut bench = Setup::at(&dir).open();
    let id = bench.start("lend").await;
    let lease = bench.leaked.recv().await.unwrap();
    let hurry = Notify::new();
    bench.bus.cancel(&bench.caller, id, "enough").await.unwrap();
    let passed = lease.pass_cancel_on(backoff(1), &hurry, |_| async { Answer::Takes.attempt() });
    tokio::select! {
        never = passed => match never {},
        hurried = timeout(LONG, hurry.notified()) => hurried.unwrap(),
    }
    assert_eq!(
        record(&bench.bus.get(&bench.caller, id).await.unwrap()),
        (CancelDelivery::Acked, 1)
    );
}

#[tokio::test]
async fn who_asks_for_patience_is_given_it() {
    let dir = tempdir().unwrap();
    let mut bench = Setup::at(&dir).open();
    let id = bench.start("lend").await;
    let lease = bench.leaked.recv().await.unwrap();
    let (times, hurry) = (RefCell::new(Vec::new()), Notify::new());
    let patience = Duration::from_millis(200);
    bench.bus.cancel(&bench.caller, id, "enough").await.unwrap();
    let passed = lease.pass_cancel_on(backoff(2), &hurry, |_| async {
        times.borrow_mut().push(Instant::now());
        if times.borrow().len() > 1 {
            return CancelAttempt::Acknowledged;
        }
        let busy = Error::new(ErrorKind::TooManyRequests, "busy");
        CancelAttempt::Retry(busy.with_retry(Retry::After(patience)))
    });
    tokio::select! {
        never = passed => match never {},
        hurried = timeout(LONG, hurry.notified()) => hurried.unwrap(),
    }
    let times = times.borrow();
    assert!(times[1].duration_since(times[0]) >= patience, "{times:?}");
}

#[tokio::test]
async fn while_its_upstream_is_left_alone_it_is_queued_and_sent_once_an_attempt_leaves() {
    let dir = tempdir().unwrap();
    let pause = Duration::from_secs(2);
    let breaking = Breaking { failures: 1, pause, longest: pause };
    let gate = Gate::new(None, Some(breaking), None);
    let mut bench = Setup { gate: gate.clone(), ..Setup::at(&dir) }.open();
    let id = bench.start("lend").await;
    let lease = bench.leaked.recv().await.unwrap();
    gate.pass().await.failed();
    let asked = bench.bus.cancel(&bench.caller, id, "enough").await.unwrap().snapshot;
    assert_eq!(record(&asked), (CancelDelivery::Requested, 0));
    let (attempts, hurry) = (RefCell::new(Vec::new()), Notify::new());
    let (bus, caller) = (&bench.bus, &bench.caller);
    // At each attempt it is durable that it is made; the first finds nobody there.
    let attempt = |pass: opgate_bus::Pass| {
        let attempts = &attempts;
        async move {
            let made = record(&bus.get(caller, id).await.unwrap());
            attempts.borrow_mut().push(made);
            if attempts.borrow().len() == 1 {
                pass.failed();
                return Answer::IsAway.attempt();
            }
            pass.answered();
            CancelAttempt::Acknowledged
        }
    };
    let stages = async {
        bench.until(id, |now| record(now) == (CancelDelivery::Queued, 0)).await;
        bench.until(id, |now| record(now) == (CancelDelivery::Queued, 1)).await;
        bench.until(id, |now| record(now) == (CancelDelivery::Acked, 2)).await
    };
    let now = tokio::select! {
        never = lease.pass_cancel_on(backoff(1), &hurry, attempt) => match never {},
        now = stages => now,
    };
    let sent = CancelDelivery::Sent;
    assert_eq!(*attempts.borrow(), [(sent, 1), (sent, 2)]);
    let cancel = now.cancel.as_ref().unwrap();
    assert!(cancel.changed.since(cancel.requested) >= pause / 2, "{cancel:?}");
}

#[tokio::test]
async fn what_one_lease_has_settled_the_next_leaves_alone() {
    let dir = tempdir().unwrap();
    let mut bench = Setup::at(&dir).open();
    let (settled, open) = (bench.start("lend").await, bench.start("lend").await);
    let hurry = Notify::new();
    for _ in 0..2 {
        let lease = bench.leaked.recv().await.unwrap();
        let id = lease.operation().id;
        bench.bus.cancel(&bench.caller, id, "enough").await.unwrap();
        if id == open {
            // It was told, and the lease ended before the answer.
            let told = Report { cancel: Some(CancelDelivery::Sent.into()), ..Report::default() };
            lease.report(told).await.unwrap();
            continue;
        }
        let refused = |now: &Snapshot| record(now).0 == CancelDelivery::Refused;
        tokio::select! {
            never = lease.refuse_cancel(backoff(1), "there is no way") => match never {},
            now = bench.until(id, refused) => {
                assert_eq!(record(&now).1, 0, "nobody was asked");
                assert!(now.log[0].message.ends_with("there is no way"), "{:?}", now.log);
            }
        }
    }
    bench.script.open_gate();
    for _ in 0..2 {
        let lease = bench.leaked.recv().await.unwrap();
        assert_eq!(lease.epoch(), Epoch(2));
        let id = lease.operation().id;
        // Reports are durable in the order they are made: one that this lease would make of the cancel
        // comes before the other.
        let now = tokio::select! {
            biased;
            never = lease.pass_cancel_on(backoff(1), &hurry, |_| std::future::pending()) => match never {},
            now = lease.report(Report::default()) => now.unwrap(),
        };
        let expected =
            if id == settled { (CancelDelivery::Refused, 0) } else { (CancelDelivery::Sent, 2) };
        assert_eq!(record(&now), expected);
    }
}
