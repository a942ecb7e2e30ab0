//! The states of work requests.

use opgate_core::{Operation, State};

/// Accepted, not yet begun.
pub const ACCEPTED: &str = "ACCEPTED";
/// Under way.
pub const IN_PROGRESS: &str = "IN_PROGRESS";
/// Ended with an error.
pub const FAILED: &str = "FAILED";
/// Ended well.
pub const SUCCEEDED: &str = "SUCCEEDED";
/// Somebody asked for its end.
pub const CANCELING: &str = "CANCELING";
/// Ended because somebody asked.
pub const CANCELED: &str = "CANCELED";

/// The six there are, spelled as every client has them.
pub const ALL: [&str; 6] = [ACCEPTED, IN_PROGRESS, FAILED, SUCCEEDED, CANCELING, CANCELED];

/// The status of an operation.
pub const fn of(operation: &Operation) -> &'static str {
    match operation.state {
        State::Accepted | State::Running if operation.cancel.is_some() => CANCELING,
        State::Accepted => ACCEPTED,
        State::Running => IN_PROGRESS,
        State::Succeeded => SUCCEEDED,
        State::Failed => FAILED,
        State::Canceled => CANCELED,
    }
}
