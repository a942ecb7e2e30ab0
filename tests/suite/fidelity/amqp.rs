//! AMQP: the reply of a node.

use fe2o3_amqp_types::messaging::{AmqpSequence, AmqpValue, Body, Data, Message, Properties};
use opgate_amqp::fidelity;
use opgate_amqp::wire::json as values;
use opgate_amqp::wire::status::Status;
use opgate_core::{Losses, Operation, Outcome, Payload};
use proptest::prelude::*;
use serde_amqp::Value;
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;
use serde_amqp::primitives::{Array, Binary, Symbol};

use super::sample::{self, media_type, text, value};
use super::{End, Peer, Wire, ended};

pub(super) struct Amqp;

fn message(status: &Status, properties: Properties, body: Body<Value>) -> Wire {
    fidelity::encoded(Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(properties),
        application_properties: Some(status.properties()),
        body,
        footer: None,
    })
}

/// Any value of AMQP's, of every type.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        value().prop_map(|json| values::value(&json)),
        any::<u8>().prop_map(Value::Ubyte),
        any::<u16>().prop_map(Value::Ushort),
        any::<u32>().prop_map(Value::Uint),
        any::<u64>().prop_map(Value::Ulong),
        any::<i8>().prop_map(Value::Byte),
        any::<i16>().prop_map(Value::Short),
        any::<i32>().prop_map(Value::Int),
        any::<f32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<char>().prop_map(Value::Char),
        any::<[u8; 8]>().prop_map(|bytes| Value::Decimal64(bytes.into())),
        any::<i64>().prop_map(|time| Value::Timestamp(time.into())),
        any::<[u8; 16]>().prop_map(|bytes| Value::Uuid(bytes.into())),
        proptest::collection::vec(any::<u8>(), 0..8)
            .prop_map(|bytes| Value::Binary(Binary::from(bytes))),
        "[a-z]{1,8}".prop_map(|text| Value::Symbol(Symbol::from(text))),
        proptest::collection::vec(any::<i32>(), 1..4)
            .prop_map(|items| Value::Array(Array(items.into_iter().map(Value::Int).collect()))),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        let described = |(descriptor, value)| {
            Value::Described(Box::new(Described {
                descriptor: Descriptor::Code(descriptor),
                value,
            }))
        };
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            proptest::collection::vec((inner.clone(), inner.clone()), 0..4)
                .prop_map(|pairs| Value::Map(pairs.into_iter().collect())),
            // Those of AMQP's own types are messages' sections and performatives.
            (1_000_u64.., inner).prop_map(described),
        ]
    })
}

impl Peer for Amqp {
    fn name(&self) -> &'static str {
        "amqp"
    }

    fn results(&self) -> BoxedStrategy<Wire> {
        let sections =
            proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 1..4);
        let one = sample::content().prop_map(|content| vec![content]);
        let encoding = proptest::option::weighted(0.1, "[a-z]{2,6}");
        let sections = prop_oneof![sections, one];
        let data =
            (media_type(), encoding, sections).prop_map(|(media_type, encoding, sections)| {
                let sections: Vec<Data> =
                    sections.into_iter().map(|section| Data(Binary::from(section))).collect();
                let properties = Properties {
                    content_type: Some(Symbol::from(media_type)),
                    content_encoding: encoding.map(Symbol::from),
                    ..Properties::default()
                };
                message(&Status::OK, properties, Body::Data(sections.into()))
            });
        let value = any_value().prop_filter("says nothing", |value| {
            let json = values::of(value);
            !json.is_null() && json.as_object().is_none_or(|fields| !fields.is_empty())
        });
        let value = value.prop_map(|value| {
            message(&Status::OK, Properties::default(), Body::Value(AmqpValue(value)))
        });
        let sequences =
            proptest::collection::vec(proptest::collection::vec(any_value(), 0..3), 1..3);
        let sequences = sequences.prop_map(|sections| {
            let sections: Vec<AmqpSequence<Value>> =
                sections.into_iter().map(AmqpSequence).collect();
            message(&Status::OK, Properties::default(), Body::Sequence(sections.into()))
        });
        prop_oneof![2 => data, 2 => value, 1 => sequences].boxed()
    }

    fn failures(&self) -> BoxedStrategy<Wire> {
        let codes = [400, 401, 403, 404, 408, 409, 410, 412, 413, 429, 500, 501, 503, 504, 418];
        let conditions =
            ["amqp:not-found", "com.microsoft:timeout", "acme:odd", "amqp:internal-error"];
        let field = ("[a-z]{1,6}", any_value());
        let fields = proptest::collection::vec(field, 0..4).prop_map(|fields| {
            let fields = fields.into_iter().map(|(name, value)| (Value::from(name), value));
            Value::Map(fields.collect())
        });
        let json = value().prop_filter("is a map", serde_json::Value::is_object);
        let body = prop_oneof![json.prop_map(|json| values::value(&json)), fields];
        (
            proptest::sample::select(codes.to_vec()),
            proptest::sample::select(conditions.to_vec()),
            text(),
            body,
        )
            .prop_map(|(code, condition, description, body)| {
                let description = format!("d{description}").into();
                let status = Status { code, description, condition: Some(condition.into()) };
                message(&status, Properties::default(), Body::Value(AmqpValue(body)))
            })
            .boxed()
    }

    fn read(&self, wire: &Wire) -> (Option<Payload>, Losses) {
        match fidelity::read(wire).unwrap() {
            (Outcome::Succeeded(result), lost) => (result, lost),
            (other, _) => panic!("{other:?}"),
        }
    }

    fn write(&self, payload: Option<&Payload>) -> Option<(Wire, Losses)> {
        Some(fidelity::write_result(payload))
    }

    fn read_end(&self, wire: &Wire) -> End {
        let (outcome, lost) = fidelity::read(wire).unwrap();
        (ended(outcome), lost)
    }

    fn write_end(&self, operation: &Operation) -> (Wire, Losses) {
        fidelity::write_failure(operation)
    }

    fn keeps(&self, payload: Option<&Payload>) -> Losses {
        fidelity::kept(payload)
    }

    fn keeps_end(&self, operation: &Operation) -> Losses {
        fidelity::kept_end(operation)
    }
}
