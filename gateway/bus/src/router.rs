//! Which backend carries out what.
//!
//! A table of routes never changes: another takes its place as a whole ([`Bus::reroute`](crate::Bus::reroute)). Backends
//! outlast tables, with all that is known of them, each at the same place of every table.

mod builder;
mod placed;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opgate_core::{Expects, Kind, Operation, Parent, Payload};

use crate::notify::Notifier;
use crate::pace::Pace;
use crate::work::desk::Desk;
pub use builder::RouterBuilder;
use builder::queue_of;
pub(crate) use placed::{Carrying, Placed};

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
    pub(crate) pace: Arc<Pace>,
    /// Whether a caller's key is the same start through whichever face.
    pub(crate) unified: bool,
    /// Says of an input by which key its work is shared; none where none is.
    pub(crate) share: Option<Box<str>>,
}

impl Target {
    /// Where its operations go.
    pub(crate) const fn leads(&self) -> (BackendIndex, Option<QueueIndex>) {
        (self.backend, self.queue)
    }

    /// Who has an operation of this route: its backend, or who follows the job that it shares.
    pub(crate) fn carrier(&self, operation: &Operation) -> BackendIndex {
        if operation.job().is_some() { BackendIndex::FOLLOWER } else { self.backend }
    }
}

/// Which parent an operation of a route belongs to, by its input: asked where its face says none.
pub type Placing = Arc<dyn Fn(&Route, &Payload) -> Option<Parent> + Send + Sync>;

/// All routes and backends, checked.
pub struct Router {
    notifier: Option<Arc<dyn Notifier>>,
    placing: Option<Placing>,
    routes: HashMap<Arc<str>, Arc<Target>>,
    /// What the table before had and this one has not. Requests that were on their way by it go on.
    leaving: HashMap<Arc<str>, Arc<Target>>,
    backends: Box<[Arc<Placed>]>,
    /// The names of each backend's queues, by their index; empty where there is none any more.
    names: Box<[Vec<Arc<str>>]>,
    queues: HashMap<Arc<str>, (BackendIndex, QueueIndex)>,
}

impl BackendIndex {
    /// Who follows jobs that are shared.
    pub(crate) const FOLLOWER: Self = Self(0);
}

impl Router {
    /// Begins without any.
    pub fn builder() -> RouterBuilder {
        RouterBuilder::default()
    }

    /// Begins with the backends of this one and without routes. What is not declared anew is left out, but for what
    /// is on its way by it.
    pub(crate) fn next(self: &Arc<Self>) -> RouterBuilder {
        RouterBuilder::after(self)
    }

    /// The names of each backend's queues, for a table of these routes: an empty one for a queue that neither this table
    /// nor that one has, and where nothing is any more. Another may have its place.
    fn kept(&self, routes: &[Route]) -> Vec<Vec<Arc<str>>> {
        let wanted: HashSet<&str> = routes.iter().map(queue_of).collect();
        let targets = self.routes.values().chain(self.leaving.values());
        let taken: HashSet<(usize, usize)> =
            targets.filter_map(|target| Some((target.backend.0, target.queue?.0))).collect();
        let mut names = self.names.to_vec();
        for (backend, names) in names.iter_mut().enumerate() {
            let Some(desk) = self.desk(BackendIndex(backend)) else { continue };
            for (queue, name) in names.iter_mut().enumerate() {
                let used = wanted.contains(&**name) || taken.contains(&(backend, queue));
                if !used && desk.is_vacant(QueueIndex(queue)) {
                    *name = "".into();
                }
            }
        }
        names
    }

    /// The same without what was on its way by routes that are left out.
    pub(crate) fn settled(&self) -> Self {
        Self {
            notifier: self.notifier.clone(),
            placing: self.placing.clone(),
            routes: self.routes.clone(),
            leaving: HashMap::new(),
            backends: self.backends.clone(),
            names: self.names.clone(),
            queues: self.queues.clone(),
        }
    }

    /// Whether there is anything on its way by routes that are left out.
    pub(crate) fn is_settled(&self) -> bool {
        self.leaving.is_empty()
    }

    /// The route of this name.
    pub fn route(&self, name: &str) -> Option<&Arc<Route>> {
        self.routes.get(name).map(|target| &target.route)
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

    /// The route of this name and its backend, also while it is leaving.
    pub(crate) fn target(&self, name: &str) -> Option<&Target> {
        self.routes.get(name).or_else(|| self.leaving.get(name)).map(|target| &**target)
    }

    /// A backend of this router.
    pub(crate) fn placed(&self, backend: BackendIndex) -> &Arc<Placed> {
        &self.backends[backend.0]
    }

    /// First who follows jobs that are shared, then every backend, in the order they were declared.
    pub(crate) fn backends(&self) -> &[Arc<Placed>] {
        &self.backends
    }

    /// The backend of this name.
    pub(crate) fn backend(&self, name: &str) -> Option<&Arc<Placed>> {
        self.backends.iter().find(|placed| *placed.name == *name)
    }

    /// The backend whose upstream has an operation, which no other can carry on. None where none has, and where that
    /// backend is not configured any more.
    pub(crate) fn holder(&self, operation: &Operation) -> Option<BackendIndex> {
        // What follows a job shows the reference of the job.
        if operation.job().is_some() || operation.routed.native_ref.is_empty() {
            return None;
        }
        // Workers have no upstream: what is on record then is of a backend that is gone.
        let is_it = |placed: &Arc<Placed>| {
            *placed.name == *operation.routed.backend
                && matches!(placed.carrying, Carrying::Push(_))
        };
        self.backends.iter().position(is_it).map(BackendIndex)
    }

    /// The same backend, where this route, by which the operation was leased last, is one of it.
    pub(crate) fn holds(&self, holder: Option<BackendIndex>, by: &Route) -> Option<BackendIndex> {
        holder.filter(|holder| self.placed(*holder).name == by.backend)
    }

    /// The desk of a backend; none where operations are given to it.
    pub(crate) fn desk(&self, backend: BackendIndex) -> Option<&Arc<Desk>> {
        self.backends.get(backend.0)?.desk()
    }

    /// The desks of all backends of workers.
    pub(crate) fn desks(&self) -> impl Iterator<Item = &Arc<Desk>> {
        self.backends.iter().filter_map(|placed| placed.desk())
    }

    /// How many queues a backend has, those included that no route leads to any more.
    pub(crate) fn queue_count(&self, backend: BackendIndex) -> usize {
        self.names.get(backend.0).map_or(0, Vec::len)
    }

    /// A backend's queues that no route leads to any more.
    pub(crate) fn left_queues(&self, backend: BackendIndex) -> impl Iterator<Item = QueueIndex> {
        let names = self.names.get(backend.0).map_or(&[][..], Vec::as_slice);
        let leads = move |name| self.queues.get(name).is_some_and(|(of, _)| *of == backend);
        let left = names.iter().enumerate().filter(move |(_, name)| !leads(*name));
        left.map(|(index, _)| QueueIndex(index))
    }

    /// The names of a backend's queues that routes lead to, in the order they were declared.
    pub(crate) fn queues_of(&self, backend: BackendIndex) -> Vec<Arc<str>> {
        let names = self.names.get(backend.0).map_or(&[][..], Vec::as_slice);
        let leads = |name: &&Arc<str>| self.queues.get(*name).is_some_and(|(of, _)| *of == backend);
        names.iter().filter(leads).cloned().collect()
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
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.values().map(|target| &target.route)
    }

    /// The routes of one kind, by name.
    pub fn routes_of(&self, service: &str, operation: &str) -> Vec<Arc<Route>> {
        let is_one = |kind: &Kind| kind.service() == service && kind.operation() == operation;
        let routes = self.routes().filter(|route| is_one(&route.kind));
        let mut routes: Vec<Arc<Route>> = routes.cloned().collect();
        routes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        routes
    }

    /// Every backend's name, in the order they were declared.
    pub fn backend_names(&self) -> impl Iterator<Item = &str> {
        self.backends.iter().skip(1).map(|placed| &*placed.name)
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
