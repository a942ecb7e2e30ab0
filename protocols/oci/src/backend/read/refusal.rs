//! Replies of an OCI API that are no success: `{"code", "message"}` and a status (oci.md, 4).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use opgate_core::{Code, Error, ErrorKind, Failure, Native, Retry, limits};

use crate::wire::error;

/// The largest body of a refusal that is kept with the operation that it ended.
const BODY_BYTES: usize = 64 * 1024;
/// What stands for a code where the body has none.
const NO_CODE: &str = "None";
/// The protocol's name in failures.
pub(in crate::backend) const PROTOCOL: &str = "oci";
/// The longest wait that an upstream is given because it asked for one.
pub(in crate::backend) const RETRY_AFTER_MAX: Duration = Duration::from_mins(10);

/// A refusal, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backend) struct Refusal {
    /// The status.
    pub(in crate::backend) status: StatusCode,
    said: error::Refusal,
    /// Not before this long.
    retry_after: Option<Duration>,
    /// The body, verbatim; nothing where it is too large to be kept.
    body: Bytes,
}

impl Refusal {
    /// Reads any reply whatever: of an API, or of a proxy in front of it.
    pub(in crate::backend) fn read(reply: &Response<Bytes>) -> Self {
        let (status, body) = (reply.status(), reply.body());
        Self {
            status,
            said: error::Refusal::read(status, body),
            retry_after: retry_after(reply.headers()),
            body: Some(body).filter(|body| body.len() <= BODY_BYTES).cloned().unwrap_or_default(),
        }
    }

    /// The code in the body.
    fn code(&self) -> Option<&str> {
        Some(limits::clip(&self.said.code)).filter(|code| *code != NO_CODE)
    }

    /// What kind of refusal it is.
    fn kind(&self) -> ErrorKind {
        match (self.status.as_u16(), self.code()) {
            // The upstream is there: what is in the way is another call.
            (409, Some("IncorrectState")) => ErrorKind::Conflict,
            (400.., _) => self.said.kind(),
            _ => ErrorKind::FailedPrecondition,
        }
    }

    /// Whether the same request may be taken later, by the rules of the official clients.
    pub(in crate::backend) fn is_passing(&self) -> bool {
        match self.status.as_u16() {
            409 => matches!(self.code(), Some("IncorrectState" | "LockConflict")),
            408 | 429 => true,
            status => status >= 500 && status != 501,
        }
    }

    /// In one line, for people.
    pub(in crate::backend) fn text(&self) -> String {
        let (status, message) = (self.status.as_u16(), limits::clip(&self.said.message));
        let said = match self.code() {
            Some(code) => format!("{status} {code}: {message}"),
            None if *message == self.status.to_string() => message.to_owned(),
            None => format!("{status}: {message}"),
        };
        let help = match status {
            401 => {
                "; the upstream does not believe the signature: look at the backend's tenancy, user \
                 and key_file, and at this machine's clock"
            }
            _ => "",
        };
        if help.is_empty() { said } else { format!("{}{help}", said.trim_end_matches('.')) }
    }

    /// What it means for the request that was made.
    pub(in crate::backend) fn to_error(&self) -> Error {
        let kind = self.kind();
        let retry = match (self.is_passing(), self.retry_after) {
            (false, _) => Retry::Never,
            (true, Some(after)) => Retry::After(after),
            (true, None) if kind == ErrorKind::TooManyRequests || kind == ErrorKind::Conflict => {
                Retry::SameRequest
            }
            // It may have been done.
            (true, None) => Retry::Unknown,
        };
        Error::new(kind, self.text()).with_retry(retry)
    }

    /// What it means for an operation that it ended; `hint` is added to its text.
    pub(in crate::backend) fn into_failure(self, hint: &str) -> Failure {
        let error = self.to_error();
        let mut failure = Failure::new(opgate_bus::failure(&error).code, self.text() + hint);
        failure.reason = self.code().map(str::to_owned);
        failure.retryable = Some(self.is_passing());
        failure.retry_after = self.retry_after;
        failure.native = Some(Box::new(Native {
            protocol: PROTOCOL.to_owned(),
            code: self.code().unwrap_or_default().to_owned(),
            http: Some(self.status.as_u16()),
            bytes: self.body,
            encoded: None,
        }));
        failure
    }
}

/// `retry-after` in seconds, at most [`RETRY_AFTER_MAX`]; a date is not looked at.
pub(in crate::backend) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    // Some services count in fractions.
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    Some(Duration::from_secs(whole.parse::<u32>().ok()?.into()).min(RETRY_AFTER_MAX))
}

/// The canonical code of an error that is told inside of a work request.
pub(crate) fn canonical(code: &str) -> Code {
    let kind = match code {
        "BAD_INPUT" => ErrorKind::InvalidArgument,
        "IncorrectState" => ErrorKind::FailedPrecondition,
        "LockConflict" => ErrorKind::Conflict,
        "InternalError" | "INTERNAL_ERROR" => ErrorKind::Internal,
        _ => match error::Code::from_name(code) {
            Some(code) => code.kind(),
            None => return Code::Unknown,
        },
    };
    opgate_bus::failure(&Error::new(kind, "")).code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, headers: &[(&str, &str)], body: &str) -> Refusal {
        let mut reply = Response::builder().status(status);
        for (name, value) in headers {
            reply = reply.header(*name, *value);
        }
        Refusal::read(&reply.body(Bytes::copy_from_slice(body.as_bytes())).unwrap())
    }

    #[test]
    fn every_status_and_code_has_its_meaning() {
        use ErrorKind as E;
        for (status, code, kind, passing) in [
            (400, "InvalidParameter", E::InvalidArgument, false),
            (400, "MissingParameter", E::InvalidArgument, false),
            (400, "CannotParseRequest", E::InvalidArgument, false),
            (400, "RelatedResourceNotAuthorizedOrNotFound", E::NotFound, false),
            (400, "LimitExceeded", E::QuotaExceeded, false),
            (400, "QuotaExceeded", E::QuotaExceeded, false),
            (401, "NotAuthenticated", E::Unauthenticated, false),
            (403, "NotAllowed", E::PermissionDenied, false),
            (404, "NotAuthorizedOrNotFound", E::NotFound, false),
            (404, "NotFound", E::NotFound, false),
            (405, "MethodNotAllowed", E::Unsupported, false),
            (409, "Conflict", E::Conflict, false),
            (409, "IncorrectState", E::Conflict, true),
            (409, "LockConflict", E::Conflict, true),
            (409, "InvalidatedRetryToken", E::AlreadyExists, false),
            (409, "NotAuthorizedOrResourceAlreadyExists", E::AlreadyExists, false),
            (412, "NoEtagMatch", E::Conflict, false),
            (413, "RequestEntityTooLarge", E::PayloadTooLarge, false),
            (422, "UnprocessableEntity", E::InvalidArgument, false),
            (429, "TooManyRequests", E::TooManyRequests, true),
            (429, "", E::TooManyRequests, true),
            (500, "InternalServerError", E::Internal, true),
            (501, "MethodNotImplemented", E::Unsupported, false),
            (502, "", E::Unavailable, true),
            (503, "ServiceUnavailable", E::Unavailable, true),
            (504, "Timeout", E::DeadlineExceeded, true),
            (302, "", E::FailedPrecondition, false),
            (418, "", E::InvalidArgument, false),
        ] {
            let read = refusal(status, &[], &format!(r#"{{"code":"{code}","message":"so"}}"#));
            assert_eq!((read.kind(), read.is_passing()), (kind, passing), "{status} {code}");
            let error = read.to_error();
            assert_eq!((error.kind, error.retry != Retry::Never), (kind, passing));
            let failure = read.into_failure("");
            assert_eq!(failure.retryable, Some(passing));
            let native = failure.native.unwrap();
            assert_eq!(
                (&*native.protocol, &*native.code, native.http),
                ("oci", code, Some(status))
            );
        }
    }

    #[test]
    fn the_text_says_what_is_known_and_what_to_do() {
        for (status, body, text) in [
            (404, r#"{"code":"NotFound","message":"no such"}"#, "404 NotFound: no such"),
            (404, r#"{"code":"NotFound"}"#, "404 NotFound: 404 Not Found"),
            (404, r#"{"message":"no such"}"#, "404: no such"),
            (404, "<html>", "404 Not Found"),
            (404, r#"{"code":7,"message":[]}"#, "404 Not Found"),
        ] {
            assert_eq!(refusal(status, &[], body).text(), text);
        }
        let text = refusal(401, &[], r#"{"code":"NotAuthenticated","message":"no."}"#).text();
        assert!(text.starts_with("401 NotAuthenticated: no; the upstream"), "{text}");
        assert!(text.contains("key_file") && text.contains("clock"), "{text}");
    }

    #[test]
    fn a_wait_is_whole_seconds_and_bounded() {
        for (said, seconds) in [
            ("3", Some(3)),
            (" 3 ", Some(3)),
            ("2.7", Some(2)),
            ("0", Some(0)),
            ("4000000000", Some(600)),
            ("-1", None),
            ("Fri, 20 Nov 2026 11:24:16 GMT", None),
            ("", None),
        ] {
            let refusal = refusal(429, &[("retry-after", said)], "");
            let wait = seconds.map(Duration::from_secs);
            assert_eq!(refusal.retry_after, wait, "{said}");
            let retry = wait.map_or(Retry::SameRequest, Retry::After);
            assert_eq!(refusal.to_error().retry, retry);
        }
    }
}
