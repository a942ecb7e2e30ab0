//! Starts: requests of the SDKs' that begin a route's operation, each through a configured door.
//!
//! `[routes.NAME.http]` with `reply = "oci"` is a door: a method and a path beneath an OCI service.
//! The answer is 202 with the work request's OCID in a header, and no body.

mod door;
mod form;
mod head;
mod repeat;
mod table;

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use opgate_bus::{RepeatKey, Start};
use opgate_core::{Error, ErrorKind, Face, OperationId, Parent};
use opgate_edge::Body;
use opgate_rpc::headers as shared;
use opgate_rpc::transcode::query_pairs;
use opgate_rpc::wire::DURABILITY;
use serde_json::Value;

use self::door::Door;
pub(super) use self::door::{BODY_BYTES, COMPARTMENT};
use self::form::Captured;
use self::repeat::Asked;
pub(super) use self::table::Doors;
use self::table::Found;
use super::authenticate::Caller;
use super::{Answered, Inner, Refused, nothing, request_id};
use crate::wire::error::{Code, Refusal};
use crate::wire::names::{RETRY_TOKEN, WORK_REQUEST_ID};

/// A door as configured: `[routes.NAME.http]` with `reply = "oci"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoorSettings {
    /// The route that it starts.
    pub route: String,
    /// The method and the path, such as `DELETE /20160918/compartments/{compartmentId}`: a
    /// placeholder is one whole segment.
    pub request: String,
    /// What the operation is given: a template over `{"path": {…}, "query": {…}, "body": …}`. None:
    /// the fields of the body, of the query and of the path, the last winning.
    pub input: Option<Value>,
    /// The OCID of the compartment in which it is listed: a template over the input. None: its
    /// `compartmentId`, else the tenancy.
    pub compartment: Option<String>,
    /// Fields that the input must have.
    pub required: Vec<String>,
}

/// Something wrong with a door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorProblem {
    /// The route.
    pub route: String,
    /// The key of [`DoorSettings`] at fault.
    pub key: &'static str,
    /// What is wrong with it, and what is allowed.
    pub text: String,
}

impl DoorProblem {
    fn new(door: &DoorSettings, key: &'static str, text: String) -> Self {
        Self { route: door.route.clone(), key, text }
    }
}

/// What a door that takes the body makes of one.
#[cfg(feature = "fidelity")]
pub(super) fn input_of(
    door: &DoorSettings,
    body: &Bytes,
) -> Result<(opgate_core::Payload, opgate_core::Losses), String> {
    let (door, problems) = Door::new(door, &["/20160918"]);
    let door = door.ok_or_else(|| format!("{problems:?}"))?;
    let none = Captured::new();
    let input = door.input(&none, None, body).map_err(|refusal| refusal.message.into_owned())?;
    Ok(door::content(&door, &none, None, body, &input))
}

impl Inner {
    /// Whether a request goes through a door.
    pub(super) fn starts(&self, parts: &Parts) -> bool {
        let path = self.segments(parts);
        path.is_some_and(|path| matches!(self.doors.find(&parts.method, &path), Found::Door(..)))
    }

    /// The segments of a path, decoded: of the service's and of what stands behind it, however many
    /// slashes are in front of these.
    fn segments(&self, parts: &Parts) -> Option<Vec<String>> {
        let (service, rest) = self.service(parts.uri.path())?;
        form::decoded(&format!("{}{rest}", service.path))
    }

    /// Starts the operation that a request asks for, or finds the one that a repeat of it has
    /// started.
    pub(super) async fn start(&self, caller: &Caller, parts: &Parts, body: &Bytes) -> Answered {
        let wrong = || Refusal::invalid("path", "is not percent-encoded UTF-8");
        let path = self.segments(parts).ok_or_else(wrong)?;
        let (door, captured) = match self.doors.find(&parts.method, &path) {
            Found::Door(door, captured) => (door, captured),
            Found::Methods(methods) => return Err(Refused::Method(methods.join(", ").into())),
            Found::Nothing => return Err(nothing().into()),
        };
        head::check_type(&parts.method, &parts.headers, body)?;
        let query = parts.uri.query();
        let asked = Asked { method: &parts.method, path: &path, query, body };
        let repeat = repeat::key(&asked, &parts.headers)?;
        let by_token = repeat.as_ref().is_some_and(|key| !key.while_live);
        let start = self.asked(caller, door, &captured, parts, body, repeat)?;
        let receipt = Box::pin(self.bus.start(&caller.caller, start)).await;
        let receipt = receipt.map_err(|error| refused(error, by_token))?;
        if receipt.repeated {
            self.check_there(caller, receipt.snapshot.id).await?;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::ACCEPTED;
        let headers = response.headers_mut();
        let ocid = HeaderValue::from_str(&self.ocid(&receipt.snapshot)).map_err(|problem| {
            Error::new(ErrorKind::Internal, "an OCID is no header").with_source(problem)
        })?;
        headers.insert(HeaderName::from_static(WORK_REQUEST_ID), ocid);
        headers.insert(DURABILITY, HeaderValue::from_static(receipt.durability.name()));
        Ok(response)
    }

    /// Whether a work request that a repeat is to be answered with can still be read: a token is
    /// honoured for longer than some are kept, and an id that leads nowhere ends every wait.
    async fn check_there(&self, caller: &Caller, id: OperationId) -> Result<(), Refused> {
        let found = self.bus.get(&caller.caller, id).await;
        match found {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::NotFound => {
                let text = format!("{RETRY_TOKEN}: the work request that it started is gone");
                Err(Refusal::new(Code::InvalidatedRetryToken, text).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn asked(
        &self,
        caller: &Caller,
        door: &Door,
        captured: &Captured<'_>,
        parts: &Parts,
        body: &Bytes,
        repeat: Option<RepeatKey>,
    ) -> Result<Start, Refusal> {
        let query = parts.uri.query();
        let input = door.input(captured, query, body)?;
        let endpoint = Arc::clone(&door.request);
        let (content, lost) = door::content(door, captured, query, body, &input);
        let mut start = Start::new(Face::Oci, endpoint, Arc::clone(&door.route), content);
        start.lost = lost;
        start.parent = match door.compartment(&input)? {
            None => Parent::root(),
            Some(id) => self.compartments.scope(caller, &id)?.ok_or_else(|| {
                let in_url = captured.iter().any(|(_, value)| *value == id)
                    || query_pairs(query).is_ok_and(|all| all.iter().any(|(_, v)| *v == id));
                hidden(in_url)
            })?,
        };
        start.request_id = request_id::given(&parts.headers).map(Box::from);
        start.dedupe = repeat;
        start.headers = head::kept(&parts.headers);
        start.trace = shared::trace(&parts.headers);
        Ok(start)
    }
}

/// A compartment that is not the caller's, in the path or the query, or else in the body.
fn hidden(in_url: bool) -> Refusal {
    if in_url {
        return Refusal::from(&Error::not_found());
    }
    let text = "Authorization failed or a resource named in the body was not found.";
    Refusal::new(Code::RelatedResourceNotAuthorizedOrNotFound, text)
}

fn refused(error: Error, by_token: bool) -> Refused {
    if error.kind != ErrorKind::AlreadyExists {
        return error.into();
    }
    if by_token {
        let text = format!("{RETRY_TOKEN}: was used before for a different request");
        return Refusal::new(Code::InvalidatedRetryToken, text).into();
    }
    Refusal::new(Code::NotAuthorizedOrResourceAlreadyExists, error.message).into()
}
