//! What the sequencer asks of a durable log. The embedded one is [`crate::sqlite`]; a distributed
//! one can stand in its place.

use opgate_core::{DedupeKey, Operation, OperationId, Parent, Seq, Tenant, Timestamp};

use crate::record::Damaged;
use crate::scopes::ScopeId;

/// Why the journal did not do as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// No room: nothing was written, and a later batch may succeed.
    #[error("no room on the disk or within the configured size: {0}")]
    Full(#[source] rusqlite::Error),
    /// Somebody else holds the database: nothing was written, and a later batch may succeed.
    #[error("the database is locked by another program: {0}")]
    Busy(#[source] rusqlite::Error),
    /// Writing or syncing failed. What is on disk is unknown until it is read again by a new
    /// process: no batch may follow.
    #[error("the journal cannot be written: {0}")]
    Failed(#[source] rusqlite::Error),
    /// A stored record is damaged.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// One thing to write.
#[derive(Debug)]
pub(crate) enum Write<'a> {
    /// A parent becomes known under a number.
    Scope { scope: ScopeId, tenant: &'a Tenant, parent: &'a Parent },
    /// A new operation, with everything it carries. `keyed`: its dedupe key is its own, not a later one's already.
    Insert { operation: &'a Operation, scope: ScopeId, keyed: bool },
    /// A changed operation; its input is on disk already.
    Update { operation: &'a Operation, with_output: bool },
    /// A dedupe key is no longer this operation's.
    ForgetKey { seq: Seq },
    /// An operation is forgotten.
    Purge { seq: Seq },
    /// A scope without operations is forgotten.
    ForgetScope { scope: ScopeId },
    /// Nothing, but only if there is room for this many bytes.
    Room { bytes: usize },
}

/// What one batch leaves behind, written in the same transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The last position given out.
    pub(crate) last: Seq,
    /// Stored operations by state, deleted ones included.
    pub(crate) counts: [u64; 5],
}

/// An operation that may be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) seq: Seq,
    pub(crate) id: OperationId,
    pub(crate) state: u8,
    pub(crate) scope: ScopeId,
}

/// How large the log is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// What has been written, without what lies in the write-ahead log.
    pub(crate) database: u64,
    /// The write-ahead log.
    pub(crate) wal: u64,
    /// How much larger the database may become: within its bound, and on its file system.
    pub(crate) free: u64,
}

/// The durable log. One batch is one transaction: durable on return, or not there at all.
pub(crate) trait Journal: Send {
    /// Writes a batch; returns how many bytes of records and payloads that was.
    fn append(&mut self, batch: &[Write<'_>], summary: Summary) -> Result<u64, JournalError>;
    /// Reads an operation.
    fn read(&mut self, id: OperationId) -> Result<Option<Operation>, JournalError>;
    /// The operation that holds a dedupe key.
    fn holder(&mut self, key: DedupeKey) -> Result<Option<OperationId>, JournalError>;
    /// Operations whose time to be forgotten has come, at most `limit`.
    fn expired(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Expired>, JournalError>;
    /// How large it is.
    fn size(&self) -> Size;
    /// Gives freed pages back to the file system, a slice at a time.
    fn shrink(&mut self) -> Result<(), JournalError>;
    /// Whether no operation is left in a scope.
    fn is_empty(&mut self, scope: ScopeId) -> Result<bool, JournalError>;
}
