//! Work that several operations share.
//!
//! The work is an operation of its own, a *job*, which no face shows and one backend carries out. Each caller who started
//! it has an operation as well, an *interest* in the job, with an id, a dedupe key, a deadline and a log of its own. Who
//! is interested is written in the job, in the same change of the journal in which an interest begins or is gone: what
//! is counted after a restart is what was counted before.

use crate::id::OperationId;

/// An operation's part in work that is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Share {
    /// It is the work: whose interest it is, in the order they came. Whoever has gone is not among them.
    Job(Vec<OperationId>),
    /// It is somebody's interest in this job.
    Interest(OperationId),
}
