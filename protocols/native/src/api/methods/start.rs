//! Starts.

use std::sync::Arc;
use std::time::Duration;

use opgate_bus::{RepeatKey, Start};
use opgate_core::{Error, ErrorKind, Face, FieldViolation, KeySpace, Payload};
use opgate_rpc::wire::Reply;

use super::{Head, duration};
use crate::api::Inner;
use crate::api::client as proto;
use crate::api::map::{name, request};

/// The endpoint every start here comes through.
const ENDPOINT: &str = "opgate.v1.Operations/StartOperation";
/// The family of this API's dedupe keys.
const KEYS: &str = "native";

impl Inner {
    /// Starts an operation, or finds the one its key has started.
    pub(super) async fn start(
        &self,
        asked: proto::StartOperationRequest,
        head: Head,
    ) -> Result<Reply, Error> {
        let start = self.asked(asked, head)?;
        let receipt = self.bus.start(&self.caller, start).await?;
        Ok(self.change_reply(&receipt))
    }

    fn asked(&self, asked: proto::StartOperationRequest, head: Head) -> Result<Start, Error> {
        let route = self.route(&asked)?;
        let input = asked.input.map(|input| request::payload("input", input)).transpose()?;
        // What nobody gave is nothing, of no particular type.
        let input = input.unwrap_or_else(|| Payload::new(request::BYTES, ""));
        let mut start = Start::new(Face::Native, ENDPOINT, route, input);
        start.parent = name::parent(&asked.parent)?;
        let key = if asked.request_id.is_empty() { head.key } else { Some(asked.request_id) };
        start.request_id = key.as_deref().map(Box::from);
        start.dedupe = key.map(|key| RepeatKey::new(KeySpace::new(KEYS), key));
        start.deadline = asked.timeout.map(timeout).transpose()?;
        start.headers = request::headers("headers", asked.headers)?;
        start.links = request::links("links", asked.links)?;
        start.callbacks = request::callbacks(asked.callbacks)?;
        for callback in &start.callbacks {
            let admitted = self.settings.guard.admit(&callback.url);
            admitted.map_err(|refusal| refusal.about("callbacks.url"))?;
        }
        start.trace = head.trace;
        Ok(start)
    }

    /// The route that is asked for: by its name, or as the only one of its kind.
    fn route(&self, asked: &proto::StartOperationRequest) -> Result<Arc<str>, Error> {
        let (service, operation) = (&*asked.service, &*asked.operation);
        if !asked.route.is_empty() {
            let route = self.bus.route(&asked.route);
            let route = route.ok_or_else(|| unknown("route", "there is no route of this name"))?;
            for (field, given, has) in [
                ("service", service, route.kind.service()),
                ("operation", operation, route.kind.operation()),
            ] {
                if !given.is_empty() && given != has {
                    let problem = "is not that of the route; leave it out, or leave out the route";
                    return Err(Error::invalid(field, problem));
                }
            }
            return Ok(Arc::clone(&route.name));
        }
        if service.is_empty() || operation.is_empty() {
            let problem = "is empty: name a route, or else a service and one of its operations";
            return Err(Error::invalid("route", problem));
        }
        let routes = self.bus.routes_of(service, operation);
        match &*routes {
            [] => Err(unknown("operation", "no route is for this operation of this service")),
            [only] => Ok(Arc::clone(&only.name)),
            several => {
                let names: Vec<&str> = several.iter().map(|route| &*route.name).collect();
                let problem = format!("is needed, for several are: {}", names.join(", "));
                Err(Error::invalid("route", problem))
            }
        }
    }
}

/// A name that leads nowhere.
fn unknown(field: &'static str, problem: &'static str) -> Error {
    let violation = FieldViolation { field: field.into(), description: problem.to_owned() };
    let error = Error::new(ErrorKind::NotFound, format!("{field}: {problem}"));
    Error { field: Some(Box::new(violation)), ..error }
}

fn timeout(timeout: prost_types::Duration) -> Result<Duration, Error> {
    let timeout = duration("timeout", timeout)?;
    if timeout.is_zero() {
        return Err(Error::invalid("timeout", "is zero: leave it out for the route's own limit"));
    }
    Ok(timeout)
}
