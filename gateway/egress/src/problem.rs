//! What can be wrong with a call.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use opgate_core::Error;

/// Why a URL, or an address it led to, is not called: said so that it can be put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As the fault of one field of a request.
    pub fn about(self, field: &'static str) -> Error {
        Error::invalid(field, self.0)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// Why there is no answer. The texts are for the operator: they may hold addresses and words of the
/// other side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not called, and another attempt is pointless while rules and names are as they are.
    #[error("{0}")]
    Refused(Refusal),
    /// Nobody was found, or nobody who proved to be the one called. Nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// There was no whole answer in time.
    #[error("no answer within {within:?}")]
    TimedOut {
        /// The limit.
        within: Duration,
        /// Whether anything may have been sent before.
        sent: bool,
    },
    /// The answer's head was larger than allowed; or its body, within [`Problem::Cut`].
    #[error("the answer is larger than {0}")]
    TooLarge(String),
    /// The head of an answer came, and not the whole body: too large, broken off or too late.
    #[error("answered {}, and then: {problem}", status.as_u16())]
    Cut {
        /// The status in the head.
        status: StatusCode,
        /// What was wrong with the body.
        problem: Box<Problem>,
    },
    /// The connection broke, or what came is not HTTP; the request may have been sent.
    #[error("{0}")]
    Broken(String),
}

impl Problem {
    /// Whether the other side may have had the request.
    pub const fn sent(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Unreachable(_) => false,
            Self::TimedOut { sent, .. } => *sent,
            Self::Cut { .. } | Self::TooLarge(_) | Self::Broken(_) => true,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
