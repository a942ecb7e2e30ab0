//! Whatever is asked: one reply with a status, and no panic.

use fe2o3_amqp_types::messaging::{ApplicationProperties, Body, Message};
use opgate_amqp::node::{ConnectionId, Request};
use opgate_bus::Caller;
use serde_amqp::Value;

use super::node::*;

/// Words that lead somewhere.
const WORDS: [&str; 24] = [
    "CREATE",
    "READ",
    "UPDATE",
    "DELETE",
    "QUERY",
    "CANCEL",
    "WAIT",
    "GET-TYPES",
    "GET-OPERATIONS",
    "RUN",
    "DONE",
    "SHAPED",
    OPERATION,
    MANAGEMENT,
    DOMAIN,
    "com.microsoft:eventhub",
    "self",
    "0",
    "run",
    "1ms",
    "route",
    "state",
    "SUCCEEDED",
    "state = RUNNING",
];
const NAMES: [&str; 16] = [
    "operation",
    "type",
    "name",
    "identity",
    "entityType",
    "offset",
    "count",
    "filter",
    "timeout",
    "reason",
    "version",
    "com.microsoft:server-timeout",
    "idempotency-key",
    "attributeNames",
    "partition",
    "traceparent",
];

/// Values out of bytes: some words, some of any type.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> usize {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        usize::from(*first)
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.next() % WORDS.len()]
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.next() % 16 {
            0..=5 => Value::from(self.word()),
            6 => Value::Ulong(self.next() as u64),
            7 => Value::Long(-1),
            8 => Value::Null,
            9 => Value::Bool(true),
            10 => Value::Binary(self.0[..self.0.len().min(4)].to_vec().into()),
            11 => Value::from(f64::NAN),
            12 if depth > 0 => {
                Value::List((0..self.next() % 4).map(|_| self.value(depth - 1)).collect())
            }
            13 | 14 if depth > 0 => Value::Map(
                (0..self.next() % 4).map(|_| (self.value(0), self.value(depth - 1))).collect(),
            ),
            _ => Value::Timestamp(7.into()),
        }
    }
}

fn request(bytes: &[u8]) -> Ask {
    let mut bytes = Bytes(bytes);
    let mut made = ask(bytes.word(), bytes.word()).body(bytes.value(3));
    for _ in 0..bytes.next() % 5 {
        let name = NAMES[bytes.next() % NAMES.len()];
        #[expect(clippy::wildcard_enum_match_arm, reason = "some types are enough")]
        let next = match bytes.value(0) {
            Value::String(text) => made.with(name, text),
            Value::Ulong(number) => made.with(name, number),
            Value::Binary(binary) => made.with(name, binary),
            _ => made.with(name, true),
        };
        made = next;
    }
    match bytes.next() % 3 {
        0 => made.at("queue/q/$management"),
        1 => made.at("a//$management"),
        _ => made,
    }
}

/// Asks a node, of which nothing is looked at after a panic.
fn asked() -> impl Fn(Ask) -> Answer + std::panic::RefUnwindSafe {
    struct Asked(tokio::runtime::Runtime, Node);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let node = runtime.block_on(async { Node::open() });
    let asked = std::panic::AssertUnwindSafe(Asked(runtime, node));
    move |ask| {
        let std::panic::AssertUnwindSafe(Asked(runtime, node)) = &asked;
        runtime.block_on(node.send(ask))
    }
}

#[test]
fn fuzz_any_request_is_answered_with_a_status() {
    let asked = asked();
    bolero::check!().for_each(|bytes: &[u8]| {
        let mut request = request(bytes);
        // Nothing is waited for in here.
        request = request.with("com.microsoft:server-timeout", 2_u32);
        let answer = asked(request);
        assert!((200..600).contains(&answer.status()), "{answer:?}");
    });
}

#[test]
fn fuzz_any_message_is_answered_with_a_status() {
    let asked = asked();
    bolero::check!().for_each(|bytes: &[u8]| {
        let Ok(properties) = serde_amqp::from_slice::<ApplicationProperties>(bytes) else { return };
        let message = Message {
            header: None,
            delivery_annotations: None,
            message_annotations: None,
            properties: None,
            application_properties: Some(properties),
            body: Body::Empty,
            footer: None,
        };
        let request = Request {
            caller: Caller::anonymous(),
            connection: ConnectionId(1),
            link: 1,
            node: "$management".into(),
            patience: Some(std::time::Duration::from_millis(2)),
            message,
            values: None,
        };
        let answer = asked(Ask(request));
        assert!((200..600).contains(&answer.status()), "{answer:?}");
    });
}
