//! The mappings alone, as bytes in and bytes out: for tests that hold several protocols against one another.

use fe2o3_amqp_types::messaging::message::__private::{Deserializable, Serializable};
use fe2o3_amqp_types::messaging::{ApplicationProperties, Body, Message, Properties};
use opgate_core::{Loss, Losses, Operation, Outcome, Payload};
use serde::Serialize;
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;

use crate::backend;
use crate::management;
use crate::node::Reply;
use crate::wire::came::{self, Values};
use crate::wire::{content, encoded, failure};

/// How an operation ends that the reply of a node tells of.
///
/// # Errors
/// It is no reply.
pub fn read(message: &[u8]) -> Result<(Outcome, Losses), String> {
    let message = serde_amqp::from_slice::<Deserializable<Message<Values>>>(message);
    let parted = came::parted(message.map_err(|error| error.to_string())?.0);
    let (message, values) = parted.map_err(|problem| problem.to_string())?;
    backend::fidelity::read(message, values)
}

/// The reply that tells a result.
pub fn write_result(payload: Option<&Payload>) -> (Vec<u8>, Losses) {
    sent(management::fidelity::result(payload))
}

/// What was lost to others of a result, and is said over AMQP after all.
pub fn kept(payload: Option<&Payload>) -> Losses {
    let exact = payload.is_some_and(content::is_exact);
    Losses::NONE.with(Loss::ResultValues, exact)
}

/// The same of a failure.
pub fn kept_end(operation: &Operation) -> Losses {
    let failure = operation.outcome.as_ref().and_then(Outcome::failure);
    Losses::NONE.with(Loss::ErrorNative, failure.is_some_and(|it| failure::exact(it).is_some()))
}

/// The reply that tells a failure.
pub fn write_failure(operation: &Operation) -> (Vec<u8>, Losses) {
    sent(management::fidelity::failure(operation))
}

/// A message as bytes.
pub fn encoded(message: Message<Body<Value>>) -> Vec<u8> {
    written(message.map_body(encoded::body))
}

fn written<T: Serialize>(message: Message<Body<T>>) -> Vec<u8> {
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
    (written(message), lost)
}
