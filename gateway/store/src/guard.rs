//! The data directory: one process at a time, and no silent loss.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use opgate_core::Seq;

const MARK_BYTES: usize = 12;

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuardError {
    #[error("another process uses it")]
    InUse,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Holds the directory for this process until dropped, and keeps the high-water mark: the last
/// position that was made durable, in a file of its own.
///
/// SQLite ends its log at the first damaged frame and says nothing. The mark, written after each
/// sync and never before, tells a log that was cut short from one that ends there.
#[derive(Debug)]
pub(crate) struct Guard {
    _lock: File,
    mark: File,
}

impl Guard {
    pub(crate) fn acquire(dir: &Path) -> Result<Self, GuardError> {
        let open = |name: &str| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            options.open(dir.join(name))
        };
        let lock = open("opgate.lock")?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => GuardError::InUse,
            TryLockError::Error(error) => GuardError::Io(error),
        })?;
        Ok(Self { _lock: lock, mark: open("opgate.mark")? })
    }

    /// The last position known to have been durable; zero when none was noted readably.
    pub(crate) fn mark(&self) -> Seq {
        let mut bytes = [0; MARK_BYTES];
        if self.mark.read_exact_at(&mut bytes, 0).is_err() {
            return Seq(0);
        }
        let (seq, checksum) = bytes.split_at(8);
        let sound = checksum == crc32fast::hash(seq).to_le_bytes();
        let seq = seq.try_into().map_or(0, u64::from_le_bytes);
        Seq(if sound { seq } else { 0 })
    }

    /// Notes that everything up to `seq` is durable.
    pub(crate) fn note(&self, seq: Seq) -> io::Result<()> {
        let mut bytes = [0; MARK_BYTES];
        let number = seq.0.to_le_bytes();
        bytes[..8].copy_from_slice(&number);
        bytes[8..].copy_from_slice(&crc32fast::hash(&number).to_le_bytes());
        self.mark.write_all_at(&bytes, 0)
    }
}
