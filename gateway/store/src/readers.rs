//! Reading from disk, off the threads that serve connections.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use opgate_core::{Error, ErrorKind};
use tokio::sync::Semaphore;

use crate::journal::JournalError;
use crate::sqlite::Reader;

/// How many reads may be on the disk at a time; more wait their turn.
const CONNECTIONS: u32 = 4;

/// A few reading connections, shared.
#[derive(Debug)]
pub(crate) struct Readers {
    dir: PathBuf,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Reader>>>,
}

impl Readers {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, permits: Arc::new(Semaphore::new(CONNECTIONS as usize)), idle: Arc::default() }
    }

    /// Waits for the reads under way and lets go of the connections; later reads are refused. While
    /// one is open, the journal's own cannot fold the write-ahead log into the database as it closes.
    pub(crate) async fn close(&self) {
        // It fails only where this was done before.
        let _all = self.permits.acquire_many(CONNECTIONS).await;
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Runs one short read.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, Error> {
        let closed = |_| Error::new(ErrorKind::Unavailable, "opgate is shutting down");
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(closed)?;
        let (dir, idle) = (self.dir.clone(), Arc::clone(&self.idle));
        let done = tokio::task::spawn_blocking(move || {
            // Held by the read itself: it goes on when its caller has gone.
            let _permit = permit;
            let spare = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let reader = match spare {
                Some(reader) => reader,
                None => Reader::open(&dir).map_err(JournalError::Failed)?,
            };
            let found = read(&reader)?;
            // Only a connection that worked is used again.
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            Ok(found)
        });
        match done.await {
            Ok(found) => found.map_err(failed),
            Err(_) => Err(Error::new(ErrorKind::Internal, "a read was interrupted")),
        }
    }
}

fn failed(error: JournalError) -> Error {
    let (kind, message) = match error {
        JournalError::Damaged(_) => (ErrorKind::DataLoss, "the stored operation is damaged"),
        JournalError::Full(_) | JournalError::Busy(_) | JournalError::Failed(_) => {
            (ErrorKind::Unavailable, "the journal cannot be read")
        }
    };
    tracing::error!(%error, "{message}");
    Error::new(kind, message).with_source(error)
}
