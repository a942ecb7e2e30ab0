//! What changed, in journal order, for those who follow many operations.

use opgate_core::{OperationId, Seq, State, Version};
use tokio::sync::broadcast;

/// How many changes a follower may fall behind before it has to catch up from the journal.
pub const FEED_CAPACITY: usize = 16 * 1024;

/// One published change. Light on purpose: the operation itself is read from the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The position of the change.
    pub seq: Seq,
    /// The operation.
    pub id: OperationId,
    /// Its version after the change.
    pub version: Version,
    /// Its state after the change.
    pub state: State,
    /// Whether a cancel is asked for and it has not ended.
    pub canceling: bool,
    /// Whether it has ended and a callback has still to be delivered.
    pub owing: bool,
}

/// The follower fell behind by this many changes: read [`crate::Store::changed_since`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(pub u64);

/// A follower of all changes published after it was made.
#[derive(Debug)]
pub struct Feed(pub(crate) broadcast::Receiver<Changed>);

impl Feed {
    /// The next change; `None` once the store has closed.
    pub async fn next(&mut self) -> Option<Result<Changed, Lagged>> {
        match self.0.recv().await {
            Ok(changed) => Some(Ok(changed)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next change, if it is published already.
    pub fn ready(&mut self) -> Option<Result<Changed, Lagged>> {
        match self.0.try_recv() {
            Ok(changed) => Some(Ok(changed)),
            Err(broadcast::error::TryRecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => {
                None
            }
        }
    }

    /// How many changes are published that it has not returned: at least as many as [`Feed::ready`] has.
    #[must_use]
    pub fn behind(&self) -> usize {
        self.0.len()
    }
}
