//! Which backends cannot be asked now.

use std::sync::Arc;
use std::time::Duration;

use opgate_bus::Backoff;
use tempfile::tempdir;

use crate::support::{Setup, succeeded};
use crate::work;

#[tokio::test]
async fn a_backend_that_was_not_reached_is_unreachable_until_it_answers() {
    let dir = tempdir().unwrap();
    let mut setup = Setup::at(&dir);
    let hour = Duration::from_hours(1);
    setup.options.backoff = Backoff { first: hour, longest: hour, attempts: 3 };
    let bench = setup.open();
    assert!(bench.bus.unreachable().is_empty());
    let flaky = bench.start("flaky 1").await;
    bench.until(flaky, |now| !now.log.is_empty()).await;
    assert_eq!(bench.bus.unreachable(), [Arc::from("script")]);
    // That it refuses the work is an answer, too.
    let refused = bench.start("never").await;
    bench.ended(refused).await;
    assert!(bench.bus.unreachable().is_empty());
}

#[tokio::test]
async fn a_backend_that_is_not_configured_any_more_is_missed_while_something_of_it_lives() {
    let dir = tempdir().unwrap();
    let first = Setup::at(&dir).open();
    let ids = [first.start("hold").await, first.start("hold").await];
    first.bus.drain().await;
    drop(first);

    // Another backend, by another name, and none of the routes.
    let second = work::elsewhere(&dir);
    let caller = opgate_bus::Caller::anonymous();
    // What comes later is heard of later.
    second.begun().await;
    assert_eq!(second.bus.unreachable(), [Arc::from("script")]);
    for id in ids {
        assert_eq!(second.bus.unreachable(), [Arc::from("script")]);
        second.bus.finish(&caller, id, succeeded("by hand")).await.unwrap();
    }
    second.begun().await;
    assert!(second.bus.unreachable().is_empty());
}
