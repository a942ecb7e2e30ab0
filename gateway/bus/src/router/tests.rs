use std::pin::Pin;

use opgate_core::{Error, Outcome};

use super::*;
use crate::backend::{Admission, Backend, Offer};
use crate::lease::Lease;
use crate::pull::Pull;

struct Idle;

impl Backend for Idle {
    fn admit(&self, _offer: &Offer<'_>) -> Result<Admission, Error> {
        Ok(Admission::Accept)
    }

    fn run(&self, _lease: Lease) -> Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>> {
        Box::pin(std::future::pending())
    }
}

fn route(name: &str, backend: &str) -> Route {
    Route {
        name: name.into(),
        kind: Kind::new("service", name).unwrap(),
        backend: backend.into(),
        retention: Duration::from_hours(1),
        timeout: None,
        options: BTreeMap::new(),
        expects: Expects::default(),
        resources: Vec::new(),
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let problems = Router::builder()
        .backend("a", Arc::new(Idle), 1)
        .backend("b", Arc::new(Idle), 0)
        .backend("a", Arc::new(Idle), 1)
        .route(route("r", "a"))
        .route(route("s", "c"))
        .route(route("r", "b"))
        .build()
        .unwrap_err();
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "backend b has a concurrency of 0, at least 1 is needed",
            "backend a is declared twice",
            "route s names backend c, known are: a, b, a",
            "route r is declared twice",
        ]
    );
}

fn queued(name: &str, backend: &str, queue: &str) -> Route {
    Route { options: BTreeMap::from([(QUEUE.into(), queue.into())]), ..route(name, backend) }
}

#[test]
fn a_queue_is_one_backends_and_as_many_routes_as_lead_to_it() {
    let router = Router::builder()
        .worker("w", Pull::default())
        .backend("b", Arc::new(Idle), 1)
        .route(route("plain", "w"))
        .route(queued("named", "w", "w"))
        .route(queued("other", "w", "q"))
        .route(queued("pushed", "b", "its own business"))
        .build()
        .unwrap();
    let queue = |route| router.target(route).unwrap().queue;
    assert_eq!(queue("plain"), queue("named"));
    assert_ne!(queue("plain"), queue("other"));
    assert_eq!(queue("pushed"), None);
    let mut names: Vec<&str> = router.queues().collect();
    names.sort_unstable();
    assert_eq!(names, ["q", "w"]);
}

#[test]
fn backends_keep_their_places_and_queues_theirs_as_long_as_they_are_of_use() {
    let next = |before: &Arc<Router>, routes: &[(&str, &str)]| {
        let begun = before.next().backend("late", Arc::new(Idle), 1);
        let routes = routes.iter().map(|(name, queue)| queued(name, "w", queue));
        Arc::new(routes.fold(begun, RouterBuilder::route).build().unwrap())
    };
    let first = Router::builder().worker("w", Pull::default()).route(queued("a", "w", "one"));
    let first = Arc::new(first.build().unwrap());
    let second = next(&first, &[("b", "two"), ("a", "two")]);
    assert_eq!(second.queue("one"), None);
    assert_eq!(second.queue("two"), Some((BackendIndex(1), QueueIndex(1))));
    assert!(Arc::ptr_eq(&first.backends()[1], &second.backends()[1]));
    assert_eq!(second.backend_names().collect::<Vec<_>>(), ["w", "late"]);
    assert_eq!(second.left_queues(BackendIndex(1)).collect::<Vec<_>>(), [QueueIndex(0)]);
    // A route that is gone leaves, until there is one of its name again.
    let third = Arc::new(second.next().route(queued("a", "w", "one")).build().unwrap());
    assert!(third.route("b").is_none() && !third.is_settled());
    assert_eq!(third.target("b").unwrap().queue, Some(QueueIndex(1)));
    assert_eq!(third.queue("one"), Some((BackendIndex(1), QueueIndex(0))));
    assert!(third.settled().target("b").is_none());
    assert!(third.next().route(queued("b", "w", "one")).build().unwrap().target("a").is_some());
}

#[test]
fn what_no_worker_could_be_served_by_is_told() {
    let problems = Router::builder()
        .worker("a", Pull { concurrency: 0, ..Pull::default() })
        .worker("b", Pull { backlog: 0, ..Pull::default() })
        .worker("c", Pull { attempts: 0, ..Pull::default() })
        .worker("d", Pull { lease: Duration::from_millis(999), ..Pull::default() })
        .route(queued("first", "a", "q"))
        .route(queued("second", "b", "q"))
        .build()
        .unwrap_err();
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "backend a has a concurrency of 0, at least 1 is needed",
            "backend b has a backlog of 0, at least 1 is needed",
            "backend c has 0 attempts, at least 1 is needed",
            "backend d has a lease outside 1 s to 1 h",
            "queue q belongs to backend a, and route second gives it to b",
        ]
    );
}

#[test]
fn a_route_leads_to_its_backend() {
    let router = Router::builder()
        .route(route("r", "b"))
        .backend("a", Arc::new(Idle), 1)
        .backend("b", Arc::new(Idle), 7)
        .build()
        .unwrap();
    let target = router.target("r").unwrap();
    assert_eq!(router.placed(target.backend).concurrency(), 7);
    assert_eq!(router.route("r").map(|route| &*route.backend), Some("b"));
    assert_eq!(router.route("s"), None);
}
