//! Asking for work, and getting it.

use std::time::Duration;

use opgate_bus::core::{Epoch, ErrorKind, Progress, Report, State};
use opgate_bus::{Ask, LEASES};
use tempfile::tempdir;

use super::support::{Setup, ask, build, look, succeeded};
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
    let elsewhere = opgate_bus::Start { route: "none".into(), ..build() };
    assert_eq!(kind(shop.bus.start(&shop.caller, elsewhere).await), ErrorKind::Unsupported);
}
