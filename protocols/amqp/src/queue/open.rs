//! The open deliveries, by connection and message id, and what their workers have sent of their results.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opgate_core::{Error, ErrorKind, Losses, Payload};

use crate::node::ConnectionId;

/// The open deliveries. Each is in here from before it is sent until its lease has ended.
#[derive(Debug)]
pub(super) struct Open {
    slots: Mutex<HashMap<Arc<str>, Told>>,
    /// Bytes of the results in them.
    held: AtomicUsize,
    limit: AtomicUsize,
}

/// What a worker has sent of a delivery's result.
#[derive(Debug, Default)]
pub(super) enum Told {
    /// Nothing.
    #[default]
    Nothing,
    /// The result, and what was lost of it.
    Result(Payload, Losses),
    /// One that was refused: the worker may settle without having heard of it.
    Refused(Error),
}

/// An open delivery; it is open until this is dropped, or its lease is lost.
#[derive(Debug)]
pub(super) struct Entry {
    open: Arc<Open>,
    token: Arc<str>,
}

/// What a delivery of that connection is known by: what another one sends of it is no word of its worker.
pub(super) fn key(connection: ConnectionId, token: &str) -> String {
    format!("{} {token}", connection.0)
}

impl Open {
    pub(super) fn new(limit: usize) -> Self {
        Self { slots: Mutex::default(), held: AtomicUsize::new(0), limit: AtomicUsize::new(limit) }
    }

    /// Keeps so many bytes of results from now on, and what it has.
    pub(super) fn bound(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Told>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a delivery in.
    pub(super) fn add(self: &Arc<Self>, token: &str) -> Entry {
        let token: Arc<str> = token.into();
        self.lock().insert(Arc::clone(&token), Told::Nothing);
        Entry { open: Arc::clone(self), token }
    }

    /// Whether a delivery is open.
    pub(super) fn has(&self, token: &str) -> bool {
        self.lock().contains_key(token)
    }

    /// Keeps the result of a delivery, in place of one that came before.
    ///
    /// # Errors
    /// `FailedPrecondition` when no such delivery is open; `TooManyRequests` when too much is held: that
    /// is then what the delivery is told.
    pub(super) fn tell(
        &self,
        token: &str,
        result: Result<(Payload, Losses), Error>,
    ) -> Result<(), Error> {
        let mut slots = self.lock();
        let Some(slot) = slots.get_mut(token) else {
            let why = "no delivery of this connection with such a message id is open";
            return Err(Error::new(ErrorKind::FailedPrecondition, why));
        };
        self.held.fetch_sub(slot.bytes(), Ordering::Relaxed);
        *slot = match result {
            Ok((result, _))
                if self.held.load(Ordering::Relaxed) + result.bytes.len()
                    > self.limit.load(Ordering::Relaxed) =>
            {
                let why = "results of as many bytes as allowed wait to be settled";
                Told::Refused(Error::new(ErrorKind::TooManyRequests, why))
            }
            Ok((result, lost)) => Told::Result(result, lost),
            Err(error) => Told::Refused(error),
        };
        self.held.fetch_add(slot.bytes(), Ordering::Relaxed);
        match slot {
            Told::Refused(error) => Err(Error::new(error.kind, error.message.clone())),
            Told::Result(..) | Told::Nothing => Ok(()),
        }
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.lock().len(), self.held.load(Ordering::Relaxed))
    }
}

impl Told {
    fn bytes(&self) -> usize {
        match self {
            Self::Result(result, _) => result.bytes.len(),
            Self::Nothing | Self::Refused(_) => 0,
        }
    }
}

impl Entry {
    /// Nothing is taken any more, and what was is forgotten.
    pub(super) fn close(&self) {
        let mut slots = self.open.lock();
        if let Some(told) = slots.remove(&self.token) {
            self.open.held.fetch_sub(told.bytes(), Ordering::Relaxed);
        }
    }

    /// What the worker has sent, of which nothing is kept.
    pub(super) fn told(&self) -> Told {
        let mut slots = self.open.lock();
        let told = slots.get_mut(&self.token).map(std::mem::take).unwrap_or_default();
        self.open.held.fetch_sub(told.bytes(), Ordering::Relaxed);
        told
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.close();
    }
}
