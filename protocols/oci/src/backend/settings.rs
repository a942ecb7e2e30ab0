//! What is configured for an upstream API.

use std::sync::Arc;
use std::time::Duration;

use opgate_bus::{Backoff, Gate};

use super::endpoint::Endpoint;
use crate::signature::Signer;

/// What is configured for one upstream API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the backend.
    pub name: Arc<str>,
    /// Where the API is.
    pub endpoint: Endpoint,
    /// As whom requests are signed; none where nobody asks.
    pub signer: Option<Signer>,
    /// Time for one request, connecting included.
    pub timeout: Duration,
    /// About the wait between the first two looks at a work request; each later one is twice as long,
    pub poll_first: Duration,
    /// up to this.
    pub poll_longest: Duration,
    /// How long a work request is looked for that the API does not know, or no longer, or of which
    /// nothing can be read, before its operation fails.
    pub grace: Duration,
    /// When and how often to tell the API of a cancel it did not take.
    pub retry: Backoff,
    /// What all calls pass through.
    pub gate: Gate,
}
