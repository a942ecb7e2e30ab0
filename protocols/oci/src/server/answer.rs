//! Answers: whatever came of a request, in the protocol's words, named and counted.

use std::borrow::Cow;

use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, Version};
use opgate_core::Error;
use opgate_edge::{Body, BodyError};
use opgate_rpc::status;
use opgate_telemetry::{Code as Counted, InFlight, Method, Protocol};
use tracing::trace;

use super::{Inner, reply};
use crate::signature::Reason;
use crate::wire::error::{self, Code, Refusal};
use crate::wire::names;

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// A request that could not be served.
#[derive(Debug)]
pub(super) enum Refused {
    /// An error of opgate's.
    Error(Error),
    /// A refusal in the protocol's own words.
    Said(Refusal),
    /// Nobody is believed to have sent it.
    Unauthenticated {
        reason: Reason,
        /// Whether there is a body that was not read to its end.
        unread: bool,
    },
    /// There is such a path, for these methods.
    Method(Cow<'static, str>),
    /// The body was not read to its end: over HTTP/1 the connection ends with the answer, and the
    /// caller has to know.
    Unread(Refusal),
    /// The request broke off.
    Withdrawn,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self::Unauthenticated { reason, unread: false }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Said(refusal)
    }
}

pub(super) type Answered = Result<Response<Body>, Refused>;

impl Inner {
    /// The answer, counted.
    pub(super) fn finish(
        &self,
        parts: &Parts,
        method: Method,
        in_flight: InFlight<'_>,
        answered: Answered,
    ) -> Response<Body> {
        let count = |kind| Counted::from_number(status::code(kind).number());
        let id = self.request_ids.answer(&parts.headers);
        let (mut response, counted) = match answered {
            Ok(response) => (response, Counted::Ok),
            Err(Refused::Error(error)) => {
                self.failures.note(Protocol::Oci, method, &error);
                let mut response = reply::refused(&Refusal::from(&error));
                if let Some(seconds) = error::retry_after(&error) {
                    reply::wait(&mut response, seconds);
                }
                (response, count(error.kind))
            }
            Err(Refused::Unauthenticated { reason, unread }) => {
                self.metrics.signatures.refused.of(reason.fault()).increment(1);
                // The caller is not told, and the counter has no name of a key: for whoever looks for just that.
                trace!(opc_request_id = ?id, %reason, "a request is not authenticated");
                let mut response = reply::unauthenticated();
                if unread {
                    close(parts, &mut response);
                }
                (response, Counted::Unauthenticated)
            }
            Err(Refused::Said(refusal)) => (reply::refused(&refusal), count(refusal.kind())),
            Err(Refused::Method(methods)) => {
                let refusal = Refusal::new(
                    Code::MethodNotAllowed,
                    format!("{} is not offered here; there is {methods}", parts.method),
                );
                let mut response = reply::refused(&refusal);
                reply::allow(&mut response, &methods);
                (response, count(refusal.kind()))
            }
            Err(Refused::Unread(refusal)) => {
                let mut response = reply::refused(&refusal);
                close(parts, &mut response);
                (response, count(refusal.kind()))
            }
            Err(Refused::Withdrawn) => {
                let broken = Refusal::new(Code::CannotParseRequest, "body: broke off");
                (reply::refused(&broken), Counted::Cancelled)
            }
        };
        in_flight.finish(counted);
        response.headers_mut().insert(HeaderName::from_static(names::REQUEST_ID), id);
        response
    }
}

/// Says that the connection ends: of HTTP/1 nothing more can be read behind a body that was not.
fn close(parts: &Parts, response: &mut Response<Body>) {
    if parts.version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, CLOSE);
    }
}

/// What is answered where nothing is.
pub(super) fn nothing() -> Refusal {
    Refusal::new(Code::NotFound, "There is no such path.")
}

/// What is answered to a body that was not read.
pub(super) fn unread(error: &BodyError) -> Refused {
    let said = |code| Refused::Unread(Refusal::new(code, format!("body: {error}")));
    match error {
        BodyError::TooLarge { .. } => said(Code::RequestEntityTooLarge),
        BodyError::Timeout { .. } => said(Code::RequestTimeout),
        BodyError::Broken(_) => Refused::Withdrawn,
    }
}
