//! The operation's own failure: data, returned verbatim.

use std::time::Duration;

use bytes::Bytes;

/// Canonical codes, numbered as `google.rpc.Code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names and numbers are those of google.rpc.Code")]
pub enum Code {
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    /// Every code, in number order.
    pub const ALL: [Self; 16] = [
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The number of `google.rpc.Code`.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The code with this number; `None` outside 1 to 16.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// The `UPPER_SNAKE_CASE` name of `google.rpc.Code`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    /// The code of this name, as `google.rpc.Code` spells it; `CANCELED` is taken too.
    pub fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("CANCELED") {
            return Some(Self::Cancelled);
        }
        Self::ALL.into_iter().find(|code| code.name().eq_ignore_ascii_case(name))
    }
}

/// One typed detail of a failure, kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// The type, a URL such as `type.googleapis.com/google.rpc.ErrorInfo`.
    pub type_url: String,
    /// The encoded message.
    pub value: Bytes,
}

/// The failure as the backend's own protocol said it, so that the same protocol gets it back exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Native {
    /// The protocol, for example `nexus`.
    pub protocol: String,
    /// That protocol's code, verbatim.
    pub code: String,
    /// The HTTP status it came with, where there was one.
    pub http: Option<u16>,
    /// The body, verbatim.
    pub bytes: Bytes,
    /// What the bytes were made of, as the protocol encodes it, where they do not say all of that (AMQP).
    pub encoded: Option<Bytes>,
}

/// Why an operation ended without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The canonical code.
    pub code: Code,
    /// Text for the caller.
    pub message: String,
    /// A machine-readable cause type such as `deadline` or `partial`.
    pub reason: Option<String>,
    /// Whether starting the same work again may succeed; `None` when nobody said.
    pub retryable: Option<bool>,
    /// Not before this long, where somebody said.
    pub retry_after: Option<Duration>,
    /// Typed details, verbatim.
    pub details: Vec<Detail>,
    /// The backend's own form.
    pub native: Option<Box<Native>>,
    /// What led to it.
    pub cause: Option<Box<Failure>>,
}

impl Native {
    /// How many bytes its body has, in both forms.
    pub fn weight(&self) -> usize {
        self.bytes.len() + self.encoded.as_ref().map_or(0, Bytes::len)
    }

    /// Whether it tells more than the canonical code of its failure does.
    pub fn tells_more(&self, code: Code) -> bool {
        let number = self.protocol == Self::GRPC && self.code.parse() == Ok(code.number());
        !number || self.http.is_some() || !self.bytes.is_empty()
    }

    /// The protocol of failures that came as a `google.rpc.Status`: their code is its number, and their
    /// details are all that it had.
    pub const GRPC: &'static str = "grpc";
}

impl Failure {
    /// A failure with a code and a text, and nothing else said.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            reason: None,
            retryable: None,
            retry_after: None,
            details: Vec::new(),
            native: None,
            cause: None,
        }
    }

    /// How many failures the cause chain holds, this one included.
    pub fn depth(&self) -> usize {
        std::iter::successors(Some(self), |failure| failure.cause.as_deref()).count()
    }
}
