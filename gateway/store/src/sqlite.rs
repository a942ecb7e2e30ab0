//! The embedded journal: SQLite in WAL mode, one transaction and one sync for each batch.

mod reader;
mod upgrade;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use opgate_core::{DedupeKey, Operation, OperationId, Parent, Seq, Tenant, Timestamp};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, TransactionBehavior, params};

pub(crate) use self::reader::{Looked, Reader};
use crate::Durability;
use crate::journal::{Expired, Journal, JournalError, Size, Summary, Write};
use crate::record::{self, Damaged, Opened, Slot};
use crate::scopes::ScopeId;

/// Marks the file as ours: "opgt".
const APPLICATION_ID: i32 = 0x6f70_6774;
/// The layout of the tables. A file of an earlier number is brought up to it, another is refused.
pub(crate) const LAYOUT: i32 = 2;
pub(crate) const PAGE_BYTES: u64 = 4096;
/// How long a statement waits for another program that holds the database.
pub(crate) const BUSY: Duration = Duration::from_secs(2);
/// How long opening may spend on checking the file's structure, whatever its size.
const CHECK: Duration = Duration::from_millis(250);

const BY_ID: &str = "SELECT seq, body FROM operations WHERE id = ?1";

const SCHEMA: &str = "
CREATE TABLE operations (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    scope INTEGER NOT NULL,
    state INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    purge INTEGER,
    dedupe BLOB,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX operations_by_id ON operations (id);
CREATE INDEX operations_by_scope ON operations (scope);
CREATE INDEX operations_live ON operations (state) WHERE state < 2;
CREATE INDEX operations_by_change ON operations (changed);
CREATE INDEX operations_by_purge ON operations (purge) WHERE purge IS NOT NULL;
CREATE UNIQUE INDEX operations_by_dedupe ON operations (dedupe) WHERE dedupe IS NOT NULL;
CREATE TABLE payloads (key INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE scopes (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, parent TEXT NOT NULL) STRICT;
CREATE TABLE summary (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL, counts BLOB NOT NULL) STRICT;
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
";

/// The journal's file could not be opened for use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SqliteOpenError {
    /// It is not what an opgate wrote, or not all of it.
    #[error("{0}")]
    Damaged(String),
    /// A later opgate wrote it.
    #[error("it has layout {0}")]
    Newer(i32),
    /// The operating system or SQLite refused.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

impl From<Damaged> for SqliteOpenError {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged.to_string())
    }
}

pub(crate) fn database(dir: &Path) -> PathBuf {
    dir.join("opgate.db")
}

/// The writing side.
#[derive(Debug)]
pub(crate) struct Sqlite {
    connection: Connection,
    path: PathBuf,
    /// The size that the database does not exceed.
    max_bytes: u64,
}

/// What stood in the file when it was opened.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) summary: Summary,
    /// Callbacks that operations owe.
    pub(crate) owed: u64,
    pub(crate) secret: [u8; 32],
    pub(crate) scopes: Vec<(ScopeId, Tenant, Parent)>,
}

impl Sqlite {
    /// Opens or makes the database. `secret` is kept in a new one.
    pub(crate) fn open(
        dir: &Path,
        durability: Durability,
        max_bytes: Option<u64>,
        secret: [u8; 32],
    ) -> Result<(Self, Stored), SqliteOpenError> {
        let path = database(dir);
        let connection = Connection::open(&path)?;
        connection.busy_timeout(BUSY)?;
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        if tables == 0 {
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(
            None,
            "synchronous",
            match durability {
                Durability::Fsync => "FULL",
                // A crash of the machine then loses the end of the log, and damages nothing.
                Durability::Memory => "NORMAL",
            },
        )?;
        connection.pragma_update(None, "wal_autocheckpoint", 1000)?;
        connection.pragma_update(None, "cache_size", -131_072)?;
        connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        connection.set_prepared_statement_cache_capacity(64);
        let max_bytes = max_bytes.unwrap_or(u64::MAX);
        let mut sqlite = Self { connection, path, max_bytes };
        if tables == 0 {
            sqlite.create(&secret)?;
        }
        if sqlite.check()? == 1 {
            upgrade::from_1(&mut sqlite.connection, LAYOUT)?;
        }
        let stored = sqlite.stored()?;
        // After the checks: a bound below what is stored only stops growth.
        let pages = i64::try_from(max_bytes / PAGE_BYTES).unwrap_or(i64::MAX);
        let pages = pages.clamp(16, i64::from(u32::MAX) - 1);
        sqlite.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        Ok((sqlite, stored))
    }

    fn create(&mut self, secret: &[u8; 32]) -> Result<(), rusqlite::Error> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(SCHEMA)?;
        tx.execute_batch(upgrade::OWING)?;
        tx.execute("INSERT INTO meta VALUES ('secret', ?1)", params![&secret[..]])?;
        tx.execute(
            "INSERT INTO summary VALUES (1, 0, ?1)",
            params![&counts_to_bytes(&Summary::default().counts)[..]],
        )?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", LAYOUT)?;
        tx.commit()
    }

    /// Returns the layout. Refuses a file that is not ours, or of a later opgate, or whose structure
    /// is broken. The structure check, indexes included, reads as much as the time allows, so that opening does not grow with what is
    /// stored; every record carries a checksum of its own.
    fn check(&mut self) -> Result<i32, SqliteOpenError> {
        let layout = layout(&self.connection)?;
        let until = Instant::now() + CHECK;
        self.connection.progress_handler(10_000, Some(move || Instant::now() > until))?;
        let found: Result<String, _> =
            self.connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
        self.connection.progress_handler(0, None::<fn() -> bool>)?;
        match found {
            Ok(text) if text == "ok" => Ok(layout),
            Ok(text) => Err(SqliteOpenError::Damaged(text)),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                Ok(layout)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn stored(&self) -> Result<Stored, SqliteOpenError> {
        let connection = &self.connection;
        let summary = summary(connection)?;
        let secret: [u8; 32] = connection
            .query_row("SELECT value FROM meta WHERE key = 'secret'", [], |row| row.get(0))
            .optional()?
            .ok_or(Damaged("the secret is missing"))?;
        let newest: Option<u64> = connection
            .query_row("SELECT max(changed) FROM operations", [], |row| row.get(0))
            .optional()?
            .flatten();
        if newest.unwrap_or(0) > summary.last.0 {
            return Err(Damaged("operations are newer than the summary").into());
        }
        let mut statement = connection.prepare("SELECT id, tenant, parent FROM scopes")?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        })?;
        let mut scopes = Vec::new();
        for row in rows {
            let (scope, tenant, parent) = row?;
            let name = |_| Damaged("a scope's name is out of bounds");
            scopes.push((
                scope,
                Tenant::new(&tenant).map_err(name)?,
                Parent::new(&parent).map_err(name)?,
            ));
        }
        let owed = "SELECT coalesce(sum(owed), 0) FROM operations INDEXED BY operations_owing \
                    WHERE owed IS NOT NULL";
        let owed = connection.query_row(owed, [], |row| row.get(0))?;
        Ok(Stored { summary, owed, secret, scopes })
    }
}

impl Journal for Sqlite {
    fn append(&mut self, batch: &[Write<'_>], summary: Summary) -> Result<u64, JournalError> {
        self.transact(batch, summary).map_err(write_error)
    }

    fn read(&mut self, id: OperationId) -> Result<Option<Operation>, JournalError> {
        read(&self.connection, id)
    }

    fn holder(&mut self, key: DedupeKey) -> Result<Option<OperationId>, JournalError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id FROM operations WHERE dedupe = ?1")
            .map_err(read_error)?;
        let id: Option<[u8; 16]> = statement
            .query_row([&key.0.to_be_bytes()[..]], |row| row.get(0))
            .optional()
            .map_err(read_error)?;
        Ok(id.map(|id| OperationId::from_bits(u128::from_be_bytes(id))))
    }

    fn expired(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Expired>, JournalError> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT seq, id, state, scope FROM operations WHERE purge <= ?1 ORDER BY purge LIMIT ?2",
            )
            .map_err(read_error)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(params![now.millis(), limit], |row| {
                let id: [u8; 16] = row.get(1)?;
                Ok(Expired {
                    seq: Seq(row.get(0)?),
                    id: OperationId::from_bits(u128::from_be_bytes(id)),
                    state: row.get(2)?,
                    scope: row.get(3)?,
                })
            })
            .map_err(read_error)?;
        rows.collect::<Result<_, _>>().map_err(read_error)
    }

    fn size(&self) -> Size {
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        let database = bytes(&self.path);
        let within = self.max_bytes.saturating_sub(database);
        // Where the file system does not say, its bound is all that is known.
        let disk = rustix::fs::statvfs(&self.path)
            .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        Size { database, wal: bytes(Path::new(&wal)), free: within.min(disk) }
    }

    fn shrink(&mut self) -> Result<(), JournalError> {
        let mut pragma = self
            .connection
            .prepare_cached("PRAGMA incremental_vacuum(256)")
            .map_err(write_error)?;
        // Each step gives one page back.
        let mut steps = pragma.query([]).map_err(write_error)?;
        while steps.next().map_err(write_error)?.is_some() {}
        Ok(())
    }

    fn is_empty(&mut self, scope: ScopeId) -> Result<bool, JournalError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM operations WHERE scope = ?1)")
            .map_err(read_error)?;
        statement.query_row([scope], |row| row.get(0)).map_err(read_error)
    }
}

impl Sqlite {
    fn transact(&mut self, batch: &[Write<'_>], summary: Summary) -> Result<u64, rusqlite::Error> {
        let mut bytes = 0;
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for write in batch {
            match write {
                Write::Scope { scope, tenant, parent } => {
                    tx.prepare_cached("INSERT INTO scopes VALUES (?1, ?2, ?3)")?
                        .execute(params![scope, tenant.as_str(), parent.as_str()])?;
                }
                Write::Insert { operation, scope, keyed } => {
                    let body = record::encode(operation);
                    bytes += body.len();
                    tx.prepare_cached(
                        "INSERT INTO operations (seq, id, scope, state, changed, purge, dedupe, body, owed) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                    )?
                    .execute(params![
                        operation.seq.0,
                        &operation.id.to_bits().to_be_bytes()[..],
                        scope,
                        operation.state as u8,
                        operation.changed.0,
                        operation.purge_at().map(Timestamp::millis),
                        operation
                            .dedupe
                            .as_ref()
                            .filter(|_| *keyed)
                            .map(|dedupe| dedupe.key.0.to_be_bytes())
                            .as_ref()
                            .map(|key| &key[..]),
                        body,
                        owed(operation),
                    ])?;
                    bytes += put_payload(&tx, operation, Slot::Input)?;
                    bytes += put_payload(&tx, operation, Slot::Output)?;
                }
                Write::Update { operation, with_output } => {
                    let body = record::encode(operation);
                    bytes += body.len();
                    tx.prepare_cached(
                        "UPDATE operations SET state = ?2, changed = ?3, purge = ?4, body = ?5, owed = ?6 \
                         WHERE seq = ?1",
                    )?
                    .execute(params![
                        operation.seq.0,
                        operation.state as u8,
                        operation.changed.0,
                        operation.purge_at().map(Timestamp::millis),
                        body,
                        owed(operation),
                    ])?;
                    if *with_output {
                        bytes += put_payload(&tx, operation, Slot::Output)?;
                    }
                }
                Write::ForgetKey { seq } => {
                    tx.prepare_cached("UPDATE operations SET dedupe = NULL WHERE seq = ?1")?
                        .execute([seq.0])?;
                }
                Write::Room { bytes } => {
                    // Taken and given back: the pages stay free for the writes that follow.
                    tx.prepare_cached("INSERT INTO payloads VALUES (-1, zeroblob(?1))")?
                        .execute([i64::try_from(*bytes).unwrap_or(i64::MAX)])?;
                    tx.prepare_cached("DELETE FROM payloads WHERE key = -1")?.execute([])?;
                }
                Write::ForgetScope { scope } => {
                    tx.prepare_cached("DELETE FROM scopes WHERE id = ?1")?.execute([scope])?;
                }
                Write::Purge { seq } => {
                    tx.prepare_cached("DELETE FROM operations WHERE seq = ?1")?.execute([seq.0])?;
                    tx.prepare_cached("DELETE FROM payloads WHERE key BETWEEN ?1 AND ?2")?
                        .execute([key(*seq, Slot::Input), key(*seq, Slot::Output)])?;
                }
            }
        }
        tx.prepare_cached("UPDATE summary SET last = ?1, counts = ?2")?
            .execute(params![summary.last.0, &counts_to_bytes(&summary.counts)[..]])?;
        tx.commit()?;
        Ok(bytes as u64)
    }
}

/// The layout of a file that is ours, and of no later opgate.
pub(crate) fn layout(connection: &Connection) -> Result<i32, SqliteOpenError> {
    let number = |name: &str| -> Result<i32, rusqlite::Error> {
        connection.pragma_query_value(None, name, |row| row.get(0))
    };
    if number("application_id")? != APPLICATION_ID {
        return Err(SqliteOpenError::Damaged("the file was not written by opgate".to_owned()));
    }
    match number("user_version")? {
        layout if layout > LAYOUT => Err(SqliteOpenError::Newer(layout)),
        layout if layout < 1 => {
            Err(SqliteOpenError::Damaged(format!("there is no layout {layout}")))
        }
        layout => Ok(layout),
    }
}

/// What the last batch left behind.
pub(crate) fn summary(connection: &Connection) -> Result<Summary, SqliteOpenError> {
    let (last, counts): (u64, Vec<u8>) = connection
        .query_row("SELECT last, counts FROM summary", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or(Damaged("the summary is missing"))?;
    let counts = counts_from_bytes(&counts).ok_or(Damaged("the summary is not readable"))?;
    Ok(Summary { last: Seq(last), counts })
}

/// Every operation that has not ended, oldest first, with its scope.
pub(crate) fn live(
    connection: &Connection,
    mut each: impl FnMut(ScopeId, Operation),
) -> Result<u64, JournalError> {
    let mut statement = connection
        .prepare(
            "SELECT seq, body, scope FROM operations \
             WHERE seq IN (SELECT seq FROM operations WHERE state < 2) ORDER BY seq",
        )
        .map_err(read_error)?;
    let mut rows = statement.query([]).map_err(read_error)?;
    let mut count = 0;
    while let Some(row) = rows.next().map_err(read_error)? {
        let operation = decode(connection, row)?;
        each(row.get(2).map_err(read_error)?, operation);
        count += 1;
    }
    Ok(count)
}

/// A stored operation with how many bytes were read for it, or why it cannot be read.
pub(crate) type Kept = Result<(Operation, usize), JournalError>;

/// Shows every stored operation, oldest first.
pub(crate) fn each(
    connection: &Connection,
    show: &mut dyn FnMut(Seq, Kept) -> ControlFlow<()>,
) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare("SELECT seq, body FROM operations ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let seq = Seq(row.get(0)?);
        let found = open(row).and_then(|(opened, record)| {
            let (operation, payloads) = complete(connection, opened)?;
            Ok((operation, record + payloads))
        });
        if show(seq, found).is_break() {
            break;
        }
    }
    Ok(())
}

/// The columns beside an operation's record that are not as the record has it.
pub(crate) fn columns(
    connection: &Connection,
    operation: &Operation,
    layout: i32,
) -> Result<Vec<&'static str>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT id, state, changed, purge, dedupe FROM operations WHERE seq = ?1",
    )?;
    let mut wrong = Vec::new();
    statement.query_row([operation.seq.0], |row| {
        let id: Vec<u8> = row.get(0)?;
        if id != operation.id.to_bits().to_be_bytes() {
            wrong.push("id");
        }
        if row.get::<_, u8>(1)? != operation.state as u8 {
            wrong.push("state");
        }
        if row.get::<_, u64>(2)? != operation.changed.0 {
            wrong.push("changed");
        }
        // The layout before did not know that callbacks keep an operation.
        if layout > 1
            && row.get::<_, Option<i64>>(3)? != operation.purge_at().map(Timestamp::millis)
        {
            wrong.push("purge");
        }
        // A key that is no longer honoured leaves its column, and stays in the record.
        let key: Option<Vec<u8>> = row.get(4)?;
        let known = operation.dedupe.as_ref().map(|dedupe| dedupe.key.0.to_be_bytes());
        if key.is_some() && key.as_deref() != known.as_ref().map(|key| &key[..]) {
            wrong.push("dedupe");
        }
        Ok(())
    })?;
    if layout > 1 {
        let sql = "SELECT owed FROM operations WHERE seq = ?1";
        let kept: Option<usize> =
            connection.prepare_cached(sql)?.query_row([operation.seq.0], |row| row.get(0))?;
        if kept != owed(operation) {
            wrong.push("owed");
        }
    }
    Ok(wrong)
}

/// How many callbacks an operation owes; none where it owes none, so that it is in no index.
fn owed(operation: &Operation) -> Option<usize> {
    Some(operation.owed().count()).filter(|owed| *owed > 0)
}

fn counts_to_bytes(counts: &[u64; 5]) -> [u8; 40] {
    let mut bytes = [0; 40];
    for (place, count) in bytes.chunks_exact_mut(8).zip(counts) {
        place.copy_from_slice(&count.to_be_bytes());
    }
    bytes
}

fn counts_from_bytes(bytes: &[u8]) -> Option<[u64; 5]> {
    let bytes: &[u8; 40] = bytes.try_into().ok()?;
    let mut counts = [0; 5];
    for (count, place) in counts.iter_mut().zip(bytes.chunks_exact(8)) {
        *count = u64::from_be_bytes(place.try_into().ok()?);
    }
    Some(counts)
}

const fn key(seq: Seq, slot: Slot) -> u64 {
    seq.0 * 2 + slot as u64
}

fn put_payload(
    connection: &Connection,
    operation: &Operation,
    slot: Slot,
) -> Result<usize, rusqlite::Error> {
    let Some(bytes) = record::detached(operation, slot) else { return Ok(0) };
    connection
        .prepare_cached("INSERT OR REPLACE INTO payloads VALUES (?1, ?2)")?
        .execute(params![key(operation.seq, slot), &bytes[..]])?;
    Ok(bytes.len())
}

fn write_error(error: rusqlite::Error) -> JournalError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => JournalError::Full(error),
        // Only taking the write lock can meet it: nothing was written yet.
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => JournalError::Busy(error),
        _ => JournalError::Failed(error),
    }
}

fn read_error(error: rusqlite::Error) -> JournalError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            JournalError::Damaged(Damaged("the database is malformed"))
        }
        _ => JournalError::Failed(error),
    }
}

/// Decodes a row that begins with `seq, body`, without the payloads stored beside it.
fn open(row: &Row<'_>) -> Result<(Opened, usize), JournalError> {
    let seq = Seq(row.get(0).map_err(read_error)?);
    let body = row.get_ref(1).map_err(read_error)?;
    let body = body.as_blob().map_err(|_| Damaged("a record is not a blob"))?;
    let opened = record::open(body)?;
    if opened.operation.seq == seq {
        Ok((opened, body.len()))
    } else {
        Err(Damaged("a record out of place").into())
    }
}

/// The whole operation, and how many bytes were read for it.
fn complete(connection: &Connection, opened: Opened) -> Result<(Operation, usize), JournalError> {
    let (seq, mut read) = (opened.operation.seq, 0);
    let operation = opened.complete(|slot| {
        let mut statement = connection
            .prepare_cached("SELECT bytes FROM payloads WHERE key = ?1")
            .map_err(read_error)?;
        let bytes: Option<Vec<u8>> = statement
            .query_row([key(seq, slot)], |row| row.get(0))
            .optional()
            .map_err(read_error)?;
        let bytes = bytes.ok_or(JournalError::Damaged(Damaged("a payload is missing")))?;
        read += bytes.len();
        Ok::<_, JournalError>(Bytes::from(bytes))
    })?;
    Ok((operation, read))
}

/// Decodes a row that begins with `seq, body`.
fn decode(connection: &Connection, row: &Row<'_>) -> Result<Operation, JournalError> {
    let (opened, _) = open(row)?;
    Ok(complete(connection, opened)?.0)
}

fn read(connection: &Connection, id: OperationId) -> Result<Option<Operation>, JournalError> {
    let mut statement = connection.prepare_cached(BY_ID).map_err(read_error)?;
    let mut rows = statement.query([&id.to_bits().to_be_bytes()[..]]).map_err(read_error)?;
    match rows.next().map_err(read_error)? {
        Some(row) => decode(connection, row).map(Some),
        None => Ok(None),
    }
}
