//! Cancellation against everything else.

use std::time::Duration;

use opgate_bus::Backoff;
use opgate_bus::core::{CancelDelivery, Epoch, ErrorKind, State, Version};
use tempfile::tempdir;

use crate::support::{Setup, succeeded};

#[tokio::test]
async fn before_a_backend_has_it_a_cancel_ends_it_at_once() {
    let dir = tempdir().unwrap();
    let bench = Setup { concurrency: 1, ..Setup::at(&dir) }.open();
    let holder = bench.start("hold").await;
    bench.started(holder).await;
    let queued = bench.start("quick").await;
    let receipt = bench.bus.cancel(&bench.caller, queued, "no need").await.unwrap();
    assert_eq!((receipt.snapshot.state, receipt.repeated), (State::Canceled, false));
    bench.script.open_gate();
    bench.ended(holder).await;
    // One that came later has its turn, so the canceled one had no turn before it.
    let later = bench.start("quick").await;
    bench.ended(later).await;
    assert_eq!(bench.script.tries(queued), 0);
}

#[tokio::test]
async fn while_it_runs_a_cancel_reaches_the_backend_which_decides() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("hold").await;
    bench.started(id).await;
    let first = bench.bus.cancel(&bench.caller, id, "first").await.unwrap();
    assert!(first.snapshot.is_canceling());
    // The second finds it asked for, or ended already; the first one's words stay either way.
    let second = bench.bus.cancel(&bench.caller, id, "second").await.unwrap();
    assert!(second.repeated);
    let ended = bench.ended(id).await;
    assert_eq!(ended.state, State::Canceled);
    let cancel = ended.cancel.as_ref().unwrap();
    assert_eq!((&*cancel.reason, &*cancel.by), ("first", "anonymous"));
}

#[tokio::test]
async fn a_backend_may_refuse_and_go_on() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("stubborn").await;
    bench.started(id).await;
    bench.bus.cancel(&bench.caller, id, "please").await.unwrap();
    let refused = |delivery| delivery == CancelDelivery::Refused;
    bench.until(id, |now| now.cancel.as_ref().is_some_and(|cancel| refused(cancel.delivery))).await;
    bench.script.open_gate();
    assert_eq!(bench.ended(id).await.outcome, Some(succeeded("stubborn")));
}

#[tokio::test]
async fn after_the_end_a_cancel_is_acknowledged_and_changes_nothing() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("done").await;
    let receipt = bench.bus.cancel(&bench.caller, id, "too late").await.unwrap();
    assert!(receipt.repeated);
    assert_eq!(receipt.snapshot.state, State::Succeeded);
    assert!(receipt.snapshot.cancel.is_none());
}

#[tokio::test]
async fn a_cancel_ends_or_spares_the_rest_between_two_attempts() {
    let dir = tempdir().unwrap();
    let mut setup = Setup::at(&dir);
    let hour = Duration::from_hours(1);
    setup.options.backoff = Backoff { first: hour, longest: hour, attempts: 3 };
    let bench = setup.open();
    let resting = bench.start("flaky 9").await;
    bench.until(resting, |now| !now.log.is_empty()).await;
    let running = bench.start("contrary").await;
    bench.script.running(1).await;
    for id in [resting, running] {
        bench.bus.cancel(&bench.caller, id, "enough").await.unwrap();
        let ended = bench.ended(id).await;
        assert_eq!((ended.state, ended.epoch), (State::Canceled, Epoch(2)));
    }
}

#[tokio::test]
async fn who_expects_another_version_changes_nothing_and_learns_the_present_one() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("hold").await;
    let version = bench.started(id).await.version;
    let (bus, caller) = (&bench.bus, &bench.caller);
    let stale = (id, Version(version.0 - 1));
    for refused in [
        bus.cancel(caller, stale, "enough").await,
        bus.remove(caller, stale).await,
        bus.finish(caller, stale, succeeded("by hand")).await,
    ] {
        let error = refused.unwrap_err();
        assert_eq!((error.kind, error.current), (ErrorKind::Conflict, Some(version)));
    }
    assert_eq!(bus.get(caller, id).await.unwrap().version, version);
    let receipt = bus.finish(caller, (id, version), succeeded("by hand")).await.unwrap();
    assert_eq!(receipt.snapshot.state, State::Succeeded);
    assert_eq!(&*receipt.snapshot.log[0].message, "completed by hand as SUCCEEDED by anonymous");
}
