//! What is configured for an upstream service.

use std::sync::Arc;
use std::time::Duration;

use opgate_bus::{Backoff, Gate};
use opgate_egress::{Credentials, TlsConfig};

use super::endpoint::Endpoint;

/// What is configured for one upstream service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the backend.
    pub name: Arc<str>,
    /// Where the service is.
    pub endpoint: Endpoint,
    /// Whom to believe, and what to show; used where the endpoint is one over TLS.
    pub tls: TlsConfig,
    /// What it is to know opgate by.
    pub credentials: Credentials,
    /// Time for one call, connecting included; a wait has its time on top.
    pub timeout: Duration,
    /// About the wait between the first two looks at an operation; each later one is twice as long,
    pub poll_first: Duration,
    /// up to this.
    pub poll_longest: Duration,
    /// How long an operation is looked for that the service does not know, or no longer, or of which
    /// nothing can be read, before it fails.
    pub grace: Duration,
    /// How many operations may be waited for at once by `WaitOperation`; others are looked at.
    pub waits: usize,
    /// When and how often to tell the service of a cancel it did not take.
    pub retry: Backoff,
    /// What all calls pass through.
    pub gate: Gate,
}
