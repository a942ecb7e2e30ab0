//! How a table of routes is made, and checked.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::{
    BackendIndex, Carrying, Placed, Placing, Problem, QUEUE, QueueIndex, Route, Router, Target,
};
use crate::backend::Backend;
use crate::notify::Notifier;
use crate::pull::Pull;
use crate::share::Follower;

/// Collects routes and backends in any order.
pub struct RouterBuilder {
    notifier: Option<Arc<dyn Notifier>>,
    placing: Option<Placing>,
    routes: Vec<Route>,
    backends: Vec<Arc<Placed>>,
    unified: HashSet<Arc<str>>,
    shared: HashMap<Arc<str>, Box<str>>,
    /// The table that it is to take the place of.
    before: Option<Arc<Router>>,
}

impl Default for RouterBuilder {
    fn default() -> Self {
        let follower = Carrying::Push(Arc::new(Follower));
        Self {
            notifier: None,
            placing: None,
            routes: Vec::new(),
            backends: vec![Placed::new("".into(), follower, usize::MAX)],
            unified: HashSet::new(),
            shared: HashMap::new(),
            before: None,
        }
    }
}

impl RouterBuilder {
    /// Begins with the backends of another table, whose place the new one is to take.
    pub(super) fn after(before: &Arc<Router>) -> Self {
        Self {
            notifier: before.notifier.clone(),
            backends: before.backends.to_vec(),
            before: Some(Arc::clone(before)),
            ..Self::default()
        }
    }

    /// Adds a backend that carries out at most `concurrency` operations at a time (see
    /// [`CONCURRENCY`](crate::CONCURRENCY)).
    #[must_use]
    pub fn backend(
        mut self,
        name: impl Into<Arc<str>>,
        backend: Arc<dyn Backend>,
        concurrency: usize,
    ) -> Self {
        self.backends.push(Placed::new(name.into(), Carrying::Push(backend), concurrency));
        self
    }

    /// Adds a backend of workers: the operations of its routes wait in queues until a worker leases
    /// them.
    #[must_use]
    pub fn worker(mut self, name: impl Into<Arc<str>>, pull: Pull) -> Self {
        self.backends.push(Placed::new(name.into(), Carrying::Pull(pull), pull.concurrency));
        self
    }

    /// Whether there is a backend of this name.
    pub fn has_backend(&self, name: &str) -> bool {
        self.backends.iter().any(|placed| *placed.name == *name)
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
            if placed.concurrency() == 0 {
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
        let before = self.before.take();
        let mut names = before.as_ref().map_or_else(Vec::new, |before| before.kept(&self.routes));
        names.resize(self.backends.len(), Vec::new());
        let mut routes: HashMap<Arc<str>, Arc<Target>> = HashMap::with_capacity(self.routes.len());
        let mut queues = HashMap::new();
        for route in self.routes {
            let Some(backend) = by_name.get(&route.backend).copied() else {
                let known = self.backends.iter().skip(1);
                let known: Vec<&str> = known.map(|placed| &*placed.name).collect();
                problems.push(Problem::UnknownBackend {
                    route: route.name,
                    backend: route.backend,
                    known: known.join(", "),
                });
                continue;
            };
            let name = Arc::clone(&route.name);
            let queue = match queue(&self.backends, &mut names, &mut queues, backend, &route) {
                Ok(queue) => queue,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            let same = before.as_ref().and_then(|before| before.routes.get(&name));
            let same = same.filter(|same| same.backend == backend);
            let pace = same.map_or_else(Arc::default, |same| Arc::clone(&same.pace));
            let unified = self.unified.contains(&name);
            let share = self.shared.remove(&name);
            let target = Target { route: Arc::new(route), backend, queue, pace, unified, share };
            if routes.insert(Arc::clone(&name), Arc::new(target)).is_some() {
                problems.push(Problem::DuplicateRoute(name));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut leaving = HashMap::new();
        if let Some(before) = &before {
            let gone = before.leaving.iter().chain(&before.routes);
            let gone = gone.filter(|(name, _)| !routes.contains_key(*name));
            leaving.extend(gone.map(|(name, target)| (Arc::clone(name), Arc::clone(target))));
        }
        let Self { notifier, placing, backends, .. } = self;
        let (backends, names) = (backends.into(), names.into());
        Ok(Router { notifier, placing, routes, leaving, backends, names, queues })
    }
}

/// The name of the queue of a route to workers.
pub(super) fn queue_of(route: &Route) -> &str {
    route.options.get(QUEUE).map_or(&route.backend, String::as_str)
}

/// The queue a route's operations wait in, made where it is not there yet.
fn queue(
    backends: &[Arc<Placed>],
    names: &mut [Vec<Arc<str>>],
    queues: &mut HashMap<Arc<str>, (BackendIndex, QueueIndex)>,
    backend: BackendIndex,
    route: &Route,
) -> Result<Option<QueueIndex>, Problem> {
    let placed = &backends[backend.0];
    if let Carrying::Push(_) = placed.carrying {
        return Ok(None);
    }
    let name: Arc<str> = queue_of(route).into();
    match queues.get(&name) {
        Some((of, queue)) if *of == backend => Ok(Some(*queue)),
        Some((of, _)) => Err(Problem::SharedQueue {
            first: Arc::clone(&backends[of.0].name),
            second: Arc::clone(&placed.name),
            queue: name,
            route: Arc::clone(&route.name),
        }),
        None => {
            let names = &mut names[backend.0];
            let known = names.iter().position(|known| *known == name);
            let place = known.or_else(|| names.iter().position(|known| known.is_empty()));
            let place = place.unwrap_or(names.len());
            match names.get_mut(place) {
                Some(known) => *known = Arc::clone(&name),
                None => names.push(Arc::clone(&name)),
            }
            queues.insert(name, (backend, QueueIndex(place)));
            Ok(Some(QueueIndex(place)))
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
