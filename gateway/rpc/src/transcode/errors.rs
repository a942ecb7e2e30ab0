//! Requests that could not be served, as Google's HTTP APIs tell it.
//!
//! The codes are those of `google/rpc/code.proto`. Format 2, the default, is `error` with the HTTP
//! status as `code`, the message, the name of the status and its details (AIP-193). Format 1, which
//! `$.xgafv=1` asks for, adds `errors` with a word of the older APIs.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use opgate_core::{Code, Error, ErrorKind, Retry};
use opgate_edge::Body;
use prost::Message as _;
use prost_reflect::DescriptorPool;

use super::parameters::{Alt, Parameters};
use super::writer::Json;
use crate::proto::Status;
use crate::status;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=UTF-8");
const PROTO: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// The format of errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorFormat {
    /// With `errors`, for Google's own API client libraries.
    V1,
    /// The one that AIP-193 describes.
    #[default]
    V2,
}

/// The HTTP status of a code.
pub const fn http_code(code: Code) -> u16 {
    match code {
        Code::Cancelled => 499,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::DeadlineExceeded => 504,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::PermissionDenied => 403,
        Code::ResourceExhausted => 429,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::Unauthenticated => 401,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    }
}

/// The word of the older APIs for a code.
///
/// Not written down anywhere. Answers quoted in the issues of Google's client libraries have
/// `backendError` and `failedPrecondition` beside their status and `aborted` beside a 409; the others
/// are the words those APIs are known by. A code without one has that of its HTTP status.
const fn reason(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument | Code::OutOfRange => "badRequest",
        Code::FailedPrecondition => "failedPrecondition",
        Code::NotFound => "notFound",
        Code::AlreadyExists => "alreadyExists",
        Code::Aborted => "aborted",
        Code::Cancelled => "cancelled",
        Code::PermissionDenied => "forbidden",
        Code::Unauthenticated => "authError",
        Code::ResourceExhausted => "rateLimitExceeded",
        Code::Unimplemented => "notImplemented",
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => "backendError",
    }
}

/// The JSON of a status, with the HTTP status it is sent with. Details are written by the types of
/// the pool, others as their bytes.
pub fn error_body(
    status: &Status,
    http: u16,
    format: ErrorFormat,
    pretty: bool,
    pool: &DescriptorPool,
) -> Vec<u8> {
    let code = Code::from_number(status.code).unwrap_or(Code::Unknown);
    let json = Json { enum_numbers: false, pretty, mask: None };
    // A status that has no JSON would be too large: its details are what can be large.
    json.error(status, http, code, format, pool)
        .or_else(|_| {
            let bare = Status { details: Vec::new(), ..status.clone() };
            json.error(&bare, http, code, format, pool)
        })
        .unwrap_or_default()
}

/// The word for format 1.
pub(super) const fn legacy(format: ErrorFormat, code: Code) -> Option<&'static str> {
    match format {
        ErrorFormat::V1 => Some(reason(code)),
        ErrorFormat::V2 => None,
    }
}

/// The response of a request that could not be served; `name` is the operation it was about.
///
/// A request that is too large is 413 rather than 429: clients send the latter again.
pub fn refused(
    error: &Error,
    name: Option<&str>,
    parameters: &Parameters,
    pool: &DescriptorPool,
) -> Response<Body> {
    let status = status::of_error(error, name);
    let too_large = error.kind == ErrorKind::PayloadTooLarge;
    let http = if too_large { 413 } else { http_code(status::code(error.kind)) };
    let retry = match error.retry {
        Retry::After(delay) => Some(delay),
        Retry::Never | Retry::SameRequest | Retry::Unknown => None,
    };
    refused_with(&status, http, retry, parameters, pool)
}

/// The response of a status, under an HTTP status of its own. `retry` becomes `Retry-After`.
pub fn refused_with(
    status: &Status,
    http: u16,
    retry: Option<Duration>,
    parameters: &Parameters,
    pool: &DescriptorPool,
) -> Response<Body> {
    let mut response = match parameters.alt {
        Alt::Proto => ok_proto(status.encode_to_vec()),
        Alt::Json | Alt::JsonEnumNumbers => {
            ok(error_body(status, http, parameters.errors, parameters.pretty, pool))
        }
    };
    *response.status_mut() =
        StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(delay) = retry {
        // Whole seconds, and not before the time is over.
        let seconds = delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0));
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A response with JSON.
pub fn ok(json: impl Into<Bytes>) -> Response<Body> {
    with_type(json, JSON)
}

/// A response with the bytes of a message, for `alt=proto`.
pub fn ok_proto(message: impl Into<Bytes>) -> Response<Body> {
    with_type(message, PROTO)
}

fn with_type(bytes: impl Into<Bytes>, content_type: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::full(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests;
