//! Handler errors: requests that could not be served.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use opgate_core::{Code, Error, ErrorKind, Failure, Native, Retry, limits};
use serde_json::json;

use super::failure::{HandlerTold, PROTOCOL};
use super::names::{HANDLER_ERROR, REQUEST_RETRYABLE};

/// The types that the specification has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the specification")]
pub enum Kind {
    BadRequest,
    Unauthenticated,
    Unauthorized,
    NotFound,
    RequestTimeout,
    Conflict,
    ResourceExhausted,
    Internal,
    NotImplemented,
    Unavailable,
    UpstreamTimeout,
}

impl Kind {
    /// Every type.
    pub const ALL: [Self; 11] = [
        Self::BadRequest,
        Self::Unauthenticated,
        Self::Unauthorized,
        Self::NotFound,
        Self::RequestTimeout,
        Self::Conflict,
        Self::ResourceExhausted,
        Self::Internal,
        Self::NotImplemented,
        Self::Unavailable,
        Self::UpstreamTimeout,
    ];

    /// Its name, its status, whether it is retried where nothing else is said, and the canonical
    /// code of an operation that it ended.
    const fn row(self) -> (&'static str, u16, bool, Code) {
        match self {
            Self::BadRequest => ("BAD_REQUEST", 400, false, Code::InvalidArgument),
            Self::Unauthenticated => ("UNAUTHENTICATED", 401, false, Code::Unauthenticated),
            Self::Unauthorized => ("UNAUTHORIZED", 403, false, Code::PermissionDenied),
            Self::NotFound => ("NOT_FOUND", 404, false, Code::NotFound),
            Self::RequestTimeout => ("REQUEST_TIMEOUT", 408, true, Code::DeadlineExceeded),
            // Of a start; nothing else that ends an operation is answered so.
            Self::Conflict => ("CONFLICT", 409, false, Code::AlreadyExists),
            Self::ResourceExhausted => ("RESOURCE_EXHAUSTED", 429, true, Code::ResourceExhausted),
            Self::Internal => ("INTERNAL", 500, true, Code::Internal),
            Self::NotImplemented => ("NOT_IMPLEMENTED", 501, false, Code::Unimplemented),
            Self::Unavailable => ("UNAVAILABLE", 503, true, Code::Unavailable),
            Self::UpstreamTimeout => ("UPSTREAM_TIMEOUT", 520, true, Code::DeadlineExceeded),
        }
    }

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The status it is answered with.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Whether it is retried where nothing else is said.
    pub const fn is_retryable(self) -> bool {
        self.row().2
    }

    /// The canonical code of an operation whose start it refused.
    pub const fn code(self) -> Code {
        self.row().3
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The type of this status.
    pub fn from_status(status: StatusCode) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.row().1 == status.as_u16())
    }

    /// The type an error is told by, and whether a retry is worth it.
    ///
    /// A request that ran out of time is `UPSTREAM_TIMEOUT`: clients of before 2025-10 know no 408.
    const fn of(kind: ErrorKind) -> (Self, bool) {
        match kind {
            ErrorKind::InvalidArgument
            | ErrorKind::OutOfRange
            | ErrorKind::FailedPrecondition
            | ErrorKind::PayloadTooLarge => (Self::BadRequest, false),
            ErrorKind::Unauthenticated => (Self::Unauthenticated, false),
            ErrorKind::PermissionDenied => (Self::Unauthorized, false),
            ErrorKind::NotFound => (Self::NotFound, false),
            ErrorKind::AlreadyExists => (Self::Conflict, false),
            ErrorKind::Conflict => (Self::Conflict, true),
            ErrorKind::TooManyRequests => (Self::ResourceExhausted, true),
            ErrorKind::QuotaExceeded => (Self::ResourceExhausted, false),
            ErrorKind::DeadlineExceeded => (Self::UpstreamTimeout, true),
            ErrorKind::Unavailable => (Self::Unavailable, true),
            ErrorKind::Unsupported => (Self::NotImplemented, false),
            ErrorKind::Internal => (Self::Internal, true),
            ErrorKind::DataLoss => (Self::Internal, false),
        }
    }
}

/// The status, whether the request is worth a retry (for `Nexus-Request-Retryable`, which older
/// clients read), and the body, of media type `application/json`.
pub fn write(error: &Error) -> (StatusCode, bool, Bytes) {
    let (kind, usual) = Kind::of(error.kind);
    let retryable = usual || matches!(error.retry, Retry::SameRequest | Retry::After(_));
    let mut details = json!({
        "type": kind.name(),
        "retryableOverride": retryable,
        "code": error.kind.name(),
    });
    if let (Some(violation), Some(details)) = (&error.field, details.as_object_mut()) {
        details.insert("field".to_owned(), violation.field.clone().into_owned().into());
    }
    let body = json!({
        "message": error.message,
        "metadata": { "type": HANDLER_ERROR },
        "details": details,
    });
    (kind.status(), retryable, body.to_string().into())
}

/// What is told of a request whose body broke off, to whoever is still there to read it.
pub fn broken_off() -> Error {
    Error::new(ErrorKind::Internal, "the request broke off").with_retry(Retry::SameRequest)
}

/// A reply that is neither a result nor an operation's failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerError {
    /// Its type: the one in the body, else that of the status; none where neither is known.
    pub kind: Option<Kind>,
    /// The type's name as it came; the status where there was none.
    pub name: String,
    /// The status.
    pub status: StatusCode,
    /// Whether a retry is worth it: what the body says, else the header, else what is usual.
    pub retryable: bool,
    /// Not before this long.
    pub retry_after: Option<Duration>,
    /// The text.
    pub message: String,
    /// What led to it.
    pub cause: Option<Box<Failure>>,
    /// The body, verbatim.
    pub body: Bytes,
}

impl HandlerError {
    /// Reads any reply whatever: of a handler, or of a proxy in front of it.
    pub fn read(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Self {
        let told = HandlerTold::read(body);
        let kind = told.kind.as_deref().and_then(Kind::from_name).or(Kind::from_status(status));
        // What is not in the table is retried where the server is at fault.
        let usual = kind.map_or(status.is_server_error(), Kind::is_retryable);
        let name = told.kind.or_else(|| kind.map(|kind| kind.name().to_owned()));
        let message = Some(told.message).filter(|message| !message.trim().is_empty());
        Self {
            kind,
            name: name
                .map_or_else(|| status.as_u16().to_string(), |name| limits::clip(&name).to_owned()),
            status,
            retryable: told.retryable.or_else(|| said_in_header(headers)).unwrap_or(usual),
            retry_after: retry_after(headers),
            message: message.unwrap_or_else(|| format!("HTTP {status}")),
            cause: told.cause,
            body: body.clone(),
        }
    }

    /// What it means for the request that was made of it.
    pub fn into_error(self) -> Error {
        let kind = match self.kind {
            Some(Kind::BadRequest) => ErrorKind::InvalidArgument,
            Some(Kind::Unauthenticated) => ErrorKind::Unauthenticated,
            Some(Kind::Unauthorized) => ErrorKind::PermissionDenied,
            Some(Kind::NotFound) => ErrorKind::NotFound,
            Some(Kind::RequestTimeout | Kind::UpstreamTimeout) => ErrorKind::DeadlineExceeded,
            Some(Kind::Conflict) => ErrorKind::Conflict,
            Some(Kind::ResourceExhausted) if self.retryable => ErrorKind::TooManyRequests,
            Some(Kind::ResourceExhausted) => ErrorKind::QuotaExceeded,
            Some(Kind::NotImplemented) => ErrorKind::Unsupported,
            Some(Kind::Unavailable) => ErrorKind::Unavailable,
            None if self.status.is_client_error() => ErrorKind::FailedPrecondition,
            Some(Kind::Internal) | None => ErrorKind::Internal,
        };
        let retry = match (self.retryable, self.retry_after) {
            (false, _) => Retry::Never,
            (true, Some(after)) => Retry::After(after),
            (true, None) if kind == ErrorKind::DeadlineExceeded => Retry::Unknown,
            (true, None) => Retry::SameRequest,
        };
        Error::new(kind, self.message).with_retry(retry)
    }

    /// What it means for an operation that it ended.
    pub fn into_failure(self) -> Failure {
        let unknown = || {
            if self.status.is_client_error() { Code::FailedPrecondition } else { Code::Unknown }
        };
        Failure {
            code: self.kind.map_or_else(unknown, Kind::code),
            message: self.message,
            reason: self.kind.map(|kind| kind.name().to_owned()),
            retryable: Some(self.retryable),
            retry_after: self.retry_after,
            details: Vec::new(),
            native: Some(Box::new(Native {
                protocol: PROTOCOL.to_owned(),
                code: self.name,
                http: Some(self.status.as_u16()),
                bytes: self.body,
                encoded: None,
            })),
            cause: self.cause,
        }
    }
}

/// What a reply means for the request that was made: [`HandlerError`] where more matters.
pub fn read(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Error {
    HandlerError::read(status, headers, body).into_error()
}

/// Whether a body says that it is a handler error, whatever status it came with.
pub fn is_handler_error(body: &[u8]) -> bool {
    HandlerTold::read(body).kind.is_some()
}

/// Whether a reply says of itself that a retry is worth it; none where it leaves that to its type.
pub fn said_retryable(headers: &HeaderMap, body: &[u8]) -> Option<bool> {
    HandlerTold::read(body).retryable.or_else(|| said_in_header(headers))
}

fn said_in_header(headers: &HeaderMap) -> Option<bool> {
    let said = headers.get(REQUEST_RETRYABLE)?.as_bytes().trim_ascii();
    let says = |word: &str| said.eq_ignore_ascii_case(word.as_bytes());
    says("true").then_some(true).or_else(|| says("false").then_some(false))
}

/// `Retry-After` in seconds; a date is not looked at.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse::<u32>().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn read_all(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> HandlerError {
        let header = |(name, value): &(&'static str, &'static str)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
        };
        let headers = headers.iter().map(header).collect();
        let status = StatusCode::from_u16(status).unwrap();
        HandlerError::read(status, &headers, &Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn every_error_has_its_type_its_status_and_its_retry() {
        let expected = [
            (ErrorKind::InvalidArgument, "BAD_REQUEST", 400, false),
            (ErrorKind::OutOfRange, "BAD_REQUEST", 400, false),
            (ErrorKind::Unauthenticated, "UNAUTHENTICATED", 401, false),
            (ErrorKind::PermissionDenied, "UNAUTHORIZED", 403, false),
            (ErrorKind::NotFound, "NOT_FOUND", 404, false),
            (ErrorKind::AlreadyExists, "CONFLICT", 409, false),
            (ErrorKind::Conflict, "CONFLICT", 409, true),
            (ErrorKind::FailedPrecondition, "BAD_REQUEST", 400, false),
            (ErrorKind::TooManyRequests, "RESOURCE_EXHAUSTED", 429, true),
            (ErrorKind::QuotaExceeded, "RESOURCE_EXHAUSTED", 429, false),
            (ErrorKind::PayloadTooLarge, "BAD_REQUEST", 400, false),
            (ErrorKind::DeadlineExceeded, "UPSTREAM_TIMEOUT", 520, true),
            (ErrorKind::Unavailable, "UNAVAILABLE", 503, true),
            (ErrorKind::Unsupported, "NOT_IMPLEMENTED", 501, false),
            (ErrorKind::Internal, "INTERNAL", 500, true),
            (ErrorKind::DataLoss, "INTERNAL", 500, false),
        ];
        assert_eq!(expected.map(|(kind, ..)| kind), ErrorKind::ALL);
        for (kind, name, status, retryable) in expected {
            let (answered, told, body) = write(&Error::new(kind, "so it is"));
            assert_eq!((answered.as_u16(), told), (status, retryable), "{kind:?}");
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["message"], "so it is");
            assert_eq!(body["metadata"], json!({"type": "nexus.HandlerError"}));
            assert_eq!(body["details"]["type"], name);
            assert_eq!(body["details"]["retryableOverride"], retryable);
            let read = HandlerError::read(answered, &HeaderMap::new(), &body.to_string().into());
            assert_eq!(read.kind.map(Kind::name), Some(name));
            assert_eq!((read.retryable, &*read.message), (retryable, "so it is"));
        }
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let (_, _, body) = write(&Error::invalid("callback", "is no URL"));
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["message"], "callback: is no URL");
        assert_eq!(body["details"]["field"], "callback");
    }

    #[test]
    fn the_tag_wins_over_the_status_and_the_body_over_the_header() {
        let tagged = r#"{"message":"m","metadata":{"type":"nexus.HandlerError"},"details":{"type":"NOT_FOUND","retryableOverride":true}}"#;
        let read = read_all(500, &[("nexus-request-retryable", "false")], tagged);
        assert_eq!((read.kind, read.retryable), (Some(Kind::NotFound), true));
        assert_eq!(read.clone().into_error().kind, ErrorKind::NotFound);
        let failure = read.into_failure();
        assert_eq!((failure.code, failure.retryable), (Code::NotFound, Some(true)));
        assert_eq!(failure.native.unwrap().bytes, tagged);
        let read = read_all(500, &[("nexus-request-retryable", "FALSE")], r#"{"message":"m"}"#);
        assert_eq!((read.kind, read.retryable), (Some(Kind::Internal), false));
    }

    #[test]
    fn old_untagged_bodies_are_read_by_their_status() {
        for kind in Kind::ALL {
            let read = read_all(kind.status().as_u16(), &[], r#"{"message":"m"}"#);
            assert_eq!((read.kind, read.retryable), (Some(kind), kind.is_retryable()));
            assert_eq!(read.message, "m");
        }
    }

    #[test]
    fn what_no_table_knows_is_retried_where_the_server_is_at_fault() {
        for (status, retryable, kind, code) in [
            (413, false, ErrorKind::FailedPrecondition, Code::FailedPrecondition),
            (502, true, ErrorKind::Internal, Code::Unknown),
            (302, false, ErrorKind::Internal, Code::Unknown),
        ] {
            let read = read_all(status, &[], "<html>no</html>");
            assert_eq!((read.kind, read.retryable), (None, retryable), "{status}");
            assert_eq!((&*read.name, &*read.message), (&*status.to_string(), "<html>no</html>"));
            assert_eq!(read.clone().into_error().kind, kind);
            assert_eq!(read.into_failure().code, code);
        }
        assert_eq!(read_all(504, &[], " ").message, "HTTP 504 Gateway Timeout");
    }

    #[test]
    fn a_type_of_the_future_keeps_its_name() {
        let body = r#"{"message":"m","metadata":{"type":"nexus.HandlerError"},"details":{"type":"TEAPOT"}}"#;
        let read = read_all(418, &[], body);
        assert_eq!((read.kind, &*read.name, read.retryable), (None, "TEAPOT", false));
    }

    #[test]
    fn a_wait_is_told_in_seconds() {
        let read = read_all(503, &[("retry-after", "7")], "");
        assert_eq!(read.into_error().retry, Retry::After(Duration::from_secs(7)));
    }
}
