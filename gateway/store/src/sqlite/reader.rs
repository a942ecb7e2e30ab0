//! Connections that read beside the one that writes.

use std::path::Path;
use std::sync::Arc;

use opgate_core::filter::Predicate;
use opgate_core::{Operation, OperationId, Seq, State};
use rusqlite::{Connection, OpenFlags, Row, params};

use super::{BUSY, BY_ID, complete, database, decode, live, open, read, read_error};
use crate::journal::JournalError;
use crate::list::Changes;
use crate::owing::Owing;
use crate::scopes::ScopeId;
use crate::snapshot::Snapshot;

/// A reading connection. Every call is one short transaction, so that none pins the log.
#[derive(Debug)]
pub(crate) struct Reader(Connection);

impl Reader {
    pub(crate) fn open(dir: &Path) -> Result<Self, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database(dir), flags)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "cache_size", -8192)?;
        Ok(Self(connection))
    }

    /// Every operation that has not ended, oldest first, with its scope.
    pub(crate) fn live(&self, each: impl FnMut(ScopeId, Operation)) -> Result<u64, JournalError> {
        live(&self.0, each)
    }

    pub(crate) fn read(&self, id: OperationId) -> Result<Option<Operation>, JournalError> {
        read(&self.0, id)
    }

    /// The positions below `before`, newest first: of one scope, or of all. Reads the index only.
    pub(crate) fn below(
        &self,
        scope: Option<ScopeId>,
        before: Seq,
        limit: usize,
    ) -> Result<Vec<Seq>, JournalError> {
        let sql = match scope {
            Some(_) => {
                "SELECT seq FROM operations WHERE scope = ?3 AND seq < ?1 ORDER BY seq DESC LIMIT ?2"
            }
            None => {
                "SELECT seq FROM operations WHERE ?3 IS NULL AND seq < ?1 ORDER BY seq DESC LIMIT ?2"
            }
        };
        let before = i64::try_from(before.0).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.0.prepare_cached(sql).map_err(read_error)?;
        let found = statement
            .query_map(params![before, limit, scope], |row| row.get(0).map(Seq))
            .map_err(read_error)?;
        found.collect::<Result<_, _>>().map_err(read_error)
    }

    /// The operations below a position that have not ended, newest first.
    pub(crate) fn live_below(
        &self,
        before: Seq,
        limit: usize,
    ) -> Result<Vec<(Seq, OperationId)>, JournalError> {
        // Each state by itself: then the index has them in order.
        let sql = "SELECT seq, id FROM operations INDEXED BY operations_live \
                   WHERE state < 2 AND state = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3";
        let mut statement = self.0.prepare_cached(sql).map_err(read_error)?;
        let before = i64::try_from(before.0).unwrap_or(i64::MAX);
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut found = Vec::new();
        for state in State::ALL.into_iter().filter(|state| !state.is_terminal()) {
            let rows = statement
                .query_map(params![state as u8, before, most], |row| {
                    let id: [u8; 16] = row.get(1)?;
                    Ok((Seq(row.get(0)?), OperationId::from_bits(u128::from_be_bytes(id))))
                })
                .map_err(read_error)?;
            for row in rows {
                found.push(row.map_err(read_error)?);
            }
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(limit);
        Ok(found)
    }

    /// The operation of this id, if it is wanted.
    pub(crate) fn read_if(
        &self,
        id: OperationId,
        wanted: &dyn Predicate,
    ) -> Result<Looked, JournalError> {
        self.look(BY_ID, [&id.to_bits().to_be_bytes()[..]], wanted)
    }

    /// The operation at a position, if it is wanted.
    pub(crate) fn at_if(&self, seq: Seq, wanted: &dyn Predicate) -> Result<Looked, JournalError> {
        self.look("SELECT seq, body FROM operations WHERE seq = ?1", [seq.0], wanted)
    }

    fn look(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        wanted: &dyn Predicate,
    ) -> Result<Looked, JournalError> {
        let mut statement = self.0.prepare_cached(sql).map_err(read_error)?;
        let mut rows = statement.query(params).map_err(read_error)?;
        match rows.next().map_err(read_error)? {
            Some(row) => decode_if(&self.0, row, wanted),
            None => Ok(Looked::default()),
        }
    }

    /// What operations accepted after `after` owe, in the order of acceptance. A damaged record is
    /// passed over: it keeps nobody else from being told.
    pub(crate) fn owing(&self, after: Seq, limit: usize) -> Result<Vec<Owing>, JournalError> {
        let after = i64::try_from(after.0).unwrap_or(i64::MAX);
        // Without a limit of its own: what is passed over must not make a page look like the last.
        let sql = "SELECT seq, body FROM operations INDEXED BY operations_owing \
                   WHERE owed IS NOT NULL AND seq > ?1 ORDER BY seq";
        let mut statement = self.0.prepare_cached(sql).map_err(read_error)?;
        let mut rows = statement.query(params![after]).map_err(read_error)?;
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(row) = rows.next().map_err(read_error)?
        {
            match open(row) {
                Ok((opened, _)) => found.push(Owing::of(&opened.operation)),
                Err(JournalError::Damaged(error)) => {
                    let seq: i64 = row.get(0).map_err(read_error)?;
                    tracing::error!(%error, seq, "what a damaged operation owes is not told");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// The operations changed after `after`, in the order of their last change.
    pub(crate) fn changed_since(
        &self,
        after: Seq,
        limit: usize,
        bytes: usize,
    ) -> Result<Changes, JournalError> {
        let after = i64::try_from(after.0).unwrap_or(i64::MAX);
        let sql = "SELECT seq, body FROM operations WHERE changed > ?1 ORDER BY changed";
        let mut statement = self.0.prepare_cached(sql).map_err(read_error)?;
        let mut rows = statement.query(params![after]).map_err(read_error)?;
        let (mut changes, mut weight) = (Changes::default(), 0);
        while let Some(row) = rows.next().map_err(read_error)? {
            if changes.items.len() >= limit || weight >= bytes {
                changes.more = true;
                break;
            }
            let snapshot = Snapshot::new(decode(&self.0, row)?);
            weight += snapshot.cost();
            changes.items.push(Arc::new(snapshot));
        }
        Ok(changes)
    }
}

/// Decodes a row that begins with `seq, body`, of an operation that is wanted; payloads are read only where they may be.
fn decode_if(
    connection: &Connection,
    row: &Row<'_>,
    wanted: &dyn Predicate,
) -> Result<Looked, JournalError> {
    let (opened, record) = open(row)?;
    let early = wanted.early(&opened.operation);
    if early == Some(false) {
        return Ok(Looked { operation: None, read: record });
    }
    let (operation, payloads) = complete(connection, opened)?;
    let passes = early == Some(true) || wanted.passes(&operation);
    Ok(Looked { operation: passes.then_some(operation), read: record + payloads })
}

/// What a look at a stored operation gave.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// The operation; none where it is gone, or not wanted.
    pub(crate) operation: Option<Operation>,
    /// Bytes read for it.
    pub(crate) read: usize,
}
