//! The face: work requests of the services that are configured, each at a path of its own, such as
//! `/20160918`.
//!
//! | request | | dialects |
//! |---|---|---|
//! | `GET …/workRequests` | list | all but load-balancer |
//! | `GET …/workRequests/{id}` | get | all but load-balancer |
//! | `GET …/workRequests/{id}/errors`, `…/logs` | what happened | all but load-balancer |
//! | `DELETE …/workRequests/{id}` | cancel | container-engine, modern |
//! | the same under `…/taggingWorkRequests`, `…/iamWorkRequests` | | identity |
//! | `GET …/loadBalancerWorkRequests/{id}` | get | load-balancer |
//! | `GET …/loadBalancers/{id}/workRequests` | list | load-balancer |
//!
//! Any other request goes through the door that is configured for it, and starts an operation: see
//! [`start`].
//!
//! An id is read under any path: one operation is one work request, whichever service shows it.
//! Whatever cannot be read, for whichever reason, is the same 404.

mod answer;
mod authenticate;
mod cancel;
mod compartments;
mod entries;
#[cfg(feature = "fidelity")]
pub(crate) mod fidelity;
mod filter;
mod list;
mod order;
mod pace;
mod path;
mod placing;
mod query;
mod read;
mod reply;
mod request_id;
mod settings;
mod sorted;
mod start;

use std::collections::BTreeMap;
use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Body as _;
use opgate_bus::Bus;
use opgate_core::{Losses, Operation, OperationId};
use opgate_edge::{Body, Frontend, Peer, RequestBody, ResponseFuture, collect_limited};
use opgate_rpc::Failures;
use opgate_telemetry::{Method, Metrics, Protocol};
use tokio::sync::Semaphore;

use self::answer::{Answered, Refused, nothing, unread};
pub use self::authenticate::{Anyone, Authenticator, Caller};
use self::compartments::Compartments;
use self::path::Call;
pub use self::placing::Placing;
use self::query::Query;
use self::request_id::RequestIds;
pub use self::settings::{Compartment, Service, Settings, Tenancy};
use self::start::Doors;
pub use self::start::{DoorProblem, DoorSettings};
use crate::signature::{Head, Reason};
use crate::wire::dialect::Dialect;
use crate::wire::ocid::{self, Ocids};
use crate::wire::work_request;

/// What the OCIDs of operations begin with that no service of OCI starts.
const OWN_TYPE: &str = "opgate";
/// How much of the body of a request that nobody is believed to have sent is read, and for how long.
const STRANGERS_BYTES: usize = 16 * 1024;
const STRANGERS_TIME: Duration = Duration::from_secs(1);

/// The frontend of OCI work requests. Clones share everything.
#[derive(Clone, Debug)]
pub struct Oci(Arc<Inner>);

pub(crate) struct Inner {
    bus: Bus,
    ocids: Ocids,
    /// The longest path first.
    services: Vec<Service>,
    /// The service whose path the door of a route lies beneath, by the route's name.
    types: BTreeMap<String, String>,
    doors: Doors,
    compartments: Compartments,
    authenticator: Arc<dyn Authenticator>,
    request_ids: RequestIds,
    request_bytes: usize,
    sorting: Semaphore,
    request_timeout: Duration,
    metrics: Arc<Metrics>,
    failures: Failures,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("services", &self.services)
            .field("types", &self.types)
            .field("compartments", &self.compartments)
            .finish_non_exhaustive()
    }
}

impl Oci {
    /// Whether the doors can be what is configured: a face is made of such settings only.
    ///
    /// # Errors
    /// Every problem with them.
    pub fn check(settings: &Settings) -> Result<(), Vec<DoorProblem>> {
        Doors::of(settings).map(drop)
    }

    /// Serves what goes through `bus`.
    ///
    /// # Errors
    /// As [`Oci::check`].
    pub fn new(
        settings: Settings,
        bus: Bus,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Vec<DoorProblem>> {
        let doors = Doors::of(&settings)?;
        let services = path::sorted(settings.services);
        let beneath = |request: &str| {
            let (_, path) = request.split_once(' ')?;
            services.iter().find(|service| path::behind(&service.path, path).is_some())
        };
        let types = settings.doors.iter().filter_map(|door| {
            let service = beneath(&door.request)?;
            Some((door.route.clone(), service.name.clone()))
        });
        Ok(Self(Arc::new(Inner {
            types: types.collect(),
            doors,
            compartments: Compartments::new(
                settings.tenancies,
                settings.compartments,
                &settings.ocids.realm,
            ),
            ocids: settings.ocids,
            services,
            authenticator: settings.authenticator,
            request_ids: RequestIds::default(),
            request_bytes: settings.request_bytes.min(start::BODY_BYTES),
            sorting: Semaphore::new(sorted::AT_A_TIME),
            request_timeout: settings.request_timeout,
            bus,
            metrics,
            failures: Failures::default(),
        })))
    }

    /// Whether a path is one of this face's.
    pub fn takes(&self, path: &str) -> bool {
        self.0.service(path).is_some()
    }

    /// Has other tenancies from now on: as which an operation is shown that is in no compartment.
    pub fn replace_tenancies(&self, tenancies: Vec<Tenancy>) {
        self.0.compartments.replace(tenancies);
    }

    /// The OCID of an operation's work request, whichever face started it.
    pub fn name(&self, operation: &Operation) -> String {
        self.0.ocid(operation)
    }

    /// What a work request does not say of its operation, beside what was lost before.
    pub fn lost(operation: &Operation) -> Losses {
        work_request::lost(operation, Dialect::Identity)
    }

    /// The operation that an OCID of a work request names.
    pub fn read(ocid: &str) -> Option<OperationId> {
        ocid::read(ocid)
    }
}

impl Frontend for Oci {
    fn call(&self, request: Request<RequestBody>, _peer: &Arc<Peer>) -> ResponseFuture {
        let inner = Arc::clone(&self.0);
        let (parts, body) = request.into_parts();
        if body.is_end_stream()
            && let Some(response) = inner.at_once(&parts)
        {
            return Box::pin(ready(response));
        }
        Box::pin(async move {
            let method = inner.label(&parts);
            let in_flight = inner.metrics.requests.begin(Protocol::Oci, method);
            let answered = inner.serve(&parts, body).await;
            inner.finish(&parts, method, in_flight, answered)
        })
    }
}

impl Inner {
    /// The service that a path belongs to, and what stands behind its path.
    fn service<'p>(&self, path: &'p str) -> Option<(&Service, &'p str)> {
        let mut services = self.services.iter();
        services.find_map(|service| Some((service, path::behind(&service.path, path)?)))
    }

    fn call<'p>(&self, parts: &'p Parts) -> Option<(&Service, Call<'p>)> {
        let (service, rest) = self.service(parts.uri.path())?;
        Some((service, Call::parse(service.dialect, &parts.method, rest)))
    }

    /// What is asked for, as it is counted.
    fn label(&self, parts: &Parts) -> Method {
        match self.call(parts) {
            Some((_, Call::Other)) if self.starts(parts) => Method::Start,
            Some((_, call)) => call.method(),
            None => Method::Other,
        }
    }

    /// The OCID of an operation's work request.
    fn ocid(&self, operation: &Operation) -> String {
        let service = self.types.get(&*operation.routed.route).map_or(OWN_TYPE, String::as_str);
        self.ocids.of(service, operation.id)
    }

    /// The hot path: a get of what is in memory. All else is none of this function's business.
    fn at_once(&self, parts: &Parts) -> Option<Response<Body>> {
        let (service, Call::Get(ocid)) = self.call(parts)? else { return None };
        let id = ocid::read(&ocid)?;
        // What is on the disk is counted where it is read: whoever asks, it is there or not.
        drop(self.bus.peek(&opgate_bus::Caller::anonymous(), id)?);
        let in_flight = self.metrics.requests.begin(Protocol::Oci, Method::Get);
        let answered = match self.caller(parts, &head(parts, false)) {
            Ok(caller) => self.resident(&caller.caller, service.dialect, id)?,
            Err(error) => Err(error.into()),
        };
        Some(self.finish(parts, Method::Get, in_flight, answered))
    }

    /// Who calls. Where signatures are not asked for, a request that was made in this process says whose it
    /// is; none that a connection brings does.
    fn caller(&self, parts: &Parts, head: &Head<'_>) -> Result<Caller, Reason> {
        let mut found = self.authenticator.authenticate(head)?;
        if found.tenancy.is_none()
            && let Some(caller) = parts.extensions.get::<opgate_bus::Caller>()
        {
            found.caller = caller.clone();
        }
        Ok(found)
    }

    async fn serve(&self, parts: &Parts, body: RequestBody) -> Answered {
        let has_body = !body.is_end_stream();
        let head = head(parts, has_body);
        let caller = match self.caller(parts, &head) {
            Ok(caller) => caller,
            Err(reason) => {
                // Who still sends may not hear an answer. Of a stranger's body no more than a client
                // sends at once is read for that.
                let read = collect_limited(body, STRANGERS_BYTES, STRANGERS_TIME);
                let unread = has_body && Box::pin(read).await.is_err();
                return Err(Refused::Unauthenticated { reason, unread });
            }
        };
        let body = if has_body {
            let body = collect_limited(body, self.request_bytes, self.request_timeout);
            Box::pin(body).await.map_err(|error| unread(&error))?
        } else {
            Bytes::new()
        };
        self.authenticator.check_body(&head, &body)?;
        let (service, call) = self.call(parts).ok_or_else(nothing)?;
        let query = || Query::new(&parts.uri);
        match call {
            Call::List(collection) => {
                Box::pin(self.list(&caller, service, collection, &query()?)).await
            }
            Call::ListOf(balancer) => {
                Box::pin(self.list_of(&caller, service, &balancer, &query()?)).await
            }
            Call::Get(ocid) => {
                Box::pin(self.get(&caller.caller, service.dialect, Self::id(&ocid)?)).await
            }
            Call::Entries(which, ocid) => {
                Box::pin(self.entries(&caller, service, which, &ocid, &query()?)).await
            }
            Call::Cancel(ocid) => {
                Box::pin(self.cancel(&caller.caller, service.dialect, &ocid, &parts.headers)).await
            }
            Call::OtherMethod(methods) => Err(Refused::Method(methods.into())),
            Call::Other => Box::pin(self.start(&caller, parts, &body)).await,
        }
    }
}

fn head(parts: &Parts, has_body: bool) -> Head<'_> {
    let Parts { method, uri, headers, .. } = parts;
    Head { method, uri, headers, has_body }
}
