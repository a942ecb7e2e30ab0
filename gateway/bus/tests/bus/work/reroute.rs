//! Routes that lead to other queues from one moment to the next, and more room for workers.

use std::collections::BTreeMap;
use std::time::Duration;

use opgate_bus::core::{ErrorKind, Expects, Kind, Outcome, Report, State};
use opgate_bus::{Ask, Pull, QUEUE, Route, Router};
use tempfile::tempdir;

use super::support::{Setup, Shop, ask};
use crate::support::{LONG, RETENTION};

/// Has operations of the route `build` wait in a queue of a backend, and none of any other route.
fn to(shop: &Shop, backend: &str, queue: &str) -> Router {
    let builder = shop.bus.rerouting();
    let builder =
        if backend == "shop" { builder } else { builder.worker(backend, Pull::default()) };
    let route = Route {
        name: "build".into(),
        kind: Kind::new("test", "build").unwrap(),
        backend: backend.into(),
        retention: RETENTION,
        timeout: None,
        options: BTreeMap::from([(QUEUE.into(), queue.into())]),
        expects: Expects::default(),
        resources: Vec::new(),
    };
    builder.route(route).build().unwrap()
}

fn ask_of(queue: &str) -> Ask {
    Ask { queue: queue.into(), ..ask() }
}

#[tokio::test]
async fn who_holds_a_lease_keeps_it_when_the_route_is_gone() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let leased = shop.begun().await;
    shop.bus.reroute(shop.bus.rerouting().build().unwrap(), Duration::ZERO);
    let refused = shop.bus.lease(ask()).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::NotFound);
    shop.bus.report(&leased.token, Report::default(), None).await.unwrap();
    shop.bus.complete(&leased.token, Outcome::Succeeded(None)).await.unwrap();
    assert_eq!(shop.ended(leased.snapshot.id).await.state, State::Succeeded);
}

#[tokio::test]
async fn what_waits_goes_to_another_queue_and_keeps_its_order() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let (first, second) = (shop.start().await, shop.start().await);
    shop.queued(2).await;
    shop.bus.reroute(to(&shop, "shop", "fixes"), Duration::ZERO);
    assert!(!shop.bus.has_queue("builds") && !shop.bus.has_queue("ships"));
    for id in [first, second] {
        assert_eq!(shop.lease(ask_of("fixes")).await.snapshot.id, id);
    }
    assert_eq!(shop.bus.standings()[0].queues, ["fixes".into()]);
}

#[tokio::test]
async fn who_waits_at_a_queue_that_is_gone_waits_no_longer() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let waiting = tokio::spawn({
        let bus = shop.bus.clone();
        async move { bus.lease(Ask { wait: Duration::from_hours(1), ..ask() }).await }
    });
    shop.asking(1).await;
    shop.bus.reroute(to(&shop, "annex", "builds"), Duration::ZERO);
    let answer = tokio::time::timeout(LONG, waiting).await.unwrap().unwrap();
    assert!(answer.unwrap().is_empty());
    assert_eq!(shop.value("opgate_lease_asks"), 0);
    // The queue of that name is another backend's now.
    let id = shop.start().await;
    assert_eq!(shop.lease(ask()).await.snapshot.id, id);
}

#[tokio::test]
async fn what_is_given_back_goes_where_the_route_leads_by_then() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let leased = shop.begun().await;
    shop.bus.reroute(to(&shop, "annex", "annexed"), Duration::ZERO);
    // Whoever has it has it still.
    shop.bus.report(&leased.token, Report::default(), None).await.unwrap();
    assert_eq!(shop.value("opgate_leases"), 1);
    shop.bus.release(&leased.token, None, None).await.unwrap();
    let again = shop.lease(ask_of("annexed")).await;
    assert_eq!(again.snapshot.id, leased.snapshot.id);
    // On record is who has it.
    let backends = [&leased, &again].map(|leased| &*leased.snapshot.routed.backend);
    assert_eq!(backends, ["shop", "annex"]);
    assert_eq!(shop.value("opgate_leases"), 0);
    // And back: who left and came again is known.
    shop.bus.release(&again.token, None, None).await.unwrap();
    let back = to(&shop, "shop", "builds");
    shop.bus.reroute(back, Duration::ZERO);
    assert_eq!(shop.lease(ask()).await.snapshot.id, leased.snapshot.id);
}

#[tokio::test]
async fn more_is_leased_as_soon_as_it_may_be() {
    let dir = tempdir().unwrap();
    let pull = Pull { concurrency: 1, ..Pull::default() };
    let shop = Setup { pull, ..Setup::at(&dir) }.open();
    let _first = shop.begun().await;
    let second = shop.start().await;
    let waiting = tokio::spawn({
        let bus = shop.bus.clone();
        async move { bus.lease(ask()).await }
    });
    shop.asking(1).await;
    shop.queued(1).await;
    let more = Pull { concurrency: 2, lease: Duration::from_secs(77), ..pull };
    assert!(shop.bus.employ("shop", more));
    let leased = waiting.await.unwrap().unwrap();
    assert_eq!(leased[0].snapshot.id, second);
    assert_eq!(shop.value("opgate_leases_max"), 2);
    // Who asked before is given what was usual then; who asks from now on the new length.
    assert_eq!(leased[0].length, Pull::default().lease);
    assert!(shop.bus.employ("shop", Pull { concurrency: 3, ..more }));
    let _third = shop.start().await;
    assert_eq!(shop.lease(ask()).await.length, Duration::from_secs(77));
    assert!(!shop.bus.employ("nobody", more));
}

#[tokio::test]
async fn a_queue_that_nobody_needs_gives_its_place_to_another_and_one_that_holds_something_does_not()
 {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let held = shop.begun().await;
    for round in 0..20 {
        let queue = format!("queue-{round}");
        shop.bus.reroute(to(&shop, "shop", &queue), Duration::ZERO);
        // What has come before is in that queue by now, and what comes.
        let id = shop.start().await;
        let leased = shop.lease(ask_of(&queue)).await;
        assert_eq!(leased.snapshot.id, id);
        shop.bus.complete(&leased.token, Outcome::Succeeded(None)).await.unwrap();
    }
    shop.bus.release(&held.token, None, None).await.unwrap();
    assert_eq!(shop.lease(ask_of("queue-19")).await.snapshot.id, held.snapshot.id);
}
