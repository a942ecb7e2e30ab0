//! Brings a file of an earlier layout up to the present one, in one transaction: a crash leaves the
//! earlier layout, and an earlier opgate refuses the present one.

use opgate_core::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};

use super::{SqliteOpenError, owed};
use crate::record;

/// What layout 2 has beyond layout 1: how many callbacks an operation owes, in the order of
/// acceptance. Nothing is in the index but what owes some.
pub(super) const OWING: &str = "
ALTER TABLE operations ADD COLUMN owed INTEGER;
CREATE INDEX operations_owing ON operations (seq, owed) WHERE owed IS NOT NULL;
";

/// How many rows are looked at between two writes.
const SLICE: usize = 512;

/// From layout 1, which kept callbacks and never delivered one: what has ended with some owes them,
/// and stays until they are delivered. Looks at every stored operation once.
pub(super) fn from_1(connection: &mut Connection, layout: i32) -> Result<(), SqliteOpenError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(OWING)?;
    let (mut after, mut found) = (0_u64, 0_u64);
    loop {
        let mut rows = tx.prepare_cached(
            "SELECT seq, body FROM operations WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?;
        let slice: Vec<(u64, Vec<u8>)> = rows
            .query_map(params![after, SLICE], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let Some((last, _)) = slice.last() else { break };
        after = *last;
        for (seq, body) in slice {
            // A damaged record is told of by whoever reads it; it keeps nobody from all others.
            let Ok(opened) = record::open(&body) else { continue };
            let operation = opened.operation;
            if let Some(owed) = owed(&operation) {
                found += 1;
                tx.prepare_cached("UPDATE operations SET owed = ?2, purge = ?3 WHERE seq = ?1")?
                    .execute(params![seq, owed, operation.purge_at().map(Timestamp::millis)])?;
            }
        }
    }
    tx.pragma_update(None, "user_version", layout)?;
    tx.commit()?;
    tracing::info!(layout, owing = found, "the journal was brought to a new layout");
    Ok(())
}
