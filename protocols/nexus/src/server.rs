//! The face: services and their operations at `/nexus/{service}/{operation}`.
//!
//! | request | | success |
//! |---|---|---|
//! | `POST …/{operation}` | start | 200 result, 201 running, 424 failed or canceled |
//! | `POST …/{operation}/cancel` | cancel | 202 |
//! | `POST …/{operation}/{token}/cancel` | the same, until 2025-02 | 202 |
//! | `GET …/{operation}` | get info, in the specification until 2025-10 | 200 |
//! | `GET …/{operation}/{token}` | the same, until 2025-02 | 200 |
//! | `GET …/{operation}/result` | get result, in the specification until 2025-10 | as a start; 408, 412 |
//! | `GET …/{operation}/{token}/result` | the same, until 2025-02 | as a start; 408, 412 |
//!
//! A token comes in the header `Nexus-Operation-Token`, in the query as `token`, or in the path; the
//! first of these counts. Every path also goes behind `/nexus/endpoints/{endpoint}/services/`, as
//! Temporal's own frontend has it: such operations are listed under `endpoints/{endpoint}`.
//!
//! A client retries what it does not know, so nothing is answered with a status outside of its
//! table: 405, 413 and 415 are 400 here.
//!
//! A start that is repeated with its request id is answered as the operation is now: 201 with the
//! same token while it runs, and its end as a start that was done at once would be afterwards. The
//! completion is delivered all the same: the caller may have had the first reply after all. Both are
//! safe for one that had: Temporal and sdk-go take the first end they hear of, and answer a second
//! with 404 or drop it.

mod ask;
mod head;
mod path;
mod read;
mod reply;
mod start;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderValue, Request, Response, Version};
use opgate_bus::{Action, Bus, Caller, Snapshot};
use opgate_core::{Error, Losses, Operation, OperationId};
use opgate_edge::{Body, Frontend, Peer, RequestBody, ResponseFuture};
use opgate_rpc::{Failures, status};
use opgate_telemetry::{Code, Method, Metrics, Protocol};

use self::ask::Ask;
use self::path::{Call, Place, Target};
use crate::token;
use crate::wire::handler_error;

const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// How every path here begins.
const ROOT: &str = "/nexus/";

/// Whether a completion may be sent to a URL; the text says why not, and what is allowed.
pub type Admit = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What of this face is configured.
#[derive(Clone)]
pub struct Settings {
    /// Largest request body. Default 4 MiB.
    pub request_bytes: usize,
    /// Time for a request to arrive. Default 30 s.
    pub request_timeout: Duration,
    /// Longest wait of one get-result; the caller may ask for less. Default 30 s.
    pub wait_limit: Duration,
    /// Where completions may be sent. Default nowhere.
    pub admit: Admit,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            request_bytes: 4 * 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            wait_limit: Duration::from_secs(30),
            admit: Arc::new(|_| Err("is not taken: nobody is called back here".to_owned())),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("request_bytes", &self.request_bytes)
            .field("request_timeout", &self.request_timeout)
            .field("wait_limit", &self.wait_limit)
            .finish_non_exhaustive()
    }
}

/// The frontend of Nexus. Clones share everything.
#[derive(Clone, Debug)]
pub struct Nexus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bus: Bus,
    /// Everybody, until callers are authenticated.
    caller: Caller,
    settings: Settings,
    metrics: Arc<Metrics>,
    failures: Arc<Failures>,
}

impl Nexus {
    /// How the paths of its requests begin.
    pub const PATH: &'static str = ROOT;

    /// Serves what goes through `bus`.
    pub fn new(settings: Settings, bus: Bus, metrics: Arc<Metrics>) -> Self {
        Self::serving(Caller::anonymous(), settings, bus, metrics, Arc::default())
    }

    fn serving(
        caller: Caller,
        settings: Settings,
        bus: Bus,
        metrics: Arc<Metrics>,
        failures: Arc<Failures>,
    ) -> Self {
        Self(Arc::new(Inner { bus, caller, settings, metrics, failures }))
    }

    /// The same operations for one tenant's callers.
    #[must_use]
    pub fn for_caller(&self, caller: Caller) -> Self {
        let Inner { settings, bus, metrics, failures, .. } = &*self.0;
        let (metrics, failures) = (Arc::clone(metrics), Arc::clone(failures));
        Self::serving(caller, settings.clone(), bus.clone(), metrics, failures)
    }
}

impl Nexus {
    /// What Nexus does not say of an operation, beside what was lost before.
    pub fn lost(operation: &Operation) -> Losses {
        reply::lost(operation)
    }
}

impl Frontend for Nexus {
    fn call(&self, request: Request<RequestBody>, _peer: &Arc<Peer>) -> ResponseFuture {
        // A request that was made in this process says whose it is; none that a connection brings does.
        let inner = match request.extensions().get::<Caller>() {
            None => Arc::clone(&self.0),
            Some(caller) => self.for_caller(caller.clone()).0,
        };
        let (parts, body) = request.into_parts();
        let version = parts.version;
        let place = Ask::new(&parts)
            .and_then(|ask| Ok((Place::parse(&parts.method, parts.uri.path(), ask.token())?, ask)));
        let method = place.as_ref().map_or(Method::Other, |(place, _)| place.call.method());
        let served: Serving = match place {
            Ok((place, ask)) => Arc::clone(&inner).serve(place, ask, parts, body),
            Err(error) => Box::pin(std::future::ready(Err(error.into()))),
        };
        Box::pin(async move {
            let in_flight = inner.metrics.requests.begin(Protocol::Nexus, method);
            let (error, unread) = match served.await {
                Ok(response) => {
                    in_flight.finish(Code::Ok);
                    return response;
                }
                Err(Refusal::Error(error)) => (error, false),
                Err(Refusal::Unread(error)) => (error, true),
                Err(Refusal::Withdrawn) => {
                    in_flight.finish(Code::Cancelled);
                    return reply::refused(&handler_error::broken_off());
                }
            };
            inner.failures.note(Protocol::Nexus, method, &error);
            in_flight.finish(Code::from_number(status::code(error.kind).number()));
            let mut response = reply::refused(&error);
            if unread && version < Version::HTTP_2 {
                response.headers_mut().insert(CONNECTION, CLOSE);
            }
            response
        })
    }
}

/// An answer on its way. Each call has a future of its own: there may be tens of thousands of waits.
type Serving = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Refusal>> + Send>>;

/// A request that could not be served.
#[derive(Debug)]
enum Refusal {
    Error(Error),
    /// The body was not read to its end. Over HTTP/1 the connection ends with the answer, and the
    /// caller has to know: its next request over it would be lost.
    Unread(Error),
    /// The request broke off. Most often nobody is there to read an answer; who is must not take it
    /// for a result.
    Withdrawn,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Inner {
    fn serve(self: Arc<Self>, place: Place, ask: Ask, parts: Parts, body: RequestBody) -> Serving {
        let Place { target, call } = place;
        let deadline = match head::deadline(&parts.headers) {
            Ok(deadline) => deadline,
            Err(error) => return Box::pin(std::future::ready(Err(error.into()))),
        };
        match call {
            Call::Start => {
                Box::pin(
                    async move { self.start(&target, &ask, &parts.headers, body, deadline).await },
                )
            }
            Call::Cancel(token) => Box::pin(async move {
                let cancel = Box::pin(self.cancel(&target, &token));
                Ok(deadline.bound(cancel).await?)
            }),
            Call::Info(token) => Box::pin(async move {
                let found = deadline.bound(self.find(&target, &token)).await?;
                Ok(reply::info(&found, &token::of(&self.bus, &found)?))
            }),
            Call::Result(token) => {
                drop(parts);
                Box::pin(async move { self.result(&target, &token, ask, deadline).await })
            }
        }
    }

    async fn cancel(&self, target: &Target, token: &str) -> Result<Response<Body>, Error> {
        let id = token::open(&self.bus, &self.caller, token)?;
        if let Err(error) = self.find(target, token).await {
            self.bus.refused(Action::Cancel, &self.caller, id, error.kind);
            return Err(error);
        }
        self.bus.cancel(&self.caller, id, "").await?;
        Ok(reply::canceling())
    }

    /// The operation of a token, which must be one of the service, the operation and the endpoint
    /// in the path.
    async fn find(&self, target: &Target, token: &str) -> Result<Arc<Snapshot>, Error> {
        let found = self.read(token::open(&self.bus, &self.caller, token)?).await?;
        if target.is_of(&found) { Ok(found) } else { Err(Error::not_found()) }
    }

    async fn read(&self, id: OperationId) -> Result<Arc<Snapshot>, Error> {
        match self.bus.peek(&self.caller, id) {
            Some(answer) => answer,
            // Boxed, for it is rare and large.
            None => Box::pin(self.bus.get(&self.caller, id)).await,
        }
    }
}
