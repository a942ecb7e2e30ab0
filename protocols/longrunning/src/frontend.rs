//! The server side: which call is which, and what each is answered with.

mod follow;
mod health;
mod instance;
mod operations;
mod reflection;
mod services;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use opgate_bus::{Bus, Caller, Snapshot};
use opgate_core::{Error, ErrorKind, Expects, Losses, Operation};
use opgate_edge::{Body, Drain, Frontend, Peer, Readiness, RequestBody, ResponseFuture};
use opgate_telemetry::{Code, InFlight, Method, Metrics, Protocol};
use tonic::body::Body as TonicBody;

pub(crate) use self::operations::Fit;
use self::services::Services;
use crate::buildgrid::{self, Instances};
use crate::door::{Door, DoorSettings, Doors};
use crate::map;
use crate::rest::{Bindings, Rest};
use crate::types::{DescriptorSet, Types};
use opgate_rpc::Failures;
use opgate_rpc::wire::{self, Call, Compression, Reply, Unread};

const OPERATIONS: &str = "google.longrunning.Operations";

/// What of this face is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The methods that start operations.
    pub doors: Vec<DoorSettings>,
    /// Descriptors of the users' services, for typed doors and for reflection.
    pub descriptor_sets: Vec<DescriptorSet>,
    /// The parents that are instances of remote execution, and speak BuildGrid's profile; the empty
    /// text is the empty instance. Default none.
    pub buildgrid: Vec<String>,
    /// Services that others serve on the same port: health and reflection know them too, and no
    /// door leads there. Reflection describes those that a descriptor set has.
    pub others: Vec<String>,
    /// Largest request message, compressed or not. Default 4 MiB, what gRPC servers take.
    pub request_bytes: usize,
    /// Time for a request message to arrive. Default 30 s.
    pub request_timeout: Duration,
    /// Longest wait of one `WaitOperation`; the caller may ask for less. Default 30 s, within the
    /// idle limits of common load balancers.
    pub wait_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            doors: Vec::new(),
            descriptor_sets: Vec::new(),
            buildgrid: Vec::new(),
            others: Vec::new(),
            request_bytes: 4 * 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            wait_limit: Duration::from_secs(30),
        }
    }
}

/// The frontend for requests of content type `application/grpc*`. Clones share everything.
///
/// Serves `google.longrunning.Operations`, the configured doors, `grpc.health.v1` (following the
/// gateway's readiness) and server reflection v1 and v1alpha. Any other method is UNIMPLEMENTED.
#[derive(Clone, Debug)]
pub struct Longrunning(Arc<Inner>);

/// What the gRPC and the REST face share, as one caller sees it.
#[derive(Debug)]
pub(crate) struct Inner {
    /// Everybody who comes over a connection, until callers are authenticated.
    pub(crate) caller: Caller,
    shared: Arc<Shared>,
}

impl Deref for Inner {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// The same for all callers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) bus: Bus,
    pub(crate) types: Types,
    pub(crate) doors: Doors,
    pub(crate) instances: Arc<Instances>,
    services: Services,
    pub(crate) bindings: Bindings,
    pub(crate) request_bytes: usize,
    pub(crate) request_timeout: Duration,
    wait_limit: Duration,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) failures: Failures,
}

impl Longrunning {
    /// Checks the settings against the bus's routes and prepares everything.
    ///
    /// # Errors
    /// Every problem there is: descriptor sets that cannot be used, doors that lead nowhere.
    pub fn new(
        settings: &Settings,
        bus: Bus,
        readiness: Readiness,
        drain: Drain,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Vec<String>> {
        let routes = bus.clone();
        let has_route = |route: &str| routes.route(route).is_some();
        Self::with(settings, has_route, bus, readiness, drain, metrics)
    }

    /// The same for routes that the bus is only about to have.
    ///
    /// # Errors
    /// As [`Longrunning::new`].
    pub fn with(
        settings: &Settings,
        has_route: impl Fn(&str) -> bool,
        bus: Bus,
        readiness: Readiness,
        drain: Drain,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Vec<String>> {
        let Checked { types, doors, instances, mut problems } = checked(settings, has_route);
        let mut names = doors.services();
        names.push(OPERATIONS.to_owned());
        names.extend(settings.others.iter().cloned());
        if !instances.is_empty() {
            names.push(buildgrid::EXECUTION.to_owned());
            names.sort_unstable();
            names.dedup();
        }
        let services = Services::new(&types, names, readiness, drain)
            .map_err(|error| problems.push(format!("reflection: {error}")));
        let bindings =
            Bindings::new(&types).map_err(|error| problems.push(format!("rest: {error}")));
        let (Ok(services), Ok(bindings), []) = (services, bindings, &*problems) else {
            return Err(problems);
        };
        let shared = Shared {
            bus,
            types,
            doors,
            instances: Arc::new(instances),
            services,
            bindings,
            request_bytes: settings.request_bytes,
            request_timeout: settings.request_timeout,
            wait_limit: settings.wait_limit,
            metrics,
            failures: Failures::default(),
        };
        Ok(Self(Arc::new(Inner { caller: Caller::anonymous(), shared: Arc::new(shared) })))
    }

    /// Checks the settings as [`Longrunning::new`] does, with nothing opened yet.
    ///
    /// # Errors
    /// Every problem there is, one line each, with the method or the descriptor set first.
    pub fn check(settings: &Settings, has_route: impl Fn(&str) -> bool) -> Result<(), Vec<String>> {
        let Checked { problems, .. } = checked(settings, has_route);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// The same operations over HTTP with JSON.
    pub fn rest(&self) -> Rest {
        Rest::new(Arc::clone(&self.0))
    }

    /// The name an operation has on this face.
    pub fn name(&self, operation: &Operation) -> String {
        let profile = self.0.instances.profile(operation.parent.as_str());
        map::name(profile, &operation.parent, operation.id)
    }

    /// What this face over gRPC cannot show of an operation, beside what was lost before.
    pub fn lost(&self, snapshot: &Snapshot) -> Losses {
        self.0.rendered(snapshot).lost.without(snapshot.lost)
    }

    /// The types that the doors' routes declare for their operations, so that one that was started
    /// through another protocol is shown in them too.
    pub fn declared(settings: &Settings) -> BTreeMap<Arc<str>, Expects> {
        checked(settings, |_| true).doors.declared()
    }

    /// The HTTP requests that start routes, in the doors' order: route, and method with path.
    pub fn requests(settings: &Settings) -> Vec<(String, String)> {
        let doors = checked(settings, |_| true).doors;
        doors.requests().map(|(route, text)| (route.to_owned(), text.to_owned())).collect()
    }

    /// Whether a request is for this frontend, by its content type.
    pub fn takes(headers: &HeaderMap) -> bool {
        wire::is_grpc(headers)
    }
}

/// What the settings come to, and every problem with them.
struct Checked {
    types: Types,
    doors: Doors,
    instances: Instances,
    problems: Vec<String>,
}

fn checked(settings: &Settings, has_route: impl Fn(&str) -> bool) -> Checked {
    let (types, mut problems) = Types::new(&settings.descriptor_sets);
    let (doors, found) = Doors::new(&types, &settings.doors, has_route);
    problems.extend(found);
    let (instances, found) = Instances::new(&settings.buildgrid);
    problems.extend(found);
    for door in &settings.doors {
        let service = door.method.split('/').next().unwrap_or_default();
        if settings.others.iter().any(|other| other == service) {
            problems.push(format!("grpc method {}: is served by opgate itself", door.method));
        }
    }
    for problem in &mut problems {
        // Names out of a file may hold anything.
        *problem = problem.replace(char::is_control, " ");
    }
    Checked { types, doors, instances, problems }
}

impl Frontend for Longrunning {
    fn call(&self, request: Request<RequestBody>, _peer: &Arc<Peer>) -> ResponseFuture {
        match self.0.for_caller_of(&request) {
            None => self.0.answer(request),
            Some(inner) => inner.answer(request),
        }
    }
}

/// What a path asks for.
enum Target {
    One(Verb),
    Wait,
    List,
    Start(Arc<Door>),
    /// As [`Target::Start`], answered with a stream.
    StartStream(Arc<Door>),
    /// `WaitExecution` of remote execution.
    WaitExecution,
    Nothing,
}

/// What is asked of one operation, by its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Cancel,
    Delete,
}

impl Target {
    const fn method(&self) -> Method {
        match self {
            Self::One(Verb::Get) => Method::Get,
            Self::One(Verb::Cancel) => Method::Cancel,
            Self::One(Verb::Delete) => Method::Delete,
            Self::Wait | Self::WaitExecution => Method::Wait,
            Self::List => Method::List,
            Self::Start(_) | Self::StartStream(_) => Method::Start,
            Self::Nothing => Method::Other,
        }
    }
}

impl Inner {
    /// As another caller sees it, where the request was made in this process and says whose it is. What
    /// comes over a connection has no such extension.
    pub(crate) fn for_caller_of<B>(&self, request: &Request<B>) -> Option<Arc<Self>> {
        let caller = request.extensions().get::<Caller>()?.clone();
        Some(Arc::new(Self { caller, shared: Arc::clone(&self.shared) }))
    }

    fn target(&self, path: &str) -> Target {
        let endpoint = endpoint(path);
        match endpoint.split_once('/') {
            Some((OPERATIONS, "GetOperation")) => Target::One(Verb::Get),
            Some((OPERATIONS, "CancelOperation")) => Target::One(Verb::Cancel),
            Some((OPERATIONS, "DeleteOperation")) => Target::One(Verb::Delete),
            Some((OPERATIONS, "WaitOperation")) => Target::Wait,
            Some((OPERATIONS, "ListOperations")) => Target::List,
            Some((buildgrid::EXECUTION, "WaitExecution")) if !self.instances.is_empty() => {
                Target::WaitExecution
            }
            _ => match self.doors.get(endpoint) {
                Some(door) if door.streams() => Target::StartStream(Arc::clone(door)),
                Some(door) => Target::Start(Arc::clone(door)),
                None => Target::Nothing,
            },
        }
    }

    /// Answers a request.
    ///
    /// Each kind of call has a future of its own, which holds no more than that call needs: there
    /// may be a hundred thousand waits.
    fn answer(self: &Arc<Self>, request: Request<RequestBody>) -> ResponseFuture {
        let inner = Arc::clone(self);
        if let Err(not_grpc) = wire::check(&request) {
            self.begin(Method::Other).finish(Code::InvalidArgument);
            return Box::pin(std::future::ready(wire::not_grpc(not_grpc)));
        }
        if let Some(service) = self.services.find(request.uri().path()) {
            let answer = service(request.map(TonicBody::new));
            return Box::pin(async move {
                let in_flight = inner.begin(Method::Other);
                let response = answer.await;
                in_flight.finish(services::code(&response));
                response.map(Body::boxed)
            });
        }
        let (parts, body) = request.into_parts();
        let target = self.target(parts.uri.path());
        let method = target.method();
        let call = match Call::new(&parts.headers, body) {
            Ok(call) => call,
            Err(error) => return self.refuse(method, error),
        };
        let reply = call.reply();
        match target {
            Target::One(verb) => Box::pin(async move {
                let in_flight = inner.begin(method);
                let answer = inner.one(verb, call).await;
                inner.respond(method, in_flight, reply, answer)
            }),
            Target::Wait => Box::pin(async move {
                let in_flight = inner.begin(method);
                let answer = inner.wait(call).await;
                inner.respond(method, in_flight, reply, answer)
            }),
            Target::List => Box::pin(async move {
                let in_flight = inner.begin(method);
                let answer = inner.list(call).await;
                inner.respond(method, in_flight, reply, answer)
            }),
            Target::Start(door) => Box::pin(async move {
                let in_flight = inner.begin(method);
                let answer = inner.start(&door, &parts, call).await;
                inner.respond(method, in_flight, reply, answer)
            }),
            Target::StartStream(door) => Box::pin(async move {
                let in_flight = inner.begin(method);
                let answer = Arc::clone(&inner).start_stream(&door, &parts, call).await;
                inner.respond_with(method, in_flight, answer)
            }),
            Target::WaitExecution => Box::pin(async move {
                let in_flight = inner.begin(method);
                let answer = Arc::clone(&inner).wait_execution(call).await;
                inner.respond_with(method, in_flight, answer)
            }),
            Target::Nothing => {
                let error = Error::new(ErrorKind::Unsupported, "there is no such method here");
                self.refuse(method, error)
            }
        }
    }

    fn begin(&self, method: Method) -> InFlight<'_> {
        self.metrics.requests.begin(Protocol::Grpc, method)
    }

    /// Refuses a request whose body nobody reads.
    fn refuse(&self, method: Method, error: Error) -> ResponseFuture {
        let answer = Err(error.into());
        let response = self.respond(method, self.begin(method), Compression::Identity, answer);
        Box::pin(std::future::ready(response))
    }

    /// Makes the response of an answer, and counts it.
    fn respond(
        &self,
        method: Method,
        in_flight: InFlight<'_>,
        compression: Compression,
        answer: Result<Reply, Refusal>,
    ) -> Response<Body> {
        let answer = answer.map(|reply| wire::ok(reply, compression));
        self.respond_with(method, in_flight, answer)
    }

    /// Counts a response, a stream once it has begun well; makes the one of a refusal.
    fn respond_with(
        &self,
        method: Method,
        in_flight: InFlight<'_>,
        answer: Result<Response<Body>, Refusal>,
    ) -> Response<Body> {
        let status = match answer {
            Ok(response) => {
                in_flight.finish(Code::Ok);
                return response;
            }
            Err(Refusal::Error { error, name }) => {
                self.failures.note(Protocol::Grpc, method, &error);
                map::of_error(&error, name.as_deref())
            }
            Err(Refusal::Withdrawn) => map::withdrawn(),
        };
        in_flight.finish(Code::from_number(status.code));
        wire::refused(&status)
    }
}

/// `package.Service/Method` of a path.
fn endpoint(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or_default()
}

/// A call that could not be served.
pub(crate) enum Refusal {
    Error {
        error: Error,
        /// The operation it was about.
        name: Option<String>,
    },
    /// The caller went away before its request was whole.
    Withdrawn,
}

impl Refusal {
    pub(crate) const fn of(error: Error, name: String) -> Self {
        Self::Error { error, name: Some(name) }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error { error, name: None }
    }
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Refused(error) => error.into(),
            Unread::Withdrawn => Self::Withdrawn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future of a method.
    fn size<A, B, F: Future>(_: fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_wait_is_small() {
        // One waiter has this, its HTTP/2 stream and its place among the waiters: 4 KiB in all.
        assert!(size(Inner::wait) <= 1024, "{}", size(Inner::wait));
    }
}
