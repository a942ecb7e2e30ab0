//! What workers are sent, and what is made of what they send.

use bytes::Bytes;
use fe2o3_amqp_types::messaging::{AmqpSequence, AmqpValue, Body, Data, Message, MessageId};
use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_bus::{Leased, Snapshot};
use opgate_core::Payload;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_amqp::Value;
use serde_amqp::primitives::{Binary, Symbol};

use super::{Shop, about};
use crate::queue::{message, told};
use crate::wire::content;
use crate::wire::encoded::{self, Encoded};

fn payload(body: Body<Value>) -> Option<Payload> {
    told::payload(about("", None, body), None)
}

#[test]
fn a_result_is_kept_as_it_was_said() {
    assert_eq!(payload(Body::Empty), None);
    assert_eq!(payload(Body::Value(AmqpValue(Value::Null))), None);
    let data = |bytes: &str| Data(Binary::from(bytes.as_bytes().to_vec()));
    assert_eq!(payload(Body::Data(vec![data("")].into())), None);
    let plain = payload(Body::Data(vec![data("ab")].into())).unwrap();
    assert_eq!(plain, Payload::new("application/octet-stream", "ab"));
    let two = payload(Body::Data(vec![data("ab"), data("c")].into())).unwrap();
    assert_eq!((&*two.bytes, &*two.sections), (&b"abc"[..], &[2, 1][..]));
    let text = payload(Body::Value(AmqpValue(Value::String("x".into())))).unwrap();
    assert_eq!(text, Payload::new("text/plain; charset=utf-8", "x"));
    let bytes = payload(Body::Value(AmqpValue(Value::Binary(Binary::from("x"))))).unwrap();
    assert_eq!(bytes, Payload::new("application/octet-stream", "x"));
    let map = [(Value::from("n"), Value::Int(1))].into_iter().collect();
    let items = vec![AmqpSequence(vec![Value::Int(1)]), AmqpSequence(vec![Value::Bool(true)])];
    for (body, json) in [
        (Body::Value(AmqpValue(Value::Map(map))), r#"{"n":1}"#),
        (Body::Sequence(items.into()), "[1,true]"),
    ] {
        let payload = payload(body.clone()).unwrap();
        assert_eq!((&*payload.media_type, &*payload.bytes), (Payload::JSON, json.as_bytes()));
        assert_eq!(content::exact(&payload), Some(encoded::body(body)));
    }
}

#[test]
fn a_result_has_the_type_its_worker_gives() {
    let mut message = about("", None, Body::Data(vec![Data(Binary::from("{}"))].into()));
    if let Some(properties) = &mut message.properties {
        properties.content_type = Some(Symbol::from("application/json"));
        properties.content_encoding = Some(Symbol::from("identity"));
    }
    let payload = told::payload(message, None).unwrap();
    assert!(payload.is_json());
    assert_eq!(payload.encoding.as_deref(), Some("identity"));
}

#[tokio::test]
async fn a_delivery_says_what_it_is_about() {
    let shop = Shop::new();
    let leased = shop.begun().await;
    let message = message::of(&leased, "builds", shop.bus().now());
    let properties = message.properties.unwrap();
    assert_eq!(properties.message_id, Some(MessageId::String(leased.token.clone())));
    assert_eq!(properties.reply_to.as_deref(), Some("queue/builds"));
    assert_eq!(properties.subject.as_deref(), Some("build"));
    let header = message.header.unwrap();
    assert!(header.durable && header.first_acquirer && header.delivery_count == 0);
    let application = message.application_properties.unwrap();
    let id = SimpleValue::String(leased.snapshot.id.to_string());
    assert_eq!(application.get("identity"), Some(&id));
    assert_eq!(application.get("attempt"), Some(&SimpleValue::Uint(1)));
    assert_eq!(application.get("lease"), Some(&SimpleValue::Ulong(30_000)));
    assert_eq!(message.body, Body::Data(vec![Data(Binary::from("{}"))].into()));
}

#[test]
fn a_worker_is_given_values_that_came_as_values() {
    let ubytes = Value::List(vec![Value::Ubyte(1), Value::Symbol(Symbol::from("a"))]);
    for (input, expected) in [
        (content::as_values(content::value(&ubytes, None)), Some(ubytes)),
        (content::as_values(Payload::json("[1]")), Some(Value::List(vec![Value::Long(1)]))),
        (Payload::json("[1]"), None),
    ] {
        let mut operation = opgate_core::Operation::clone(&template());
        operation.input = input.clone();
        let message = message::of(&leased(operation), "q", template().times.accepted);
        let is_data = expected.is_none();
        let data = || Body::Data(vec![Data(Binary::from(input.bytes.to_vec()))].into());
        assert_eq!(
            message.body,
            expected.map_or_else(data, |value| Body::Value(AmqpValue(Encoded::from(&value))))
        );
        assert_eq!(message.properties.unwrap().content_type.is_some(), is_data);
    }
}

fn leased(operation: opgate_core::Operation) -> Leased {
    Leased {
        token: "t".to_owned(),
        until: operation.times.accepted,
        snapshot: std::sync::Arc::new(Snapshot::new(operation)),
        length: std::time::Duration::from_secs(1),
        failed: 0,
    }
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let sections = vec(vec(any::<u8>(), 0..20), 1..4);
    let encoding = proptest::option::of("[a-z]{1,8}");
    ("[a-z]{1,8}/[a-z]{1,8}", encoding, sections).prop_map(|(media_type, encoding, sections)| {
        let lengths = sections.iter().map(|section| u32::try_from(section.len()).unwrap());
        let lengths = if sections.len() > 1 { lengths.collect() } else { Vec::new() };
        let mut payload = Payload::new(media_type, Bytes::from(sections.concat()));
        payload.sections = lengths;
        payload.encoding = encoding.map(Into::into);
        payload
    })
}

proptest! {
    /// Whatever an operation's input is, a worker that sends back what it was sent has that as its
    /// result.
    #[test]
    fn what_is_echoed_comes_back_as_it_was(payload in any_payload()) {
        let mut operation = opgate_core::Operation::clone(&template());
        operation.input = payload.clone();
        let leased = leased(operation);
        let sent = message::of(&leased, "q", leased.until);
        let echoed: Message<Body<Value>> = Message {
            header: None,
            delivery_annotations: None,
            message_annotations: None,
            application_properties: None,
            properties: sent.properties,
            body: match sent.body {
                Body::Data(sections) => Body::Data(sections),
                other @ (Body::Value(_) | Body::Sequence(_) | Body::Empty) => panic!("{other:?}"),
            },
            footer: None,
        };
        prop_assert_eq!(told::payload(echoed, None), Some(payload));
    }
}

/// Some operation.
pub(crate) fn template() -> std::sync::Arc<Snapshot> {
    static TEMPLATE: std::sync::OnceLock<std::sync::Arc<Snapshot>> = std::sync::OnceLock::new();
    std::sync::Arc::clone(TEMPLATE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { Shop::new().begun().await.snapshot })
    }))
}
