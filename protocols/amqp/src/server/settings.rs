//! What can be set of the listener.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use opgate_bus::WorksOn;
use opgate_core::Tenant;

use crate::fence;

/// The listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Who may come without a name.
    pub anonymous: Anonymous,
    /// Who else may come, by name.
    pub users: BTreeMap<String, User>,
    /// How much of it.
    pub limits: Limits,
    /// What it says of itself.
    pub product: Product,
}

/// What a container says of itself when a connection is opened. Some clients go on with none but the product they were
/// made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// The property `product`.
    pub name: String,
    /// The property `version`. Never without the other: `RabbitMQ`'s client for Go does not survive that.
    pub version: String,
}

impl Default for Product {
    fn default() -> Self {
        Self { name: "opgate".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// From where a peer may come without a name. Never from beyond this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// From this machine, as long as there are no users.
    Auto,
    /// From this machine.
    Loopback,
    /// From nowhere.
    Off,
}

/// Somebody with a password or a certificate.
#[derive(Clone)]
pub struct User {
    /// What proves it; none: only a certificate does.
    pub password: Option<Arc<str>>,
    /// Whose operations it may see.
    pub tenant: Tenant,
    /// DNS or URI names of a client certificate, any of which proves it.
    pub certificate_names: Vec<String>,
    /// The queues whose operations it may carry out.
    pub works_on: WorksOn,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("tenant", &self.tenant)
            .field("certificate_names", &self.certificate_names)
            .field("works_on", &self.works_on)
            .finish_non_exhaustive()
    }
}

/// Bounds of what peers may take. Sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections.
    pub connections: usize,
    /// Sessions of one connection.
    pub sessions: u16,
    /// Links of one connection.
    pub links: usize,
    /// Requests of one link that are being answered, or whose reply waits for the peer's credit. As many
    /// again may have arrived.
    pub credit: u32,
    /// Largest frame that is taken.
    pub frame_bytes: u32,
    /// Largest message that is taken.
    pub message_bytes: u64,
    /// Silence after which a peer is given up. It is told the half of it.
    pub idle_timeout: Duration,
    /// Time for everything up to the peer's Open, and to prove who it is.
    pub handshake_timeout: Duration,
}

/// Links above the limit that a peer may have at a time while they are being refused.
const REFUSED_LINKS: u32 = 64;

impl Limits {
    /// The highest handle of a session: one could have all links of the connection.
    pub(crate) fn handle_max(&self) -> u32 {
        u32::try_from(self.links).unwrap_or(u32::MAX).saturating_add(REFUSED_LINKS - 1)
    }

    /// What the fence holds peers to.
    pub(crate) fn fence(&self) -> fence::Limits {
        fence::Limits {
            frame: self.frame_bytes,
            message: self.message_bytes,
            sessions: self.sessions,
            channel: self.sessions.saturating_sub(1),
            // One too many is refused as a link; only who goes on like that is cut.
            links: u32::try_from(self.links).unwrap_or(u32::MAX).saturating_add(REFUSED_LINKS),
            handle: self.handle_max(),
            announces_half: true,
            ..fence::Limits::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            sessions: 64,
            links: 1024,
            credit: 200,
            frame_bytes: 64 << 10,
            message_bytes: 4 << 20,
            idle_timeout: Duration::from_mins(2),
            handshake_timeout: Duration::from_secs(30),
        }
    }
}
