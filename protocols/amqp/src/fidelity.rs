//! The mappings alone, as bytes in and bytes out: for tests that hold several protocols against one another.

use fe2o3_amqp_types::messaging::message::__private::{Deserializable, Serializable};
use fe2o3_amqp_types::messaging::{ApplicationProperties, Body, Message, Properties};
use opgate_core::{Losses, Operation, Outcome, Payload};
use serde::Serialize;
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;

use crate::backend;
use crate::management;
use crate::node::Reply;

/// How an operation ends that the reply of a node tells of.
///
/// # Errors
/// It is no reply.
pub fn read(message: &[u8]) -> Result<(Outcome, Losses), String> {
    let message = serde_amqp::from_slice::<Deserializable<Message<Body<Value>>>>(message);
    backend::fidelity::read(message.map_err(|error| error.to_string())?.0)
}

/// The reply that tells a result.
pub fn write_result(payload: Option<&Payload>) -> (Vec<u8>, Losses) {
    sent(management::fidelity::result(payload))
}

/// The reply that tells a failure.
pub fn write_failure(operation: &Operation) -> (Vec<u8>, Losses) {
    sent(management::fidelity::failure(operation))
}

/// A message as bytes.
pub fn encoded<T: Serialize>(message: Message<Body<T>>) -> Vec<u8> {
    serde_amqp::to_vec(&Serializable(message)).unwrap_or_default()
}

fn sent((reply, lost): (Reply, Losses)) -> (Vec<u8>, Losses) {
    let properties = reply.application_properties.0.into_iter();
    let other = properties.filter(|(name, _)| name != opgate_rpc::loss::NAME);
    let application_properties = ApplicationProperties(other.collect());
    let properties = Properties {
        content_type: reply.content_type.map(Symbol::from),
        content_encoding: reply.content_encoding.map(Symbol::from),
        ..Properties::default()
    };
    let message = Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(properties),
        application_properties: Some(application_properties),
        body: reply.body,
        footer: None,
    };
    (encoded(message), lost)
}
