//! Routes that are others from one moment to the next, and backends that have more room, or less.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use opgate_bus::core::{Epoch, ErrorKind, OperationId, Report, State};
use opgate_bus::{Pull, QUEUE, Route};
use tempfile::{TempDir, tempdir};

use crate::support::{Bench, LONG, Script, Setup, player, route, start, succeeded};

#[tokio::test]
async fn a_lease_keeps_its_backend_and_what_waits_goes_by_the_new_route() {
    let dir = tempdir().unwrap();
    let bench = Setup { concurrency: 1, ..Setup::at(&dir) }.open();
    let held = bench.start("hold").await;
    bench.script.running(1).await;
    let waits = bench.start("quick").await;

    let (second, _leaked) = Script::new();
    let next = bench.bus.rerouting().backend("second", player(&second), 1);
    bench.bus.reroute(next.route(route("route", "second")).build().unwrap(), Duration::ZERO);
    // The first backend has no room, and it does not need any.
    let other = bench.ended(waits).await;
    assert_eq!((bench.script.tries(waits), second.tries(waits)), (0, 1));
    // On record is who has it, for that is whom an end is taken from.
    assert_eq!(&*other.routed.backend, "second");
    let new = bench.start("quick").await;
    bench.ended(new).await;
    assert_eq!(second.tries(new), 1);
    bench.script.open_gate();
    assert_eq!(bench.ended(held).await.outcome, Some(succeeded("held")));
    assert_eq!(second.tries(held), 0);
    // And back.
    bench.bus.reroute(
        bench.bus.rerouting().route(route("route", "script")).build().unwrap(),
        Duration::ZERO,
    );
    let flaky = bench.start("flaky 1").await;
    bench.ended(flaky).await;
    assert_eq!(bench.script.tries(flaky), 2);
}

#[tokio::test]
async fn what_waits_for_a_route_that_is_gone_waits_until_there_is_one() {
    let dir = tempdir().unwrap();
    let bench = Setup { concurrency: 1, ..Setup::at(&dir) }.open();
    let held = bench.start("hold").await;
    bench.script.running(1).await;
    let waits = bench.start("quick").await;

    let gone = || bench.bus.rerouting().route(route("other", "script")).build().unwrap();
    bench.bus.reroute(gone(), Duration::ZERO);
    while bench.bus.start(&bench.caller, start("quick")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let refused = bench.bus.start(&bench.caller, start("quick")).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unsupported);
    // What has begun ends, and makes room for nobody.
    bench.script.open_gate();
    bench.ended(held).await;
    let other = opgate_bus::Start { route: "other".into(), ..start("quick") };
    let other = bench.bus.start(&bench.caller, other).await.unwrap().snapshot.id;
    bench.ended(other).await;
    assert_eq!(bench.bus.get(&bench.caller, waits).await.unwrap().state, State::Accepted);
    assert_eq!(bench.script.tries(waits), 0);

    let back = bench.bus.rerouting().route(route("route", "script")).build().unwrap();
    bench.bus.reroute(back, Duration::ZERO);
    bench.ended(waits).await;
}

/// What the upstream of the first backend has, and the bus that has it.
async fn with_an_upstream(dir: &TempDir) -> (Bench, OperationId) {
    let mut bench = Setup::at(dir).open();
    let id = bench.start("lend").await;
    let lease = bench.leaked.recv().await.unwrap();
    let known = Report { native_ref: Some("its-job".into()), ..Report::default() };
    lease.report(known).await.unwrap();
    (bench, id)
}

/// The same, left by its process.
async fn left_with_an_upstream(dir: &TempDir) -> OperationId {
    let (first, id) = with_an_upstream(dir).await;
    first.bus.drain().await;
    id
}

/// Has the route lead to another backend.
fn to_a_second(bench: &Bench) -> Arc<Script> {
    let (second, _leaked) = Script::new();
    let next = bench.bus.rerouting().backend("second", player(&second), 1);
    bench.bus.reroute(next.route(route("route", "second")).build().unwrap(), Duration::ZERO);
    second
}

#[tokio::test]
async fn what_an_upstream_has_stays_with_its_backend_through_every_attempt() {
    for gone in [false, true] {
        let dir = tempdir().unwrap();
        let (mut bench, id) = with_an_upstream(&dir).await;
        let second = to_a_second(&bench);
        if gone {
            bench.bus.reroute(bench.bus.rerouting().build().unwrap(), Duration::ZERO);
        }
        // Its backend is there: it may be told to hurry.
        bench.bus.redrive(&bench.caller, id).await.unwrap();
        bench.script.open_gate();
        let again = tokio::time::timeout(LONG, bench.leaked.recv()).await.unwrap().unwrap();
        assert_eq!((again.epoch(), again.route().backend.as_ref()), (Epoch(2), "script"));
        assert_eq!(second.tries(id), 0);
        bench.bus.finish(&bench.caller, id, succeeded("by hand")).await.unwrap();
        assert_eq!(&*bench.ended(id).await.routed.backend, "script");
    }
}

#[tokio::test]
async fn after_a_restart_it_waits_until_its_route_leads_there_again() {
    let dir = tempdir().unwrap();
    let id = left_with_an_upstream(&dir).await;
    let mut bench = Setup { route: "other", ..Setup::at(&dir) }.open();
    let second = to_a_second(&bench);
    let new = bench.start("quick").await;
    bench.ended(new).await;
    assert_eq!((second.tries(id), bench.script.tries(id)), (0, 0));
    let back = bench.bus.rerouting().route(route("route", "script")).build().unwrap();
    bench.bus.reroute(back, Duration::ZERO);
    let again = tokio::time::timeout(LONG, bench.leaked.recv()).await.unwrap().unwrap();
    assert_eq!((again.operation().id, &*again.route().backend), (id, "script"));
    drop(again);
    bench.bus.drain().await;
    drop(bench);

    // Where its backend is not configured any more, that may have another name.
    let (renamed, mut leaked) = Script::new();
    let bench = Setup { route: "other", backend: "shed", ..Setup::at(&dir) }.open();
    let next = bench.bus.rerouting().backend("renamed", player(&renamed), 1);
    bench.bus.reroute(next.route(route("route", "renamed")).build().unwrap(), Duration::ZERO);
    let again = tokio::time::timeout(LONG, leaked.recv()).await.unwrap().unwrap();
    let operation = again.operation();
    assert_eq!((operation.id, &*operation.routed.backend), (id, "renamed"));
}

#[tokio::test]
async fn workers_have_no_upstream_though_they_have_its_backends_name() {
    let dir = tempdir().unwrap();
    let id = left_with_an_upstream(&dir).await;
    let bench = Setup { route: "other", backend: "shed", ..Setup::at(&dir) }.open();
    let pull = Pull { lease: Duration::from_secs(1), ..Pull::default() };
    let queued = Route {
        options: BTreeMap::from([(QUEUE.into(), "builds".into())]),
        ..route("route", "script")
    };
    let next = bench.bus.rerouting().worker("script", pull);
    bench.bus.reroute(next.route(queued).build().unwrap(), Duration::ZERO);
    let (second, mut leaked) = Script::new();
    let next = bench.bus.rerouting().backend("second", player(&second), 1);
    bench.bus.reroute(next.route(route("route", "second")).build().unwrap(), Duration::ZERO);
    // Once no worker can have it any more.
    let lease = tokio::time::timeout(LONG, leaked.recv()).await.unwrap().unwrap();
    let operation = lease.operation();
    assert_eq!((operation.id, &*operation.routed.backend), (id, "second"));
}

#[tokio::test]
async fn what_was_on_its_way_by_a_route_that_is_gone_is_started_and_carried_on() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    bench.bus.reroute(bench.bus.rerouting().build().unwrap(), LONG);
    assert!(bench.bus.route("route").is_none());
    let late = bench.start("quick").await;
    bench.ended(late).await;
    assert_eq!(bench.script.tries(late), 1);
}

#[tokio::test]
async fn a_backend_hears_of_an_end_by_hand_also_when_the_route_is_gone() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let held = bench.start("hold").await;
    bench.script.running(1).await;
    bench.bus.reroute(bench.bus.rerouting().build().unwrap(), Duration::ZERO);
    while bench.bus.start(&bench.caller, start("done")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    bench.bus.finish(&bench.caller, held, succeeded("by hand")).await.unwrap();
    assert_eq!(bench.script.abandoned(1).await, [held]);
}

#[tokio::test]
async fn room_that_is_more_is_used_at_once_and_room_that_is_less_ends_nothing() {
    let dir = tempdir().unwrap();
    let bench = Setup { concurrency: 1, ..Setup::at(&dir) }.open();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(bench.start("hold").await);
    }
    bench.script.running(1).await;
    assert!(bench.bus.allot("script", 3));
    bench.script.running(3).await;
    assert!(bench.bus.allot("script", 1));
    let waits = bench.start("hold").await;
    for id in &ids[..2] {
        bench.bus.cancel(&bench.caller, *id, "").await.unwrap();
        bench.ended(*id).await;
    }
    bench.script.running(1).await;
    assert_eq!(bench.script.tries(waits), 0);
    bench.bus.cancel(&bench.caller, ids[2], "").await.unwrap();
    bench.started(waits).await;
    assert_eq!(bench.bus.standings()[0].concurrency, 1);
    assert!(!bench.bus.allot("nobody", 1));
}
