//! Errors that a peer is told.

use fe2o3_amqp_types::definitions::{Error, ErrorCondition};

/// An error with a text.
pub(super) fn error(condition: impl Into<ErrorCondition>, text: impl Into<String>) -> Error {
    Error::new(condition, Some(text.into()), None)
}
