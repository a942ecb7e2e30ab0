//! The client of an upstream Nexus handler, as a backend: whatever protocol an operation was started
//! in, it is carried out by a Nexus operation.
//!
//! ```text
//!             start (request id = the operation's id)
//!   200, 424 -----------------> ended
//!   refused for good ---------> failed, with the handler's own words
//!   nothing, or not now ------> the same start again, under the next lease
//!   201 token ----------------> the token is durable, then: whichever comes first
//!                                 a completion at /nexus/callback/BACKEND/HANDLE (receiver.rs)
//!                                 get-result, where the handler has it (watch.rs)
//! ```
//!
//! A completion may come before the reply to its own start, after a restart, or twice. A cancel is
//! told to the handler as soon as the token is known, and the operation is canceled when the handler
//! says so.

mod cancel;
mod endpoint;
mod form;
mod receiver;
mod reply;
mod request;
mod settings;
mod start;
mod watch;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use opgate_bus::core::{Error, Outcome, limits};
use opgate_bus::{Admission, Backend, Backoff, Gate, Lease, Offer, Pass, Route, Snapshot};
use opgate_egress::{Client, Health, Limits, Problem, Trust};

use crate::wire::names;
use form::Known;
use request::{Addressed, Callback};

pub use endpoint::{Endpoint, check_name};
pub use receiver::{Bounds, Completions};
pub use settings::{
    CallbackBase, Completion, FORWARDED, HEADERS, OPERATION, SERVICE, Settings, check_options,
    is_ours,
};

/// Time for one request unless configured otherwise: what Temporal takes.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// The wait before the first look for a result unless configured otherwise.
pub const POLL_FIRST: Duration = Duration::from_secs(1);
/// The longest wait between two looks unless configured otherwise.
pub const POLL_LONGEST: Duration = Duration::from_secs(30);

/// How long an operation is looked for that the handler does not know any more, unless configured otherwise.
pub const GRACE: Duration = Duration::from_mins(5);

/// The handler's words for an end.
const ENDS: [&str; 3] = [names::SUCCEEDED, names::FAILED, names::CANCELED];
/// What the handles of callbacks are made for.
const PURPOSE: &str = "nexus callback";

/// The backend of one upstream handler. Clones share what is known of it.
#[derive(Clone, Debug)]
pub struct Upstream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    client: Client,
    known: Known,
}

impl Upstream {
    /// Calls the handler through `client`.
    pub fn new(settings: Settings, client: Client) -> Self {
        Self(Arc::new(Inner { settings, client, known: Known::default() }))
    }
}

impl Backend for Upstream {
    fn admit(&self, _offer: &Offer<'_>) -> Result<Admission, Error> {
        Ok(Admission::Accept)
    }

    fn run(&self, lease: Lease) -> Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let token = match token(lease.operation()) {
                Some(token) => token,
                None => match inner.start(&lease).await? {
                    start::Begun::Ended(outcome) => return Ok(outcome),
                    start::Begun::Running(token) => token,
                },
            };
            inner.wait(&lease, &token).await
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
        // What the handler itself has ended is not to be canceled.
        let ended = ENDS.contains(&&*operation.native_state);
        let token = token(&operation).filter(|_| !ended)?;
        let (inner, route) = (Arc::clone(&self.0), route.clone());
        Some(Box::pin(async move { inner.abandon(&route, &operation, &token).await }))
    }
}

/// The token by which the handler knows an operation, where it has said one.
fn token(operation: &Snapshot) -> Option<String> {
    let token = &operation.routed.native_ref;
    (!token.is_empty()).then(|| String::from_utf8_lossy(token).into_owned())
}

impl Inner {
    /// The callback an operation's completion is to come by; none where there is none.
    fn callback(&self, lease: &Lease) -> Result<Option<Callback>, Error> {
        let settings = &self.settings;
        let (Some(base), Completion::Callback | Completion::Both) =
            (settings.callback.get(), settings.completion)
        else {
            return Ok(None);
        };
        let token = lease.handle(PURPOSE, &[&settings.name])?;
        let url = format!("{base}{}{}/{token}", request::CALLBACK_PATH, settings.name);
        Ok(Some(Callback { url, token }))
    }

    fn addressed<'a>(&'a self, route: &'a Route, operation: &'a Snapshot) -> Addressed<'a> {
        Addressed::new(&self.settings, route, operation)
    }

    /// Sends a request when its turn has come. It is to be answered within a time.
    async fn send(
        &self,
        request: Request<Bytes>,
        total: Duration,
    ) -> Result<Response<Bytes>, Problem> {
        let pass = self.settings.gate.pass().await;
        self.send_now(pass, request, total).await
    }

    /// The same for one whose turn it is.
    async fn send_now(
        &self,
        pass: Pass,
        request: Request<Bytes>,
        total: Duration,
    ) -> Result<Response<Bytes>, Problem> {
        let connect = self.settings.timeout.min(total);
        let limits = Limits { connect, total, reply_bytes: limits::PAYLOAD_BYTES };
        let sent = self.client.send(Trust::Configured, request, limits).await;
        let patient = total >= self.settings.timeout;
        match Health::of(sent.as_ref().map(Response::status), patient) {
            Health::Alive => pass.answered(),
            Health::Down => pass.failed(),
            Health::Unknown => drop(pass),
        }
        sent
    }
}
