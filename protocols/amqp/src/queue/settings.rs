//! What can be set of worker links.

use std::time::Duration;

/// Bounds of worker links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Deliveries of one link that may be unsettled, whatever its credit: some clients renew their credit
    /// when they receive, not when they settle. At least 1.
    pub open: usize,
    /// What the unsettled deliveries of one link may weigh, in bytes of input; one is sent whatever it
    /// weighs.
    pub open_bytes: usize,
    /// What all results that wait for their delivery to be settled may weigh, in bytes.
    pub held_bytes: usize,
    /// How long a delivery's lease is extended; none is until the operation's deadline. After it the lease
    /// runs out, which is an attempt.
    pub longest: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { open: 100, open_bytes: 64 << 20, held_bytes: 64 << 20, longest: None }
    }
}
