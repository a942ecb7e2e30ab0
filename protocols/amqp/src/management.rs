//! AMQP management, as the OASIS working drafts have it: requests to `$management` and
//! `{entity}/$management`, each answered with a status.
//!
//! | type | operations |
//! |---|---|
//! | `org.opgate.operation` | CREATE, READ, UPDATE, DELETE, and opgate's own CANCEL and WAIT |
//! | `org.amqp.management`, or none | QUERY, GET-TYPES, GET-ATTRIBUTES, GET-OPERATIONS, GET-ANNOTATIONS, GET-MGMT-NODES, READ of the node itself |
//! | `com.microsoft:eventhub`, `com.microsoft:partition` | READ |
//! | what routes are configured for | starts an operation |
//!
//! The entity of a node is a parent: what its QUERY lists lies beneath it, and what is started there
//! too. An identity is read at any node: one operation is one entity, wherever it is looked for.

mod answer;
mod attributes;
mod content;
mod doors;
mod entities;
mod events;
mod kept;
mod operations;
mod query;
mod request;
mod shown;
mod update;
mod walks;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use opgate_bus::{Bus, Caller};
use opgate_core::{Error, ErrorKind, Losses, Operation, OperationId};
use opgate_rpc::Failures;
use opgate_telemetry::{InFlight, Method, Metrics, Protocol};

use self::answer::Answered;
pub use self::attributes::Attributes;
use self::doors::Doors;
pub use self::doors::{DoorProblem, DoorSettings, ReplyWhen};
use self::request::Asked;
use self::walks::Walks;
use crate::node::{Node, Reply, Replying, Request};
use crate::wire::names;

type Name = Arc<dyn Fn(&Operation) -> String + Send + Sync>;
type All = Arc<dyn Fn(&Operation) -> Vec<(&'static str, String)> + Send + Sync>;
type Read = Arc<dyn Fn(&Caller, &str) -> Option<OperationId> + Send + Sync>;

/// The names that operations have. A protocol knows no other: who puts them together tells.
#[derive(Clone)]
pub struct Names {
    /// The full name of an operation.
    pub name: Name,
    /// Its names on other faces, by face.
    pub all: All,
    /// The operation of a name that another face gave, other than one that ends in the operation's id.
    /// It tells of a caller's own operations only.
    pub read: Read,
}

impl Default for Names {
    fn default() -> Self {
        let name = |operation: &Operation| match operation.parent.as_str() {
            "" => format!("operations/{}", operation.id),
            parent => format!("{parent}/operations/{}", operation.id),
        };
        Self { name: Arc::new(name), all: Arc::new(|_| Vec::new()), read: Arc::new(|_, _| None) }
    }
}

impl Names {
    fn name(&self, operation: &Operation) -> String {
        (self.name)(operation)
    }

    fn all(&self, operation: &Operation) -> Vec<(&'static str, String)> {
        (self.all)(operation)
    }

    /// The operation of an identity or a name, whichever face gave it.
    fn id(&self, caller: &Caller, name: &str) -> Result<OperationId, Error> {
        let last = name.rsplit(['/', '.']).next().unwrap_or_default();
        let other = || (self.read)(caller, name);
        last.parse().ok().or_else(other).ok_or_else(Error::not_found)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

/// Whether a callback may go to a URL; if not, why.
pub type Admit = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What is configured.
#[derive(Clone)]
pub struct Settings {
    /// The requests that start routes' operations.
    pub doors: Vec<DoorSettings>,
    /// Longest wait of one request.
    pub wait_limit: Duration,
    /// Names of operations.
    pub names: Names,
    /// Where completions may be told.
    pub admit: Admit,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("doors", &self.doors)
            .field("wait_limit", &self.wait_limit)
            .finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            doors: Vec::new(),
            wait_limit: Duration::from_secs(30),
            names: Names::default(),
            admit: Arc::new(|_| Err("no callback is allowed here".to_owned())),
        }
    }
}

/// Every management node. Clones share everything.
#[derive(Clone, Debug)]
pub struct Management(Arc<Inner>);

/// Nodes made in this process, each with names of its own.
static LAST: AtomicU64 = AtomicU64::new(0);

struct Inner {
    number: u64,
    bus: Bus,
    doors: Doors,
    wait_limit: Duration,
    names: Names,
    admit: Admit,
    walks: Arc<Walks>,
    began: SystemTime,
    metrics: Arc<Metrics>,
    failures: Failures,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("doors", &self.doors).finish_non_exhaustive()
    }
}

impl Management {
    /// Whether the doors can be what is configured: a node is made of such settings only.
    ///
    /// # Errors
    /// Every problem with them.
    pub fn check(doors: &[DoorSettings]) -> Result<(), Vec<DoorProblem>> {
        Doors::of(doors).map(drop)
    }

    /// Serves what goes through `bus`.
    ///
    /// # Errors
    /// As [`Management::check`].
    pub fn new(
        settings: Settings,
        bus: Bus,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Vec<DoorProblem>> {
        let Settings { doors, wait_limit, names, admit } = settings;
        Ok(Self(Arc::new(Inner {
            number: LAST.fetch_add(1, Relaxed),
            bus,
            doors: Doors::of(&doors)?,
            wait_limit,
            names,
            admit,
            walks: Arc::default(),
            began: SystemTime::now(),
            metrics,
            failures: Failures::default(),
        })))
    }
}

impl Management {
    /// The same nodes by other settings: who reads a list goes on where it was.
    ///
    /// # Errors
    /// As [`Management::check`].
    pub fn next(&self, settings: Settings) -> Result<Self, Vec<DoorProblem>> {
        let Settings { doors, wait_limit, names, admit } = settings;
        let Inner { bus, walks, began, metrics, .. } = &*self.0;
        Ok(Self(Arc::new(Inner {
            // Its names are others.
            number: LAST.fetch_add(1, Relaxed),
            bus: bus.clone(),
            doors: Doors::of(&doors)?,
            wait_limit,
            names,
            admit,
            walks: Arc::clone(walks),
            began: *began,
            metrics: Arc::clone(metrics),
            failures: Failures::default(),
        })))
    }

    /// What the attributes of an operation do not say, beside what was lost before.
    pub fn lost(operation: &Operation) -> Losses {
        attributes::unsaid(operation)
    }
}

impl Node for Management {
    fn call(&self, request: Request) -> Replying {
        let inner = Arc::clone(&self.0);
        let began = Instant::now();
        let asked = match Asked::new(request) {
            Ok(asked) => asked,
            Err(error) => {
                return Replying::Now(inner.reply(inner.counting(Method::Other), Err(error)));
            }
        };
        let method = inner.method(&asked);
        match inner.at_once(method, &asked) {
            Some(answered) => {
                Replying::Now(inner.reply(inner.counting(method).since(began), answered))
            }
            None => Replying::later(async move {
                let counting = inner.counting(method);
                let answered = inner.in_time(&asked).await;
                inner.reply(counting, answered)
            }),
        }
    }
}

impl Inner {
    fn counting(&self, method: Method) -> InFlight<'_> {
        self.metrics.requests.begin(Protocol::Amqp, method)
    }

    fn reply(&self, counting: InFlight<'_>, answered: Answered) -> Reply {
        let method = counting.method();
        counting.finish(answered.as_ref().map_or_else(answer::counted, answer::Answer::counted));
        match answered {
            Ok(answer) => answer.reply(),
            Err(error) => {
                self.failures.note(Protocol::Amqp, method, &error);
                answer::refusal(&error)
            }
        }
    }

    /// What is asked for, as it is counted.
    fn method(&self, asked: &Asked) -> Method {
        if self.doors.find(asked).is_some() {
            return Method::Start;
        }
        match asked.operation.as_str() {
            "CREATE" => Method::Start,
            "READ" => Method::Get,
            "QUERY" => Method::List,
            "WAIT" => Method::Wait,
            "CANCEL" => Method::Cancel,
            "DELETE" => Method::Delete,
            "UPDATE" => Method::Complete,
            _ => Method::Other,
        }
    }

    /// Answers while the client still listens, where it says for how long it does.
    async fn in_time(&self, asked: &Asked) -> Answered {
        let Some((limit, _)) = asked.limits() else { return self.serve(asked).await };
        let served = tokio::time::timeout(limit, self.serve(asked)).await;
        served.unwrap_or_else(|_| {
            let text = format!(
                "{}: this long was not enough; what was asked for may be done all the same",
                names::SERVER_TIMEOUT
            );
            Err(Error::new(ErrorKind::DeadlineExceeded, text))
        })
    }

    /// The answer to what is read, as most requests are, from what is at hand.
    fn at_once(&self, method: Method, asked: &Asked) -> Option<Answered> {
        if method != Method::Get {
            return None;
        }
        match asked.entity_type.as_str() {
            names::OPERATION_TYPE => self.peeked(asked),
            "" if Self::is_entity(asked) => self.peeked(asked),
            names::MANAGEMENT | "" => Some(Self::itself(asked)),
            _ => None,
        }
    }

    async fn serve(&self, asked: &Asked) -> Answered {
        if let Some(door) = self.doors.find(asked) {
            return self.start(door, asked).await;
        }
        match asked.entity_type.as_str() {
            names::OPERATION_TYPE => self.of_operation(asked).await,
            // Who names an entity and no type means the one type that can be meant.
            "" if Self::is_entity(asked) => self.of_operation(asked).await,
            names::MANAGEMENT | "" => self.of_node(asked).await,
            names::EVENT_HUB if asked.operation == "READ" => self.event_hub(asked),
            names::PARTITION if asked.operation == "READ" => self.partition(asked).await,
            _ => Err(self.unsupported(asked)),
        }
    }

    /// Whether an entity is named, and not the node itself.
    fn is_entity(asked: &Asked) -> bool {
        let own = |name: &Option<String>| name.as_deref().is_some_and(|name| name != names::SELF);
        own(&asked.name) || own(&asked.identity) || asked.operation == "CREATE"
    }

    /// The answer to what is not offered.
    fn unsupported(&self, asked: &Asked) -> Error {
        let shown = |text: &str| {
            let end = text.floor_char_boundary(80);
            text.get(..end).unwrap_or_default().to_owned()
        };
        let (operation, of) = (shown(&asked.operation), shown(&asked.entity_type));
        let offered = self.offered(&asked.entity_type);
        let text = if offered.is_empty() {
            let types: Vec<String> = self.types().into_iter().collect();
            format!("type: there is no type {of:?} here; there is {}", types.join(", "))
        } else {
            format!(
                "operation: {operation:?} is not offered for {of:?}; there is {}",
                offered.join(", ")
            )
        };
        Error::new(ErrorKind::Unsupported, text)
    }
}

/// The mappings alone.
#[cfg(feature = "fidelity")]
pub(crate) mod fidelity {
    use std::borrow::Cow;

    use opgate_core::{Code, Failure, Losses, Operation, Payload};

    use super::{answer, attributes};
    use crate::node::Reply;
    use crate::wire::status::Status;

    /// The reply that tells a result.
    pub(crate) fn result(payload: Option<&Payload>) -> (Reply, Losses) {
        parts(answer::Answer::result(Status::OK, payload, Losses::NONE))
    }

    /// The reply that tells a failure.
    pub(crate) fn failure(operation: &Operation) -> (Reply, Losses) {
        let failure = attributes::failure(operation);
        let of_code = operation.outcome.as_ref().map(Losses::of_code).unwrap_or_default();
        let none = || Cow::Owned(Failure::new(Code::Unknown, ""));
        parts(answer::Answer::failed(&failure.unwrap_or_else(none), of_code))
    }

    fn parts(answer: answer::Answer) -> (Reply, Losses) {
        let lost = answer.lost();
        (answer.reply(), lost)
    }
}
