//! The callbacks that operations owe: counted in memory, found on disk in the order of acceptance,
//! without a look at any operation that owes none.

use std::sync::atomic::Ordering;

use opgate_core::{Callback, Error, OperationId, Seq, Timestamp};

use crate::Store;

/// An operation that has ended and owes callbacks, without all else that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owing {
    /// Its place in the order of acceptance.
    pub seq: Seq,
    /// The operation.
    pub id: OperationId,
    /// The callbacks it owes, by their places, and since when each is owed.
    pub callbacks: Vec<(usize, Callback, Timestamp)>,
}

impl Owing {
    /// What an operation owes.
    pub fn of(operation: &opgate_core::Operation) -> Self {
        let since = |callback| operation.owed_since(callback).unwrap_or(operation.times.updated);
        Self {
            seq: operation.seq,
            id: operation.id,
            callbacks: operation
                .owed()
                .map(|(at, callback)| (at, callback.clone(), since(callback)))
                .collect(),
        }
    }
}

impl Store {
    /// How many callbacks are owed by operations that have ended.
    pub fn owed(&self) -> u64 {
        self.shared().owed.load(Ordering::Relaxed)
    }

    /// Operations accepted after `after` that owe callbacks, in the order of acceptance: at most
    /// `limit`; fewer are the last.
    pub async fn owing(&self, after: Seq, limit: usize) -> Result<Vec<Owing>, Error> {
        self.readers().read(move |reader| reader.owing(after, limit)).await
    }
}
