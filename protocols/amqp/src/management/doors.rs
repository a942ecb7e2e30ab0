//! Requests that start routes' operations: `[routes.NAME.amqp]`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp_types::messaging::{AmqpValue, Body};
use opgate_bus::Snapshot;
use opgate_core::{Error, ErrorKind, Losses, Outcome, Payload};
use opgate_template::{self as template, Placeholder, Source};
use serde_amqp::Value;
use serde_json::{Map, Value as Json};
use tokio::time::Instant;

use super::answer::{Answer, Answered, map};
use super::request::Asked;
use super::{Inner, attributes, content, entities};
use crate::wire::status::Status;
use crate::wire::{self, address, json, names};

/// What a template of an input is given.
const SOURCES: [&str; 6] =
    [names::IDENTITY, names::NAME, names::TYPE, names::OPERATION, PROPERTIES, BODY];
const PROPERTIES: &str = "properties";
const BODY: &str = "body";
/// Longest data that is made a tree of, which takes many times as much memory.
const TREE_BYTES: usize = 1024 * 1024;

/// When a request is answered that starts an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyWhen {
    /// When the operation is durable: 202, with its identity.
    #[default]
    Accepted,
    /// When it has ended, with its result or its failure; or with 202 when the time is over.
    Completed,
}

/// A door as configured: `[routes.NAME.amqp]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoorSettings {
    /// The route that it starts.
    pub route: String,
    /// At which node; none is any.
    pub node: Option<String>,
    /// The type of the entity; none is of requests that name no type, as Azure's Service Bus clients send.
    pub entity_type: Option<String>,
    /// The operation on it.
    pub operation: String,
    /// When the request is answered.
    pub reply: ReplyWhen,
    /// What the operation is given: a template over `identity`, `name`, `type`, `operation`,
    /// `properties` and `body`. None: the fields of the body, then the application properties, then
    /// identity or name.
    pub input: Option<Json>,
    /// How long a request is held that is answered at the end; none is as long as any wait.
    pub timeout: Option<Duration>,
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

/// A door, checked.
#[derive(Debug)]
pub(super) struct Door {
    route: Arc<str>,
    node: Option<String>,
    /// Empty where requests name none.
    entity_type: String,
    operation: String,
    reply: ReplyWhen,
    input: Option<Json>,
    timeout: Option<Duration>,
}

/// Every door. Those of one node are looked at before those of any.
#[derive(Debug)]
pub(super) struct Doors(Vec<Door>);

impl Doors {
    /// # Errors
    /// Every problem there is.
    pub(super) fn of(settings: &[DoorSettings]) -> Result<Self, Vec<DoorProblem>> {
        let mut problems = Vec::new();
        let mut doors: Vec<Door> = Vec::with_capacity(settings.len());
        for door in settings {
            let mut wrong = |key, text: String| {
                problems.push(DoorProblem { route: door.route.clone(), key, text });
            };
            for (key, text) in check(door) {
                wrong(key, text);
            }
            let twin = doors.iter().find(|other| {
                other.node == door.node
                    && other.entity_type == door.entity_type.as_deref().unwrap_or_default()
                    && other.operation == door.operation
            });
            if let Some(twin) = twin {
                wrong("operation", format!("of that type is what route {} is for", twin.route));
            }
            doors.push(Door {
                route: door.route.as_str().into(),
                node: door.node.clone(),
                entity_type: door.entity_type.clone().unwrap_or_default(),
                operation: door.operation.clone(),
                reply: door.reply,
                input: door.input.clone(),
                timeout: door.timeout,
            });
        }
        doors.sort_by_key(|door| door.node.is_none());
        if problems.is_empty() { Ok(Self(doors)) } else { Err(problems) }
    }

    /// The door of a request.
    pub(super) fn find(&self, asked: &Asked) -> Option<&Door> {
        self.0.iter().find(|door| {
            door.operation == asked.operation
                && door.entity_type == asked.entity_type
                && door.node.as_deref().is_none_or(|node| node == &*asked.node)
        })
    }

    pub(super) fn types(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|door| &*door.entity_type).filter(|of| !of.is_empty())
    }

    /// The operations of a type.
    pub(super) fn operations(&self, of: &str) -> BTreeSet<&str> {
        let doors = self.0.iter().filter(|door| door.entity_type == of);
        doors.map(|door| &*door.operation).collect()
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|door| door.node.as_deref())
    }
}

fn check(door: &DoorSettings) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    if let Some(node) = &door.node
        && address::entity(node).is_none()
    {
        let text = "must be the address of a management node: $management, or an entity and that \
                    behind it, such as queue/q1/$management";
        problems.push(("node", text.to_owned()));
    }
    match door.entity_type.as_deref() {
        Some(names::OPERATION_TYPE | names::MANAGEMENT) => {
            problems.push(("type", "is a type of opgate's own: take another".to_owned()));
        }
        Some("") => problems.push(("type", "must not be empty".to_owned())),
        None if entities::is_own(&door.operation) => {
            let text =
                "is an operation of opgate's own where no type is named: set a type beside it";
            problems.push(("operation", text.to_owned()));
        }
        Some(_) | None => {}
    }
    if door.operation.is_empty() {
        problems.push(("operation", "must not be empty".to_owned()));
    }
    if let Some(Err(problem)) = door.input.as_ref().map(check_input) {
        problems.push(("input", problem));
    }
    if door.timeout.is_some() && door.reply == ReplyWhen::Accepted {
        problems.push(("timeout", "has no effect: it is for reply = \"completed\"".to_owned()));
    }
    problems
}

fn check_input(input: &Json) -> Result<(), String> {
    for placeholder in template::placeholders(input).map_err(|problem| problem.to_string())? {
        match placeholder {
            Placeholder::Whole => {}
            Placeholder::Pointer(pointer) => {
                let first = pointer.split('/').nth(1).unwrap_or_default();
                if !SOURCES.contains(&first) {
                    let known: Vec<String> =
                        SOURCES.iter().map(|source| format!("${{/{source}}}")).collect();
                    let known = known.join(", ");
                    return Err(format!("takes ${{{pointer}}}, and there are only {known}"));
                }
            }
            Placeholder::Id | Placeholder::Uuid => {
                let text = "takes the operation's id, and there is none before it has started";
                return Err(text.to_owned());
            }
        }
    }
    Ok(())
}

impl Door {
    /// What a request gives the operation to work on.
    fn input(&self, asked: &Asked) -> Result<Payload, Error> {
        let body = match asked.body() {
            Body::Empty => None,
            Body::Value(AmqpValue(value)) => Some(json::of(value)).filter(|body| !body.is_null()),
            Body::Sequence(lists) => {
                Some(lists.iter().flat_map(|list| &list.0).map(json::of).collect())
            }
            Body::Data(data) => {
                let kind = asked.content_type();
                let data = content::data(data, kind, asked.content_encoding());
                let is_json = data.is_json() && data.encoding.is_none();
                let alone = asked.arguments().next().is_none()
                    && asked.name.is_none()
                    && asked.identity.is_none();
                // What is no JSON is the input, whole, and what nothing is added to.
                if self.input.is_none() && (alone || !is_json) {
                    return Ok(wire::content::as_data(data));
                }
                if data.bytes.len() > TREE_BYTES {
                    let text = format!(
                        "body: is {} bytes long, at most {TREE_BYTES} are allowed where an input is \
                         made of it",
                        data.bytes.len()
                    );
                    return Err(Error::new(ErrorKind::PayloadTooLarge, text));
                }
                match serde_json::from_slice(&data.bytes) {
                    Ok(body) if is_json => Some(body),
                    Err(error) if is_json => {
                        return Err(Error::invalid(
                            BODY,
                            format!("is not the JSON it is said to be: {error}"),
                        ));
                    }
                    Ok(_) | Err(_) => Some(json::of(&content::shown(&data).into())),
                }
            }
        };
        let mut properties = Map::new();
        for (name, value) in asked.arguments() {
            properties.insert(name.clone(), json::of(value));
        }
        let made = match &self.input {
            Some(template) => self.expanded(template, asked, properties, body)?,
            None => merged(asked, properties, body),
        };
        let input = Payload::json(made.to_string());
        let Some(came) = wire::content::values(asked.body(), asked.values()) else {
            return Ok(input);
        };
        // What nothing is added to is what came, with what JSON does not say of it.
        let is_it = came.bytes == input.bytes;
        Ok(if is_it { wire::content::as_values(came) } else { input })
    }

    fn expanded(
        &self,
        template: &Json,
        asked: &Asked,
        properties: Map<String, Json>,
        body: Option<Json>,
    ) -> Result<Json, Error> {
        let mut source = Map::new();
        for (name, text) in [(names::IDENTITY, &asked.identity), (names::NAME, &asked.name)] {
            if let Some(text) = text {
                source.insert(name.to_owned(), Json::from(text.as_str()));
            }
        }
        source.insert(names::TYPE.to_owned(), Json::from(&*self.entity_type));
        source.insert(names::OPERATION.to_owned(), Json::from(&*self.operation));
        source.insert(PROPERTIES.to_owned(), Json::Object(properties));
        source.extend(body.map(|body| (BODY.to_owned(), body)));
        let source = Json::Object(source);
        let source = Source { input: Some(&source), id: None };
        template::expand(template, &source).map_err(|problem| problem.of(BODY))
    }
}

/// The fields of the body, the properties, and what names the entity; of one name the last counts. A body
/// that has no fields is the input itself.
fn merged(asked: &Asked, properties: Map<String, Json>, body: Option<Json>) -> Json {
    let mut fields = match body {
        None => Map::new(),
        Some(Json::Object(fields)) => fields,
        Some(
            other @ (Json::Null
            | Json::Bool(_)
            | Json::Number(_)
            | Json::String(_)
            | Json::Array(_)),
        ) => return other,
    };
    fields.extend(properties);
    for (name, text) in [(names::IDENTITY, &asked.identity), (names::NAME, &asked.name)] {
        if let Some(text) = text {
            fields.insert(name.to_owned(), Json::from(text.as_str()));
        }
    }
    Json::Object(fields)
}

impl Inner {
    /// Starts the operation that a request asks for, or finds the one that a repeat of it has started.
    pub(super) async fn start(&self, door: &Door, asked: &Asked) -> Answered {
        if asked.identity.is_some() && asked.name.is_some() {
            asked.subject()?;
        }
        let began = Instant::now();
        let endpoint = format!("{} {} {}", asked.node, door.operation, door.entity_type);
        let input = door.input(asked)?;
        let mut start = Self::begun(asked, &endpoint, Arc::clone(&door.route), input)?;
        start.lost = wire::content::lost(asked.body()).as_input();
        let receipt = self.bus.start(&asked.caller, start).await?;
        let snapshot = match door.reply {
            ReplyWhen::Accepted => receipt.snapshot,
            ReplyWhen::Completed => {
                // What it took to begin is part of the time that the caller has.
                let limit = self.limit(asked, door.timeout).saturating_sub(began.elapsed());
                let waited = self.wait(asked, receipt.snapshot.id, limit).await?;
                if let Some(answer) = ended(door, &waited) {
                    return Ok(answer);
                }
                waited
            }
        };
        Ok(Answer::new(Status::ACCEPTED, self.begun_map(&snapshot)))
    }

    /// What is told of an operation that goes on.
    fn begun_map(&self, snapshot: &Snapshot) -> Value {
        map([
            (names::IDENTITY, Value::String(snapshot.id.to_string())),
            (names::NAME, Value::String(self.names.name(snapshot))),
            (names::TYPE, Value::from(names::OPERATION_TYPE)),
            ("state", Value::from(snapshot.state.name())),
            ("done", Value::Bool(snapshot.is_done())),
        ])
    }
}

/// The answer to who has waited for the end; none before it.
fn ended(door: &Door, snapshot: &Snapshot) -> Option<Answer> {
    if let Some(failure) = attributes::failure(snapshot) {
        // Whether it failed or was canceled the code alone tells.
        let of_code = snapshot.outcome.as_ref().map(Losses::of_code).unwrap_or_default();
        return Some(Answer::failed(&failure, snapshot.lost | of_code));
    }
    let Some(Outcome::Succeeded(result)) = &snapshot.outcome else { return None };
    // Clients look for exactly these.
    let status = match (&*door.operation, result) {
        ("CREATE", _) => Status::CREATED,
        ("DELETE", None) => Status::NO_CONTENT,
        _ => Status::OK,
    };
    Some(Answer::result(status, result.as_ref(), snapshot.lost))
}
