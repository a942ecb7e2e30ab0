//! What a route to an AMQP node says: the management request that an operation becomes, and how its end
//! is learnt. The words of a configuration are those of `OPTIONS`; what is asked is the management
//! draft's (amqp.md, 1).

mod poll;

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderName;
use opgate_core::{Error, ErrorKind, limits};
use opgate_egress::Passing;
use opgate_template::{self as template, Source};
use serde_json::{Map, Value};

use crate::wire::names;

pub use poll::keys as poll_keys;
pub(super) use poll::{Phase, Poll};

/// Option of a route: the operation that is asked for, a template in one text.
pub const OPERATION: &str = "operation";
/// Option of a route: the type of the entity, a template in one text. Left out: none is named.
pub const TYPE: &str = "type";
/// Option of a route: the name of the entity, a template in one text.
pub const ENTITY_NAME: &str = "name";
/// Option of a route: the identity of the entity, a template in one text.
pub const ENTITY_IDENTITY: &str = "identity";
/// Option of a route: further application properties, a JSON object of templates.
pub const PROPERTIES: &str = "properties";
/// Option of a route: a template of the body, as JSON. Left out: an empty map.
pub const BODY: &str = "body";
/// Option of a route: whether a request whose outcome is unknown is sent again, `true` or `false`.
/// Left out: it is not, and its operation fails and says so.
pub const IDEMPOTENT: &str = "idempotent";
/// Option of a route: `reply` where the reply is the end, `poll` where it names what to look at.
pub const COMPLETION: &str = "completion";
/// Option of a route: how long a reply is waited for, in milliseconds. Left out: as the backend has it.
pub const REPLY_WITHIN: &str = "timeout";
/// Option of a route: the headers of a start that are sent along, separated by commas; a name may
/// end in `*`. Left out: [`FORWARDED`].
pub const HEADERS: &str = "headers";
/// What the options of a look begin with.
pub const POLL: &str = "poll.";
/// The headers that are sent along unless a route says otherwise.
pub const FORWARDED: [&str; 3] = ["baggage", "x-correlation-id", "x-request-id"];

const OPTIONS: [&str; 10] = [
    OPERATION,
    TYPE,
    ENTITY_NAME,
    ENTITY_IDENTITY,
    PROPERTIES,
    BODY,
    IDEMPOTENT,
    COMPLETION,
    REPLY_WITHIN,
    HEADERS,
];
/// The application properties that have options of their own, or are opgate's.
const OWN: [&str; 5] =
    [names::OPERATION, names::TYPE, names::NAME, names::IDENTITY, names::IDEMPOTENCY_KEY];
/// What a request is refused with that asks for the input's fields where it has none.
const NO_FIELDS: &str = "must be JSON, for the request upstream is made of its fields (a route's gRPC door makes JSON of \
     its messages with input = \"json\")";

/// What a route says.
#[derive(Clone, Debug)]
pub(super) struct Plan<'a> {
    operation: &'a str,
    kind: Option<&'a str>,
    name: Option<&'a str>,
    identity: Option<&'a str>,
    properties: Map<String, Value>,
    body: Value,
    headers: Option<&'a str>,
    /// Whether a request whose outcome is unknown is sent again.
    pub(super) idempotent: bool,
    /// How its end is learnt where the reply is not it.
    pub(super) poll: Option<Poll<'a>>,
    /// How long a reply is waited for, where the route says so.
    pub(super) timeout: Option<Duration>,
}

/// A management request, not yet a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    /// The application properties, without those that opgate adds.
    pub(super) properties: Map<String, Value>,
    /// The body.
    pub(super) body: Value,
}

/// Whether the options of a route to an AMQP node are right: what a configuration check asks.
///
/// # Errors
/// The option at fault, and what is wrong.
pub fn check_options(options: &BTreeMap<String, String>) -> Result<(), (String, String)> {
    Plan::of(options).map(drop).map_err(|(key, problem)| (key.to_owned(), problem))
}

impl<'a> Plan<'a> {
    /// Reads the options of a route.
    pub(super) fn of(options: &'a BTreeMap<String, String>) -> Result<Self, (&'a str, String)> {
        let known = |key: &&String| OPTIONS.contains(&key.as_str()) || poll::is_option(key);
        if let Some(unknown) = options.keys().find(|key| !known(key)) {
            let problem = format!("is not known; allowed are: {}", OPTIONS.join(", "));
            return Err((unknown, problem));
        }
        let about = |key| move |problem| (key, problem);
        let option = |key| options.get(key).map(String::as_str);
        let line = |key| option(key).map(text).transpose().map_err(about(key));
        let flag = |key| match option(key) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err((key, "must be true or false".to_owned())),
        };
        let missing = "is missing: it is what the node is asked for, such as \"DELETE\"";
        let operation = line(OPERATION)?.ok_or_else(|| (OPERATION, missing.to_owned()))?;
        let polls = match option(COMPLETION) {
            None | Some("reply") => false,
            Some("poll") => true,
            Some(_) => return Err((COMPLETION, "must be \"reply\" or \"poll\"".to_owned())),
        };
        if let Some(key) = options.keys().find(|key| poll::is_option(key))
            && !polls
        {
            return Err((key, "has no effect: it is for completion = \"poll\"".to_owned()));
        }
        let headers = option(HEADERS);
        headers
            .map_or(Ok(()), |list| Passing::new(list).check(may_pass))
            .map_err(about(HEADERS))?;
        Ok(Self {
            operation,
            kind: line(TYPE)?,
            name: line(ENTITY_NAME)?,
            identity: line(ENTITY_IDENTITY)?,
            properties: option(PROPERTIES)
                .map_or(Ok(Map::new()), properties)
                .map_err(about(PROPERTIES))?,
            body: option(BODY)
                .map_or_else(|| Ok(Value::Object(Map::new())), body)
                .map_err(about(BODY))?,
            headers,
            idempotent: flag(IDEMPOTENT)?.unwrap_or(false),
            poll: if polls { Some(Poll::of(options)?) } else { None },
            timeout: option(REPLY_WITHIN)
                .map(str::parse)
                .transpose()
                .map_err(|_| (REPLY_WITHIN, "must be a number of milliseconds".to_owned()))?
                .map(Duration::from_millis),
        })
    }

    /// What the node is asked.
    ///
    /// # Errors
    /// What of the input is missing or cannot be in it.
    pub(super) fn asked(&self, source: &Source<'_>) -> Result<Asked, Error> {
        if source.input.is_none() && self.reads_input() {
            return Err(Error::invalid("input", NO_FIELDS));
        }
        let mut properties = Map::new();
        let named = [
            (names::OPERATION, Some(self.operation)),
            (names::TYPE, self.kind),
            (names::NAME, self.name),
            (names::IDENTITY, self.identity),
        ];
        for (property, template) in named {
            let Some(template) = template else { continue };
            let made = template::text(template, source).map_err(|problem| problem.of(property))?;
            let Some(made) = made.filter(|made| !made.is_empty()) else {
                let text =
                    format!("is made of the input by {template:?}, which finds no text there");
                return Err(Error::invalid(property, text));
            };
            if made.len() > limits::TEXT_BYTES {
                let text = format!("is longer than {} bytes", limits::TEXT_BYTES);
                return Err(Error::invalid(property, text));
            }
            properties.insert(property.to_owned(), Value::String(made));
        }
        for (name, value) in &self.properties {
            let made = template::expand(value, source).map_err(|problem| problem.of(PROPERTIES))?;
            if is_property(&made) {
                properties.insert(name.clone(), made);
            } else if !made.is_null() {
                let text = "is made of the input, and becomes neither a text, a number nor a truth \
                            value: a property holds no more";
                return Err(Error::invalid(format!("{PROPERTIES}.{name}"), text));
            }
        }
        let body = if self.takes_all() && source.input.is_none() {
            Value::Null
        } else {
            template::expand(&self.body, source).map_err(|problem| problem.of(BODY))?
        };
        Ok(Asked { properties, body })
    }

    /// Whether the body is the input as it is.
    pub(super) fn takes_all(&self) -> bool {
        self.body == "${}"
    }

    fn reads_input(&self) -> bool {
        let lines = [Some(self.operation), self.kind, self.name, self.identity];
        let reads = |line: &str| template::reads_input(&Value::String(line.to_owned()));
        lines.into_iter().flatten().any(reads)
            || self.properties.values().any(template::reads_input)
            || (!self.takes_all() && template::reads_input(&self.body))
    }

    /// Whether a caller's header is sent along, as the application property of its name.
    pub(super) fn passes(&self, name: &HeaderName) -> bool {
        may_pass(name)
            && match self.headers {
                Some(list) => Passing::new(list).holds(name),
                None => FORWARDED.into_iter().any(|forwarded| name == forwarded),
            }
    }
}

/// Whether a caller's header may ever be sent upstream: not what is a property of the request's own.
fn may_pass(name: &HeaderName) -> bool {
    let own = OWN.contains(&name.as_str())
        || [names::TRACE_PARENT, names::TRACE_STATE].contains(&name.as_str());
    opgate_egress::may_pass(name) && !own
}

/// Whether a value can be an application property: one of AMQP's simple types. An object of one field
/// that begins with `$` names its type.
fn is_property(value: &Value) -> bool {
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => true,
        Value::Object(fields) => {
            fields.len() == 1
                && fields.iter().all(|(key, value)| {
                    key.starts_with('$') && !value.is_object() && !value.is_array()
                })
        }
        Value::Null | Value::Array(_) => false,
    }
}

/// A template in one text.
fn text(line: &str) -> Result<&str, String> {
    if line.is_empty() {
        return Err("must not be empty".to_owned());
    }
    template::check(&Value::String(line.to_owned())).map_err(|problem| problem.to_string())?;
    Ok(line)
}

fn properties(text: &str) -> Result<Map<String, Value>, String> {
    let allowed = "must be a table of templates, such as { force = \"${/force}\" }";
    let properties: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("{allowed}: {error}"))?;
    for (name, value) in &properties {
        template::check(value).map_err(|problem| format!("{name}: {problem}"))?;
        if OWN.contains(&name.as_str()) {
            return Err(format!("{name:?} is not one of them: it has an option of its own"));
        }
        if name.is_empty() || !is_property(value) {
            return Err(format!("{allowed}; {name:?} is none"));
        }
    }
    Ok(properties)
}

fn body(text: &str) -> Result<Value, String> {
    let body: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    template::check(&body).map_err(|problem| problem.to_string())?;
    Ok(body)
}

/// A route whose options were not checked.
pub(super) fn unusable((key, problem): (&str, String)) -> Error {
    Error::new(ErrorKind::Internal, format!("the route's option {key} {problem}"))
}

#[cfg(test)]
mod tests;
