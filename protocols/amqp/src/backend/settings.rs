//! What is configured for an upstream container.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opgate_bus::{Backoff, Gate};
use opgate_egress::Renewable;
use rustls::ClientConfig;

use super::endpoint::Endpoint;

/// What is configured for one upstream container.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the backend.
    pub name: Arc<str>,
    /// Where the container is.
    pub endpoint: Endpoint,
    /// Whom to believe, and what to show; for an endpoint over TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// As whom opgate calls.
    pub sasl: Renewable<Sasl>,
    /// The address of the management node.
    pub node: Arc<str>,
    /// Where replies are to be sent.
    pub reply: ReplyTo,
    /// Time for one request, from its way to the node to the reply; also for connecting.
    pub timeout: Duration,
    /// How long the container may be silent before it counts as gone.
    pub idle: Duration,
    /// Requests that wait for a reply at once.
    pub in_flight: usize,
    /// About the wait between the first two looks at an operation upstream; each later one is twice as
    /// long,
    pub poll_first: Duration,
    /// up to this.
    pub poll_longest: Duration,
    /// How long an operation upstream is looked for that the node does not know, or no longer, before
    /// its operation fails.
    pub grace: Duration,
    /// When to connect again, and when and how often to tell the node of a cancel it did not take.
    pub retry: Backoff,
    /// What all calls pass through.
    pub gate: Gate,
}

/// As whom opgate calls.
#[derive(Clone)]
pub enum Sasl {
    /// Nobody.
    Anonymous,
    /// A user with a password.
    Plain {
        /// The user.
        user: Box<str>,
        /// The password.
        password: Box<str>,
    },
    /// Whom the client certificate names.
    External,
}

/// Without the password.
impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mechanism())
    }
}

impl Sasl {
    /// The name of the mechanism.
    pub(super) const fn mechanism(&self) -> &'static str {
        match self {
            Self::Anonymous => "ANONYMOUS",
            Self::Plain { .. } => "PLAIN",
            Self::External => "EXTERNAL",
        }
    }

    /// What it begins with: for PLAIN that of RFC 4616, for the others nobody else to act as.
    pub(super) fn response(&self) -> Option<Vec<u8>> {
        match self {
            Self::Anonymous => None,
            Self::Plain { user, password } => {
                let parts: [&[u8]; 4] = [&[0], user.as_bytes(), &[0], password.as_bytes()];
                Some(parts.concat())
            }
            Self::External => Some(Vec::new()),
        }
    }
}

/// Where replies are to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyTo {
    /// To an address that the node makes; where it makes none, to one that opgate names.
    Auto,
    /// To an address that the node makes.
    Dynamic,
    /// To one that opgate names, over a link from the node.
    Named,
    /// To the link that comes from the node: the requests say nothing. What Azure's clients do.
    Paired,
}
