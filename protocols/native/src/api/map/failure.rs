//! Failures, both ways.

use std::time::Duration;

use bytes::Bytes;
use opgate_core::{Cancel, Code, Detail, Error, Failure, Native, limits};
use opgate_rpc::proto as rpc;

use crate::api::client as proto;

/// A failure as it is shown.
pub(super) fn shown(failure: &Failure) -> proto::Failure {
    proto::Failure {
        code: failure.code.name().to_owned(),
        message: failure.message.clone(),
        reason: failure.reason.clone().unwrap_or_default(),
        retryable: failure.retryable,
        retry_after: failure.retry_after.map(delay),
        details: failure.details.iter().map(detail).collect(),
        cause: failure.cause.as_deref().map(|cause| Box::new(shown(cause))),
        native: failure.native.as_deref().map(native),
    }
}

/// The failure of what was canceled: its own, or else who asked for it and why.
pub(super) fn canceled(failure: Option<&Failure>, cancel: Option<&Cancel>) -> proto::Failure {
    if let Some(failure) = failure {
        return shown(failure);
    }
    let reason = cancel.map_or("", |cancel| &cancel.reason);
    let message = match reason {
        "" => "the operation was canceled".to_owned(),
        reason => format!("the operation was canceled: {reason}"),
    };
    shown(&Failure::new(Code::Cancelled, message))
}

fn delay(delay: Duration) -> prost_types::Duration {
    let delay = rpc::Duration::from(delay);
    prost_types::Duration { seconds: delay.seconds, nanos: delay.nanos }
}

fn detail(detail: &Detail) -> proto::Detail {
    proto::Detail { type_url: detail.type_url.clone(), value: detail.value.clone() }
}

fn native(native: &Native) -> proto::Native {
    proto::Native {
        protocol: native.protocol.clone(),
        code: native.code.clone(),
        http: native.http.map_or(0, u32::from),
        body: native.bytes.clone(),
    }
}

/// A failure that a caller tells of; `code` is what it is where none is given.
pub(super) fn told(
    field: &'static str,
    failure: proto::Failure,
    code: Code,
) -> Result<Failure, Error> {
    chain(field, failure, code, limits::FAILURE_DEPTH)
}

fn chain(
    field: &'static str,
    failure: proto::Failure,
    code: Code,
    depth: usize,
) -> Result<Failure, Error> {
    let Some(depth) = depth.checked_sub(1) else {
        let problem = format!("has more than {} causes", limits::FAILURE_DEPTH - 1);
        return Err(Error::invalid(field, problem));
    };
    let cause =
        failure.cause.map(|cause| chain(field, *cause, Code::Unknown, depth)).transpose()?;
    let named = failure.native.map(|native| told_native(field, native)).transpose()?;
    let own = |text: String| (!text.is_empty()).then_some(text);
    Ok(Failure {
        code: self::code(field, &failure.code)?.unwrap_or(code),
        message: failure.message,
        reason: own(failure.reason),
        retryable: failure.retryable,
        retry_after: failure.retry_after.map(|after| self::after(field, after)).transpose()?,
        details: failure.details.into_iter().map(told_detail).collect(),
        native: named.map(Box::new),
        cause: cause.map(Box::new),
    })
}

fn code(field: &'static str, name: &str) -> Result<Option<Code>, Error> {
    if name.is_empty() {
        return Ok(None);
    }
    let known = Code::from_name(name).or_else(|| Code::from_number(name.parse().ok()?));
    known.map(Some).ok_or_else(|| {
        let names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        Error::invalid(format!("{field}.code"), format!("must be one of {}", names.join(", ")))
    })
}

fn after(field: &'static str, after: prost_types::Duration) -> Result<Duration, Error> {
    Duration::try_from(after).map_err(|_| {
        Error::invalid(format!("{field}.retry_after"), "is negative or no valid Duration")
    })
}

/// Copied, as what came in may hold on to the buffer of a whole request.
fn told_detail(detail: proto::Detail) -> Detail {
    Detail { type_url: detail.type_url, value: Bytes::copy_from_slice(&detail.value) }
}

fn told_native(field: &'static str, native: proto::Native) -> Result<Native, Error> {
    let http = match u16::try_from(native.http) {
        Ok(0) => None,
        Ok(status @ 100..1000) => Some(status),
        Ok(_) | Err(_) => {
            let problem = "must be an HTTP status, 100 to 999, or 0 for none";
            return Err(Error::invalid(format!("{field}.native.http"), problem));
        }
    };
    let bytes = Bytes::copy_from_slice(&native.body);
    Ok(Native { protocol: native.protocol, code: native.code, http, bytes, encoded: None })
}
