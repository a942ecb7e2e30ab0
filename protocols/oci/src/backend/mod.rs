//! The client of an OCI-style API, as a backend: whatever protocol an operation was started in, it is
//! carried out by a call that answers with a work request.
//!
//! ```text
//!             start (opc-retry-token = the operation's id)
//!   2xx without a work request -> succeeded, with the body
//!   refused for good -----------> failed, with the API's own words
//!   nothing, or not now --------> the same start again, under the next lease
//!   2xx, opc-work-request-id ---> the OCID is durable, then it is looked at until it has ended:
//!                                   status, percentComplete, resources, errors, logs (watch.rs)
//!                                   succeeded: the work request's JSON is the result
//! ```
//!
//! One future, that of the lease, looks at a work request, however many wait for its operation. Where
//! an API answers two starts with one work request, as for a repeated DELETE, each of the two
//! operations looks at it. A cancel is told where the API has one; that an operation is canceled is
//! the API's to say. A work request that is not found, or no longer, is looked for some time before
//! its operation fails (semantics S6): nobody knows then how it ended.

mod cancel;
mod dialect;
mod endpoint;
#[cfg(feature = "fidelity")]
pub(crate) mod fidelity;
mod news;
mod plan;
mod read;
mod reply;
mod request;
mod settings;
mod start;
mod watch;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use opgate_bus::{Admission, Backend, Backoff, Gate, Lease, Offer, Pass, Route, Snapshot};
use opgate_core::{Error, ErrorKind, Outcome};
use opgate_egress::{Client, Health, Limits, Trust};
use tokio::sync::Notify;

use plan::Plan;
use read::phase::Phase;
use read::refusal::Refusal;

pub use endpoint::Endpoint;
pub use plan::{
    BODY, CANCEL, DIALECT, FORWARDED, HEADERS, QUERY, REQUEST, WORK_REQUESTS, check_options,
};
pub(crate) use read::refusal::canonical;
pub use settings::Settings;

/// Time for one request unless configured otherwise: the SDKs' time to connect.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// The wait between the first two looks unless configured otherwise.
pub const POLL_FIRST: Duration = Duration::from_secs(1);
/// The longest wait between two looks unless configured otherwise: what the SDKs' waiters take.
pub const POLL_LONGEST: Duration = Duration::from_secs(30);
/// How long a work request is looked for that is not found, unless configured otherwise. APIs keep
/// them for half a day and more.
pub const GRACE: Duration = Duration::from_mins(5);

/// The backend of one upstream API. Clones share it.
#[derive(Clone, Debug)]
pub struct Upstream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    client: Client,
    /// Whether the API last did not believe a signature.
    disbelieved: AtomicBool,
}

impl Upstream {
    /// Calls the API through `client`.
    pub fn new(settings: Settings, client: Client) -> Self {
        Self(Arc::new(Inner { settings, client, disbelieved: AtomicBool::new(false) }))
    }
}

impl Backend for Upstream {
    /// Refuses an input that the request upstream cannot be made of.
    fn admit(&self, offer: &Offer<'_>) -> Result<Admission, Error> {
        let plan = request::plan(offer.route)?;
        request::check(&plan, &self.0.settings.endpoint, &offer.start.input)?;
        Ok(Admission::Accept)
    }

    fn run(&self, lease: Lease) -> Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let plan = request::plan(lease.route())?;
            let id = match work_request(lease.operation()) {
                Some(id) => id,
                None => match inner.start(&lease, &plan).await? {
                    start::Begun::Ended(outcome) => return Ok(outcome),
                    start::Begun::Running(id) => id,
                },
            };
            inner.wait(&lease, &plan, &id).await
        })
    }

    fn gate(&self) -> Option<&Gate> {
        Some(&self.0.settings.gate)
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(self.0.settings.retry)
    }

    fn abandon(
        &self,
        route: &Route,
        operation: Arc<Snapshot>,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        // What the API itself has ended is not to be canceled.
        let ended = Phase::of(&operation.native_state).is_end();
        let id = work_request(&operation).filter(|_| !ended)?;
        let (inner, route) = (Arc::clone(&self.0), route.clone());
        Some(Box::pin(async move { inner.abandon(&route, &operation, &id).await }))
    }
}

/// The OCID of an operation's work request, where the API has said one.
fn work_request(operation: &Snapshot) -> Option<String> {
    let id = &operation.routed.native_ref;
    (!id.is_empty()).then(|| String::from_utf8_lossy(id).into_owned())
}

impl Inner {
    /// Waits for the end, and tells the API of a cancel.
    async fn wait(&self, lease: &Lease, plan: &Plan<'_>, id: &str) -> Result<Outcome, Error> {
        let hurry = Notify::new();
        tokio::select! {
            outcome = self.watch(lease, plan, id, &hurry) => outcome,
            never = self.pass_cancel_on(lease, plan, id, &hurry) => match never {},
        }
    }

    /// Signs a request and sends it, when its turn has come. It is to be answered within a time, by so many bytes.
    async fn send(
        &self,
        request: Request<Bytes>,
        total: Duration,
        reply_bytes: usize,
    ) -> Result<Response<Bytes>, Error> {
        let pass = self.settings.gate.pass().await;
        self.send_now(pass, request, total, reply_bytes).await
    }

    /// The same for one whose turn it is.
    async fn send_now(
        &self,
        pass: Pass,
        mut request: Request<Bytes>,
        total: Duration,
        reply_bytes: usize,
    ) -> Result<Response<Bytes>, Error> {
        if let Some(signer) = &self.settings.signer {
            signer.sign(&mut request, SystemTime::now()).map_err(|error| {
                let text = format!("the request upstream cannot be signed: {error}");
                Error::new(ErrorKind::Internal, text)
            })?;
        }
        let connect = self.settings.timeout.min(total);
        let limits = Limits { connect, total, reply_bytes };
        let sent = self.client.send(Trust::Configured, request, limits).await;
        let patient = total >= self.settings.timeout;
        match Health::of(sent.as_ref().map(Response::status), patient) {
            Health::Alive => pass.answered(),
            Health::Down => pass.failed(),
            Health::Unknown => drop(pass),
        }
        let reply = sent.map_err(|problem| reply::lost(&problem))?;
        let disbelieved = reply.status() == StatusCode::UNAUTHORIZED;
        if disbelieved && !self.disbelieved.swap(disbelieved, Ordering::Relaxed) {
            let problem = Refusal::read(&reply).text();
            tracing::error!(backend = &*self.settings.name, problem, "upstream calls are refused");
        }
        self.disbelieved.store(disbelieved, Ordering::Relaxed);
        Ok(reply)
    }
}
