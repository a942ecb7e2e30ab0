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

/// The file that says who has the directory.
pub(crate) const LOCK: &str = "opgate.lock";
const MARK: &str = "opgate.mark";

/// The last position known to have been durable in a directory; zero when none was noted readably.
pub(crate) fn mark(dir: &Path) -> Seq {
    File::open(dir.join(MARK)).map_or(Seq(0), |file| read_mark(&file))
}

/// Notes in a directory that is being made that everything up to `seq` is durable, durably.
pub(crate) fn write_mark(dir: &Path, seq: Seq) -> io::Result<()> {
    let file = open(dir, MARK)?;
    put_mark(&file, seq)?;
    file.sync_all()
}

fn open(dir: &Path, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(dir.join(name))
}

fn read_mark(file: &File) -> Seq {
    let mut bytes = [0; MARK_BYTES];
    if file.read_exact_at(&mut bytes, 0).is_err() {
        return Seq(0);
    }
    let (seq, checksum) = bytes.split_at(8);
    let sound = checksum == crc32fast::hash(seq).to_le_bytes();
    let seq = seq.try_into().map_or(0, u64::from_le_bytes);
    Seq(if sound { seq } else { 0 })
}

fn put_mark(file: &File, seq: Seq) -> io::Result<()> {
    let mut bytes = [0; MARK_BYTES];
    let number = seq.0.to_le_bytes();
    bytes[..8].copy_from_slice(&number);
    bytes[8..].copy_from_slice(&crc32fast::hash(&number).to_le_bytes());
    file.write_all_at(&bytes, 0)
}

impl Guard {
    pub(crate) fn acquire(dir: &Path) -> Result<Self, GuardError> {
        let lock = open(dir, LOCK)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => GuardError::InUse,
            TryLockError::Error(error) => GuardError::Io(error),
        })?;
        Ok(Self { _lock: lock, mark: open(dir, MARK)? })
    }

    /// The last position known to have been durable; zero when none was noted readably.
    pub(crate) fn mark(&self) -> Seq {
        read_mark(&self.mark)
    }

    /// Notes that everything up to `seq` is durable.
    pub(crate) fn note(&self, seq: Seq) -> io::Result<()> {
        put_mark(&self.mark, seq)
    }
}
