//! Following what changes from now on, for who shows the newest and reads the rest anew when it has to.

use std::sync::Arc;

use opgate_core::Error;
use opgate_store::{Changed, Feed, Snapshot};
use opgate_telemetry::Held;

use crate::bus::Bus;
use crate::room::Place;
use crate::start::Caller;

/// Changes of a tenant's operations, in the order of the journal, from when this was made.
///
/// It never looks back: whoever is too slow for it is told so, and not what has changed meanwhile. So it costs the same
/// however many operations are stored, and however long somebody was away.
#[derive(Debug)]
pub struct Recent {
    bus: Bus,
    caller: Caller,
    feed: Feed,
    /// A change that was told of and whose operation is not read yet.
    told: Option<Changed>,
    _place: Place,
    _counted: Held,
}

/// What is new.
#[derive(Clone, Debug)]
pub enum News {
    /// An operation has changed; one that was deleted has `removed` set.
    Changed(Arc<Snapshot>),
    /// More has changed than was waited for: what is shown is to be read anew.
    Missed,
}

impl Bus {
    /// Follows what changes from now on. It takes the place of a watch.
    ///
    /// # Errors
    /// `TooManyRequests` when there are as many watches as allowed
    /// ([`Options::watches`](crate::Options::watches)).
    pub fn recent(&self, caller: &Caller) -> Result<Recent, Error> {
        let (place, counted) = self.watch_place()?;
        Ok(Recent {
            bus: self.clone(),
            caller: caller.clone(),
            feed: self.door().store.feed(),
            told: None,
            _place: place,
            _counted: counted,
        })
    }
}

impl Recent {
    /// The next change; `None` when the gateway drains. Of an operation that changes faster than this is read, versions
    /// are left out, the latest never is.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// `Unavailable` or `DataLoss` when the disk does not give the operation.
    pub async fn next(&mut self) -> Option<Result<News, Error>> {
        let drain = self.bus.door().drain.clone();
        tokio::select! {
            found = self.advance() => found.transpose(),
            () = drain.cancelled() => None,
        }
    }

    /// Leaves out all that has changed until now.
    pub fn skip(&mut self) {
        self.told = None;
        self.feed = self.bus.door().store.feed();
    }

    async fn advance(&mut self) -> Result<Option<News>, Error> {
        let store = &self.bus.door().store;
        loop {
            if let Some(told) = self.told {
                let found = store.get(told.id).await?;
                self.told = None;
                // One that has changed again comes with that change.
                if let Some(snapshot) = found
                    && snapshot.changed == told.seq
                    && snapshot.tenant == self.caller.tenant
                    && !snapshot.is_job()
                {
                    return Ok(Some(News::Changed(snapshot)));
                }
            }
            match self.feed.next().await {
                Some(Ok(changed)) => self.told = Some(changed),
                Some(Err(_)) => return Ok(Some(News::Missed)),
                None => return Ok(None),
            }
        }
    }
}
