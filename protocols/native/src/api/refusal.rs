//! Calls that could not be served.

use opgate_core::Error;
use opgate_rpc::proto::Status;
use opgate_rpc::status;
use opgate_rpc::wire::Unread;
use opgate_telemetry::Protocol;

use super::Inner;
use super::method::Method;

/// A call that could not be served.
#[derive(Debug)]
pub(super) enum Refusal {
    Error {
        error: Error,
        /// The operation it was about.
        name: Option<String>,
    },
    /// The caller went away before its request was whole.
    Withdrawn,
}

impl Refusal {
    pub(super) const fn of(error: Error, name: String) -> Self {
        Self::Error { error, name: Some(name) }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error { error, name: None }
    }
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Refused(error) => error.into(),
            Unread::Withdrawn => Self::Withdrawn,
        }
    }
}

impl Inner {
    /// The status of a refusal. What an operator must see of it is logged.
    pub(super) fn status(&self, method: Method, refusal: Refusal) -> Status {
        match refusal {
            Refusal::Error { error, name } => {
                self.note(method, &error);
                status::of_error(&error, name.as_deref())
            }
            Refusal::Withdrawn => status::withdrawn(),
        }
    }

    /// Logs what an operator must see of an error.
    pub(super) fn note(&self, method: Method, error: &Error) {
        self.failures.note(Protocol::Native, method.label(), error);
    }
}
