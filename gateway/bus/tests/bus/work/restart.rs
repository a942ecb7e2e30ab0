//! What one process leaves to the workers of the next.

use std::time::Duration;

use opgate_bus::Ask;
use opgate_bus::core::{Epoch, ErrorKind, Report, State};
use tempfile::tempdir;

use super::support::{Frozen, Setup, ask, look, pass, succeeded};
use crate::support::kind;

#[tokio::test(start_paused = true)]
async fn a_worker_goes_on_with_its_token() {
    let _frozen = Frozen::new();
    let dir = tempdir().unwrap();
    let first = Setup::at(&dir).open();
    first.start().await;
    let length = Some(Duration::from_mins(10));
    let leased = first.lease(Ask { length, ..ask() }).await;
    let waiting = first.start().await;
    first.bus.drain().await;
    drop(first);

    let second = Setup::at(&dir).open();
    // Held by who held it: it is not in the queue.
    let next = second.bus.lease(Ask { max: 2, ..ask() }).await.unwrap();
    assert_eq!(next.iter().map(|next| next.snapshot.id).collect::<Vec<_>>(), [waiting]);
    second.bus.report(&leased.token, Report::default(), None).await.unwrap();
    // The report took its own length up again, not the usual one.
    pass(Duration::from_secs(599)).await;
    let receipt = second.bus.complete(&leased.token, succeeded()).await.unwrap();
    assert_eq!((receipt.snapshot.state, receipt.snapshot.epoch), (State::Succeeded, Epoch(1)));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_not_heard_of_loses_its_lease_after_the_usual_length() {
    let _frozen = Frozen::new();
    let dir = tempdir().unwrap();
    let first = Setup::at(&dir).open();
    let leased = first.begun().await;
    first.bus.drain().await;
    drop(first);

    let second = Setup::at(&dir).open();
    second.leased_out(1).await;
    pass(Duration::from_secs(29)).await;
    assert!(second.bus.lease(look()).await.unwrap().is_empty());
    pass(Duration::from_secs(1)).await;
    let next = second.lease(ask()).await;
    assert_eq!((next.snapshot.id, next.snapshot.epoch), (leased.snapshot.id, Epoch(2)));
    assert_eq!(kind(second.bus.complete(&leased.token, succeeded()).await), ErrorKind::Conflict);
    let line = &next.snapshot.log[0].message;
    assert!(line.contains("the lease of its worker ran out"), "{line}");
}

#[tokio::test]
async fn an_answer_that_was_lost_may_be_asked_for_after_a_restart() {
    let dir = tempdir().unwrap();
    let first = Setup::at(&dir).open();
    let leased = first.begun().await;
    first.bus.complete(&leased.token, succeeded()).await.unwrap();
    first.bus.drain().await;
    drop(first);

    let second = Setup::at(&dir).open();
    assert!(second.bus.complete(&leased.token, succeeded()).await.unwrap().repeated);
}
