//! Waiting for an operation.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use opgate_core::{Error, OperationId, Version};
use opgate_store::Snapshot;
use opgate_telemetry::Permit;
use tokio::time::{Instant, sleep_until};

use crate::bus::Bus;
use crate::start::Caller;

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Its end.
    Done,
    /// A later version than this one, or its end.
    Newer(Version),
}

impl Until {
    fn holds(self, snapshot: &Snapshot) -> bool {
        snapshot.is_done()
            || match self {
                Self::Done => false,
                Self::Newer(version) => snapshot.version > version,
            }
    }
}

impl Bus {
    /// Waits until what is waited for holds, for at most `limit`. At the limit, at the drain, and
    /// when there are as many waits as allowed ([`Options::waits`](crate::Options::waits)), the
    /// operation is answered as it is: the caller sees whether it is done and may ask again.
    ///
    /// Dropping the future ends the wait and nothing else.
    ///
    /// # Errors
    /// As [`Bus::get`], also when the operation is removed meanwhile.
    pub async fn wait(
        &self,
        caller: &Caller,
        id: OperationId,
        until: Until,
        limit: Duration,
    ) -> Result<Arc<Snapshot>, Error> {
        let current = self.read(caller, id).await?;
        if until.holds(&current) || limit.is_zero() {
            return Ok(current);
        }
        let Some(_place) = self.door().waits.take() else { return Ok(current) };
        let _counted = self.door().metrics.bus.permits.of(Permit::Wait).hold();
        drop(current);
        let limit = Instant::now().checked_add(limit);
        let mut drained = pin!(self.door().drain.cancelled());
        let waiter = self.door().store.newer(id);
        loop {
            // Made before the operation is read, so that a change after the read wakes it.
            let changed = waiter.changed();
            let current = self.read(caller, id).await?;
            if until.holds(&current) {
                return Ok(current);
            }
            // Thousands of waiters must not each hold a version nobody else needs any more.
            drop(current);
            tokio::select! {
                () = changed => {}
                () = at(limit) => return self.read(caller, id).await,
                () = &mut drained => return self.read(caller, id).await,
            }
        }
    }

    /// [`Bus::get`] in a small future: most reads need no disk, and those that do are boxed.
    async fn read(&self, caller: &Caller, id: OperationId) -> Result<Arc<Snapshot>, Error> {
        match self.peek(caller, id) {
            Some(found) => found,
            None => Box::pin(self.get(caller, id)).await,
        }
    }
}

/// Resolves at an instant; never where there is none.
pub(crate) async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
