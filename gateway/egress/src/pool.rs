//! Connections that nobody uses now.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::connection::Connection;
use crate::destination::Destination;

/// What is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// For one destination.
    pub(crate) each: usize,
    /// In all.
    pub(crate) all: usize,
    /// How long.
    pub(crate) time: Duration,
}

#[derive(Debug)]
pub(crate) struct Pool {
    bounds: Bounds,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The newest last.
    idle: HashMap<Destination, Vec<Idle>>,
    count: usize,
    /// Whether a task looks for what is too old.
    swept: bool,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, kept: Mutex::default() })
    }

    /// The newest kept connection to a destination that still takes a request; only one to a `peer`
    /// where those are given.
    pub(crate) fn take(
        &self,
        destination: &Destination,
        peers: Option<&[SocketAddr]>,
    ) -> Option<Connection> {
        let mut kept = self.kept();
        let idle = kept.idle.get_mut(destination)?;
        let before = idle.len();
        let limit = self.bounds.time;
        idle.retain(|idle| idle.is_of_use(limit));
        let fits = |idle: &Idle| peers.is_none_or(|peers| peers.contains(&idle.connection.peer));
        let found = idle.iter().rposition(fits).map(|position| idle.remove(position).connection);
        let (gone, empty) = (before - idle.len(), idle.is_empty());
        kept.count -= gone;
        if empty {
            kept.idle.remove(destination);
        }
        found
    }

    /// Keeps a connection, where there is room, until it is too old.
    pub(crate) fn put(self: &Arc<Self>, destination: Destination, connection: Connection) {
        let mut kept = self.kept();
        if kept.count >= self.bounds.all {
            kept.sweep(self.bounds.time);
        }
        let room = kept.count < self.bounds.all;
        let idle = kept.idle.get(&destination).map_or(0, Vec::len);
        if !room || idle >= self.bounds.each {
            return;
        }
        let since = Instant::now();
        kept.idle.entry(destination).or_default().push(Idle { connection, since });
        kept.count += 1;
        if !std::mem::replace(&mut kept.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), self.bounds.time));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn is_of_use(&self, limit: Duration) -> bool {
        self.connection.is_ready() && self.since.elapsed() < limit
    }
}

impl Kept {
    fn sweep(&mut self, limit: Duration) {
        self.idle.retain(|_, idle| {
            idle.retain(|idle| idle.is_of_use(limit));
            !idle.is_empty()
        });
        self.count = self.idle.values().map(Vec::len).sum();
    }
}

/// Closes what has become too old, while anything is kept. Ends with the pool.
async fn sweep(pool: Weak<Pool>, every: Duration) {
    loop {
        sleep(every).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut kept = pool.kept();
        kept.sweep(pool.bounds.time);
        if kept.count == 0 {
            kept.swept = false;
            return;
        }
    }
}
