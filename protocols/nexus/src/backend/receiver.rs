//! Where the completions of operations that run upstream come in: `/nexus/callback/BACKEND/HANDLE`.
//!
//! The handle in the path is what vouches for the sender: it is sealed, good for one operation of one
//! backend, and nothing else of the request is trusted. A completion is durable before it is
//! answered with 200. The same one again is answered alike; another end of the same operation is a
//! conflict, which the operation keeps on record. One that is too large to be kept ends the operation
//! as failed.

mod time;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use opgate_bus::Bus;
use opgate_bus::core::{
    Error, ErrorKind, Loss, Losses, OperationId, Outcome, Payload, Report, Retry,
};
use opgate_edge::{Body, BodyError, Frontend, Peer, RequestBody, ResponseFuture, collect_limited};
use opgate_telemetry::{self as telemetry, Metrics, Protocol};
use serde::de::IgnoredAny;

use super::PURPOSE;
use super::reply;
use super::request::CALLBACK_PATH;
use crate::wire::{content, failure, handler_error, link, names};

/// The bounds of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Largest body.
    pub request_bytes: usize,
    /// Time for it to arrive.
    pub request_timeout: Duration,
}

/// Takes the completions of every Nexus backend.
#[derive(Clone, Debug)]
pub struct Completions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bus: Bus,
    bounds: Bounds,
    metrics: Arc<Metrics>,
}

/// Why a completion was not taken.
enum Refusal {
    Error(Error),
    /// The request broke off. Whoever still listens must not take the answer for a 200: nothing was
    /// kept.
    Withdrawn,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Completions {
    /// How the paths of its requests begin.
    pub const PATH: &'static str = CALLBACK_PATH;

    /// Takes what ends operations that went through `bus`.
    pub fn new(bus: Bus, bounds: Bounds, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Inner { bus, bounds, metrics }))
    }
}

impl Frontend for Completions {
    fn call(&self, request: Request<RequestBody>, _peer: &Arc<Peer>) -> ResponseFuture {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let requests = &inner.metrics.requests;
            let in_flight = requests.begin(Protocol::Nexus, telemetry::Method::Finish);
            let (code, response) = match Box::pin(inner.take(request)).await {
                Ok(()) => (telemetry::Code::Ok, Response::new(Body::empty())),
                Err(Refusal::Withdrawn) => {
                    (telemetry::Code::Cancelled, refused(&handler_error::broken_off()))
                }
                Err(Refusal::Error(error)) => {
                    let code = opgate_bus::failure(&error).code.number();
                    (telemetry::Code::from_number(code), refused(&error))
                }
            };
            in_flight.finish(code);
            response
        })
    }
}

impl Inner {
    async fn take(&self, request: Request<RequestBody>) -> Result<(), Refusal> {
        let (parts, body) = request.into_parts();
        if parts.method != Method::POST {
            return Err(Error::invalid("method", "must be POST").into());
        }
        // Before anything is read for somebody who has no business here.
        let place = parts.uri.path().strip_prefix(CALLBACK_PATH).unwrap_or_default();
        let (backend, handle) = place.split_once('/').ok_or_else(Error::not_found)?;
        let id = self.bus.open_handle(PURPOSE, &[backend], handle)?;
        let said = Said::read(&parts.headers)?;
        let Bounds { request_bytes, request_timeout } = self.bounds;
        let state = said.state;
        let body = match collect_limited(body, request_bytes, request_timeout).await {
            Ok(body) => body,
            Err(error @ BodyError::TooLarge { .. }) => {
                let error = Error::new(ErrorKind::PayloadTooLarge, error.to_string());
                return Err(self.lose(id, backend, state, error).await.into());
            }
            Err(error) => return Err(unread(&error)),
        };
        let (outcome, report) = said.with(&parts.headers, body)?;
        let native_state = report.native_state.clone();
        let mut concluded = self.bus.conclude(id, backend, report, outcome.clone()).await;
        // More links than fit beside those of the start are no reason to lose the result.
        if let Err(Error { field: Some(violation), .. }) = &concluded
            && violation.field == "links"
        {
            let report = Report { native_state, ..Report::default() };
            concluded = self.bus.conclude(id, backend, report, outcome).await;
        }
        match concluded {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(
                    error.kind,
                    ErrorKind::PayloadTooLarge | ErrorKind::InvalidArgument
                ) =>
            {
                Err(self.lose(id, backend, state, error).await.into())
            }
            // What has ended has ended: nobody is to send this again.
            Err(error) if error.kind == ErrorKind::Conflict => {
                Err(Error::new(ErrorKind::AlreadyExists, error.message).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Ends an operation whose completion is whole and cannot be kept: as it is refused for good,
    /// nobody sends another, and the operation would wait for one for ever. Returns what the sender
    /// is told.
    async fn lose(&self, id: OperationId, backend: &str, state: &str, error: Error) -> Error {
        let outcome = Outcome::Failed(reply::hopeless(&error));
        let report = Report { native_state: Some(state.into()), ..Report::default() };
        match self.bus.conclude(id, backend, report, outcome).await {
            // Then it is worth to be sent again.
            Err(later) if later.retry != Retry::Never => later,
            Ok(_) | Err(_) => error,
        }
    }
}

/// What the headers of a completion say.
struct Said {
    state: &'static str,
    report: Report,
}

impl Said {
    fn read(headers: &HeaderMap) -> Result<Self, Error> {
        let states = [names::SUCCEEDED, names::FAILED, names::CANCELED];
        let told = headers.get(names::OPERATION_STATE).map(HeaderValue::as_bytes);
        let state = states.into_iter().find(|state| told == Some(state.as_bytes()));
        let state = state.ok_or_else(|| {
            let allowed = states.join(", ");
            Error::invalid(names::OPERATION_STATE, format!("must be one of {allowed}"))
        })?;
        // The start time is not looked at: senders of sdk-go are off by their time zone.
        if let Some(close) = headers.get(names::OPERATION_CLOSE_TIME)
            && !close.to_str().is_ok_and(time::is_rfc3339)
        {
            let allowed = "must be a time as of RFC 3339, such as 2026-01-02T03:04:05.678Z";
            return Err(Error::invalid(names::OPERATION_CLOSE_TIME, allowed));
        }
        let links = link::read(headers)?;
        let report = Report { links, native_state: Some(state.into()), ..Report::default() };
        Ok(Self { state, report })
    }

    fn with(self, headers: &HeaderMap, body: Bytes) -> Result<(Outcome, Report), Error> {
        if self.state == names::SUCCEEDED {
            let lost = Losses::NONE.with(Loss::ResultType, content::is_more(headers));
            let result = content::read_result(headers, body)?;
            return Ok((Outcome::Succeeded(result), Report { lost, ..self.report }));
        }
        let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !Payload::new(media_type.unwrap_or_default(), Bytes::new()).is_json() {
            return Err(Error::invalid("content-type", "of a failure must be application/json"));
        }
        if !matches!(body.trim_ascii_start().first(), Some(b'{'))
            || serde_json::from_slice::<IgnoredAny>(&body).is_err()
        {
            return Err(Error::invalid("body", "must be a failure: an object of JSON"));
        }
        let outcome = failure::read(headers, &body);
        let native_state = Some(names::state(outcome.state()).into());
        Ok((outcome, Report { native_state, ..self.report }))
    }
}

fn unread(error: &BodyError) -> Refusal {
    match error {
        BodyError::TooLarge { .. } => {
            Error::new(ErrorKind::PayloadTooLarge, error.to_string()).into()
        }
        BodyError::Timeout { .. } => {
            Error::new(ErrorKind::DeadlineExceeded, error.to_string()).into()
        }
        BodyError::Broken(_) => Refusal::Withdrawn,
    }
}

/// The handler error of a refusal.
fn refused(error: &Error) -> Response<Body> {
    let (status, retryable, body) = handler_error::write(error);
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let retryable = HeaderValue::from_static(if retryable { "true" } else { "false" });
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(names::REQUEST_RETRYABLE), retryable);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Payload::JSON));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        given.iter().map(header).collect()
    }

    fn read(given: &[(&'static str, &'static str)], body: &'static str) -> Result<Outcome, String> {
        let headers = headers(given);
        Said::read(&headers)
            .and_then(|said| said.with(&headers, body.into()))
            .map(|(outcome, _)| outcome)
            .map_err(|error| error.field.unwrap().field.into_owned())
    }

    #[test]
    fn a_result_is_what_came_and_may_be_nothing() {
        let state = (names::OPERATION_STATE, "succeeded");
        assert_eq!(read(&[state], ""), Ok(Outcome::Succeeded(None)));
        assert_eq!(
            read(&[state, ("content-type", "application/json")], "{ }"),
            Ok(Outcome::Succeeded(Some(Payload::json("{ }"))))
        );
    }

    #[test]
    fn a_failure_may_be_tagged_bare_or_temporals() {
        let json = ("content-type", "application/json");
        for (state, body, canceled, message) in [
            ("failed", r#"{"message":"boom"}"#, false, "boom"),
            ("canceled", r#"{"message":"stop"}"#, true, "stop"),
            (
                "failed",
                r#"{"message":"m","metadata":{"type":"nexus.OperationError"},"details":{"state":"failed"}}"#,
                false,
                "m",
            ),
            (
                "failed",
                r#"{"message":"t","metadata":{"type":"temporal.api.failure.v1.Failure"},"details":{"applicationFailureInfo":{}}}"#,
                false,
                "t",
            ),
        ] {
            let outcome = read(&[(names::OPERATION_STATE, state), json], body).unwrap();
            assert_eq!(matches!(outcome, Outcome::Canceled(_)), canceled, "{body}");
            assert_eq!(outcome.failure().unwrap().message, message);
            assert_eq!(outcome.failure().unwrap().native.as_ref().unwrap().bytes, body);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let ok = (names::OPERATION_STATE, "succeeded");
        let failed = (names::OPERATION_STATE, "failed");
        let json = ("content-type", "application/json");
        for (given, body, field) in [
            (&[][..], "", names::OPERATION_STATE),
            (&[(names::OPERATION_STATE, "running")], "", names::OPERATION_STATE),
            (&[(names::OPERATION_STATE, "SUCCEEDED")], "", names::OPERATION_STATE),
            (&[ok, (names::OPERATION_CLOSE_TIME, "yesterday")], "", names::OPERATION_CLOSE_TIME),
            (&[ok, (names::LINK, "nowhere")], "", names::LINK),
            (&[failed], "{}", "content-type"),
            (&[failed, ("content-type", "text/plain")], "{}", "content-type"),
            (&[failed, json], "", "body"),
            (&[failed, json], "boom", "body"),
            (&[failed, json], "[1]", "body"),
        ] {
            assert_eq!(read(given, body), Err(field.to_owned()), "{given:?} {body:?}");
        }
        // Dates that are off are no reason.
        let odd = [ok, (names::OPERATION_START_TIME, "2026-01-02T03:04:05+02:00")];
        assert_eq!(read(&odd, ""), Ok(Outcome::Succeeded(None)));
    }

    #[test]
    fn fuzz_any_failure_body_is_read_or_refused() {
        let given =
            headers(&[(names::OPERATION_STATE, "failed"), ("content-type", "application/json")]);
        bolero::check!().for_each(|bytes: &[u8]| {
            let body = Bytes::copy_from_slice(bytes);
            let read = Said::read(&given).and_then(|said| said.with(&given, body));
            if let Ok((outcome, _)) = read {
                assert!(matches!(outcome, Outcome::Failed(_) | Outcome::Canceled(_)));
            }
        });
    }
}
