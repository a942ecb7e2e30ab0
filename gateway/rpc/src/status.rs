//! `google.rpc.Status`: of an operation's own failure, and of a request that could not be served.

mod read;

use std::collections::BTreeMap;

use opgate_core::{Code, Detail, Error, ErrorKind, Failure, Loss, Losses, Native, Retry, limits};

use prost::Message as _;

use crate::proto::{
    Any, BadRequest, DebugInfo, ErrorInfo, FieldViolation, HTTP_BODY, HttpBody, RetryInfo, Status,
};

pub use read::{failure, lost_of, retry_after};

const DOMAIN: &str = "opgate";
const RETRYABLE: &str = "retryable";
/// Longest reason `google.rpc.ErrorInfo` allows.
const REASON_BYTES_MAX: usize = 63;
/// Longest text of one part of a request's status. A status travels in the trailers, in up to three
/// places and percent-encoded or in base 64; clients take 8 KiB of trailers.
const TEXT_BYTES_MAX: usize = 512;

/// The status of an operation that failed. Details are verbatim; what else is known of the failure
/// travels in details of the standard types, unless those are there already; what came as a status goes
/// as it came. Details that would make it larger than `room` are omitted, which is said then.
pub fn of_failure(failure: &Failure, room: usize) -> Status {
    let mut details: Vec<Any> = failure
        .details
        .iter()
        .map(|detail| Any { type_url: detail.type_url.clone(), value: detail.value.clone() })
        .collect();
    let verbatim = verbatim(failure);
    let mut carry = |name: &str, value: Option<Any>| {
        if verbatim.is_none() && !details.iter().any(|detail| detail.is(name)) {
            details.extend(value);
        }
    };
    carry(ErrorInfo::NAME, Some(Any::pack(ErrorInfo::NAME, &carrier(failure))));
    carry(
        RetryInfo::NAME,
        failure.retry_after.map(|delay| {
            Any::pack(RetryInfo::NAME, &RetryInfo { retry_delay: Some(delay.into()) })
        }),
    );
    carry(DebugInfo::NAME, causes(failure));
    let native = failure.native.as_ref().filter(|native| !native.bytes.is_empty());
    let native = native.filter(|_| verbatim.is_none());
    details.extend(native.map(|native| {
        let content_type = "application/octet-stream".to_owned();
        let body = HttpBody { content_type, data: native.bytes.clone(), extensions: Vec::new() };
        Any::pack(HTTP_BODY, &body)
    }));
    let code = verbatim.unwrap_or(failure.code.number());
    let mut status = Status { code, message: failure.message.clone(), details };
    if status.encoded_len() > room {
        let mut info = carrier(failure);
        info.metadata.retain(|key, _| key == RETRYABLE);
        info.metadata.insert("detailsOmitted".to_owned(), status.details.len().to_string());
        status.details = vec![Any::pack(ErrorInfo::NAME, &info)];
    }
    status
}

/// The code of a failure that came as a status, and of which nothing else is known. 0 is none: a reader
/// would take it for a success.
fn verbatim(failure: &Failure) -> Option<i32> {
    let native = failure.native.as_deref()?;
    let whole = native.protocol == Native::GRPC && native.http.is_none() && native.bytes.is_empty();
    native.code.parse().ok().filter(|code| whole && *code != 0)
}

/// What a status that was made of a failure does not say of it.
pub fn lost(failure: &Failure, status: &Status) -> Losses {
    let is_there = |(detail, shown): (&Detail, &Any)| {
        detail.type_url == shown.type_url && detail.value == shown.value
    };
    let whole = failure.details.len() <= status.details.len()
        && failure.details.iter().zip(&status.details).all(is_there);
    let verbatim = verbatim(failure);
    let has = |name| {
        let given = status.details.iter().take(failure.details.len());
        given.into_iter().any(|detail| detail.is(name))
    };
    let carries = |name| whole && verbatim.is_none() && !has(name);
    let said = read::failure(status);
    let again = failure.retryable.is_some_and(|again| said.retryable != Some(again))
        || failure.retry_after.is_some_and(|after| said.retry_after != Some(after));
    let native = failure.native.as_ref().is_some_and(|native| native.tells_more(failure.code));
    // Of a cause there are a code and a text.
    let bare = Losses::of_bare(failure).has(Loss::ErrorCauses);
    Losses::NONE
        .with(Loss::ErrorCode, status.code != verbatim.unwrap_or(failure.code.number()))
        .with(Loss::ErrorText, !failure.message.is_empty() && status.message != failure.message)
        .with(Loss::ErrorReason, said.reason != failure.reason)
        .with(Loss::ErrorRetry, again)
        .with(Loss::ErrorDetails, !whole)
        .with(Loss::ErrorNative, native && verbatim.is_none() && !carries(ErrorInfo::NAME))
        .with(Loss::ErrorCauses, failure.cause.is_some() && (bare || !carries(DebugInfo::NAME)))
}

/// As [`lost`], of a status without any details.
pub fn lost_of_bare(failure: &Failure, status: &Status) -> Losses {
    let native = failure.native.as_ref().is_some_and(|native| native.tells_more(failure.code));
    lost(failure, status)
        .with(Loss::ErrorNative, native && verbatim(failure).is_none())
        .with(Loss::ErrorCauses, failure.cause.is_some())
}

fn carrier(failure: &Failure) -> ErrorInfo {
    let mut metadata = BTreeMap::new();
    let mut put = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            metadata.insert(key.to_owned(), value);
        }
    };
    put(RETRYABLE, failure.retryable.map(|retryable| retryable.to_string()));
    if let Some(native) = &failure.native {
        put("face", Some(native.protocol.clone()));
        put("code", Some(native.code.clone()));
        put("http", native.http.map(|http| http.to_string()));
    }
    let reason = failure.reason.as_deref().map_or_else(String::new, reason);
    let reason = if reason.is_empty() { failure.code.name().to_owned() } else { reason };
    ErrorInfo { reason, domain: DOMAIN.to_owned(), metadata }
}

/// The word as `ErrorInfo` wants reasons: `UPPER_SNAKE_CASE`.
fn reason(word: &str) -> String {
    let upper: String = word
        .chars()
        .take(REASON_BYTES_MAX)
        .map(
            |letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' },
        )
        .collect();
    upper.trim_matches(|letter: char| letter == '_' || letter.is_ascii_digit()).to_owned()
}

fn causes(failure: &Failure) -> Option<Any> {
    let causes = std::iter::successors(failure.cause.as_deref(), |cause| cause.cause.as_deref());
    let stack_entries: Vec<String> =
        causes.map(|cause| format!("{}: {}", cause.code.name(), cause.message)).collect();
    let debug = DebugInfo { stack_entries };
    (!debug.stack_entries.is_empty()).then(|| Any::pack(DebugInfo::NAME, &debug))
}

/// The status of an operation that was canceled: always code 1, whatever code the backend gave.
pub fn of_cancellation(failure: Option<&Failure>, reason: &str, room: usize) -> Status {
    let plain = Failure::new(Code::Cancelled, "");
    let mut status = of_failure(failure.unwrap_or(&plain), room);
    status.code = Code::Cancelled.number();
    // What came as a status goes as it came.
    if status.message.is_empty() && failure.and_then(verbatim).is_none() {
        status.message = match reason {
            "" => "the operation was canceled".to_owned(),
            reason => format!("the operation was canceled: {reason}"),
        };
    }
    status
}

/// The code of a refusal.
pub const fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::OutOfRange => Code::OutOfRange,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::FailedPrecondition => Code::FailedPrecondition,
        ErrorKind::TooManyRequests | ErrorKind::QuotaExceeded | ErrorKind::PayloadTooLarge => {
            Code::ResourceExhausted
        }
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Internal => Code::Internal,
        ErrorKind::DataLoss => Code::DataLoss,
    }
}

/// The status of a request that could not be served; `name` is the operation it was about.
///
/// Whatever the texts, it fits the trailers a client takes.
pub fn of_error(error: &Error, name: Option<&str>) -> Status {
    let mut metadata = BTreeMap::from([(
        RETRYABLE.to_owned(),
        match error.retry {
            Retry::Never => "false",
            Retry::SameRequest | Retry::After(_) => "true",
            Retry::Unknown => "with-the-same-request-id",
        }
        .to_owned(),
    )]);
    if let Some(name) = name {
        metadata.insert("name".to_owned(), clip(name, limits::NAME_BYTES).to_owned());
    }
    if let Some(version) = error.current {
        metadata.insert("version".to_owned(), version.0.to_string());
    }
    let carrier =
        ErrorInfo { reason: error.kind.name().to_owned(), domain: DOMAIN.to_owned(), metadata };
    let mut details = vec![Any::pack(ErrorInfo::NAME, &carrier)];
    if let Some(violation) = &error.field {
        let violation = FieldViolation {
            field: clip(&violation.field, TEXT_BYTES_MAX).to_owned(),
            description: clip(&violation.description, TEXT_BYTES_MAX).to_owned(),
        };
        let request = BadRequest { field_violations: vec![violation] };
        details.push(Any::pack(BadRequest::NAME, &request));
    }
    if let Retry::After(delay) = error.retry {
        let retry = RetryInfo { retry_delay: Some(delay.into()) };
        details.push(Any::pack(RetryInfo::NAME, &retry));
    }
    let mut message = clip(&error.message, TEXT_BYTES_MAX).to_owned();
    if error.kind == ErrorKind::NotFound
        && let Some(name) = name
    {
        message.push_str(": ");
        message.push_str(clip(name, TEXT_BYTES_MAX));
    }
    Status { code: code(error.kind).number(), message, details }
}

/// The status of a request whose sender went away before it was whole.
pub fn withdrawn() -> Status {
    let info = ErrorInfo {
        reason: Code::Cancelled.name().to_owned(),
        domain: DOMAIN.to_owned(),
        metadata: BTreeMap::from([(RETRYABLE.to_owned(), "true".to_owned())]),
    };
    Status {
        code: Code::Cancelled.number(),
        message: "the request broke off".to_owned(),
        details: vec![Any::pack(ErrorInfo::NAME, &info)],
    }
}

fn clip(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opgate_core::{Detail, Native, Version};
    use proptest::prelude::*;

    use super::*;

    const ROOM: usize = 1000;

    fn detail<M: prost::Message + Default>(status: &Status, name: &str) -> Option<M> {
        let mut found = status.details.iter().filter(|detail| detail.is(name));
        let detail = found.next()?;
        assert!(found.next().is_none(), "each type at most once");
        Some(M::decode(&*detail.value).unwrap())
    }

    #[test]
    fn a_status_without_details_says_what_it_does_not_say() {
        let plain = Failure::new(Code::NotFound, "no such file");
        let bare = |failure: &Failure| {
            let status = Status { details: Vec::new(), ..of_failure(failure, ROOM) };
            lost_of_bare(failure, &status)
        };
        assert_eq!(bare(&plain), Losses::NONE);
        let native = Native {
            protocol: "nexus".to_owned(),
            code: "failed".to_owned(),
            http: None,
            bytes: "{}".into(),
            encoded: None,
        };
        let rich = Failure {
            reason: Some("NO_FILE".to_owned()),
            retry_after: Some(Duration::from_secs(5)),
            details: vec![Detail { type_url: "type.googleapis.com/a.B".into(), value: "x".into() }],
            native: Some(Box::new(native)),
            cause: Some(Box::new(plain.clone())),
            ..plain
        };
        let all = [
            Loss::ErrorReason,
            Loss::ErrorRetry,
            Loss::ErrorDetails,
            Loss::ErrorNative,
            Loss::ErrorCauses,
        ];
        assert_eq!(
            bare(&rich),
            all.into_iter().fold(Losses::NONE, |lost, one| lost.with(one, true))
        );
    }

    #[test]
    fn every_kind_of_error_has_its_code() {
        // Reviewed against the table of codes; a new kind fails to compile in `code`.
        let table = [
            (ErrorKind::InvalidArgument, 3),
            (ErrorKind::OutOfRange, 11),
            (ErrorKind::Unauthenticated, 16),
            (ErrorKind::PermissionDenied, 7),
            (ErrorKind::NotFound, 5),
            (ErrorKind::AlreadyExists, 6),
            (ErrorKind::Conflict, 10),
            (ErrorKind::FailedPrecondition, 9),
            (ErrorKind::TooManyRequests, 8),
            (ErrorKind::QuotaExceeded, 8),
            (ErrorKind::PayloadTooLarge, 8),
            (ErrorKind::DeadlineExceeded, 4),
            (ErrorKind::Unavailable, 14),
            (ErrorKind::Unsupported, 12),
            (ErrorKind::Internal, 13),
            (ErrorKind::DataLoss, 15),
        ];
        assert_eq!(table.map(|(kind, _)| kind), ErrorKind::ALL);
        for (kind, number) in table {
            let status = of_error(&Error::new(kind, "text"), None);
            assert_eq!((status.code, &*status.message), (number, "text"));
            let carrier: ErrorInfo = detail(&status, ErrorInfo::NAME).unwrap();
            assert_eq!((&*carrier.reason, &*carrier.domain), (kind.name(), "opgate"));
        }
    }

    #[test]
    fn what_else_is_known_of_an_error_travels_in_details() {
        let status = of_error(&Error::invalid("page_size", "must not be negative"), None);
        let request: BadRequest = detail(&status, BadRequest::NAME).unwrap();
        assert_eq!(request.field_violations[0].field, "page_size");
        assert_eq!(request.field_violations[0].description, "must not be negative");

        let later = Retry::After(Duration::from_millis(1500));
        let busy = Error::new(ErrorKind::Unavailable, "busy").with_retry(later);
        let retry: RetryInfo = detail(&of_error(&busy, None), RetryInfo::NAME).unwrap();
        assert_eq!(retry.retry_delay, Some(Duration::from_millis(1500).into()));

        let mut conflict = Error::new(ErrorKind::Conflict, "changed");
        conflict.current = Some(Version(7));
        let carrier: ErrorInfo =
            detail(&of_error(&conflict, Some("operations/x")), ErrorInfo::NAME).unwrap();
        assert_eq!(carrier.metadata["version"], "7");
        assert_eq!(carrier.metadata["name"], "operations/x");

        let missing = of_error(&Error::not_found(), Some("operations/x"));
        assert_eq!(missing.message, "no such operation: operations/x");
    }

    #[test]
    fn the_source_of_an_error_stays_inside() {
        let error = Error::new(ErrorKind::Internal, "a defect").with_source("secret path");
        assert!(!format!("{:?}", of_error(&error, None)).contains("secret"));
    }

    proptest! {
        #[test]
        fn a_status_fits_the_trailers_a_client_takes(text in ".{0,4}", name in ".{1,4}") {
            let error = Error::invalid(text.repeat(2000), text.repeat(2000))
                .with_retry(Retry::After(Duration::MAX));
            let not_found = Error::new(ErrorKind::NotFound, text.repeat(2000));
            for error in [error, not_found] {
                let status = of_error(&error, Some(&name.repeat(2000)));
                let response = crate::wire::refused(&status);
                let bytes = response.headers().iter();
                let bytes: usize =
                    bytes.map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
                prop_assert!(bytes <= 8 * 1024, "{bytes}");
                prop_assert!(response.headers().contains_key("grpc-message"));
                prop_assert!(response.headers().contains_key("grpc-status-details-bin"));
            }
        }

        #[test]
        fn a_reason_is_what_error_info_allows(word: String) {
            let reason = reason(&word);
            prop_assert!(reason.len() <= REASON_BYTES_MAX);
            let odd = |letter: char| !matches!(letter, 'A'..='Z' | '0'..='9' | '_');
            prop_assert!(!reason.contains(odd), "{reason}");
        }
    }

    #[test]
    fn a_failure_is_verbatim_and_carried() {
        let mut failure = Failure::new(Code::NotFound, "no such disk");
        failure.reason = Some("disk-missing".to_owned());
        failure.retryable = Some(true);
        failure.retry_after = Some(Duration::from_secs(2));
        failure.details =
            vec![Detail { type_url: "example.com/acme.Odd".to_owned(), value: "\u{1}".into() }];
        failure.native = Some(Box::new(Native {
            protocol: "oci".to_owned(),
            code: "NotAuthorizedOrNotFound".to_owned(),
            http: Some(404),
            bytes: "{}".into(),
            encoded: None,
        }));
        failure.cause = Some(Box::new(Failure::new(Code::Internal, "bus")));
        let status = of_failure(&failure, ROOM);
        assert_eq!((status.code, &*status.message), (5, "no such disk"));
        assert_eq!(status.details[0].type_url, "example.com/acme.Odd");
        assert_eq!(status.details[0].value, "\u{1}");
        let carrier: ErrorInfo = detail(&status, ErrorInfo::NAME).unwrap();
        assert_eq!(carrier.reason, "DISK_MISSING");
        let metadata: Vec<_> = carrier.metadata.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(
            metadata,
            [
                ("code", "NotAuthorizedOrNotFound"),
                ("face", "oci"),
                ("http", "404"),
                ("retryable", "true")
            ]
        );
        let debug: DebugInfo = detail(&status, DebugInfo::NAME).unwrap();
        assert_eq!(debug.stack_entries, ["INTERNAL: bus"]);
        let native: HttpBody = detail(&status, HTTP_BODY).unwrap();
        assert_eq!(native.data, "{}");
        assert!(detail::<RetryInfo>(&status, RetryInfo::NAME).is_some());
    }

    #[test]
    fn details_that_are_there_are_not_doubled() {
        let own = ErrorInfo { reason: "OWN".to_owned(), ..ErrorInfo::default() };
        let any = Any::pack(ErrorInfo::NAME, &own);
        let mut failure = Failure::new(Code::Internal, "");
        failure.details = vec![Detail { type_url: any.type_url, value: any.value }];
        let carrier: ErrorInfo = detail(&of_failure(&failure, ROOM), ErrorInfo::NAME).unwrap();
        assert_eq!(carrier, own);
    }

    #[test]
    fn a_cancellation_is_code_1_whatever_the_backend_said() {
        let plain = of_cancellation(None, "", ROOM);
        assert_eq!((plain.code, &*plain.message), (1, "the operation was canceled"));
        let carrier: ErrorInfo = detail(&plain, ErrorInfo::NAME).unwrap();
        assert_eq!(carrier.reason, "CANCELLED");
        assert!(of_cancellation(None, "late", ROOM).message.ends_with(": late"));
        let failure = Failure::new(Code::Aborted, "stopped");
        let status = of_cancellation(Some(&failure), "late", ROOM);
        assert_eq!((status.code, &*status.message), (1, "stopped"));
        let carrier: ErrorInfo = detail(&status, ErrorInfo::NAME).unwrap();
        assert_eq!(carrier.reason, "ABORTED");
    }
}
