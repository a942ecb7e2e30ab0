//! A journal as it lies in its directory, looked at without being opened for use: by another process, and also while
//! a daemon has it. Nothing of it is changed.
//!
//! What one value sees is one moment: everything that was acknowledged before it was opened, and nothing after. For as
//! long as it lives a daemon's write-ahead log cannot be folded away and grows.

mod copy;
mod verify;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use opgate_core::{Seq, State, Timestamp};
use rusqlite::{Connection, OpenFlags};

use crate::guard;
use crate::snapshot::Snapshot;
use crate::sqlite::{self, SqliteOpenError};
use crate::{OpenError, open_error};

pub use copy::CopyError;
pub use verify::Verified;

/// How far something long is: so much of so much. Whoever is told must not block.
pub type Tell<'a> = &'a mut dyn FnMut(u64, u64);

/// An operation as it is stored, or where it is and why it cannot be read.
pub type Found = Result<Arc<Snapshot>, (Seq, String)>;

/// A journal, as of one moment.
#[derive(Debug)]
pub struct Records {
    dir: PathBuf,
    connection: Connection,
    layout: i32,
    /// The last position that was acknowledged when this was opened, as the directory's own note has it.
    mark: Seq,
}

/// What a journal holds, in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The layout of its tables.
    pub layout: i32,
    /// Whether a daemon has it.
    pub in_use: bool,
    /// The last position given out.
    pub last: Seq,
    /// Operations by state, in the order of [`State::ALL`]; deleted ones that are still remembered included.
    pub counts: [u64; 5],
    /// Callbacks owed.
    pub owed: u64,
    /// Parents that have operations.
    pub parents: u64,
    /// What has not ended, by route and backend.
    pub live: Vec<Live>,
    /// Bytes of the database.
    pub database_bytes: u64,
    /// Bytes of it that are free.
    pub free_bytes: u64,
    /// Bytes of the write-ahead log beside it.
    pub log_bytes: u64,
}

/// Operations of one route that have not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// The route.
    pub route: Arc<str>,
    /// Its backend.
    pub backend: Arc<str>,
    /// How many.
    pub count: u64,
    /// When the oldest was accepted.
    pub oldest: Timestamp,
}

impl Records {
    /// Opens the journal in a directory, for reading.
    ///
    /// # Errors
    /// There is none, it cannot be read, or it is of a later opgate.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let failed = |error: SqliteOpenError| open_error(dir, error);
        let path = sqlite::database(dir);
        std::fs::metadata(&path)
            .map_err(|source| OpenError::Directory { dir: dir.to_owned(), source })?;
        // Before the moment that is looked at: what was noted by then must be in it.
        let mark = guard::mark(dir);
        let (connection, layout) = connect(&path).map_err(failed)?;
        Ok(Self { dir: dir.to_owned(), connection, layout, mark })
    }

    /// Counts what there is. Takes as long as there are operations that have not ended.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn stats(&self) -> Result<Stats, OpenError> {
        self.counted().map_err(|error| open_error(&self.dir, error))
    }

    /// Shows every operation, oldest first, deleted ones that are remembered included. One that cannot be read is shown
    /// as its position and what is wrong with it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn each(&self, show: &mut dyn FnMut(Found) -> ControlFlow<()>) -> Result<(), OpenError> {
        sqlite::each(&self.connection, &mut |seq, row| {
            let found = row.map(|(operation, _)| Arc::new(Snapshot::new(operation)));
            show(found.map_err(|error| (seq, error.to_string())))
        })
        .map_err(|error| open_error(&self.dir, error.into()))
    }

    fn counted(&self) -> Result<Stats, SqliteOpenError> {
        let connection = &self.connection;
        let summary = sqlite::summary(connection)?;
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
        let mut live: BTreeMap<(Arc<str>, Arc<str>), (u64, Timestamp)> = BTreeMap::new();
        sqlite::live(connection, |_, operation| {
            let of = (Arc::clone(&operation.routed.route), Arc::clone(&operation.routed.backend));
            let accepted = operation.times.accepted;
            let (count, oldest) = live.entry(of).or_insert((0, accepted));
            (*count, *oldest) = (*count + 1, (*oldest).min(accepted));
        })
        .map_err(|error| SqliteOpenError::Damaged(error.to_string()))?;
        let bytes = |path: PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
        let mut log = sqlite::database(&self.dir).into_os_string();
        log.push("-wal");
        Ok(Stats {
            layout: self.layout,
            in_use: in_use(&self.dir),
            last: summary.last,
            counts: summary.counts,
            owed: if self.layout == 1 {
                0
            } else {
                number("SELECT coalesce(sum(owed), 0) FROM operations WHERE owed IS NOT NULL")?
            },
            parents: number("SELECT count(*) FROM scopes")?,
            live: live
                .into_iter()
                .map(|((route, backend), (count, oldest))| Live { route, backend, count, oldest })
                .collect(),
            database_bytes: bytes(sqlite::database(&self.dir)),
            free_bytes: number("SELECT freelist_count FROM pragma_freelist_count")?
                * sqlite::PAGE_BYTES,
            log_bytes: bytes(log.into()),
        })
    }
}

/// The layout that this opgate writes.
pub const LAYOUT: i32 = sqlite::LAYOUT;

// Stats counts operations of so many states.
const _: () = assert!(State::ALL.len() == 5);

/// Opens the database for reading, begins the one look at it, and says its layout.
fn connect(path: &Path) -> Result<(Connection, i32), SqliteOpenError> {
    let open = |uri: String| -> Result<(Connection, i32), SqliteOpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri, flags)?;
        connection.busy_timeout(sqlite::BUSY)?;
        connection.execute_batch("BEGIN")?;
        // The first read says which moment it is.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let layout = sqlite::layout(&connection)?;
        Ok((connection, layout))
    };
    let text = path.to_string_lossy();
    let mut uri = String::from("file:");
    for byte in text.bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend(["%", &format!("{byte:02X}")]),
            _ if byte.is_ascii() => uri.push(char::from(byte)),
            _ => uri.extend(["%", &format!("{byte:02X}")]),
        }
    }
    match open(uri.clone()) {
        // A copy on a medium that cannot be written has no log, and nobody changes it.
        Err(SqliteOpenError::Sqlite(error))
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen)
                && !has_log(path) =>
        {
            open(uri + "?immutable=1")
        }
        opened => opened,
    }
}

fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|file| file.len() > 0)
}

/// Whether a process has the directory.
fn in_use(dir: &Path) -> bool {
    let Ok(lock) = File::open(dir.join(guard::LOCK)) else { return false };
    matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))
}
