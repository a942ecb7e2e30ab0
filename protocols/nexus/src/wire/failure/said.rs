//! A failure body as it was said, one level at a time: details and causes stay text until they are
//! looked at, so a body costs no more than its bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use opgate_core::{Code, Failure, limits};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::own;
use crate::wire::handler_error::Kind;
use crate::wire::names::{
    CANCELED, HANDLER_ERROR, OPERATION_ERROR, OPGATE_FAILURE, TEMPORAL_FAILURE, UNWRAP_ERROR,
};

#[derive(Deserialize)]
pub(super) struct Said<'a> {
    #[serde(borrow, default)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    metadata: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
    #[serde(borrow, default)]
    details: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cause: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details<'a> {
    #[serde(borrow)]
    state: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    retryable_override: Option<bool>,
    /// Of opgate's own, beside the state.
    #[serde(borrow)]
    code: Option<Cow<'a, str>>,
    retryable: Option<bool>,
}

/// What a handler error's body says of itself.
#[derive(Debug, Default)]
pub(in crate::wire) struct HandlerTold {
    /// The text.
    pub(in crate::wire) message: String,
    /// Its type, where it is tagged as a handler error.
    pub(in crate::wire) kind: Option<String>,
    /// What it says of a retry.
    pub(in crate::wire) retryable: Option<bool>,
    /// What led to it.
    pub(in crate::wire) cause: Option<Box<Failure>>,
}

impl HandlerTold {
    /// Of any body whatever.
    pub(in crate::wire) fn read(body: &[u8]) -> Self {
        let Some(said) = Said::read(body) else {
            let message = limits::clip(&String::from_utf8_lossy(body)).to_owned();
            return Self { message, ..Self::default() };
        };
        let details = said.details().filter(|_| said.tag() == Some(HANDLER_ERROR));
        let details = details.unwrap_or_default();
        Self {
            message: said.message().to_owned(),
            kind: details.kind.map(Cow::into_owned),
            retryable: details.retryable_override,
            cause: said.cause(limits::FAILURE_DEPTH - 1),
        }
    }
}

/// Whether JSON is an object: fields without names, in a list, would be read as if they had them.
fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{')
}

impl<'a> Said<'a> {
    /// None where this is no failure body: then it is but text.
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        is_object(body).then(|| serde_json::from_slice(body).ok()).flatten()
    }

    pub(super) fn tag(&self) -> Option<&str> {
        self.metadata.as_ref()?.get("type").map(|tag| &**tag)
    }

    fn details(&self) -> Option<Details<'_>> {
        let text = self.details?.get();
        is_object(text.as_bytes()).then(|| serde_json::from_str(text).ok()).flatten()
    }

    /// The state in the tag of an operation error.
    pub(super) fn state(&self) -> Option<&'static str> {
        let details = self.details().filter(|_| self.tag() == Some(OPERATION_ERROR))?;
        let state = details.state?;
        [CANCELED, super::FAILED].into_iter().find(|known| *known == state)
    }

    /// Whether readers of any version take it for the end in this state.
    pub(super) fn ends_in(&self, state: &str) -> bool {
        match self.tag() {
            Some(OPERATION_ERROR) => self.state() == Some(state),
            Some(HANDLER_ERROR) => false,
            Some(_) | None => true,
        }
    }

    /// Whether it is an operation's end around a failure of opgate's.
    pub(super) fn is_own(&self) -> bool {
        let is_failure = |cause: &RawValue| {
            Said::read(cause.get().as_bytes())
                .is_some_and(|cause| cause.tag() == Some(OPGATE_FAILURE))
        };
        self.tag() == Some(OPERATION_ERROR) && self.cause.is_some_and(is_failure)
    }

    fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    fn cause(&self, depth: usize) -> Option<Box<Failure>> {
        let cause = Said::read(self.cause?.get().as_bytes())?;
        (depth > 0).then(|| Box::new(cause.failure(super::FAILED, depth)))
    }

    /// What it means, with at most `depth` levels.
    pub(super) fn failure(&self, state: &str, depth: usize) -> Failure {
        let tag = self.tag();
        if tag == Some(OPGATE_FAILURE)
            && let Some(details) = self.details
            && let Some(failure) = own::read(self.message(), details.get())
        {
            return Failure { cause: self.cause(depth.saturating_sub(1)), ..failure };
        }
        let cause = self.cause(depth.saturating_sub(1));
        if tag == Some(OPERATION_ERROR) {
            // opgate's own form, or Temporal's wrapper: all that matters is in the cause.
            let unwrap = self.metadata.as_ref().and_then(|metadata| metadata.get(UNWRAP_ERROR));
            if unwrap.is_some_and(|unwrap| unwrap == "true")
                || self.is_own()
                || self.message().is_empty()
            {
                if let Some(cause) = cause {
                    return *cause;
                }
                return self.told(state, None);
            }
        }
        self.told(state, cause)
    }

    fn told(&self, state: &str, cause: Option<Box<Failure>>) -> Failure {
        let mut failure = Failure::new(Code::Unknown, self.message());
        match self.tag() {
            Some(HANDLER_ERROR) => {
                let details = self.details().unwrap_or_default();
                if let Some(kind) = details.kind.as_deref().and_then(Kind::from_name) {
                    failure.code = kind.code();
                    failure.retryable =
                        Some(details.retryable_override.unwrap_or(kind.is_retryable()));
                }
                let kind = details.kind.filter(|kind| !kind.is_empty());
                failure.reason = kind.map(|kind| limits::clip(&kind).to_owned());
            }
            Some(TEMPORAL_FAILURE) => self.temporal(&mut failure),
            Some(OPERATION_ERROR) => {
                if let Some(cause) = &cause {
                    failure.code = cause.code;
                    failure.retryable = cause.retryable;
                } else if let Some(details) = self.details() {
                    // Whoever passed it on may have lost the cause.
                    let code = details.code.as_deref().and_then(Code::from_name);
                    failure.code = code.unwrap_or(failure.code);
                    failure.retryable = details.retryable;
                }
            }
            Some(_) | None => {}
        }
        if state == CANCELED && failure.code == Code::Unknown {
            failure.code = Code::Cancelled;
        }
        failure.cause = cause;
        failure
    }

    /// Which kind of Temporal's failures it is, and what that says.
    fn temporal(&self, failure: &mut Failure) {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "applicationFailureInfo")]
            application: Option<Application>,
            #[serde(rename = "timeoutFailureInfo")]
            timeout: Option<IgnoredAny>,
            #[serde(rename = "canceledFailureInfo")]
            canceled: Option<IgnoredAny>,
            #[serde(rename = "terminatedFailureInfo")]
            terminated: Option<IgnoredAny>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Application {
            #[serde(default, rename = "type")]
            kind: String,
            #[serde(default)]
            non_retryable: bool,
        }
        let kind =
            self.details.and_then(|details| serde_json::from_str::<Kind>(details.get()).ok());
        let Some(told) = kind else { return };
        if let Some(application) = told.application {
            let kind = limits::clip(&application.kind);
            failure.reason = (!kind.is_empty()).then(|| kind.to_owned());
            failure.retryable = application.non_retryable.then_some(false);
        } else if told.timeout.is_some() {
            failure.code = Code::DeadlineExceeded;
        } else if told.canceled.is_some() {
            failure.code = Code::Cancelled;
        } else if told.terminated.is_some() {
            failure.code = Code::Aborted;
        }
    }
}
