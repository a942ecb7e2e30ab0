//! How much may wait.

use opgate_bus::core::{ErrorKind, KeySpace};
use opgate_bus::{Pull, RepeatKey, Start};
use tempfile::tempdir;

use super::support::{Setup, ask, build};
use crate::support::kind;

fn keyed(key: &str) -> Start {
    Start { dedupe: Some(RepeatKey::new(KeySpace::new("test"), key)), ..build() }
}

#[tokio::test]
async fn a_full_queue_takes_no_start_but_knows_those_it_took() {
    let dir = tempdir().unwrap();
    let pull = Pull { backlog: 2, ..Pull::default() };
    let shop = Setup { pull, ..Setup::at(&dir) }.open();
    let start = |start| shop.bus.start(&shop.caller, start);
    let first = start(keyed("first")).await.unwrap().snapshot.id;
    start(build()).await.unwrap();
    shop.queued(2).await;
    let error = start(build()).await.unwrap_err();
    assert_eq!((error.kind, &*error.message), (ErrorKind::TooManyRequests, "the queue is full"));
    assert_eq!(kind(start(keyed("other")).await), ErrorKind::TooManyRequests);
    let repeat = start(keyed("first")).await.unwrap();
    assert_eq!((repeat.snapshot.id, repeat.repeated), (first, true));
    let otherwise = Start { input: opgate_bus::core::Payload::json("{\"a\":1}"), ..keyed("first") };
    assert_eq!(kind(start(otherwise).await), ErrorKind::AlreadyExists);
    // The other queue has room, and so has this one once something was leased.
    start(Start { route: "ship".into(), ..build() }).await.unwrap();
    shop.lease(ask()).await;
    start(keyed("other")).await.unwrap();
}
