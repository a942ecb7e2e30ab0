//! The one connection that is kept to a container. Whoever needs it first makes it, and again after it
//! was lost; requests of all operations share it.

mod dial;
mod flight;
mod live;
mod sasl;

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fe2o3_amqp_types::definitions;
use fe2o3_amqp_types::messaging::{Body, Message, MessageId};
use opgate_core::{Error, ErrorKind, Retry};
use opgate_egress::Network;
use opgate_telemetry::Counter;
use serde_amqp::Value;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::settings::Settings;
use crate::wire::came::Values;
use crate::wire::encoded::Encoded;
use dial::Undialed;
use live::Live;

/// A reply, as it came.
#[derive(Debug)]
pub(super) struct Answer {
    /// The request that it says it is for.
    pub(super) correlation: Option<MessageId>,
    /// All of it.
    pub(super) message: Message<Body<Value>>,
    /// The values of its body in the bytes in which they came; none of data.
    pub(super) values: Option<Values>,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Exchanged {
    /// The node answered.
    Answered(Box<Answer>),
    /// It did not come to the node, or the node gave it back: it may be sent again.
    Unsent(String),
    /// It can never be sent: too large, most of all.
    Unsendable(String),
    /// The node does not take it.
    Rejected(Option<definitions::Error>),
    /// It may have come to the node; nobody knows what became of it.
    Unknown(String),
}

/// The line to a container.
pub(super) struct Line {
    settings: Settings,
    network: Arc<dyn Network>,
    /// Tells this process from others that call the same container.
    process: u64,
    dialed: AtomicU64,
    /// Room for requests in flight.
    slots: Semaphore,
    current: Mutex<Current>,
    strays: Strays,
}

/// The connection, and how it went with those before.
#[derive(Debug, Default)]
struct Current {
    live: Option<Arc<Live>>,
    /// Attempts to connect that failed one after the other.
    failures: u32,
    /// Not to be tried again before.
    not_before: Option<Instant>,
    /// What was wrong with the last.
    problem: String,
}

/// Counts the replies that nobody waits for: late ones, and of a node that mixes ids up.
#[derive(Clone)]
pub(super) struct Strays {
    backend: Arc<str>,
    counter: Option<Counter>,
}

impl Strays {
    fn count(&self, correlation: Option<&MessageId>) {
        if let Some(counter) = &self.counter {
            counter.increment(1);
        }
        tracing::debug!(
            backend = &*self.backend,
            ?correlation,
            "a reply is to no request in flight"
        );
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("endpoint", &self.settings.endpoint).finish_non_exhaustive()
    }
}

/// A connection, and room for one request on it.
#[derive(Debug)]
pub(super) struct Ready<'a> {
    live: Arc<Live>,
    _slot: SemaphorePermit<'a>,
}

impl Ready<'_> {
    /// Where the reply is to be sent; `None` where requests do not say.
    pub(super) fn reply_to(&self) -> Option<&str> {
        self.live.reply_to.as_deref()
    }

    /// Sends a request, and waits for its reply. Its id must be one that was never used.
    pub(super) async fn exchange(
        self,
        id: &str,
        message: Message<Body<Encoded>>,
        until: Instant,
    ) -> Exchanged {
        self.live.exchange(id, message, until).await
    }
}

impl Line {
    /// A line that is not connected yet. `strays`: where replies are counted that nobody waits for.
    pub(super) fn new(
        settings: Settings,
        network: Arc<dyn Network>,
        strays: Option<Counter>,
    ) -> Self {
        Self {
            process: RandomState::new().build_hasher().finish(),
            dialed: AtomicU64::new(0),
            slots: Semaphore::new(settings.in_flight.clamp(1, Semaphore::MAX_PERMITS)),
            current: Mutex::default(),
            strays: Strays { backend: Arc::clone(&settings.name), counter: strays },
            settings,
            network,
        }
    }

    /// What is configured.
    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Waits for its turn, as long as that takes, and for a connection. `probe`: one is to be made although the last
    /// attempt failed just now.
    ///
    /// # Errors
    /// There is no connection: nothing was sent.
    pub(super) async fn ready(&self, probe: bool) -> Result<Ready<'_>, Error> {
        // It is never closed.
        let Ok(slot) = self.slots.acquire().await else {
            return Err(unreached("it takes no requests", Duration::ZERO));
        };
        let live = self.live(Instant::now() + self.settings.timeout, probe).await?;
        Ok(Ready { live, _slot: slot })
    }

    /// The connection, made if need be.
    async fn live(&self, until: Instant, probe: bool) -> Result<Arc<Live>, Error> {
        let Ok(mut current) = timeout_at(until, self.current.lock()).await else {
            return Err(unreached("it is being connected to", Duration::ZERO));
        };
        if let Some(live) = current.live.as_ref().filter(|live| !live.is_gone()) {
            return Ok(Arc::clone(live));
        }
        if let Some(live) = current.live.take() {
            let problem = live.problem();
            tracing::info!(backend = &*self.settings.name, problem, "the connection is gone");
        }
        let now = Instant::now();
        if let Some(left) = current.not_before.map(|then| then.saturating_duration_since(now))
            && !left.is_zero()
            && !probe
        {
            return Err(unreached(&current.problem, left));
        }
        let number = self.dialed.fetch_add(1, Ordering::Relaxed);
        let container: Arc<str> =
            format!("opgate/{}/{:016x}/{number}", self.settings.name, self.process).into();
        // Whoever is there first connects: the others are not to go without because it is impatient.
        let until = now + self.settings.timeout;
        let settings = &self.settings;
        match Box::pin(dial::dial(settings, &*self.network, &container, until)).await {
            Ok(dialed) => {
                if current.failures > 0 || number == 0 {
                    tracing::info!(
                        backend = &*settings.name,
                        endpoint = %settings.endpoint,
                        reply_to = dialed.reply_to,
                        "connected"
                    );
                }
                let (node, in_flight) = (&settings.node, settings.in_flight);
                let live = Live::new(dialed, node, &container, in_flight, self.strays.clone());
                let live = Arc::new(live);
                *current = Current { live: Some(Arc::clone(&live)), ..Current::default() };
                Ok(live)
            }
            Err(Undialed { problem, wait }) => {
                if current.failures == 0 {
                    tracing::warn!(backend = &*settings.name, problem, "cannot connect");
                }
                current.failures = current.failures.saturating_add(1);
                let wait = settings.retry.after(current.failures).max(wait);
                current.not_before = Some(Instant::now() + wait);
                current.problem = problem;
                Err(unreached(&current.problem, wait))
            }
        }
    }
}

/// Nothing was sent.
fn unreached(problem: &str, wait: Duration) -> Error {
    let retry = if wait.is_zero() { Retry::SameRequest } else { Retry::After(wait) };
    let text = format!("the upstream is not reached: {problem}");
    Error::new(ErrorKind::Unavailable, text).with_retry(retry)
}
