//! The side that tells callers of completions.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use opgate_core::Callback;
use opgate_store::Snapshot;

use crate::handles::Handles;

/// One attempt to tell of a completion.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The operation, ended.
    pub operation: Arc<Snapshot>,
    /// Which of its callbacks.
    pub callback: usize,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Makes the handle by which the receiver knows the operation.
    pub handles: Handles,
}

impl Notice {
    /// The callback itself.
    pub fn target(&self) -> Option<&Callback> {
        self.operation.callbacks.get(self.callback)
    }
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The receiver took it.
    Taken,
    /// Not now.
    Later {
        /// What was wrong, for the operator.
        problem: String,
        /// Not before this long, where the receiver said.
        after: Option<Duration>,
    },
    /// Never: the receiver does not know the operation any more, as when its caller has given up. A
    /// dead letter like any other, but nothing that somebody has to look into.
    Gone {
        /// What was answered, for the operator.
        problem: String,
    },
    /// Never: the receiver, or opgate's own rules, refused it for good.
    Refused {
        /// What was wrong, for the operator.
        problem: String,
    },
}

/// Tells the receivers of callbacks.
pub trait Notifier: Send + Sync + 'static {
    /// Where a callback goes: what has one text shares one limit of attempts at a time, and one
    /// circuit breaker. For a URL that is its scheme, host and port.
    fn destination(&self, callback: &Callback) -> Arc<str>;

    /// Tries once. The future ends by itself within a bounded time; it is dropped when the gateway
    /// drains, and the attempt is then made again by the next process.
    fn notify(&self, notice: Notice) -> Pin<Box<dyn Future<Output = Told> + Send>>;
}
