//! The pure core of opgate: what an operation is, and how it may change.
//!
//! Nothing here knows a clock, a socket, a disk, a random number or a wire format: time and ids
//! come in as arguments, so the same input gives the same operation on every machine and in every
//! replay. The one entry point is [`machine`]: [`machine::decide`] turns a [`Command`] into
//! [`Event`]s, [`machine::apply`] turns events into the next [`Operation`].
//!
//! Two planes are kept apart by type: a [`Failure`] is the operation's own result, data, returned
//! verbatim; an [`Error`] means that one request could not be served.

#[cfg(feature = "arbitrary")]
pub mod arbitrary;
mod command;
mod dedupe;
mod error;
mod failure;
pub mod filter;
mod id;
pub mod limits;
mod loss;
pub mod machine;
mod name;
mod operation;
mod payload;
mod share;
mod spelling;
mod time;
mod trace;

pub use command::{
    Accept, Attempt, Attempted, CancelStep, Change, Command, Event, Finish, Report, Submission,
};
pub use dedupe::{Dedupe, DedupeKey, Fingerprint, KeySpace};
pub use error::{Error, ErrorKind, FieldViolation, Retry};
pub use failure::{Code, Detail, Failure, Native};
pub use id::{IdText, OperationId, ParseIdError};
pub use loss::{Loss, Losses};
pub use name::{Kind, NameError, Parent, Tenant};
pub use operation::{
    Callback, Cancel, CancelDelivery, Conflict, Delivery, DeliveryState, Epoch, Expects, FAILED,
    Face, Header, Link, LogEntry, ORPHANED, Operation, Origin, Outcome, Progress, Removed,
    Resource, Routed, Seq, State, Times, Version,
};
pub use payload::Payload;
pub use share::Share;
pub use spelling::{did_you_mean, letters_between, nearest};
pub use time::Timestamp;
pub use trace::Trace;
