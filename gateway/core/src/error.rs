//! Why one request could not be served.

use std::borrow::Cow;
use std::time::Duration;

use crate::operation::Version;

/// What kind of refusal. Closed, and mapped to each protocol's statuses by one exhaustive match in
/// that protocol's `map.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is malformed whatever the state of the system.
    InvalidArgument,
    /// A value lies outside its allowed range.
    OutOfRange,
    /// Who calls is not known.
    Unauthenticated,
    /// Who calls is known and may not do this. Existence is never revealed by it.
    PermissionDenied,
    /// No such operation for this caller: absent, hidden, expired and deleted look the same.
    NotFound,
    /// A dedupe key was used before for a different request.
    AlreadyExists,
    /// The operation changed meanwhile: a version, epoch or outcome did not match.
    Conflict,
    /// The operation's state does not allow this, and repeating will not help.
    FailedPrecondition,
    /// Too much at once; a later repeat can succeed.
    TooManyRequests,
    /// A configured amount is used up; repeating does not help.
    QuotaExceeded,
    /// The request, or one of its parts, is larger than allowed.
    PayloadTooLarge,
    /// Time ran out before the request could be served.
    DeadlineExceeded,
    /// Not served, with no effect: repeating later is safe.
    Unavailable,
    /// This is not offered here.
    Unsupported,
    /// A defect of opgate.
    Internal,
    /// A stored record is damaged.
    DataLoss,
}

impl ErrorKind {
    /// Every kind, for tables and tests.
    pub const ALL: [Self; 16] = [
        Self::InvalidArgument,
        Self::OutOfRange,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::FailedPrecondition,
        Self::TooManyRequests,
        Self::QuotaExceeded,
        Self::PayloadTooLarge,
        Self::DeadlineExceeded,
        Self::Unavailable,
        Self::Unsupported,
        Self::Internal,
        Self::DataLoss,
    ];

    /// The stable name, `UPPER_SNAKE_CASE`: the reason in `google.rpc.ErrorInfo`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::Conflict => "CONFLICT",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::TooManyRequests => "TOO_MANY_REQUESTS",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unsupported => "UNSUPPORTED",
            Self::Internal => "INTERNAL",
            Self::DataLoss => "DATA_LOSS",
        }
    }

    const fn retry(self) -> Retry {
        match self {
            Self::TooManyRequests | Self::Unavailable => Retry::SameRequest,
            Self::DeadlineExceeded => Retry::Unknown,
            Self::InvalidArgument
            | Self::OutOfRange
            | Self::Unauthenticated
            | Self::PermissionDenied
            | Self::NotFound
            | Self::AlreadyExists
            | Self::Conflict
            | Self::FailedPrecondition
            | Self::QuotaExceeded
            | Self::PayloadTooLarge
            | Self::Unsupported
            | Self::Internal
            | Self::DataLoss => Retry::Never,
        }
    }
}

/// Whether, and when, to send the request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same request will be refused again.
    Never,
    /// Nothing happened: the same request may be sent again.
    SameRequest,
    /// As [`Retry::SameRequest`], not before this long.
    After(Duration),
    /// It may have taken effect: repeat only with the same dedupe key.
    Unknown,
}

/// One field of the request and what was wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path of the field in the request's own terms.
    pub field: Cow<'static, str>,
    /// What was wrong, and what is allowed.
    pub description: String,
}

/// A request that could not be served. The message is for the caller; `source` is for the log only.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of refusal.
    pub kind: ErrorKind,
    /// Whether to repeat.
    pub retry: Retry,
    /// Text for the caller.
    pub message: Cow<'static, str>,
    /// The field at fault, where one is.
    pub field: Option<Box<FieldViolation>>,
    /// The version the operation has, where a version did not match.
    pub current: Option<Version>,
    /// The cause, for the log.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A refusal of `kind`, with the retry advice that kind usually carries.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            retry: kind.retry(),
            message: message.into(),
            field: None,
            current: None,
            source: None,
        }
    }

    /// The request's `field` was wrong.
    pub fn invalid(field: impl Into<Cow<'static, str>>, description: impl Into<String>) -> Self {
        let violation = FieldViolation { field: field.into(), description: description.into() };
        let message = format!("{}: {}", violation.field, violation.description);
        Self { field: Some(Box::new(violation)), ..Self::new(ErrorKind::InvalidArgument, message) }
    }

    /// No such operation for this caller.
    pub fn not_found() -> Self {
        Self::new(ErrorKind::NotFound, "no such operation")
    }

    /// With other retry advice than the kind's usual one.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// With the cause, for the log.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
}
