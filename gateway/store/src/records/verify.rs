//! Whether a journal is what an opgate wrote, all of it.

use std::ops::ControlFlow;

use super::{Records, Tell};
use crate::sqlite::{self, SqliteOpenError};
use crate::{OpenError, open_error};

/// Problems that are told; of more it is said how many there are.
const TOLD: usize = 100;

/// What a look at everything found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Operations that were read.
    pub operations: u64,
    /// Bytes of records and payloads that were read.
    pub bytes: u64,
    /// What is wrong, in words; none is wrong where it is empty. At most 100, the rest is counted.
    pub problems: Vec<String>,
    /// Problems beyond those.
    pub untold: u64,
}

impl Verified {
    fn note(&mut self, problem: String) {
        if self.problems.len() < TOLD {
            self.problems.push(problem);
        } else {
            self.untold += 1;
        }
    }
}

impl Records {
    /// Reads everything and holds it against its checksums, its indexes and itself.
    ///
    /// # Errors
    /// It cannot be read as far as to find anything.
    pub fn verify(&self, tell: Tell<'_>) -> Result<Verified, OpenError> {
        self.verified(tell).map_err(|error| open_error(&self.dir, error))
    }

    fn verified(&self, tell: Tell<'_>) -> Result<Verified, SqliteOpenError> {
        let mut found = Verified::default();
        let connection = &self.connection;
        let mut check = connection.prepare("PRAGMA integrity_check(100)")?;
        for row in check.query_map([], |row| row.get::<_, String>(0))? {
            let text = row?;
            if text != "ok" {
                found.note(text);
            }
        }
        let summary = sqlite::summary(connection)?;
        if self.mark > summary.last {
            found.note(format!(
                "it ends at position {}, but position {} was acknowledged",
                summary.last.0, self.mark.0
            ));
        }
        let all: u64 = summary.counts.iter().sum();
        let mut counts = [0; 5];
        sqlite::each(connection, &mut |seq, row| {
            found.operations += 1;
            tell(found.operations, all);
            match row {
                Ok((operation, bytes)) => {
                    found.bytes += bytes as u64;
                    counts[operation.state as usize] += 1;
                    if operation.changed > summary.last {
                        found.note(format!("position {}: it is newer than the journal", seq.0));
                    }
                    let wrong = sqlite::columns(connection, &operation, self.layout);
                    match wrong {
                        Ok(wrong) => wrong.iter().for_each(|column| {
                            found.note(format!(
                                "position {}, operation {}: the column {column} is not as its record has it",
                                seq.0, operation.id
                            ));
                        }),
                        Err(error) => found.note(format!("position {}: {error}", seq.0)),
                    }
                }
                Err(error) => found.note(format!("position {}: {error}", seq.0)),
            }
            ControlFlow::Continue(())
        })?;
        if counts != summary.counts && found.problems.is_empty() {
            found.note(format!(
                "operations by state are {counts:?}, and were counted as {:?}",
                summary.counts
            ));
        }
        let stray = "SELECT count(*) FROM payloads \
                     WHERE NOT EXISTS (SELECT 1 FROM operations WHERE seq = payloads.key / 2)";
        let stray: u64 = connection.query_row(stray, [], |row| row.get(0))?;
        if stray > 0 {
            found.note(format!("{stray} payloads belong to no operation"));
        }
        let lost = "SELECT count(*) FROM operations \
                    WHERE NOT EXISTS (SELECT 1 FROM scopes WHERE id = scope)";
        let lost: u64 = connection.query_row(lost, [], |row| row.get(0))?;
        if lost > 0 {
            found.note(format!("{lost} operations have a parent that is not known"));
        }
        Ok(found)
    }
}
