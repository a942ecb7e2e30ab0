//! Following what changes from now on.

use std::sync::Arc;

use opgate_bus::core::ErrorKind;
use opgate_bus::{News, Recent, Snapshot};
use opgate_store::FEED_CAPACITY;
use tempfile::tempdir;
use tokio::task::JoinSet;

use crate::support::{LONG, Setup, start, stranger};

async fn next(recent: &mut Recent) -> Option<News> {
    let next = tokio::time::timeout(LONG, recent.next()).await.expect("news or the end");
    next.map(Result::unwrap)
}

async fn changed(recent: &mut Recent) -> Arc<Snapshot> {
    match next(recent).await.unwrap() {
        News::Changed(snapshot) => snapshot,
        News::Missed => panic!("nothing was missed"),
    }
}

#[tokio::test]
async fn the_past_and_other_tenants_are_no_news() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    bench.start("done").await;
    let mut recent = bench.bus.recent(&bench.caller).unwrap();
    bench.bus.start(&stranger(), start("done")).await.unwrap();
    let id = bench.start("done").await;
    assert_eq!(changed(&mut recent).await.id, id);
    bench.bus.remove(&bench.caller, id).await.unwrap();
    let gone = changed(&mut recent).await;
    assert!(gone.id == id && gone.removed.is_some());
    // What is skipped is news no more.
    bench.start("done").await;
    recent.skip();
    let later = bench.start("done").await;
    assert_eq!(changed(&mut recent).await.id, later);
    bench.bus.drain().await;
    assert!(next(&mut recent).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_too_slow_is_told_so_and_not_what_was_missed() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let mut recent = bench.bus.recent(&bench.caller).unwrap();
    let mut starts = JoinSet::new();
    for _ in 0..8 {
        let (bus, caller) = (bench.bus.clone(), bench.caller.clone());
        starts.spawn(async move {
            for _ in 0..FEED_CAPACITY / 8 + 100 {
                bus.start(&caller, start("done")).await.unwrap();
            }
        });
    }
    starts.join_all().await;
    assert!(matches!(next(&mut recent).await, Some(News::Missed)));
    recent.skip();
    let after = bench.start("done").await;
    assert_eq!(changed(&mut recent).await.id, after);
}

#[tokio::test]
async fn it_takes_the_place_of_a_watch() {
    let dir = tempdir().unwrap();
    let mut setup = Setup::at(&dir);
    setup.options.watches = 1;
    let bench = setup.open();
    let first = bench.bus.recent(&bench.caller).unwrap();
    let second = bench.bus.recent(&bench.caller);
    assert_eq!(second.unwrap_err().kind, ErrorKind::TooManyRequests);
    drop(first);
    bench.bus.recent(&bench.caller).unwrap();
}
