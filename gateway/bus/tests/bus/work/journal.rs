//! What workers see of a journal that takes no writes.

use std::time::Duration;

use opgate_bus::core::{ErrorKind, Payload, State};
use opgate_bus::{Ask, Start};
use opgate_store::Clock;
use tempfile::tempdir;

use super::support::{Setup, ask, build, look, succeeded};
use crate::support::{LONG, RETENTION, kind, stopped_clock};

#[tokio::test]
async fn without_the_journal_nothing_is_leased_and_nothing_is_lost() {
    let dir = tempdir().unwrap();
    let clock = stopped_clock();
    let mut setup = Setup { clock: Clock::Manual(clock.clone()), ..Setup::at(&dir) };
    setup.store.max_bytes = Some(4 * 1024 * 1024);
    let shop = setup.open();
    let large = || Start {
        route: "ship".into(),
        input: Payload::new("text/plain", vec![b'x'; 3 * 1024 * 1024]),
        ..build()
    };
    shop.bus.start(&shop.caller, large()).await.unwrap();
    let filler = shop.lease(Ask { queue: "ships".into(), ..ask() }).await;
    shop.bus.complete(&filler.token, succeeded()).await.unwrap();
    let held = shop.begun().await;
    let waits = shop.start().await;
    shop.queued(1).await;
    // There is no room for a second large one. What is small is still taken, so that what is held
    // can end.
    assert_eq!(kind(shop.bus.start(&shop.caller, large()).await), ErrorKind::Unavailable);
    shop.bus.complete(&held.token, succeeded()).await.unwrap();
    // Once the dispatcher has heard of it, whoever asks waits.
    let patience = Ask { wait: Duration::from_millis(200), ..ask() };
    let asked = shop.bus.lease(patience).await.unwrap();
    assert!(asked.is_empty(), "{asked:?}");
    assert_eq!(shop.get(waits).await.state, State::Accepted);
    let mut waiting = Box::pin(shop.bus.lease(ask()));
    let pending = tokio::time::timeout(Duration::from_millis(1), &mut waiting).await;
    assert!(pending.is_err());
    // The filler expires, and leaves.
    clock.advance(RETENTION);
    shop.store.tidy();
    let leased = tokio::time::timeout(LONG, waiting).await.unwrap().unwrap();
    assert_eq!(leased[0].snapshot.id, waits);
    assert!(shop.bus.lease(look()).await.unwrap().is_empty());
}
