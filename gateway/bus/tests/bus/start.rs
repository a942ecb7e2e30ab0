//! Starting, and starting again.

use std::collections::HashSet;
use std::time::Duration;

use opgate_bus::core::{Epoch, ErrorKind, Expects, KeySpace, Outcome, Retry, Seq, State, Version};
use opgate_bus::{Durability, RepeatKey, Start};
use opgate_store::Clock;
use tempfile::tempdir;
use tokio::task::JoinSet;

use crate::support::{RETENTION, Setup, kind, start, stopped_clock, stranger, succeeded};

fn keyed(instruction: &str, space: &str, key: &str) -> Start {
    Start { dedupe: Some(RepeatKey::new(KeySpace::new(space), key)), ..start(instruction) }
}

#[tokio::test]
async fn a_start_is_durable_then_run_then_finished() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let receipt = bench.bus.start(&bench.caller, start("quick")).await.unwrap();
    assert_eq!(receipt.snapshot.state, State::Accepted);
    assert_eq!((receipt.durability, receipt.repeated), (Durability::Memory, false));
    let ended = bench.ended(receipt.snapshot.id).await;
    assert_eq!(ended.outcome, Some(succeeded("quick")));
    assert_eq!((ended.version, ended.epoch), (Version(3), Epoch(1)));
    assert_eq!(&*ended.routed.backend, "script");
}

#[tokio::test]
async fn what_is_done_at_once_is_one_change_without_a_lease() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let receipt = bench.bus.start(&bench.caller, start("done")).await.unwrap();
    assert_eq!(receipt.snapshot.outcome, Some(succeeded("done")));
    assert_eq!((receipt.snapshot.version, receipt.snapshot.epoch), (Version(1), Epoch(0)));
}

#[tokio::test]
async fn a_start_that_declares_no_types_is_shown_in_its_routes() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let types = async |start| {
        let receipt = bench.bus.start(&bench.caller, start).await.unwrap();
        receipt.snapshot.expects.response_type.as_deref().map(str::to_owned)
    };
    assert_eq!(types(start("done")).await.as_deref(), Some("of.the.Route"));
    let expects = Expects { response_type: Some("its.Own".into()), metadata_type: None };
    assert_eq!(types(Start { expects, ..start("done") }).await.as_deref(), Some("its.Own"));
}

#[tokio::test]
async fn a_refused_start_leaves_nothing() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let refused = bench.bus.start(&bench.caller, start("refuse")).await;
    assert_eq!(kind(refused), ErrorKind::QuotaExceeded);
    let elsewhere = Start { route: "elsewhere".into(), ..start("quick") };
    assert_eq!(kind(bench.bus.start(&bench.caller, elsewhere).await), ErrorKind::Unsupported);
    assert!(bench.store.changed_since(Seq(0), 1, 1).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn one_key_is_one_operation_in_its_space_and_tenant() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let first = bench.bus.start(&bench.caller, keyed("quick", "grpc", "k")).await.unwrap();
    let ended = bench.ended(first.snapshot.id).await;
    let again = bench.bus.start(&bench.caller, keyed("quick", "grpc", "k")).await.unwrap();
    assert!(again.repeated);
    assert_eq!((again.snapshot.id, again.snapshot.version), (ended.id, ended.version));
    let other = bench.bus.start(&bench.caller, keyed("hold", "grpc", "k")).await;
    assert_eq!(kind(other), ErrorKind::AlreadyExists);
    for (caller, space) in [(bench.caller.clone(), "oci"), (stranger(), "grpc")] {
        let apart = bench.bus.start(&caller, keyed("quick", space, "k")).await.unwrap();
        assert_ne!(apart.snapshot.id, ended.id);
    }
    for key in ["", &"k".repeat(257)] {
        let bad = bench.bus.start(&bench.caller, keyed("quick", "grpc", key)).await;
        assert_eq!(kind(bad), ErrorKind::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_concurrent_first_uses_of_a_key_one_wins() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let mut starts = JoinSet::new();
    for _ in 0..64 {
        let (bus, caller) = (bench.bus.clone(), bench.caller.clone());
        starts.spawn(async move { bus.start(&caller, keyed("quick", "grpc", "k")).await.unwrap() });
    }
    let receipts = starts.join_all().await;
    let ids: HashSet<_> = receipts.iter().map(|receipt| receipt.snapshot.id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(receipts.iter().filter(|receipt| !receipt.repeated).count(), 1);
    let id = receipts[0].snapshot.id;
    bench.ended(id).await;
    assert_eq!(bench.script.tries(id), 1);
}

#[tokio::test]
async fn more_live_operations_than_allowed_are_refused_until_one_ends() {
    let dir = tempdir().unwrap();
    let mut setup = Setup::at(&dir);
    setup.store.live_operations = 2;
    let bench = setup.open();
    let first = bench.start("hold").await;
    bench.start("hold").await;
    let error = bench.bus.start(&bench.caller, start("hold")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooManyRequests);
    assert_eq!(error.retry, Retry::SameRequest);
    bench.bus.finish(&bench.caller, first, Outcome::Canceled(None)).await.unwrap();
    bench.start("hold").await;
}

#[tokio::test]
async fn limits_become_instants_once() {
    let dir = tempdir().unwrap();
    let clock = stopped_clock();
    let now = Clock::Manual(clock.clone()).now();
    let setup = Setup {
        clock: Clock::Manual(clock.clone()),
        timeout: Some(Duration::from_mins(10)),
        ..Setup::at(&dir)
    };
    let bench = setup.open();
    let shorter = Start { deadline: Some(Duration::from_mins(1)), ..keyed("hold", "grpc", "k") };
    let first = bench.bus.start(&bench.caller, shorter).await.unwrap().snapshot;
    assert_eq!(first.deadline, Some(now.plus(Duration::from_mins(1))));
    assert_eq!(first.retention, RETENTION);
    let until = first.dedupe.as_ref().map(|dedupe| dedupe.until);
    assert_eq!(until, Some(now.plus(Duration::from_hours(24))));
    assert_eq!(first.id.unix_millis(), 1_700_000_000_000);

    clock.advance(Duration::from_secs(30));
    let repeat = Start { deadline: Some(Duration::from_mins(9)), ..keyed("hold", "grpc", "k") };
    let repeat = bench.bus.start(&bench.caller, repeat).await.unwrap();
    assert!(repeat.repeated);
    assert_eq!(repeat.snapshot.deadline, first.deadline);

    let longer = Start { deadline: Some(Duration::from_hours(1)), ..start("hold") };
    let longer = bench.bus.start(&bench.caller, longer).await.unwrap().snapshot;
    assert_eq!(longer.deadline, Some(bench.store.clock().now().plus(Duration::from_mins(10))));
}
