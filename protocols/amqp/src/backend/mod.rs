//! The client of an AMQP management node, as a backend: whatever protocol an operation was started in,
//! it is carried out by a management request.
//!
//! ```text
//!             request (idempotency-key = the operation's id)
//!   2xx ----------------------> succeeded, with the body
//!   4xx, rejected ------------> failed, with the node's own words
//!   429, 503, released, unsent > the same request again, under the next lease
//!   no reply to what was sent -> failed as "outcome_unknown"; where the route says idempotent: again
//!   2xx, to be polled --------> the identity is durable, then READ until it has ended (watch.rs)
//! ```
//!
//! All operations share one connection (line.rs). That a request may be on its way is durable before it
//! is, unless its route says that it may come twice: so neither a lost connection nor a crash sends it a
//! second time. What certainly did not come to the node is sent again.

mod cancel;
mod endpoint;
mod line;
mod plan;
mod reply;
mod request;
mod settings;
mod start;
mod watch;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fe2o3_amqp_types::messaging::ApplicationProperties;
use opgate_bus::{Admission, Backend, Backoff, Gate, Lease, Offer, Pass, Route, Snapshot};
use opgate_core::{Error, ErrorKind, Operation, Outcome, Retry};
use opgate_egress::{Network, System};
use opgate_telemetry::Counter;
use tokio::sync::Notify;
use tokio::time::Instant;

use line::{Exchanged, Line, Ready};
use plan::Poll;
use reply::Reply;
use request::{Carried, Envelope};

pub use endpoint::Endpoint;
pub use plan::{
    BODY, COMPLETION, ENTITY_IDENTITY, ENTITY_NAME, FORWARDED, HEADERS, IDEMPOTENT, OPERATION,
    POLL, PROPERTIES, REPLY_WITHIN, TYPE, check_options, poll_keys,
};
pub use settings::{ReplyTo, Sasl, Settings};

/// The node unless configured otherwise: what the drafts call it by convention.
pub const NODE: &str = "$management";
/// Time for one request unless configured otherwise: what most clients wait.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a container may be silent unless configured otherwise.
pub const IDLE: Duration = Duration::from_mins(1);
/// Requests that wait for a reply at once, unless configured otherwise.
pub const IN_FLIGHT: usize = 256;
/// The wait between the first two looks unless configured otherwise.
pub const POLL_FIRST: Duration = Duration::from_secs(1);
/// The longest wait between two looks unless configured otherwise.
pub const POLL_LONGEST: Duration = Duration::from_secs(30);
/// How long an operation upstream is looked for that is not found, unless configured otherwise.
pub const GRACE: Duration = Duration::from_mins(5);

/// The backend of one upstream node. Clones share its connection.
#[derive(Clone, Debug)]
pub struct Upstream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    line: Line,
    /// Requests made.
    requests: AtomicU64,
}

impl Upstream {
    /// Calls the node over the system's network. `strays` counts replies that nobody waits for.
    pub fn new(settings: Settings, strays: Option<Counter>) -> Self {
        Self::on(Arc::new(System::default()), settings, strays)
    }

    /// Calls the node over another network.
    pub fn on(network: Arc<dyn Network>, settings: Settings, strays: Option<Counter>) -> Self {
        let line = Line::new(settings, network, strays);
        Self(Arc::new(Inner { line, requests: AtomicU64::new(0) }))
    }
}

impl Backend for Upstream {
    /// Refuses an input that the request upstream cannot be made of.
    fn admit(&self, offer: &Offer<'_>) -> Result<Admission, Error> {
        request::check(&request::plan(offer.route)?, &offer.start.input)?;
        Ok(Admission::Accept)
    }

    fn run(&self, lease: Lease) -> Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let plan = request::plan(lease.route())?;
            let begun = match identity(lease.operation()) {
                Some(identity) => start::Begun::Running(identity),
                None => Box::pin(inner.start(&lease, &plan)).await?,
            };
            match (begun, &plan.poll) {
                (start::Begun::Ended(outcome), _) => Ok(outcome),
                (start::Begun::Running(identity), Some(poll)) => {
                    inner.wait(&lease, poll, &identity).await
                }
                // The route said otherwise when it began.
                (start::Begun::Running(identity), None) => {
                    let problem = format!(
                        "the operation goes on upstream as {identity:?}, and its route no longer says \
                         how it is looked at"
                    );
                    Ok(Outcome::Failed(opgate_bus::outcome_unknown(&problem)))
                }
            }
        })
    }

    fn gate(&self) -> Option<&Gate> {
        Some(&self.0.settings().gate)
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(self.0.settings().retry)
    }

    fn abandon(
        &self,
        route: &Route,
        operation: Arc<Snapshot>,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let identity = identity(&operation)?;
        let (inner, route) = (Arc::clone(&self.0), route.clone());
        Some(Box::pin(async move {
            let Ok(plan) = request::plan(&route) else { return };
            let Some(poll) = &plan.poll else { return };
            // What has ended upstream is not to be canceled.
            if poll.phase(&operation.native_state) == plan::Phase::Running {
                inner.abandon(poll, &operation, &identity).await;
            }
        }))
    }
}

/// The identity of an operation upstream, where the node has said one.
fn identity(operation: &Snapshot) -> Option<String> {
    let identity = &operation.routed.native_ref;
    (!identity.is_empty()).then(|| String::from_utf8_lossy(identity).into_owned())
}

impl Inner {
    fn settings(&self) -> &Settings {
        self.line.settings()
    }

    /// Waits for the end, and tells the node of a cancel.
    async fn wait(&self, lease: &Lease, poll: &Poll<'_>, id: &str) -> Result<Outcome, Error> {
        let hurry = Notify::new();
        tokio::select! {
            outcome = self.watch(lease, poll, id, &hurry) => outcome,
            never = self.pass_cancel_on(lease, poll, id, &hurry) => match never {},
        }
    }

    /// Asks about an operation upstream, for one whose turn it is. Nothing is spoilt by asking twice.
    async fn ask(
        &self,
        pass: Pass,
        poll: &Poll<'_>,
        verb: &str,
        identity: &str,
        operation: &Operation,
    ) -> Result<Reply, Error> {
        let timeout = self.settings().timeout;
        let (pass, ready) = self.ready(pass).await?;
        let (properties, body) = request::about(poll, verb, identity, operation);
        let lost = |problem: String| {
            let text = format!("the upstream did not answer: {problem}");
            Err(Error::new(ErrorKind::Unavailable, text).with_retry(Retry::Unknown))
        };
        match self.exchange((pass, ready), operation, properties, body, timeout).await {
            Exchanged::Answered(answer) => Reply::read(answer.message, answer.values)
                .map_err(|problem| start::unreadable(&problem)),
            Exchanged::Unsent(problem)
            | Exchanged::Unsendable(problem)
            | Exchanged::Unknown(problem) => lost(problem),
            Exchanged::Rejected(error) => lost(reply::rejected(error).message),
        }
    }

    /// A connection for a call whose turn it is. That there is one is all that is to be found out: a reply may take as
    /// long as an operation.
    async fn ready(&self, pass: Pass) -> Result<(Option<Pass>, Ready<'_>), Error> {
        match self.line.ready(pass.is_probe()).await {
            Ok(ready) if pass.is_probe() => {
                pass.answered();
                Ok((None, ready))
            }
            Ok(ready) => Ok((Some(pass), ready)),
            Err(error) => {
                pass.failed();
                Err(error)
            }
        }
    }

    /// Sends a request under an id of its own, and waits so long for its reply.
    async fn exchange(
        &self,
        (pass, ready): (Option<Pass>, Ready<'_>),
        operation: &Operation,
        properties: ApplicationProperties,
        content: Carried,
        timeout: Duration,
    ) -> Exchanged {
        // Whatever comes late, over whichever connection, is to no other request.
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}/{}/{number}", operation.id, operation.epoch.0);
        let wait_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let envelope =
            Envelope { id: &id, node: &self.settings().node, reply_to: ready.reply_to() };
        let message = request::message(envelope, properties, content, wait_ms);
        // A year is as good as no end, and an instant that there is.
        let timeout = timeout.min(Duration::from_hours(24 * 365));
        let patient = timeout >= self.settings().timeout;
        let exchanged = ready.exchange(&id, message, Instant::now() + timeout).await;
        match (&exchanged, pass) {
            (Exchanged::Answered(_) | Exchanged::Rejected(_), Some(pass)) => pass.answered(),
            (Exchanged::Unsent(_), Some(pass)) => pass.failed(),
            (Exchanged::Unknown(_), Some(pass)) if patient => pass.failed(),
            (Exchanged::Unknown(_) | Exchanged::Unsendable(_), Some(_)) | (_, None) => {}
        }
        exchanged
    }
}

/// The mapping alone.
#[cfg(feature = "fidelity")]
pub(crate) mod fidelity {
    use fe2o3_amqp_types::messaging::{Body, Message};
    use opgate_core::{Losses, Outcome};
    use serde_amqp::Value;

    use super::reply::Reply;
    use crate::wire::came::Values;

    /// How an operation ends that a reply tells of.
    pub(crate) fn read(
        message: Message<Body<Value>>,
        values: Option<Values>,
    ) -> Result<(Outcome, Losses), String> {
        let reply = Reply::read(message, values)?;
        let lost = reply.lost();
        Ok((reply.outcome(), lost))
    }
}
