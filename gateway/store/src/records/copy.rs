//! A copy of a journal, made while a daemon has it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::{Records, Tell};
use crate::guard;
use crate::sqlite;

/// Pages copied between two words on how far it is.
const STEP: i32 = 1024;

/// A copy could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Where it was to be, something is.
    #[error("{0} is there and not empty: a copy needs a directory of its own")]
    Occupied(PathBuf),
    /// The directory or a file in it cannot be made.
    #[error("cannot make the copy in {dir}: {source}")]
    Directory {
        /// The directory of the copy.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Reading or writing failed.
    #[error("the journal cannot be copied: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Records {
    /// Makes a data directory that holds what this journal holds: a daemon that is given it goes on from there. It is
    /// synced to its disk on return; what is in `dest` before is not a data directory.
    ///
    /// # Errors
    /// Why there is no copy.
    pub fn copy_to(&self, dest: &Path, tell: Tell<'_>) -> Result<(), CopyError> {
        let made = |source| CopyError::Directory { dir: dest.to_owned(), source };
        let failed = |error: rusqlite::Error| CopyError::Failed(Box::new(error));
        DirBuilder::new().recursive(true).mode(0o700).create(dest).map_err(made)?;
        if fs::read_dir(dest).map_err(made)?.next().is_some() {
            return Err(CopyError::Occupied(dest.to_owned()));
        }
        // Under another name until it is whole: no daemon takes half a copy for a journal.
        let partial = dest.join("opgate.db.partial");
        // Nobody else may read what is in it, whatever may be done with the directory.
        let mut options = OpenOptions::new();
        drop(options.write(true).create_new(true).mode(0o600).open(&partial).map_err(made)?);
        let mut copy = Connection::open(&partial).map_err(failed)?;
        let backup = Backup::new(&self.connection, &mut copy).map_err(failed)?;
        loop {
            let step = backup.step(STEP).map_err(failed)?;
            let progress = backup.progress();
            let all = u64::try_from(progress.pagecount).unwrap_or(0);
            tell(all - u64::try_from(progress.remaining).unwrap_or(0).min(all), all);
            if step == StepResult::Done {
                break;
            }
            // The source is read as of one moment, and nobody else has the copy.
            if step != StepResult::More {
                return Err(CopyError::Failed("somebody else has the copy open".into()));
            }
        }
        drop(backup);
        copy.close().map_err(|(_, error)| failed(error))?;
        let last = sqlite::summary(&self.connection)
            .map_err(|error| CopyError::Failed(Box::new(error)))?
            .last;
        File::open(&partial).and_then(|file| file.sync_all()).map_err(made)?;
        guard::write_mark(dest, last).map_err(made)?;
        fs::rename(&partial, sqlite::database(dest)).map_err(made)?;
        File::open(dest).and_then(|dir| dir.sync_all()).map_err(made)
    }
}
