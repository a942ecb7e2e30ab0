//! Watching.

use std::collections::HashSet;
use std::sync::Arc;

use opgate_bus::core::{ErrorKind, Operation, Parent, Seq, State, Version};
use opgate_bus::{Filter, Start, Watch, Watching};
use opgate_store::FEED_CAPACITY;
use tempfile::tempdir;
use tokio::task::JoinSet;

use crate::support::{LONG, Setup, start, stranger};

fn scope(parent: &str, after: Seq) -> Watch {
    Watch::Scope { scope: Parent::new(parent).unwrap(), after, filter: None }
}

async fn next(watching: &mut Watching) -> Option<Arc<opgate_bus::Snapshot>> {
    let next = tokio::time::timeout(LONG, watching.next()).await.expect("a change or the end");
    next.map(Result::unwrap)
}

#[tokio::test]
async fn one_operation_is_followed_to_its_end() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("hold").await;
    let watch = Watch::Operation { id, after: Version(0) };
    let mut watching = bench.bus.watch(&bench.caller, watch.clone()).unwrap();
    let mut versions = Vec::new();
    let mut last = State::Accepted;
    while let Some(snapshot) = next(&mut watching).await {
        versions.push(snapshot.version);
        last = snapshot.state;
        if last == State::Running {
            bench.script.open_gate();
        }
    }
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    assert_eq!(last, State::Succeeded);
    let mut foreign = bench.bus.watch(&stranger(), watch).unwrap();
    assert_eq!(foreign.next().await.unwrap().unwrap_err().kind, ErrorKind::NotFound);
    assert!(foreign.next().await.is_none());
}

#[tokio::test]
async fn a_filter_lets_its_own_through_from_the_past_and_the_present() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let begin = async |instruction| {
        let receipt = bench.bus.start(&bench.caller, start(instruction)).await.unwrap();
        receipt.snapshot.id
    };
    let ended = Filter {
        text: String::new(),
        passes: Arc::new(|operation: &Operation| operation.state == State::Succeeded),
    };
    let (past, _) = (begin("done").await, begin("hold").await);
    let watch = Watch::Scope { scope: Parent::root(), after: Seq(0), filter: Some(ended) };
    let mut watching = bench.bus.watch(&bench.caller, watch).unwrap();
    assert_eq!(next(&mut watching).await.unwrap().id, past);
    let (_, present) = (begin("hold").await, begin("done").await);
    assert_eq!(next(&mut watching).await.unwrap().id, present);
}

#[tokio::test]
async fn a_scope_is_followed_from_the_past_into_the_present() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let within = |parent: &str, instruction| Start {
        parent: Parent::new(parent).unwrap(),
        ..start(instruction)
    };
    let begin = |parent: &'static str| bench.bus.start(&bench.caller, within(parent, "done"));
    let first = begin("p").await.unwrap().snapshot;
    begin("q").await.unwrap();
    bench.bus.start(&stranger(), within("p", "done")).await.unwrap();
    let mut watching = bench.bus.watch(&bench.caller, scope("p", Seq(0))).unwrap();
    assert_eq!(next(&mut watching).await.unwrap().id, first.id);
    let second = begin("p/below").await.unwrap().snapshot;
    begin("q").await.unwrap();
    assert_eq!(next(&mut watching).await.unwrap().id, second.id);
    let removed = bench.bus.remove(&bench.caller, first.id).await.unwrap().snapshot;
    let shown = next(&mut watching).await.unwrap();
    assert_eq!((shown.id, shown.changed), (first.id, removed.changed));
    assert!(shown.removed.is_some());
    // From there on, by another watch: nothing again.
    let mut later = bench.bus.watch(&bench.caller, scope("p", shown.changed)).unwrap();
    let third = begin("p").await.unwrap().snapshot;
    assert_eq!(next(&mut later).await.unwrap().id, third.id);
    bench.bus.drain().await;
    assert!(later.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_fell_behind_misses_no_operation_and_repeats_none() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let mut watching = bench.bus.watch(&bench.caller, scope("", Seq(0))).unwrap();
    // One seen while catching up, one live.
    bench.start("done").await;
    let first = next(&mut watching).await.unwrap();
    bench.start("done").await;
    let second = next(&mut watching).await.unwrap();
    let more = FEED_CAPACITY + 1000;
    let mut starts = JoinSet::new();
    for _ in 0..8 {
        let (bus, caller) = (bench.bus.clone(), bench.caller.clone());
        starts.spawn(async move {
            for _ in 0..more / 8 {
                bus.start(&caller, start("done")).await.unwrap();
            }
        });
    }
    starts.join_all().await;
    let mut seen = HashSet::from([first.id, second.id]);
    let mut last = second.changed;
    for _ in 0..more / 8 * 8 {
        let snapshot = next(&mut watching).await.unwrap();
        assert!(snapshot.changed > last && seen.insert(snapshot.id));
        last = snapshot.changed;
    }
    let after = bench.start("done").await;
    assert_eq!(next(&mut watching).await.unwrap().id, after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_many_changes_the_last_of_each_operation_is_seen_in_order() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let mut watching = bench.bus.watch(&bench.caller, scope("", Seq(0))).unwrap();
    let mut starts = JoinSet::new();
    for n in 0..200 {
        let (bus, caller) = (bench.bus.clone(), bench.caller.clone());
        starts.spawn(async move {
            let instruction = if n % 3 == 0 { "flaky 1" } else { "quick" };
            bus.start(&caller, start(instruction)).await.unwrap().snapshot.id
        });
    }
    let (mut ended, mut last) = (HashSet::new(), Seq(0));
    while ended.len() < 200 {
        let snapshot = next(&mut watching).await.unwrap();
        assert!(snapshot.changed > last, "{:?} after {last:?}", snapshot.changed);
        last = snapshot.changed;
        assert!(!ended.contains(&snapshot.id));
        if snapshot.is_done() {
            ended.insert(snapshot.id);
        }
    }
    let started: HashSet<_> = starts.join_all().await.into_iter().collect();
    assert_eq!(ended, started);
}

/// Changes that share a batch come in the order of their positions too: a watch that goes on from
/// the last one it saw would miss what came out of order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_batch_is_seen_in_order() {
    let dir = tempdir().unwrap();
    let bench = Setup { concurrency: 200, ..Setup::at(&dir) }.open();
    let (bus, caller) = (&bench.bus, &bench.caller);
    let mut last = Seq(0);
    let mut watching = bus.watch(caller, scope("", last)).unwrap();
    for _ in 0..100 {
        let (first, second) = (bench.start("large").await, bench.start("large").await);
        bench.started(first).await;
        bench.started(second).await;
        // The middle one lies between two changes of the same operation.
        let (one, two, three) = tokio::join!(
            bus.cancel(caller, first, ""),
            bus.cancel(caller, second, ""),
            bus.remove(caller, first),
        );
        one.unwrap();
        let (between, end) = (two.unwrap().snapshot.changed, three.unwrap().snapshot.changed);
        let mut seen = Vec::new();
        while last < end {
            let snapshot = next(&mut watching).await.unwrap();
            assert!(snapshot.changed > last, "{:?} after {last:?}", snapshot.changed);
            last = snapshot.changed;
            seen.push(last);
        }
        assert!(seen.contains(&between), "{between:?} is missing among {seen:?}");
    }
}

#[tokio::test]
async fn watches_are_bounded() {
    let dir = tempdir().unwrap();
    let mut setup = Setup::at(&dir);
    setup.options.watches = 1;
    let bench = setup.open();
    let first = bench.bus.watch(&bench.caller, scope("", Seq(0))).unwrap();
    let second = bench.bus.watch(&bench.caller, scope("", Seq(0)));
    assert_eq!(second.unwrap_err().kind, ErrorKind::TooManyRequests);
    drop(first);
    bench.bus.watch(&bench.caller, scope("", Seq(0))).unwrap();
}
