//! The requests to a node, as messages.

use fe2o3_amqp_types::messaging::{
    AmqpValue, ApplicationProperties, Body, Message, MessageId, Properties,
};
use fe2o3_amqp_types::primitives::SimpleValue;
use http::HeaderName;
use opgate_bus::{Lease, Route};
use opgate_core::{Error, ErrorKind, Loss, Losses, Operation, OperationId, Payload};
use opgate_rpc::exact;
use opgate_template::Source;
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;
use serde_json::{Map, Value as Json};

use super::plan::{Asked, Plan, Poll, unusable};
use crate::wire::encoded::Encoded;
use crate::wire::{content, data, json, names, trace};

/// Tags of an integer's or a text's type, for nodes that take no other; all else is as
/// [`json::value`] has it.
const UINT: &str = "$uint";
const INT: &str = "$int";
const ULONG: &str = "$ulong";
const SYMBOL: &str = "$symbol";

/// What a request is about, and how it is told apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope<'a> {
    /// Its id, which no other request has or will have.
    pub(super) id: &'a str,
    /// The node.
    pub(super) node: &'a str,
    /// Where its reply is to be sent; `None` where it does not say.
    pub(super) reply_to: Option<&'a str>,
}

/// What a route says of the operation that a lease is for.
pub(super) fn plan(route: &Route) -> Result<Plan<'_>, Error> {
    Plan::of(&route.options).map_err(unusable)
}

/// Whether the request of a start can be made of its input.
///
/// # Errors
/// Why not.
pub(super) fn check(plan: &Plan<'_>, input: &Payload) -> Result<(), Error> {
    let input = of_json(input);
    // Which id it is going to have is all the same.
    let source = Source { input: input.as_ref(), id: Some(OperationId::from_bits(0)) };
    simple(&plan.asked(&source)?.properties).map(drop)
}

/// What a start is to ask.
///
/// # Errors
/// Why it cannot be made of the input.
pub(super) fn start(
    plan: &Plan<'_>,
    lease: &Lease,
) -> Result<(ApplicationProperties, Carried), Error> {
    let operation = lease.operation();
    let input = of_json(&operation.input);
    let source = Source { input: input.as_ref(), id: Some(operation.id) };
    let Asked { properties, body } = plan.asked(&source)?;
    let content = if let Some(body) = exact(plan, &operation.input) {
        // Of the same protocol it is told all.
        lease.note_kept(Loss::InputValues.into());
        Carried { body, content_type: None, content_encoding: None }
    } else {
        let (content, lost) = content(plan, &operation.input, input.is_some(), &body);
        lease.note_lost(lost);
        content
    };
    let mut properties = simple(&properties)?;
    for header in &operation.headers {
        let Ok(name) = header.name.parse::<HeaderName>() else { continue };
        let Ok(value) = std::str::from_utf8(&header.value) else { continue };
        // What the route asks for is not to be replaced by what its caller says.
        if plan.passes(&name) && !properties.contains_key(name.as_str()) {
            properties.insert(name.as_str().to_owned(), SimpleValue::String(value.to_owned()));
        }
    }
    // However often it is sent, by whichever process: to a node that looks at it, it is the same one.
    let key = operation.id.to_text().as_str().to_owned();
    properties.insert(names::IDEMPOTENCY_KEY.to_owned(), SimpleValue::String(key));
    trace::put(operation.trace.as_deref(), &mut properties);
    Ok((properties, content))
}

/// The body of a request, and its labels where it is data.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) body: Body<Encoded>,
    content_type: Option<Symbol>,
    content_encoding: Option<Symbol>,
}

impl Carried {
    fn value(value: &Value) -> Self {
        let body = Body::Value(AmqpValue(Encoded::from(value)));
        Self { body, content_type: None, content_encoding: None }
    }
}

/// The input as it came over AMQP, where it is the body as it is and JSON does not say all of it.
fn exact(plan: &Plan<'_>, input: &Payload) -> Option<Body<Encoded>> {
    if plan.takes_all() { content::exact(input) } else { None }
}

/// The body of a start, and what of the input it does not say. Where it is the input, and that is no JSON,
/// it goes as the data that it is.
fn content(plan: &Plan<'_>, input: &Payload, is_json: bool, body: &Json) -> (Carried, Losses) {
    let label = |text: &str| (!text.is_empty()).then(|| Symbol::from(text));
    // What came as data goes as data.
    let is_value = is_json && input.sections.is_empty();
    match (plan.takes_all(), is_value) {
        (true, false) if !input.is_nothing() => {
            let data = Carried {
                body: Body::Data(data::sections(input).into()),
                content_type: label(&input.media_type),
                content_encoding: input.encoding.as_deref().and_then(label),
            };
            (data, Losses::NONE)
        }
        (true, true) => {
            let lost = Losses::NONE.with(Loss::InputType, *input.media_type != *Payload::JSON);
            let values = exact::of_values(&input.bytes, body).as_input();
            (Carried::value(&json::value(body)), lost | values)
        }
        // The route says what of it is taken; what is, is to be the same numbers.
        (_, _) => {
            let kept = !is_json || exact::keeps_numbers(&input.bytes, true);
            let lost = Losses::NONE.with(Loss::InputNumbers, !kept);
            (Carried::value(&json::value(body)), lost)
        }
    }
}

/// What is asked about an operation upstream: to look at it, or to cancel it.
pub(super) fn about(
    poll: &Poll<'_>,
    verb: &str,
    identity: &str,
    operation: &Operation,
) -> (ApplicationProperties, Carried) {
    let mut properties = ApplicationProperties::default();
    for (name, value) in
        [(names::OPERATION, verb), (names::TYPE, poll.kind), (names::IDENTITY, identity)]
    {
        if !value.is_empty() {
            properties.insert(name.to_owned(), SimpleValue::String(value.to_owned()));
        }
    }
    trace::put(operation.trace.as_deref(), &mut properties);
    (properties, Carried::value(&Value::Map(std::iter::empty::<(Value, Value)>().collect())))
}

/// The message of a request that waits so many milliseconds for its reply.
pub(super) fn message(
    envelope: Envelope<'_>,
    mut properties: ApplicationProperties,
    content: Carried,
    wait_ms: u32,
) -> Message<Body<Encoded>> {
    // A node that knows this answers in time, which says more than silence.
    let wait = names::SERVER_TIMEOUT.to_owned();
    if !properties.contains_key(&wait) {
        properties.insert(wait, SimpleValue::Uint(wait_ms));
    }
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(Properties {
            message_id: Some(MessageId::String(envelope.id.to_owned())),
            to: Some(envelope.node.to_owned()),
            reply_to: envelope.reply_to.map(str::to_owned),
            content_type: content.content_type,
            content_encoding: content.content_encoding,
            ..Properties::default()
        }),
        application_properties: Some(properties),
        body: content.body,
        footer: None,
    }
}

fn simple(properties: &Map<String, Json>) -> Result<ApplicationProperties, Error> {
    let mut made = ApplicationProperties::default();
    for (name, value) in properties {
        let simple = typed(value).or_else(|| narrow(json::value(value))).ok_or_else(|| {
            let text = format!("{value} is no value of a property");
            Error::new(ErrorKind::InvalidArgument, format!("properties.{name}: {text}"))
        })?;
        made.insert(name.clone(), simple);
    }
    Ok(made)
}

/// A value whose type is said.
fn typed(value: &Json) -> Option<SimpleValue> {
    let mut fields = value.as_object()?.iter();
    let (Some((tag, content)), None) = (fields.next(), fields.next()) else { return None };
    match tag.as_str() {
        UINT => u32::try_from(content.as_u64()?).ok().map(SimpleValue::Uint),
        INT => i32::try_from(content.as_i64()?).ok().map(SimpleValue::Int),
        ULONG => content.as_u64().map(SimpleValue::Ulong),
        SYMBOL => content.as_str().map(|text| SimpleValue::Symbol(Symbol::from(text))),
        _ => None,
    }
}

/// A value of one of the simple types.
fn narrow(value: Value) -> Option<SimpleValue> {
    Some(match value {
        Value::Bool(value) => SimpleValue::Bool(value),
        Value::Ubyte(value) => SimpleValue::Ubyte(value),
        Value::Ushort(value) => SimpleValue::Ushort(value),
        Value::Uint(value) => SimpleValue::Uint(value),
        Value::Ulong(value) => SimpleValue::Ulong(value),
        Value::Byte(value) => SimpleValue::Byte(value),
        Value::Short(value) => SimpleValue::Short(value),
        Value::Int(value) => SimpleValue::Int(value),
        Value::Long(value) => SimpleValue::Long(value),
        Value::Float(value) => SimpleValue::Float(value),
        Value::Double(value) => SimpleValue::Double(value),
        Value::Decimal32(value) => SimpleValue::Decimal32(value),
        Value::Decimal64(value) => SimpleValue::Decimal64(value),
        Value::Decimal128(value) => SimpleValue::Decimal128(value),
        Value::Char(value) => SimpleValue::Char(value),
        Value::Timestamp(value) => SimpleValue::Timestamp(value),
        Value::Uuid(value) => SimpleValue::Uuid(value),
        Value::Binary(value) => SimpleValue::Binary(value),
        Value::String(value) => SimpleValue::String(value),
        Value::Symbol(value) => SimpleValue::Symbol(value),
        Value::Null | Value::Described(_) | Value::List(_) | Value::Map(_) | Value::Array(_) => {
            return None;
        }
    })
}

/// An input that is JSON and not packed.
fn of_json(input: &Payload) -> Option<Json> {
    let plain = input.is_json() && input.encoding.is_none();
    if plain { serde_json::from_slice(&input.bytes).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn properties_are_of_the_types_that_are_said() {
        let given = json!({
            "text": "a", "number": 7, "large": u64::MAX, "part": 0.5, "flag": true,
            "uint": {"$uint": 7}, "int": {"$int": -7}, "ulong": {"$ulong": 7},
            "symbol": {"$symbol": "a"}, "bytes": {"$binary": "AQI="},
        });
        let Json::Object(given) = given else { unreachable!() };
        let made = simple(&given).unwrap();
        for (name, value) in [
            ("text", SimpleValue::String("a".to_owned())),
            ("number", SimpleValue::Long(7)),
            ("large", SimpleValue::Ulong(u64::MAX)),
            ("flag", SimpleValue::Bool(true)),
            ("uint", SimpleValue::Uint(7)),
            ("int", SimpleValue::Int(-7)),
            ("ulong", SimpleValue::Ulong(7)),
            ("symbol", SimpleValue::Symbol(Symbol::from("a"))),
        ] {
            assert_eq!(made.get(name), Some(&value), "{name}");
        }
        assert!(matches!(made.get("part"), Some(SimpleValue::Double(_))));
        assert!(matches!(made.get("bytes"), Some(SimpleValue::Binary(_))));
        for wrong in [json!({"$uint": -1}), json!({"$int": "a"}), json!({"$what": 1}), json!(null)]
        {
            let given = Map::from_iter([("p".to_owned(), wrong.clone())]);
            let problem = simple(&given).unwrap_err().to_string();
            assert!(problem.starts_with("properties.p:"), "{wrong}: {problem}");
        }
    }

    #[test]
    fn only_json_that_is_not_packed_is_looked_into() {
        assert_eq!(of_json(&Payload::json("[1]")), Some(json!([1])));
        assert_eq!(of_json(&Payload::json("[1")), None);
        assert_eq!(of_json(&Payload::new("text/plain", "[1]")), None);
        let packed = Payload { encoding: Some("gzip".into()), ..Payload::json("[1]") };
        assert_eq!(of_json(&packed), None);
    }
}
