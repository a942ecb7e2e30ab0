//! Which backend carries out what. Closed at start: nothing here changes while the daemon runs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opgate_core::{Expects, Kind, Operation, Parent, Payload};

use crate::backend::Backend;
use crate::notify::Notifier;
use crate::pace::Pace;
use crate::pull::Pull;
use crate::share::Follower;

/// Operations one backend carries out at a time, unless configured otherwise. A lease costs one
/// task of a few kilobytes, so this bounds the load on the upstream, not on the gateway.
pub const CONCURRENCY: usize = 4096;

/// How one kind of operation is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// The kind it gives its operations.
    pub kind: Kind,
    /// The name of the backend.
    pub backend: Arc<str>,
    /// How long an operation stays readable after its end.
    pub retention: Duration,
    /// How long an operation may take; none is no limit.
    pub timeout: Option<Duration>,
    /// What the backend is told of the route, by the backend's own keys. On a route to workers,
    /// `queue` names the queue its operations wait in; without it that is the backend's name.
    pub options: BTreeMap<String, String>,
    /// The types its operations are shown in, for starts that declare none themselves.
    pub expects: Expects,
    /// What its operations work on, as far as that can be said of one when it starts.
    pub resources: Vec<ResourceRule>,
}

/// Says of an operation what it works on. All texts are templates over its input (see
/// [`opgate_template`]); a rule of which one finds nothing says nothing. Where the pointer of the
/// identifier has the step `*`, as in `${/things/*/id}`, there is one resource for each entry of that
/// list, and the same step in the other texts is the same entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRule {
    /// What kind of thing.
    pub entity_type: String,
    /// What will have been done to it, such as `DELETED`; while the operation runs that is
    /// [`IN_PROGRESS`].
    pub action: String,
    /// Which one.
    pub identifier: String,
    /// Where it can be read; empty when nowhere.
    pub uri: String,
}

/// The action of what a running operation works on.
pub const IN_PROGRESS: &str = "IN_PROGRESS";

/// The option of a route to workers that names its queue.
pub const QUEUE: &str = "queue";

/// Something wrong with the routes or backends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Two routes have one name.
    #[error("route {0} is declared twice")]
    DuplicateRoute(Arc<str>),
    /// Two backends have one name.
    #[error("backend {0} is declared twice")]
    DuplicateBackend(Arc<str>),
    /// A route names a backend that does not exist.
    #[error("route {route} names backend {backend}, known are: {known}")]
    UnknownBackend {
        /// The route.
        route: Arc<str>,
        /// The name it gives.
        backend: Arc<str>,
        /// The names there are.
        known: String,
    },
    /// A backend may carry out nothing.
    #[error("backend {0} has a concurrency of 0, at least 1 is needed")]
    NoConcurrency(Arc<str>),
    /// What is configured for a backend of workers cannot be.
    #[error("backend {backend} has {problem}")]
    Pull {
        /// The backend.
        backend: Arc<str>,
        /// What is wrong.
        problem: &'static str,
    },
    /// Two backends have a queue of one name, and nobody could tell which a worker asks for.
    #[error("queue {queue} belongs to backend {first}, and route {route} gives it to {second}")]
    SharedQueue {
        /// The queue.
        queue: Arc<str>,
        /// The backend that has it.
        first: Arc<str>,
        /// The backend that is given it too.
        second: Arc<str>,
        /// By which route.
        route: Arc<str>,
    },
}

/// How a backend's operations get to where they are carried out.
pub(crate) enum Carrying {
    /// They are given to it.
    Push(Arc<dyn Backend>),
    /// Workers come for them.
    Pull(Pull),
}

/// A backend and what is configured for it.
pub(crate) struct Placed {
    pub(crate) name: Arc<str>,
    pub(crate) carrying: Carrying,
    pub(crate) concurrency: usize,
    /// The names of its queues; none where it is given its operations.
    pub(crate) queues: Vec<Arc<str>>,
}

/// A queue by its place among its backend's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueIndex(pub(crate) usize);

/// A backend by its place in the order of declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackendIndex(pub(crate) usize);

/// One route and its backend.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) route: Arc<Route>,
    pub(crate) backend: BackendIndex,
    /// None where operations are given to the backend.
    pub(crate) queue: Option<QueueIndex>,
    /// How long its operations take.
    pub(crate) pace: Pace,
    /// Whether a caller's key is the same start through whichever face.
    pub(crate) unified: bool,
    /// Says of an input by which key its work is shared; none where none is.
    pub(crate) share: Option<Box<str>>,
}

/// Which parent an operation of a route belongs to, by its input: asked where its face says none.
pub type Placing = Arc<dyn Fn(&Route, &Payload) -> Option<Parent> + Send + Sync>;

/// All routes and backends, checked.
pub struct Router {
    notifier: Option<Arc<dyn Notifier>>,
    placing: Option<Placing>,
    routes: HashMap<Arc<str>, Target>,
    backends: Box<[Placed]>,
    queues: HashMap<Arc<str>, (BackendIndex, QueueIndex)>,
}

impl Router {
    /// Begins without any.
    pub fn builder() -> RouterBuilder {
        RouterBuilder::default()
    }

    /// The route of this name.
    pub fn route(&self, name: &str) -> Option<&Route> {
        self.routes.get(name).map(|target| &*target.route)
    }

    /// Who tells of completions; without one callbacks stay owed.
    pub fn notifier(&self) -> Option<&Arc<dyn Notifier>> {
        self.notifier.as_ref()
    }

    /// The parent of an operation whose face says none.
    pub(crate) fn parent(&self, route: &Route, input: &Payload) -> Parent {
        let placed = self.placing.as_ref().and_then(|placing| placing(route, input));
        placed.unwrap_or_else(Parent::root)
    }

    /// The route of this name and its backend.
    pub(crate) fn target(&self, name: &str) -> Option<&Target> {
        self.routes.get(name)
    }

    /// Who has an operation of this route: its backend, or who follows the job that it shares.
    pub(crate) fn carrier(&self, operation: &Operation, target: &Target) -> BackendIndex {
        if operation.job().is_some() {
            BackendIndex(self.backends.len() - 1)
        } else {
            target.backend
        }
    }

    /// A backend of this router.
    pub(crate) fn placed(&self, backend: BackendIndex) -> &Placed {
        &self.backends[backend.0]
    }

    /// Every backend, in the order they were declared, and last who follows jobs that are shared.
    pub(crate) fn backends(&self) -> &[Placed] {
        &self.backends
    }

    /// The queue of this name.
    pub(crate) fn queue(&self, name: &str) -> Option<(BackendIndex, QueueIndex)> {
        self.queues.get(name).copied()
    }

    /// The names of the queues that routes lead to, in no order.
    pub fn queues(&self) -> impl Iterator<Item = &str> {
        self.queues.keys().map(|name| &**name)
    }

    /// Every route, in no order.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.values().map(|target| &*target.route)
    }

    /// The routes of one kind, by name.
    pub fn routes_of(&self, service: &str, operation: &str) -> Vec<&Route> {
        let is_one = |kind: &Kind| kind.service() == service && kind.operation() == operation;
        let mut routes: Vec<&Route> = self.routes().filter(|route| is_one(&route.kind)).collect();
        routes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        routes
    }

    /// Every backend's name, in the order they were declared.
    pub fn backend_names(&self) -> impl Iterator<Item = &str> {
        let declared = self.backends.split_last().map_or(&[][..], |(_, declared)| declared);
        declared.iter().map(|placed| &*placed.name)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("routes", &self.routes)
            .field("backends", &self.backends)
            .finish_non_exhaustive()
    }
}

/// Collects routes and backends in any order.
#[derive(Default)]
pub struct RouterBuilder {
    notifier: Option<Arc<dyn Notifier>>,
    placing: Option<Placing>,
    routes: Vec<Route>,
    backends: Vec<Placed>,
    unified: HashSet<Arc<str>>,
    shared: HashMap<Arc<str>, Box<str>>,
}

impl RouterBuilder {
    /// Adds a backend that carries out at most `concurrency` operations at a time (see
    /// [`CONCURRENCY`]).
    #[must_use]
    pub fn backend(
        mut self,
        name: impl Into<Arc<str>>,
        backend: Arc<dyn Backend>,
        concurrency: usize,
    ) -> Self {
        let carrying = Carrying::Push(backend);
        self.backends.push(Placed { name: name.into(), carrying, concurrency, queues: Vec::new() });
        self
    }

    /// Adds a backend of workers: the operations of its routes wait in queues until a worker leases
    /// them.
    #[must_use]
    pub fn worker(mut self, name: impl Into<Arc<str>>, pull: Pull) -> Self {
        self.backends.push(Placed {
            name: name.into(),
            concurrency: pull.concurrency,
            carrying: Carrying::Pull(pull),
            queues: Vec::new(),
        });
        self
    }

    /// Sets where operations belong whose faces do not say.
    #[must_use]
    pub fn placing(mut self, placing: Placing) -> Self {
        self.placing = Some(placing);
        self
    }

    /// Sets who tells of completions.
    #[must_use]
    pub fn notifier(mut self, notifier: Arc<dyn Notifier>) -> Self {
        self.notifier = Some(notifier);
        self
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Has one key and the same input start one operation of this route, through whichever faces they
    /// come. Otherwise each face has its own keys: strangers who happen on one do not meet.
    #[must_use]
    pub fn unify(mut self, route: impl Into<Arc<str>>) -> Self {
        self.unified.insert(route.into());
        self
    }

    /// Has those operations of this route share one job for which this template (see [`opgate_template`]) makes the
    /// same text of the input, while it has not ended. One of whose input it makes none, or an empty one, has a job of
    /// its own.
    #[must_use]
    pub fn share(mut self, route: impl Into<Arc<str>>, template: impl Into<Box<str>>) -> Self {
        self.shared.insert(route.into(), template.into());
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// Every problem there is, in the order of declaration.
    pub fn build(mut self) -> Result<Router, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut by_name = HashMap::new();
        for (index, placed) in self.backends.iter().enumerate() {
            if placed.concurrency == 0 {
                problems.push(Problem::NoConcurrency(Arc::clone(&placed.name)));
            }
            if let Carrying::Pull(pull) = &placed.carrying
                && let Some(problem) = pull.problem()
            {
                problems.push(Problem::Pull { backend: Arc::clone(&placed.name), problem });
            }
            if by_name.insert(Arc::clone(&placed.name), BackendIndex(index)).is_some() {
                problems.push(Problem::DuplicateBackend(Arc::clone(&placed.name)));
            }
        }
        let mut routes = HashMap::with_capacity(self.routes.len());
        let mut queues = HashMap::new();
        for route in self.routes {
            let Some(backend) = by_name.get(&route.backend).copied() else {
                let known: Vec<&str> = self.backends.iter().map(|placed| &*placed.name).collect();
                problems.push(Problem::UnknownBackend {
                    route: route.name,
                    backend: route.backend,
                    known: known.join(", "),
                });
                continue;
            };
            let name = Arc::clone(&route.name);
            let queue = match queue(&mut self.backends, &mut queues, backend, &route) {
                Ok(queue) => queue,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            let pace = Pace::default();
            let unified = self.unified.contains(&name);
            let share = self.shared.remove(&name);
            let target = Target { route: Arc::new(route), backend, queue, pace, unified, share };
            if routes.insert(Arc::clone(&name), target).is_some() {
                problems.push(Problem::DuplicateRoute(name));
            }
        }
        if problems.is_empty() {
            let Self { notifier, placing, mut backends, .. } = self;
            backends.push(Placed {
                name: "".into(),
                carrying: Carrying::Push(Arc::new(Follower)),
                concurrency: usize::MAX,
                queues: Vec::new(),
            });
            Ok(Router { notifier, placing, routes, backends: backends.into(), queues })
        } else {
            Err(problems)
        }
    }
}

/// The queue a route's operations wait in, made where it is not there yet.
fn queue(
    backends: &mut [Placed],
    queues: &mut HashMap<Arc<str>, (BackendIndex, QueueIndex)>,
    backend: BackendIndex,
    route: &Route,
) -> Result<Option<QueueIndex>, Problem> {
    let placed = &mut backends[backend.0];
    if let Carrying::Push(_) = placed.carrying {
        return Ok(None);
    }
    let named = route.options.get(QUEUE).map(|name| Arc::from(name.as_str()));
    let name = named.unwrap_or_else(|| Arc::clone(&placed.name));
    match queues.get(&name) {
        Some((of, queue)) if *of == backend => Ok(Some(*queue)),
        Some((of, _)) => Err(Problem::SharedQueue {
            first: Arc::clone(&backends[of.0].name),
            second: Arc::clone(&backends[backend.0].name),
            queue: name,
            route: Arc::clone(&route.name),
        }),
        None => {
            let queue = QueueIndex(placed.queues.len());
            placed.queues.push(Arc::clone(&name));
            queues.insert(name, (backend, queue));
            Ok(Some(queue))
        }
    }
}

impl fmt::Debug for RouterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterBuilder")
            .field("routes", &self.routes)
            .field("backends", &self.backends)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placed")
            .field("name", &self.name)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use opgate_core::{Error, Outcome};

    use super::*;
    use crate::backend::{Admission, Offer};
    use crate::lease::Lease;

    struct Idle;

    impl Backend for Idle {
        fn admit(&self, _offer: &Offer<'_>) -> Result<Admission, Error> {
            Ok(Admission::Accept)
        }

        fn run(
            &self,
            _lease: Lease,
        ) -> Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>> {
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
        assert_eq!(router.placed(target.backend).concurrency, 7);
        assert_eq!(router.route("r").map(|route| &*route.backend), Some("b"));
        assert_eq!(router.route("s"), None);
    }
}
