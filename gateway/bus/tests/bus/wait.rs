//! Waiting.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use opgate_bus::Until;
use opgate_bus::core::{ErrorKind, OperationId, State};
use tempfile::tempdir;

use crate::support::{LONG, Setup, kind};

#[tokio::test]
async fn a_wait_ends_at_a_newer_version_or_at_the_end() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("hold").await;
    let running = bench.started(id).await;
    let (bus, caller, seen) = (&bench.bus, &bench.caller, running.version);
    let asked = bus.wait(caller, id, Until::Newer(seen), LONG);
    let (asked, _) = tokio::join!(asked, bus.cancel(caller, id, "go"));
    assert!(asked.unwrap().version > seen);
    let ended = bench.ended(id).await;
    // Nothing can follow an end: there is nothing to wait for.
    let after = bus.wait(caller, id, Until::Newer(ended.version), LONG).await.unwrap();
    assert_eq!(after.version, ended.version);
}

#[tokio::test]
async fn at_its_limit_a_wait_answers_with_what_is() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("hold").await;
    bench.started(id).await;
    for limit in [Duration::ZERO, Duration::from_millis(20)] {
        let began = std::time::Instant::now();
        let now = bench.bus.wait(&bench.caller, id, Until::Done, limit).await.unwrap();
        assert_eq!(now.state, State::Running);
        assert!(began.elapsed() >= limit);
    }
}

#[tokio::test]
async fn beyond_the_cap_a_wait_is_answered_at_once() {
    let dir = tempdir().unwrap();
    let mut setup = Setup::at(&dir);
    setup.options.waits = 1;
    let bench = setup.open();
    let id = bench.start("hold").await;
    bench.started(id).await;
    let first = bench.bus.wait(&bench.caller, id, Until::Done, LONG);
    let second = async {
        let answered = bench.bus.wait(&bench.caller, id, Until::Done, LONG).await;
        bench.script.open_gate();
        answered
    };
    // The first is polled first, and so it is the one that holds the only permit.
    let (first, second) = tokio::join!(first, second);
    assert_eq!(second.unwrap().state, State::Running);
    assert_eq!(first.unwrap().state, State::Succeeded);
}

#[tokio::test]
async fn a_removal_ends_a_wait_as_not_found() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("hold").await;
    bench.started(id).await;
    let wait = bench.bus.wait(&bench.caller, id, Until::Done, LONG);
    let (waited, removed) = tokio::join!(wait, bench.bus.remove(&bench.caller, id));
    removed.unwrap();
    assert_eq!(kind(waited), ErrorKind::NotFound);
}

#[tokio::test]
async fn one_end_releases_a_thousand_waits() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = bench.start("hold").await;
    let running = bench.started(id).await.version;
    let mut waits: Vec<_> = [Until::Done, Until::Newer(running)]
        .into_iter()
        .cycle()
        .take(1000)
        .map(|until| Box::pin(bench.bus.wait(&bench.caller, id, until, LONG)))
        .collect();
    poll_fn(|cx| {
        assert!(waits.iter_mut().all(|wait| wait.as_mut().poll(cx).is_pending()));
        Poll::Ready(())
    })
    .await;
    bench.script.open_gate();
    for wait in waits {
        assert_eq!(wait.await.unwrap().state, State::Succeeded);
    }
}

#[tokio::test]
async fn a_wait_is_small() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let id = OperationId::from_bits(1);
    let wait = bench.bus.wait(&bench.caller, id, Until::Done, LONG);
    assert!(size_of_val(&wait) <= 768, "{} bytes", size_of_val(&wait));
}
