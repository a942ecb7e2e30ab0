//! What a worker is sent.

use std::time::Duration;

use fe2o3_amqp_types::messaging::{
    ApplicationProperties, Body, Header, Message, MessageId, Properties,
};
use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_bus::Leased;
use opgate_core::Timestamp;
use serde_amqp::primitives::{Symbol, Timestamp as Milliseconds};

use crate::wire::encoded::Encoded;
use crate::wire::{content, data, names, trace};

/// What stands in front of a queue's name in its address.
const QUEUE: &str = "queue/";

/// The message of an operation that is leased: its input, and who and what it is. Its message id is the
/// lease, which is what a result is known by.
pub(super) fn of(leased: &Leased, queue: &str, now: Timestamp) -> Message<Body<Encoded>> {
    let operation = &leased.snapshot;
    let address = format!("{QUEUE}{queue}");
    let input = &operation.input;
    // Values are values again; all else is data, with what it is said to be.
    let values = content::again(input);
    let label = |text: &str| (values.is_none() && !text.is_empty()).then(|| Symbol::from(text));
    let left = operation.deadline.map(|deadline| deadline.since(now));
    let header = Header {
        durable: true,
        ttl: left.and_then(|left| u32::try_from(left.as_millis()).ok()),
        first_acquirer: operation.epoch.0 == 1,
        delivery_count: leased.failed,
        ..Header::default()
    };
    let properties = Properties {
        message_id: Some(MessageId::String(leased.token.clone())),
        to: Some(address.clone()),
        subject: Some(operation.kind.operation().to_owned()),
        reply_to: Some(address),
        content_type: label(&input.media_type),
        content_encoding: input.encoding.as_deref().and_then(label),
        absolute_expiry_time: operation.deadline.map(milliseconds),
        creation_time: Some(milliseconds(operation.times.accepted)),
        ..Properties::default()
    };
    Message {
        header: Some(header),
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(properties),
        application_properties: Some(application(leased)),
        body: values.unwrap_or_else(|| Body::Data(data::sections(input).into())),
        footer: None,
    }
}

fn milliseconds(time: Timestamp) -> Milliseconds {
    Milliseconds::from_milliseconds(time.millis())
}

fn application(leased: &Leased) -> ApplicationProperties {
    let operation = &leased.snapshot;
    let text = |text: &str| SimpleValue::String(text.to_owned());
    let mut properties = ApplicationProperties::default();
    properties.insert(names::IDENTITY.to_owned(), text(&operation.id.to_string()));
    properties.insert(names::TYPE.to_owned(), text(names::OPERATION_TYPE));
    properties.insert("route".to_owned(), text(&operation.routed.route));
    properties.insert("service".to_owned(), text(operation.kind.service()));
    properties.insert(names::OPERATION.to_owned(), text(operation.kind.operation()));
    properties.insert("parent".to_owned(), text(operation.parent.as_str()));
    properties.insert("attempt".to_owned(), SimpleValue::Uint(operation.epoch.0));
    let lease = u64::try_from(leased.length.as_millis()).unwrap_or(u64::MAX);
    properties.insert("lease".to_owned(), SimpleValue::Ulong(lease));
    if let Some(deadline) = operation.deadline {
        properties.insert("deadline".to_owned(), SimpleValue::Timestamp(milliseconds(deadline)));
    }
    trace::put(operation.trace.as_deref(), &mut properties);
    properties
}

/// A worker's name in logs: who it is, and where; cut to what a lease may hold.
pub(super) fn worker(principal: &str, container: &str) -> Box<str> {
    let name = format!("{principal}@{container}");
    let end = name.floor_char_boundary(opgate_bus::WORKER_BYTES);
    name.get(..end).unwrap_or_default().into()
}

/// How often a lease of that length is extended.
pub(super) fn pace(length: Duration) -> Duration {
    length / 3
}
