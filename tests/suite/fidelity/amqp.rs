//! AMQP: the reply of a node.

use fe2o3_amqp_types::messaging::{AmqpValue, Body, Data, Message, Properties};
use opgate_amqp::fidelity;
use opgate_amqp::wire::json as values;
use opgate_amqp::wire::status::Status;
use opgate_core::{Losses, Operation, Outcome, Payload};
use proptest::prelude::*;
use serde_amqp::Value;
use serde_amqp::primitives::{Binary, Symbol};

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

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => value().prop_map(|json| values::value(&json)),
        1 => any::<i32>().prop_map(Value::Int),
        1 => "[a-z]{1,8}".prop_map(|text| Value::Symbol(Symbol::from(text))),
    ]
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
        prop_oneof![data, value].boxed()
    }

    fn failures(&self) -> BoxedStrategy<Wire> {
        let codes = [400, 401, 403, 404, 408, 409, 410, 412, 413, 429, 500, 501, 503, 504, 418];
        let conditions =
            ["amqp:not-found", "com.microsoft:timeout", "acme:odd", "amqp:internal-error"];
        let body = value().prop_filter("is a map", serde_json::Value::is_object);
        (
            proptest::sample::select(codes.to_vec()),
            proptest::sample::select(conditions.to_vec()),
            text(),
            body,
        )
            .prop_map(|(code, condition, description, body)| {
                let description = format!("d{description}").into();
                let status = Status { code, description, condition: Some(condition.into()) };
                message(
                    &status,
                    Properties::default(),
                    Body::Value(AmqpValue(values::value(&body))),
                )
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
}
