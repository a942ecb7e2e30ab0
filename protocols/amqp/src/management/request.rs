//! A request, as far as every operation reads it alike.

use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp_types::messaging::{AmqpValue, Body, Message, Properties};
use opgate_bus::{Caller, RepeatKey};
use opgate_core::{Error, Header, KeySpace, Parent, Trace, Version, limits};
use serde_amqp::Value;
use serde_amqp::primitives::OrderedMap;

use super::content;
use crate::node::{ConnectionId, Request};
use crate::wire::came::Values;
use crate::wire::{address, names, text, trace};

/// The family of this face's dedupe keys.
const KEYS: &str = "amqp";
/// How much of the time a client waits is kept for the reply's way back, at most and at least, where it
/// waits long enough.
const WAY_BACK: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));
/// Longest time a client may say that it waits: longer is this long.
const PATIENCE: Duration = Duration::from_hours(24);
/// Properties that say how a request is to be served, rather than what is asked for.
const OWN: [&str; 14] = [
    names::OPERATION,
    names::TYPE,
    names::NAME,
    names::IDENTITY,
    names::LOCALES,
    names::SERVER_TIMEOUT,
    names::SECURITY_TOKEN,
    names::IDEMPOTENCY_KEY,
    names::REQUEST_ID,
    names::TRACE_PARENT,
    names::TRACE_STATE,
    names::DIAGNOSTIC_ID,
    "authorization",
    "cookie",
];

/// The arguments and attributes of a request, by name.
pub(super) type Fields = OrderedMap<String, Value>;

/// What is asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) caller: Caller,
    pub(super) connection: ConnectionId,
    pub(super) link: u64,
    pub(super) node: Arc<str>,
    pub(super) operation: String,
    pub(super) entity_type: String,
    pub(super) name: Option<String>,
    pub(super) identity: Option<String>,
    /// How long its client waits for the answer.
    pub(super) patience: Option<Duration>,
    /// Every application property.
    properties: Vec<(String, Value)>,
    body: Body<Value>,
    values: Option<Values>,
    message: Option<Properties>,
    trace: Option<Box<Trace>>,
}

impl Asked {
    /// # Errors
    /// It is no management request.
    pub(super) fn new(request: Request) -> Result<Self, Error> {
        let Request { caller, connection, link, node, patience: heard, message, values } = request;
        let trace = trace::of(&message);
        let Message { properties: head, application_properties, body, .. } = message;
        let properties = application_properties.unwrap_or_default().0.into_iter();
        let properties = properties.map(|(name, value)| (name, text::value(value))).collect();
        let mut asked = Self {
            caller,
            connection,
            link,
            node,
            operation: String::new(),
            entity_type: String::new(),
            name: None,
            identity: None,
            patience: None,
            properties,
            body,
            values,
            message: head,
            trace,
        };
        let text = |name| Ok::<_, Error>(asked.text(name)?.map(str::to_owned));
        let (operation, entity_type) = (text(names::OPERATION)?, text(names::TYPE)?);
        let (name, identity) = (text(names::NAME)?, text(names::IDENTITY)?);
        let patience = asked.count(names::SERVER_TIMEOUT)?.map(Duration::from_millis);
        asked.operation = operation.ok_or_else(|| {
            let problem = "is missing: it is an application property, a text such as READ";
            Error::invalid(names::OPERATION, problem)
        })?;
        asked.entity_type = entity_type.unwrap_or_default();
        (asked.name, asked.identity) = (name, identity);
        asked.patience = heard.or(patience).map(|patience| patience.min(PATIENCE));
        Ok(asked)
    }

    fn property(&self, name: &str) -> Option<&Value> {
        let found = self.properties.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value).filter(|value| **value != Value::Null)
    }

    /// A property that is a text; an empty one is none.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, Error> {
        let Some(value) = self.property(name) else { return Ok(None) };
        let wrong =
            || Error::invalid(name, "must be a text: a string, a symbol or binary in UTF-8");
        Ok(Some(text::of(value).ok_or_else(wrong)?).filter(|text| !text.is_empty()))
    }

    /// A property that is a count.
    pub(super) fn count(&self, name: &'static str) -> Result<Option<u64>, Error> {
        let Some(value) = self.property(name) else { return Ok(None) };
        let wrong = || Error::invalid(name, "must be a whole number, 0 or more");
        text::count(value).map(Some).ok_or_else(wrong)
    }

    /// A property that is a time: milliseconds, or a text such as `30s`.
    pub(super) fn time(&self, name: &'static str) -> Result<Option<Duration>, Error> {
        self.property(name).map(|value| content::duration(name, value)).transpose()
    }

    /// The version that the operation must have.
    pub(super) fn version(&self) -> Result<Option<Version>, Error> {
        Ok(self.count(names::VERSION)?.map(Version))
    }

    /// Its name or its identity, of which it has exactly one.
    pub(super) fn subject(&self) -> Result<&str, Error> {
        match (&self.identity, &self.name) {
            (Some(one), None) | (None, Some(one)) => Ok(one),
            (None, None) => Err(Error::invalid(
                names::IDENTITY,
                "is missing: identity or name says which one is meant",
            )),
            (Some(_), Some(_)) => {
                Err(Error::invalid(names::NAME, "is there beside identity: leave one of them out"))
            }
        }
    }

    /// The parent that the node is for: the root for `$management` itself.
    pub(super) fn scope(&self) -> Result<Parent, Error> {
        let entity = address::decoded(address::entity(&self.node).unwrap_or_default());
        if !entity.is_empty() && entity.split('/').any(str::is_empty) {
            return Err(Error::invalid("to", "names an entity with an empty segment"));
        }
        // No operation lies beneath what can be no parent, and none can be started there.
        Parent::new(&entity).map_err(|error| Error::invalid("to", error.problem))
    }

    /// The attributes in the body; none where there is no body.
    pub(super) fn attributes(&self) -> Result<Fields, Error> {
        let wrong =
            || Error::invalid("body", "must be an amqp-value with a map whose keys are texts");
        let map = match &self.body {
            Body::Empty | Body::Value(AmqpValue(Value::Null)) => return Ok(Fields::new()),
            Body::Value(AmqpValue(Value::Map(map))) => map,
            Body::Value(_) | Body::Data(_) | Body::Sequence(_) => return Err(wrong()),
        };
        let mut fields = Fields::with_capacity(map.len());
        for (name, value) in map {
            fields.insert(text::of(name).ok_or_else(wrong)?.to_owned(), value.clone());
        }
        Ok(fields)
    }

    pub(super) const fn body(&self) -> &Body<Value> {
        &self.body
    }

    /// The values of the body in the bytes in which they came.
    pub(super) const fn values(&self) -> Option<&Values> {
        self.values.as_ref()
    }

    /// What the data in the body is.
    pub(super) fn content_type(&self) -> Option<&str> {
        Some(self.message.as_ref()?.content_type.as_ref()?.as_str())
    }

    /// How the data in the body is encoded.
    pub(super) fn content_encoding(&self) -> Option<&str> {
        Some(self.message.as_ref()?.content_encoding.as_ref()?.as_str())
    }

    /// The properties that are arguments.
    pub(super) fn arguments(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.properties
            .iter()
            .map(|(name, value)| (name, value))
            .filter(|(name, _)| !OWN.iter().any(|own| own.eq_ignore_ascii_case(name)))
    }

    /// The caller's own id for the request. It is for the record: clients count from 0 on each link.
    pub(super) fn message_id(&self) -> Option<String> {
        let message = self.message.as_ref()?;
        text::of_id(message.message_id.as_ref().or(message.correlation_id.as_ref())?)
    }

    /// By what a repeat is known: never by the message id, of which strangers have the same.
    pub(super) fn repeat(&self) -> Result<Option<RepeatKey>, Error> {
        let key = self.text(names::IDEMPOTENCY_KEY)?;
        let other = self.text(names::REQUEST_ID)?;
        if key.is_some() && other.is_some() && key != other {
            let problem = format!("is another one than {}", names::IDEMPOTENCY_KEY);
            return Err(Error::invalid(names::REQUEST_ID, problem));
        }
        Ok(key.or(other).map(|key| RepeatKey::new(KeySpace::new(KEYS), key)))
    }

    pub(super) fn trace(&self) -> Option<Box<Trace>> {
        self.trace.clone()
    }

    /// The arguments that can be headers, kept with an operation as far as a record holds them.
    pub(super) fn headers(&self) -> Vec<Header> {
        let mut room = limits::HEADER_BYTES;
        let mut headers = Vec::new();
        for (name, value) in self.arguments() {
            let is_name = http::HeaderName::from_bytes(name.as_bytes()).is_ok();
            let Some(value) = text::of(value).filter(|_| is_name) else { continue };
            let bytes = name.len() + value.len();
            let is_value = !value.chars().any(char::is_control) && bytes <= limits::TEXT_BYTES;
            if is_value && bytes <= room && headers.len() < limits::HEADERS {
                room -= bytes;
                let value = value.to_owned().into();
                headers.push(Header { name: name.as_str().into(), value });
            }
        }
        headers
    }

    /// How long the answer may take, where its client says how long it waits; and how long a wait within
    /// it may, so that it is answered with what there is.
    pub(super) fn limits(&self) -> Option<(Duration, Duration)> {
        let patience = self.patience?;
        let way = (patience / 10).clamp(WAY_BACK.0, WAY_BACK.1).min(patience / 2);
        Some((patience.saturating_sub(way / 2), patience.saturating_sub(way)))
    }
}
