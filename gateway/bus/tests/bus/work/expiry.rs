//! Leases that run out. Time passes only where a test says so.

use std::time::Duration;

use opgate_bus::core::{Code, Epoch, ErrorKind, Outcome, Report, State};
use opgate_bus::{Ask, Pull, Start};
use opgate_store::Clock;
use tempfile::tempdir;

use super::support::{Frozen, Setup, ask, build, look, pass, succeeded};
use crate::support::{kind, stopped_clock};

const LEASE: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn a_lease_that_runs_out_is_over_at_once_and_the_operation_is_the_next_ones() {
    let _frozen = Frozen::new();
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let first = shop.begun().await;
    pass(Duration::from_millis(29_999)).await;
    shop.bus.report(&first.token, Report::default(), None).await.unwrap();
    pass(Duration::from_millis(29_999)).await;
    assert!(shop.bus.lease(look()).await.unwrap().is_empty());
    pass(Duration::from_millis(1)).await;
    // Nobody has leased it again, and still its worker is late.
    let over = "the lease is over: its time ran out";
    let late = shop.bus.report(&first.token, Report::default(), None).await.unwrap_err();
    assert_eq!((late.kind, &*late.message), (ErrorKind::FailedPrecondition, over));
    let late = shop.bus.complete(&first.token, succeeded()).await.unwrap_err();
    assert_eq!((late.kind, &*late.message), (ErrorKind::FailedPrecondition, over));
    let late = shop.bus.release(&first.token, None, None).await.unwrap_err();
    assert_eq!(late.message, over);
    let second = shop.lease(ask()).await;
    assert_eq!((second.snapshot.id, second.snapshot.epoch), (first.snapshot.id, Epoch(2)));
    let line = &second.snapshot.log[0];
    let text = "attempt 1 of 3: the lease of ann ran out before it was heard of again";
    assert_eq!((line.error, &*line.message), (true, text));
    assert_eq!(shop.value("opgate_leases_expired_total"), 1);
    let late = shop.bus.complete(&first.token, succeeded()).await;
    assert_eq!(kind(late), ErrorKind::Conflict);
    shop.bus.complete(&second.token, succeeded()).await.unwrap();
    assert_eq!(shop.value("opgate_leases_lost_total"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_as_long_as_its_worker_wants() {
    let _frozen = Frozen::new();
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    shop.start().await;
    let length = Some(Duration::from_mins(5));
    let leased = shop.lease(Ask { length, ..ask() }).await;
    pass(Duration::from_secs(299)).await;
    shop.bus.report(&leased.token, Report::default(), None).await.unwrap();
    pass(Duration::from_secs(299)).await;
    let brief = Some(Duration::from_secs(1));
    shop.bus.report(&leased.token, Report::default(), brief).await.unwrap();
    pass(Duration::from_secs(1)).await;
    let late = shop.bus.report(&leased.token, Report::default(), None).await;
    assert_eq!(kind(late), ErrorKind::FailedPrecondition);
}

#[tokio::test(start_paused = true)]
async fn an_operation_whose_leases_keep_running_out_fails() {
    let _frozen = Frozen::new();
    let dir = tempdir().unwrap();
    let pull = Pull { attempts: 2, ..Pull::default() };
    let shop = Setup { pull, ..Setup::at(&dir) }.open();
    let id = shop.begun().await.snapshot.id;
    pass(LEASE).await;
    // Given back is not run out.
    let second = shop.lease(ask()).await;
    shop.bus.release(&second.token, None, None).await.unwrap();
    let third = shop.lease(ask()).await;
    assert_eq!(third.snapshot.epoch, Epoch(3));
    pass(LEASE).await;
    let ended = shop.ended(id).await;
    let failure = ended.outcome.as_ref().and_then(Outcome::failure).unwrap();
    assert_eq!(failure.code, Code::DeadlineExceeded);
    assert_eq!(failure.reason.as_deref(), Some("lease_expired"));
    assert_eq!(failure.retryable, Some(true));
    let late = shop.bus.complete(&third.token, succeeded()).await.unwrap_err();
    assert_eq!(late.message, "the lease is over: the operation has ended: FAILED");
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_rests_as_long_as_its_worker_says() {
    let _frozen = Frozen::new();
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let first = shop.begun().await;
    let rest = Duration::from_mins(10);
    shop.bus.release(&first.token, Some(rest), None).await.unwrap();
    pass(Duration::from_millis(599_999)).await;
    assert!(shop.bus.lease(look()).await.unwrap().is_empty());
    assert_eq!(shop.value("opgate_operations_queued"), 1);
    pass(Duration::from_millis(1)).await;
    assert_eq!(shop.lease(ask()).await.snapshot.epoch, Epoch(2));
}

#[tokio::test]
async fn a_deadline_ends_what_is_held_and_what_waits() {
    let dir = tempdir().unwrap();
    let clock = stopped_clock();
    let shop = Setup { clock: Clock::Manual(clock.clone()), ..Setup::at(&dir) }.open();
    let limit = Duration::from_millis(20);
    let limited = || Start { deadline: Some(limit), ..build() };
    let held = shop.bus.start(&shop.caller, limited()).await.unwrap().snapshot.id;
    let leased = shop.lease(ask()).await;
    let waits = shop.bus.start(&shop.caller, limited()).await.unwrap().snapshot.id;
    shop.queued(1).await;
    clock.advance(limit);
    assert!(shop.bus.lease(look()).await.unwrap().is_empty());
    for id in [held, waits] {
        let ended = shop.ended(id).await;
        let failure = ended.outcome.as_ref().and_then(Outcome::failure).unwrap();
        assert_eq!(failure.reason.as_deref(), Some("deadline"));
    }
    let late = shop.bus.report(&leased.token, Report::default(), None).await;
    assert_eq!(kind(late), ErrorKind::FailedPrecondition);
    assert_eq!(shop.get(held).await.state, State::Failed);
}
