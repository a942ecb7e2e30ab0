//! Workers that lease operations from queues.

mod backlog;
mod cancel;
mod expiry;
mod hold;
mod idle;
mod journal;
mod lease;
mod model;
mod reroute;
mod restart;
mod stress;
mod support;

/// A gateway with workers in place of what was there before.
pub(crate) fn elsewhere(dir: &tempfile::TempDir) -> support::Shop {
    support::Setup::at(dir).open()
}
