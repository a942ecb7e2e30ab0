//! Operations as entities: made, read, canceled, awaited, deleted.

use std::sync::Arc;
use std::time::Duration;

use opgate_bus::{Snapshot, Start, Subject, Until};
use opgate_core::{Callback, Error, ErrorKind, Face, Loss, Losses, OperationId, Parent};
use opgate_telemetry::Protocol;
use serde_amqp::Value;

use super::answer::{Answer, Answered, nothing};
use super::request::{Asked, Fields};
use super::{Inner, content, kept};
use crate::wire::status::Status;
use crate::wire::{self, json, names, text};

/// What a CREATE may say of an operation.
pub(super) const CREATED_WITH: [&str; 8] =
    ["route", "service", "operation", "input", "inputType", "parent", "timeout", "callbacks"];

impl Inner {
    pub(super) async fn of_operation(&self, asked: &Asked) -> Answered {
        match asked.operation.as_str() {
            "CREATE" => self.create(asked).await,
            "READ" => Ok(self.shown(Status::OK, self.found(asked).await?)),
            "UPDATE" => self.update(asked).await,
            "DELETE" => {
                self.bus.remove(&asked.caller, self.subject(asked)?).await?;
                Ok(Answer::new(Status::NO_CONTENT, nothing()))
            }
            "CANCEL" => {
                let reason = asked.text(names::REASON)?.unwrap_or_default();
                let receipt = self.bus.cancel(&asked.caller, self.subject(asked)?, reason).await?;
                Ok(self.shown(Status::OK, receipt.snapshot))
            }
            "WAIT" => {
                let limit = self.limit(asked, asked.time(names::TIMEOUT)?);
                Ok(self.shown(Status::OK, self.wait(asked, self.id(asked)?, limit).await?))
            }
            "QUERY" | "GET-TYPES" | "GET-ATTRIBUTES" | "GET-OPERATIONS" | "GET-ANNOTATIONS"
            | "GET-MGMT-NODES" => self.of_node(asked).await,
            _ => Err(self.unsupported(asked)),
        }
    }

    pub(super) fn shown(&self, status: Status, snapshot: Arc<Snapshot>) -> Answer {
        Answer::operation(status, kept::content(snapshot, &self.names, self.number))
    }

    pub(super) fn id(&self, asked: &Asked) -> Result<OperationId, Error> {
        self.names.id(&asked.caller, asked.subject()?)
    }

    /// The operation that a request is about, in the version that it must have.
    pub(super) fn subject(&self, asked: &Asked) -> Result<Subject, Error> {
        Ok(Subject { id: self.id(asked)?, expect: asked.version()? })
    }

    /// The operation that a request is about, where it is at hand.
    pub(super) fn peeked(&self, asked: &Asked) -> Option<Answered> {
        match self.id(asked) {
            Ok(id) => {
                let found = self.bus.peek(&asked.caller, id)?;
                Some(found.map(|found| self.shown(Status::OK, found)))
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// The operation that a request is about.
    pub(super) async fn found(&self, asked: &Asked) -> Result<Arc<Snapshot>, Error> {
        let id = self.id(asked)?;
        match self.bus.peek(&asked.caller, id) {
            Some(found) => found,
            None => self.bus.get(&asked.caller, id).await,
        }
    }

    /// How long a request may wait: as long as it asks to, if it does, and no longer than its client
    /// hears the answer and the settings allow.
    pub(super) fn limit(&self, asked: &Asked, wanted: Option<Duration>) -> Duration {
        let heard = asked.limits().map(|(_, wait)| wait);
        [wanted, heard].into_iter().flatten().fold(self.wait_limit, Duration::min)
    }

    /// The operation at its end, or as it is when the time is over.
    pub(super) async fn wait(
        &self,
        asked: &Asked,
        id: OperationId,
        limit: Duration,
    ) -> Result<Arc<Snapshot>, Error> {
        let _counted = self.metrics.bus.watchers.of(Protocol::Amqp).hold();
        self.bus.wait(&asked.caller, id, Until::Done, limit).await
    }

    async fn create(&self, asked: &Asked) -> Answered {
        if let Some(identity) = asked.identity.as_ref().or(asked.name.as_ref()) {
            let field = if asked.identity.is_some() { names::IDENTITY } else { names::NAME };
            let problem = format!(
                "is {:?}, and opgate names its operations itself: leave it out; for a start that may \
                 be repeated there is the application property {}",
                identity.get(..identity.floor_char_boundary(80)).unwrap_or_default(),
                names::IDEMPOTENCY_KEY
            );
            return Err(Error::invalid(field, problem));
        }
        let receipt = self.bus.start(&asked.caller, self.creation(asked)?).await?;
        Ok(self.shown(Status::CREATED, receipt.snapshot))
    }

    fn creation(&self, asked: &Asked) -> Result<Start, Error> {
        let mut given = asked.attributes()?;
        given.retain_known()?;
        let route = self.route(&given)?;
        let kind = given.text("inputType")?;
        let value = given.get("input").unwrap_or(&Value::Null);
        let mut input = content::payload("input", value, asked.values(), kind)?;
        // What has a type is as it came.
        let is_value = kind.is_none() && !matches!(value, Value::Binary(_) | Value::Null);
        if is_value {
            input = wire::content::as_values(input);
        }
        let lost = is_value && !json::is_kept(value);
        let endpoint = format!("{} CREATE {}", asked.node, names::OPERATION_TYPE);
        let mut start = Self::begun(asked, &endpoint, route, input)?;
        start.lost = Losses::NONE.with(Loss::InputValues, lost);
        if let Some(parent) = given.text("parent")? {
            start.parent = beneath(&start.parent, parent)?;
        }
        start.deadline = match given.get("timeout").filter(|value| **value != Value::Null) {
            None => None,
            Some(value) => match content::duration("timeout", value)? {
                Duration::ZERO => {
                    let problem = "is zero: leave it out for the route's own limit";
                    return Err(Error::invalid("timeout", problem));
                }
                limit => Some(limit),
            },
        };
        start.callbacks = self.callbacks(&given)?;
        Ok(start)
    }

    /// What every start has that a request brings.
    pub(super) fn begun(
        asked: &Asked,
        endpoint: &str,
        route: Arc<str>,
        input: opgate_core::Payload,
    ) -> Result<Start, Error> {
        let mut start = Start::new(Face::Amqp, endpoint, route, input);
        start.parent = asked.scope()?;
        start.request_id = asked.message_id().map(Into::into);
        start.dedupe = asked.repeat()?;
        start.headers = asked.headers();
        start.trace = asked.trace();
        Ok(start)
    }

    /// The route that is asked for: by its name, or as the only one of its kind.
    fn route(&self, given: &Fields) -> Result<Arc<str>, Error> {
        let unknown = |field: &'static str, problem: String| {
            let violation = Error::invalid(field, problem);
            Error { kind: ErrorKind::NotFound, ..violation }
        };
        let (service, operation) = (given.text("service")?, given.text("operation")?);
        if let Some(name) = given.text("route")? {
            let route = self.bus.route(name);
            let route = route
                .ok_or_else(|| unknown("route", "there is no route of this name".to_owned()))?;
            for (field, said, has) in [
                ("service", service, route.kind.service()),
                ("operation", operation, route.kind.operation()),
            ] {
                if said.is_some_and(|said| said != has) {
                    let problem = "is not that of the route; leave it out, or leave out the route";
                    return Err(Error::invalid(field, problem));
                }
            }
            return Ok(Arc::clone(&route.name));
        }
        let (Some(service), Some(operation)) = (service, operation) else {
            let problem = "is missing: name a route, or else a service and one of its operations";
            return Err(Error::invalid("route", problem));
        };
        match &*self.bus.routes_of(service, operation) {
            [] => {
                let problem = "no route is for this operation of this service".to_owned();
                Err(unknown("operation", problem))
            }
            [only] => Ok(Arc::clone(&only.name)),
            several => {
                let names: Vec<&str> = several.iter().map(|route| &*route.name).collect();
                let problem = format!("is needed, for several are: {}", names.join(", "));
                Err(Error::invalid("route", problem))
            }
        }
    }

    fn callbacks(&self, given: &Fields) -> Result<Vec<Callback>, Error> {
        let wrong = || Error::invalid("callbacks", "must be a list of URLs, as texts");
        let urls: &[Value] = match given.get("callbacks") {
            None | Some(Value::Null) => &[],
            Some(Value::List(urls)) => urls,
            Some(Value::Array(urls)) => &urls.0,
            Some(_) => return Err(wrong()),
        };
        let callback = |url: &Value| {
            let url = text::of(url).ok_or_else(wrong)?;
            (self.admit)(url).map_err(|problem| Error::invalid("callbacks", problem))?;
            Ok(Callback::new(url, Vec::new()))
        };
        urls.iter().map(callback).collect()
    }
}

/// A parent beneath that of the node.
fn beneath(scope: &Parent, parent: &str) -> Result<Parent, Error> {
    if parent.split('/').any(str::is_empty) {
        return Err(Error::invalid("parent", "has an empty segment"));
    }
    if !scope.contains(parent) {
        let problem = format!("must be {} or lie beneath it, as this node does", scope.as_str());
        return Err(Error::invalid("parent", problem));
    }
    Parent::new(parent).map_err(|error| Error::invalid("parent", error.problem))
}

/// Reading attributes that a request brings.
pub(super) trait Given {
    /// An attribute that is a text; null and the empty text are none.
    fn text(&self, name: &'static str) -> Result<Option<&str>, Error>;

    /// Refuses what a CREATE does not know.
    fn retain_known(&mut self) -> Result<(), Error>;
}

impl Given for Fields {
    fn text(&self, name: &'static str) -> Result<Option<&str>, Error> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let text = text::of(value).ok_or_else(|| Error::invalid(name, "must be a text"))?;
                Ok(Some(text).filter(|text| !text.is_empty()))
            }
        }
    }

    fn retain_known(&mut self) -> Result<(), Error> {
        // A client that names the type in the body too says nothing new.
        if self.get(names::TYPE).and_then(text::of) == Some(names::OPERATION_TYPE) {
            self.shift_remove(names::TYPE);
        }
        let unknown = self.keys().find(|name| !CREATED_WITH.contains(&name.as_str()));
        match unknown {
            None => Ok(()),
            Some(name) => {
                let problem = format!(
                    "is no attribute that an operation is created with: these are {}",
                    CREATED_WITH.join(", ")
                );
                let end = name.floor_char_boundary(80);
                Err(Error::invalid(name.get(..end).unwrap_or_default().to_owned(), problem))
            }
        }
    }
}
