//! Failures that did not come from Nexus, as opgate writes them and reads them back.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use opgate_core::{Code, Detail, Failure, Loss, Losses, Native, limits};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::BYTES_MAX;
use crate::wire::duration;
use crate::wire::names::{OPERATION_ERROR, OPGATE_FAILURE};

#[derive(Serialize)]
struct Written<'a> {
    message: &'a str,
    metadata: BTreeMap<&'static str, &'static str>,
    details: Tag<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Tag<'a> {
    State(Box<Ended<'a>>),
    Own(Box<Own>),
}

/// The state, and of the failure what readers without an eye for causes would not see.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ended<'a> {
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Cause<'a> {
    Written(Box<Written<'a>>),
    Verbatim(&'a RawValue),
}

/// What the canonical failure says beside its message and its cause.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Own {
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<OwnDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    native: Option<OwnNative>,
    /// How many details and foreign forms were too large to go along.
    #[serde(skip_serializing_if = "Option::is_none")]
    details_omitted: Option<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnDetail {
    type_url: String,
    value: String,
}

#[derive(Serialize, Deserialize)]
struct OwnNative {
    protocol: String,
    code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http: Option<u16>,
    body: String,
}

/// The tagged body without more than a message.
pub(super) fn plain(state: &str, message: &str) -> Bytes {
    written(Ended::of(state, None), message, None)
}

/// The tagged body around a body that is no operation's failure by itself.
pub(super) fn wrapping(state: &str, failure: &Failure, body: &[u8]) -> Bytes {
    let cause = serde_json::from_slice::<&RawValue>(body).ok().map(Cause::Verbatim);
    written(Ended::of(state, Some(failure)), limits::clip(&failure.message), cause)
}

/// The tagged body of a failure from elsewhere, and what it does not say.
pub(super) fn tagged(state: &str, failure: &Failure) -> (Bytes, Losses) {
    let large = std::iter::successors(Some(failure), |failure| failure.cause.as_deref())
        .map(weight)
        .sum::<usize>();
    let whole = (large <= BYTES_MAX).then(|| own(failure, true));
    let ended = || Ended::of(state, Some(failure));
    let whole = whole.map(|own| written(ended(), &failure.message, Some(own)));
    // Escapes and base64 make more of it than was weighed.
    let whole = whole.filter(|body| body.len() <= BYTES_MAX);
    let lost = lost(failure, whole.is_some());
    let body = whole.unwrap_or_else(|| {
        written(ended(), limits::clip(&failure.message), Some(own(failure, false)))
    });
    (body, lost)
}

fn lost(failure: &Failure, whole: bool) -> Losses {
    let causes = || std::iter::successors(failure.cause.as_deref(), |cause| cause.cause.as_deref());
    let cut = |failure: &Failure| limits::clip(&failure.message) != failure.message;
    let rest = |failure: &Failure| !failure.details.is_empty() || failure.native.is_some();
    // Times are written in milliseconds.
    let late = |failure: &Failure| {
        let after = failure.retry_after;
        after.is_some_and(|after| duration::parse_lenient(&duration::write(after)) != Some(after))
    };
    let of_causes = causes().any(late) || !whole && causes().any(|cause| cut(cause) || rest(cause));
    Losses::NONE
        .with(Loss::ErrorText, !whole && cut(failure))
        .with(Loss::ErrorRetry, late(failure))
        .with(Loss::ErrorDetails, !whole && !failure.details.is_empty())
        .with(Loss::ErrorNative, !whole && failure.native.is_some())
        .with(Loss::ErrorCauses, of_causes)
}

fn weight(failure: &Failure) -> usize {
    let details = failure.details.iter().map(|detail| detail.value.len()).sum::<usize>();
    let native = failure.native.as_deref().map_or(0, |native| native.bytes.len());
    failure.message.len() + details + native
}

impl<'a> Ended<'a> {
    fn of(state: &'a str, failure: Option<&'a Failure>) -> Self {
        Self {
            state,
            code: failure.map(|failure| failure.code.name()),
            reason: failure.and_then(|failure| failure.reason.as_deref()).map(limits::clip),
            retryable: failure.and_then(|failure| failure.retryable),
            retry_after: failure.and_then(|failure| failure.retry_after).map(duration::write),
        }
    }
}

fn written(ended: Ended<'_>, message: &str, cause: Option<Cause<'_>>) -> Bytes {
    let metadata = BTreeMap::from([("type", OPERATION_ERROR)]);
    let written = Written { message, metadata, details: Tag::State(Box::new(ended)), cause };
    // Text and numbers under text keys: nothing that could fail.
    serde_json::to_vec(&written).unwrap_or_default().into()
}

fn own(failure: &Failure, whole: bool) -> Cause<'_> {
    let message = if whole { &failure.message } else { limits::clip(&failure.message) };
    let carried = failure.details.len() + usize::from(failure.native.is_some());
    let own = Own {
        code: failure.code.name().to_owned(),
        reason: failure.reason.clone(),
        retryable: failure.retryable,
        retry_after: failure.retry_after.map(duration::write),
        details: failure.details.iter().filter(|_| whole).map(detail).collect(),
        native: failure.native.as_deref().filter(|_| whole).map(native),
        details_omitted: (!whole && carried > 0).then_some(carried),
    };
    let metadata = BTreeMap::from([("type", OPGATE_FAILURE)]);
    let cause = failure.cause.as_deref().map(|cause| self::own(cause, whole));
    Cause::Written(Box::new(Written { message, metadata, details: Tag::Own(Box::new(own)), cause }))
}

fn detail(detail: &Detail) -> OwnDetail {
    OwnDetail { type_url: detail.type_url.clone(), value: STANDARD.encode(&detail.value) }
}

fn native(native: &Native) -> OwnNative {
    OwnNative {
        protocol: native.protocol.clone(),
        code: native.code.clone(),
        http: native.http,
        body: STANDARD.encode(&native.bytes),
    }
}

/// One level as opgate wrote it, without its cause. None where it is not quite that.
pub(super) fn read(message: &str, details: &str) -> Option<Failure> {
    let own: Own = serde_json::from_str(details).ok()?;
    let details = own.details.into_iter().take(limits::FAILURE_DETAILS).map(|detail| {
        let value = STANDARD.decode(detail.value).ok()?.into();
        Some(Detail { type_url: detail.type_url, value })
    });
    let native = match own.native {
        Some(native) => Some(Box::new(Native {
            protocol: limits::clip(&native.protocol).to_owned(),
            code: limits::clip(&native.code).to_owned(),
            http: native.http,
            bytes: STANDARD.decode(native.body).ok()?.into(),
            encoded: None,
        })),
        None => None,
    };
    let retry_after: Option<Duration> =
        own.retry_after.as_deref().and_then(duration::parse_lenient);
    Some(Failure {
        code: Code::from_name(&own.code)?,
        message: message.to_owned(),
        reason: own.reason.map(|reason| limits::clip(&reason).to_owned()),
        retryable: own.retryable,
        retry_after,
        details: details.collect::<Option<_>>()?,
        native,
        cause: None,
    })
}
