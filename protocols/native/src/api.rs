//! The server side of `opgate.v1`: over gRPC, and as JSON over HTTP.

pub mod client;
mod console;
mod events;
mod grpc;
mod http;
mod map;
mod method;
mod methods;
mod names;
mod refusal;
mod shown;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use ::http::Request;
use opgate_bus::{Bus, Caller};
use opgate_edge::{Frontend, Peer, RequestBody, ResponseFuture};
use opgate_egress::Guard;
use opgate_rpc::Failures;
use opgate_telemetry::Metrics;

use self::http::Paths;

/// The services, by their full names.
pub const SERVICES: [&str; 2] = [method::OPERATIONS, method::WORKERS];

/// A binary `FileDescriptorSet` of the services, their imports included.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/opgate.v1.bin"));

pub use console::{Console, Settings as ConsoleSettings};
pub use names::Names;
pub use shown::Shown;

/// What of this face is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The names operations have on other faces. Default none.
    pub names: Names,
    /// Where callers may have themselves called back. Default nowhere.
    pub guard: Guard,
    /// Largest request message, compressed or not. Default 4 MiB, what gRPC servers take.
    pub request_bytes: usize,
    /// Time for a request to arrive. Default 30 s.
    pub request_timeout: Duration,
    /// Longest wait of one call; the caller may ask for less. Default 30 s, within the idle limits
    /// of common load balancers.
    pub wait_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            names: Names::default(),
            guard: Guard::default(),
            request_bytes: 4 * 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            wait_limit: Duration::from_secs(30),
        }
    }
}

/// The frontend of opgate's own API. Clones share everything.
#[derive(Clone, Debug)]
pub struct Native(Arc<Inner>);

/// The face as one caller sees it.
#[derive(Debug)]
struct Inner {
    /// Everybody who comes over a connection, until callers are authenticated.
    caller: Caller,
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
struct Shared {
    bus: Bus,
    settings: Settings,
    paths: Paths,
    metrics: Arc<Metrics>,
    failures: Failures,
}

impl Native {
    /// Serves what goes through `bus`.
    ///
    /// # Errors
    /// A defect of opgate: what its own descriptors say cannot be served.
    pub fn new(settings: Settings, bus: Bus, metrics: Arc<Metrics>) -> Result<Self, String> {
        let (caller, failures) = (Caller::anonymous(), Failures::default());
        let paths = Paths::new()?;
        let shared = Arc::new(Shared { bus, settings, paths, metrics, failures });
        Ok(Self(Arc::new(Inner { caller, shared })))
    }

    /// How the paths of its requests begin: over gRPC, and over HTTP.
    pub const PATHS: [&'static str; 2] = ["/opgate.v1.", http::ROOT];
}

impl Inner {
    /// As another caller sees it, where the request was made in this process and says whose it is. What
    /// comes over a connection has no such extension.
    fn for_caller_of<B>(&self, request: &Request<B>) -> Option<Arc<Self>> {
        let caller = request.extensions().get::<Caller>()?.clone();
        Some(Arc::new(Self { caller, shared: Arc::clone(&self.shared) }))
    }
}

impl Frontend for Native {
    fn call(&self, request: Request<RequestBody>, _peer: &Arc<Peer>) -> ResponseFuture {
        let inner = self.0.for_caller_of(&request).unwrap_or_else(|| Arc::clone(&self.0));
        if request.uri().path().starts_with(http::ROOT) {
            inner.http(request)
        } else {
            inner.grpc(request)
        }
    }
}
