//! Asking for work, and getting it.

use std::time::Duration;

use opgate_bus::core::{Epoch, ErrorKind, OperationId, Payload, Progress, Report, State};
use opgate_bus::{Ask, LEASES, Leased, Pull, Start};
use tempfile::tempdir;

use super::support::{Setup, ask, build, look, poll_once, succeeded, tenant};
use crate::support::kind;

#[tokio::test]
async fn a_worker_leases_reports_and_completes() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let id = shop.start().await;
    assert_eq!(shop.get(id).await.state, State::Accepted);
    let leased = shop.lease(ask()).await;
    assert_eq!((leased.snapshot.id, leased.snapshot.epoch), (id, Epoch(1)));
    assert_eq!(shop.get(id).await.state, State::Running);
    let progress = Progress { percent: Some(50.0), ..Progress::default() };
    let report = Report { progress: Some(progress), ..Report::default() };
    let held = shop.bus.report(&leased.token, report, None).await.unwrap();
    assert_eq!(held.snapshot.progress.as_ref().unwrap().percent, Some(50.0));
    let receipt = shop.bus.complete(&leased.token, succeeded()).await.unwrap();
    assert_eq!(receipt.snapshot.state, State::Succeeded);
    assert_eq!(shop.get(id).await.outcome, Some(succeeded()));
}

#[tokio::test]
async fn an_ask_waits_for_an_operation_and_not_longer_than_told() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let none = shop.bus.lease(Ask { wait: Duration::from_millis(20), ..ask() }).await.unwrap();
    assert!(none.is_empty());
    // The ask is polled first, and so it waits when the start comes.
    let (leased, id) = tokio::join!(shop.lease(ask()), shop.start());
    assert_eq!(leased.snapshot.id, id);
    assert!(shop.bus.lease(look()).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_ask_that_cannot_be_served_is_refused_by_name() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let elsewhere = Ask { queue: "shop".into(), ..look() };
    let error = shop.bus.lease(elsewhere).await.unwrap_err();
    assert_eq!((error.kind, &*error.message), (ErrorKind::NotFound, "no such queue"));
    let short = Duration::from_millis(999);
    let long = Duration::from_secs(3601);
    for (field, ask) in [
        ("max", Ask { max: 0, ..look() }),
        ("max", Ask { max: LEASES + 1, ..look() }),
        ("length", Ask { length: Some(short), ..look() }),
        ("length", Ask { length: Some(long), ..look() }),
        ("worker", Ask { worker: "x".repeat(257).into(), ..look() }),
    ] {
        let error = shop.bus.lease(ask).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgument);
        assert_eq!(error.field.unwrap().field, field);
    }
    let elsewhere = Start { route: "none".into(), ..build() };
    assert_eq!(kind(shop.bus.start(&shop.caller, elsewhere).await), ErrorKind::Unsupported);
}

fn ids(leased: &[Leased]) -> Vec<OperationId> {
    leased.iter().map(|leased| leased.snapshot.id).collect()
}

#[tokio::test]
async fn an_ask_takes_what_is_ready_in_order_and_no_more_than_it_wants() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let mut started = Vec::new();
    for _ in 0..5 {
        started.push(shop.start().await);
    }
    shop.queued(5).await;
    let first = shop.bus.lease(Ask { max: 2, ..ask() }).await.unwrap();
    let rest = shop.bus.lease(Ask { max: LEASES, ..ask() }).await.unwrap();
    assert_eq!(ids(&first), started[..2]);
    assert_eq!(ids(&rest), started[2..]);
    // All of one answer shared a batch: their tokens are their own all the same.
    for leased in first.iter().chain(&rest) {
        let receipt = shop.bus.complete(&leased.token, succeeded()).await.unwrap();
        assert_eq!(receipt.snapshot.id, leased.snapshot.id);
    }
}

#[tokio::test]
async fn an_ask_takes_no_more_than_it_has_room_for_and_passes_nothing_over() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    // As many bytes of input as it has digits.
    let mut started = Vec::new();
    for input in ["1000", "10", "100000", "1"] {
        let build = Start { input: Payload::json(input), ..build() };
        started.push(shop.bus.start(&shop.caller, build).await.unwrap().snapshot.id);
    }
    shop.queued(4).await;
    let room = |bytes, least| Ask { max: LEASES, bytes, least, ..ask() };
    let none = shop.bus.lease(room(3, 0)).await.unwrap();
    assert!(none.is_empty(), "{none:?}");
    let two = shop.bus.lease(room(6, 0)).await.unwrap();
    assert_eq!(ids(&two), started[..2]);
    // Nothing was begun of what did not fit.
    let none = shop.bus.lease(room(5, 0)).await.unwrap();
    assert!(none.is_empty(), "{none:?}");
    let one = shop.bus.lease(room(5, 1)).await.unwrap();
    assert_eq!(ids(&one), started[2..3]);
    assert_eq!(one[0].snapshot.epoch.0, 1);
    let last = shop.bus.lease(room(1, 1)).await.unwrap();
    assert_eq!(ids(&last), started[3..]);
}

#[tokio::test]
async fn tenants_take_turns() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let (many, one) = (tenant("many"), tenant("one"));
    for _ in 0..3 {
        shop.bus.start(&many, build()).await.unwrap();
    }
    let lonely = shop.bus.start(&one, build()).await.unwrap().snapshot.id;
    shop.queued(4).await;
    let leased = shop.bus.lease(Ask { max: 2, ..ask() }).await.unwrap();
    assert!(ids(&leased).contains(&lonely));
}

#[tokio::test]
async fn a_queue_is_served_to_those_who_ask_for_it() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let ship = Start { route: "ship".into(), ..build() };
    let id = shop.bus.start(&shop.caller, ship).await.unwrap().snapshot.id;
    shop.queued(1).await;
    assert!(shop.bus.lease(look()).await.unwrap().is_empty());
    let leased = shop.lease(Ask { queue: "ships".into(), ..look() }).await;
    assert_eq!(leased.snapshot.id, id);
}

#[tokio::test]
async fn no_more_is_leased_out_at_once_than_allowed() {
    let dir = tempdir().unwrap();
    let pull = Pull { concurrency: 2, ..Pull::default() };
    let shop = Setup { pull, ..Setup::at(&dir) }.open();
    for _ in 0..3 {
        shop.start().await;
    }
    shop.queued(3).await;
    let leased = shop.bus.lease(Ask { max: 3, ..look() }).await.unwrap();
    assert_eq!(leased.len(), 2);
    assert!(shop.bus.lease(look()).await.unwrap().is_empty());
    // Whoever waits is served as soon as there is room.
    let (third, _) =
        tokio::join!(shop.lease(ask()), shop.bus.complete(&leased[0].token, succeeded()));
    assert!(!ids(&leased).contains(&third.snapshot.id));
}

#[tokio::test]
async fn what_an_asker_was_dealt_and_never_took_is_the_next_ones() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let asking = shop.bus.lease(ask());
    let mut asking = Box::pin(asking);
    assert!(poll_once(&mut asking).await.is_none());
    let id = shop.start().await;
    // It was dealt what came, and it never looks.
    shop.leased_out(1).await;
    drop(asking);
    let leased = shop.lease(look()).await;
    assert_eq!((leased.snapshot.id, leased.snapshot.epoch), (id, Epoch(1)));
}

#[tokio::test]
async fn an_asker_that_goes_while_its_lease_begins_leaves_the_operation_to_the_next() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let id = loop {
        let id = shop.start().await;
        shop.queued(1).await;
        // The first poll hands the start to the journal; seldom that has answered already.
        let Some(leased) = poll_once(shop.bus.lease(look())).await else { break id };
        shop.bus.complete(&leased.unwrap()[0].token, succeeded()).await.unwrap();
    };
    let leased = shop.lease(look()).await;
    assert_eq!((leased.snapshot.id, leased.snapshot.epoch), (id, Epoch(2)));
    shop.bus.complete(&leased.token, succeeded()).await.unwrap();
}

#[tokio::test]
async fn a_drain_answers_those_who_wait_and_leases_no_more() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let (answered, ()) = tokio::join!(shop.bus.lease(ask()), shop.bus.quiesce());
    assert!(answered.unwrap().is_empty());
    shop.start().await;
    assert!(shop.bus.lease(ask()).await.unwrap().is_empty());
}
