//! Requests that could not be served: HTTP status, code and text, both ways.
//!
//! Body: `{"code": "...", "message": "..."}`, both never empty: the TypeScript SDK reports the code
//! `None` otherwise.

use std::borrow::Cow;

use http::StatusCode;
use opgate_core::{Error, ErrorKind, Retry};
use serde::Serialize;
use serde_json::Value;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:ident,)+) => {
        /// The codes of errors, each with its status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// The status it comes with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }
        }
    };
}

codes! {
    /// A value is not as it must be.
    InvalidParameter = BAD_REQUEST,
    /// A value is missing.
    MissingParameter = BAD_REQUEST,
    /// The body cannot be read.
    CannotParseRequest = BAD_REQUEST,
    /// A configured amount is used up.
    QuotaExceeded = BAD_REQUEST,
    /// A service limit is reached.
    LimitExceeded = BAD_REQUEST,
    /// An id in the body is unknown or hidden.
    RelatedResourceNotAuthorizedOrNotFound = BAD_REQUEST,
    /// Who calls is not known: any fault of a signature.
    NotAuthenticated = UNAUTHORIZED,
    /// Who calls may not do this.
    NotAuthorized = FORBIDDEN,
    /// An id in the path or the query is unknown or hidden.
    NotAuthorizedOrNotFound = NOT_FOUND,
    /// There is no such path.
    NotFound = NOT_FOUND,
    /// There is such a path, for other methods.
    MethodNotAllowed = METHOD_NOT_ALLOWED,
    /// The body did not arrive in time.
    RequestTimeout = REQUEST_TIMEOUT,
    /// A conflict that does not pass by itself: no client repeats it.
    Conflict = CONFLICT,
    /// A conflict that passes by itself: clients repeat it.
    IncorrectState = CONFLICT,
    /// A retry token was used for something else.
    InvalidatedRetryToken = CONFLICT,
    /// What was to be created is there already, or hidden.
    NotAuthorizedOrResourceAlreadyExists = CONFLICT,
    /// The thing changed meanwhile.
    NoEtagMatch = PRECONDITION_FAILED,
    /// The body is too large.
    RequestEntityTooLarge = PAYLOAD_TOO_LARGE,
    /// Too much at once.
    TooManyRequests = TOO_MANY_REQUESTS,
    /// A defect.
    InternalServerError = INTERNAL_SERVER_ERROR,
    /// Not offered here.
    MethodNotImplemented = NOT_IMPLEMENTED,
    /// Not now.
    ServiceUnavailable = SERVICE_UNAVAILABLE,
    /// Time ran out.
    GatewayTimeout = GATEWAY_TIMEOUT,
}

impl Code {
    /// The code of an error of opgate's.
    pub const fn of(error: &Error) -> Self {
        match error.kind {
            ErrorKind::InvalidArgument | ErrorKind::OutOfRange => Self::InvalidParameter,
            ErrorKind::Unauthenticated => Self::NotAuthenticated,
            ErrorKind::PermissionDenied => Self::NotAuthorized,
            ErrorKind::NotFound => Self::NotAuthorizedOrNotFound,
            ErrorKind::AlreadyExists => Self::InvalidatedRetryToken,
            ErrorKind::Conflict if error.current.is_some() => Self::NoEtagMatch,
            // IncorrectState would have clients repeat it for minutes.
            ErrorKind::Conflict | ErrorKind::FailedPrecondition => Self::Conflict,
            ErrorKind::TooManyRequests => Self::TooManyRequests,
            ErrorKind::QuotaExceeded => Self::QuotaExceeded,
            ErrorKind::PayloadTooLarge => Self::RequestEntityTooLarge,
            ErrorKind::DeadlineExceeded => Self::GatewayTimeout,
            ErrorKind::Unavailable => Self::ServiceUnavailable,
            ErrorKind::Unsupported => Self::MethodNotImplemented,
            ErrorKind::Internal | ErrorKind::DataLoss => Self::InternalServerError,
        }
    }

    /// The code of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// What kind of refusal it is for opgate.
    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::InvalidParameter | Self::MissingParameter | Self::CannotParseRequest => {
                ErrorKind::InvalidArgument
            }
            Self::QuotaExceeded | Self::LimitExceeded => ErrorKind::QuotaExceeded,
            Self::NotAuthenticated => ErrorKind::Unauthenticated,
            Self::NotAuthorized => ErrorKind::PermissionDenied,
            Self::NotAuthorizedOrNotFound
            | Self::NotFound
            | Self::RelatedResourceNotAuthorizedOrNotFound => ErrorKind::NotFound,
            Self::MethodNotAllowed | Self::MethodNotImplemented => ErrorKind::Unsupported,
            Self::RequestTimeout | Self::GatewayTimeout => ErrorKind::DeadlineExceeded,
            Self::Conflict | Self::NoEtagMatch => ErrorKind::Conflict,
            Self::InvalidatedRetryToken | Self::NotAuthorizedOrResourceAlreadyExists => {
                ErrorKind::AlreadyExists
            }
            Self::RequestEntityTooLarge => ErrorKind::PayloadTooLarge,
            Self::TooManyRequests => ErrorKind::TooManyRequests,
            Self::InternalServerError => ErrorKind::Internal,
            // What passes with time is repeated, as every client does.
            Self::IncorrectState | Self::ServiceUnavailable => ErrorKind::Unavailable,
        }
    }
}

/// What kind of refusal a status is, where its code says nothing.
pub fn kind_of_status(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::PermissionDenied,
        404 | 410 => ErrorKind::NotFound,
        405 | 501 => ErrorKind::Unsupported,
        408 | 504 => ErrorKind::DeadlineExceeded,
        409 | 412 => ErrorKind::Conflict,
        413 => ErrorKind::PayloadTooLarge,
        429 => ErrorKind::TooManyRequests,
        500 => ErrorKind::Internal,
        400..500 => ErrorKind::InvalidArgument,
        _ => ErrorKind::Unavailable,
    }
}

/// One refusal, as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// The code, verbatim: there are more than [`Code`] has.
    pub code: Cow<'static, str>,
    /// The text.
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with a code of ours.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        let message = if message.is_empty() { code.name().into() } else { message };
        Self { status: code.status(), code: code.name().into(), message }
    }

    /// A parameter that had to be there.
    pub fn missing(parameter: &str) -> Self {
        Self::new(Code::MissingParameter, format!("{parameter}: is missing"))
    }

    /// A parameter that is not as it must be.
    pub fn invalid(parameter: &str, problem: &str) -> Self {
        Self::new(Code::InvalidParameter, format!("{parameter}: {problem}"))
    }

    /// Reads what a server refused with, whatever the body is.
    pub fn read(status: StatusCode, body: &[u8]) -> Self {
        let body: Option<Value> = serde_json::from_slice(body).ok();
        let text = |name| {
            let text = body.as_ref()?.get(name)?.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let code = text("code").map_or(Cow::Borrowed("None"), Cow::Owned);
        let message = text("message").map_or_else(|| status.to_string().into(), Cow::Owned);
        Self { status, code, message }
    }

    /// What kind of refusal it is for opgate: by its code, or else by its status.
    pub fn kind(&self) -> ErrorKind {
        match Code::from_name(&self.code) {
            Some(code) if code.status() == self.status => code.kind(),
            Some(_) | None => kind_of_status(self.status),
        }
    }

    /// The body.
    pub fn body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Said<'a> {
            code: &'a str,
            message: &'a str,
        }
        let said = Said { code: &self.code, message: &self.message };
        serde_json::to_vec(&said).unwrap_or_default()
    }
}

const HIDDEN: &str = "Authorization failed or requested resource not found.";

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let code = Code::of(error);
        // One text for whatever is absent or hidden.
        let hidden = code == Code::NotAuthorizedOrNotFound;
        let message = if hidden { HIDDEN.into() } else { error.message.clone() };
        Self::new(code, message)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.kind(), refusal.message)
    }
}

/// The seconds a refused caller is asked to wait, where somebody said.
pub fn retry_after(error: &Error) -> Option<u64> {
    match error.retry {
        Retry::After(after) => Some(after.as_secs() + u64::from(after.subsec_nanos() > 0)),
        Retry::Never | Retry::SameRequest | Retry::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use opgate_core::Version;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_has_its_code() {
        let table: Vec<String> = ErrorKind::ALL
            .iter()
            .map(|kind| {
                let code = Code::of(&Error::new(*kind, "x"));
                format!("{} {} {}", kind.name(), code.status().as_u16(), code.name())
            })
            .collect();
        assert_eq!(
            table,
            [
                "INVALID_ARGUMENT 400 InvalidParameter",
                "OUT_OF_RANGE 400 InvalidParameter",
                "UNAUTHENTICATED 401 NotAuthenticated",
                "PERMISSION_DENIED 403 NotAuthorized",
                "NOT_FOUND 404 NotAuthorizedOrNotFound",
                "ALREADY_EXISTS 409 InvalidatedRetryToken",
                "CONFLICT 409 Conflict",
                "FAILED_PRECONDITION 409 Conflict",
                "TOO_MANY_REQUESTS 429 TooManyRequests",
                "QUOTA_EXCEEDED 400 QuotaExceeded",
                "PAYLOAD_TOO_LARGE 413 RequestEntityTooLarge",
                "DEADLINE_EXCEEDED 504 GatewayTimeout",
                "UNAVAILABLE 503 ServiceUnavailable",
                "UNSUPPORTED 501 MethodNotImplemented",
                "INTERNAL 500 InternalServerError",
                "DATA_LOSS 500 InternalServerError",
            ]
        );
        let stale = Error { current: Some(Version(3)), ..Error::new(ErrorKind::Conflict, "x") };
        assert_eq!(Code::of(&stale), Code::NoEtagMatch);
    }

    #[test]
    fn a_kind_comes_back_as_itself_where_oci_has_a_word_for_it() {
        for kind in ErrorKind::ALL {
            let refusal = Refusal::from(&Error::new(kind, "x"));
            // Those for which it has the word of another.
            let expected = [
                (ErrorKind::OutOfRange, ErrorKind::InvalidArgument),
                (ErrorKind::FailedPrecondition, ErrorKind::Conflict),
                (ErrorKind::DataLoss, ErrorKind::Internal),
            ];
            let other = expected.iter().find(|(own, _)| *own == kind);
            let expected = other.map_or(kind, |(_, other)| *other);
            let read = Refusal::read(refusal.status, &refusal.body());
            assert_eq!((read.kind(), &read), (expected, &refusal));
        }
    }

    #[test]
    fn a_code_is_known_by_its_name_and_counts_only_with_its_status() {
        for code in Code::ALL {
            assert_eq!(Code::from_name(code.name()), Some(*code));
        }
        let body = br#"{"code": "NotFound", "message": "m"}"#;
        let kind = |status| Refusal::read(status, body).kind();
        assert_eq!(kind(StatusCode::NOT_FOUND), ErrorKind::NotFound);
        assert_eq!(kind(StatusCode::BAD_GATEWAY), ErrorKind::Unavailable);
    }

    proptest! {
        #[test]
        fn whatever_a_server_refuses_with_has_a_code_and_a_text(
            status in 400_u16..600, body in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let refusal = Refusal::read(StatusCode::from_u16(status).unwrap(), &body);
            prop_assert!(!refusal.code.is_empty() && !refusal.message.is_empty());
            let error = Error::from(refusal);
            prop_assert!(!error.message.is_empty());
        }
    }
}
