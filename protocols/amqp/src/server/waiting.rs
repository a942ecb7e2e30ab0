//! Requests that wait until one before them is answered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fe2o3_amqp::link::delivery::Delivery;
use fe2o3_amqp_types::messaging::{Body, Message};
use fe2o3_amqp_types::primitives::SimpleValue;
use serde_amqp::Value;

/// What the requests of one connection may weigh that wait, in bytes of memory. One may, whatever it weighs.
const LIMIT: usize = 16 << 20;
/// What a message weighs with nothing in it.
const EMPTY: usize = 1024;

pub(super) type Incoming = Delivery<Body<Value>>;

/// What the waiting requests of a connection weigh, of all its links. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Weight(Arc<AtomicUsize>);

/// Requests of one link that wait, the oldest first.
#[derive(Debug)]
pub(super) struct Waiting {
    requests: VecDeque<(usize, Arc<str>, Incoming)>,
    all: Weight,
}

impl Weight {
    fn add(&self, weight: usize) -> bool {
        let before = self.0.fetch_add(weight, Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(weight) <= LIMIT;
        if !fits {
            self.remove(weight);
        }
        fits
    }

    fn remove(&self, weight: usize) {
        self.0.fetch_sub(weight, Ordering::Relaxed);
    }
}

impl Waiting {
    pub(super) fn new(all: Weight) -> Self {
        Self { requests: VecDeque::new(), all }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Has a request for a node wait; gives it back where as much waits as may.
    pub(super) fn push(&mut self, node: Arc<str>, request: Incoming) -> Option<Incoming> {
        let weight = of_message(request.message());
        if !self.all.add(weight) {
            return Some(request);
        }
        self.requests.push_back((weight, node, request));
        None
    }

    pub(super) fn pop(&mut self) -> Option<(Arc<str>, Incoming)> {
        let (weight, node, request) = self.requests.pop_front()?;
        self.all.remove(weight);
        Some((node, request))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let left = self.requests.iter().map(|(weight, ..)| weight).sum();
        self.all.remove(left);
    }
}

/// About how much memory a message takes: a value of one byte takes many.
fn of_message(message: &Message<Body<Value>>) -> usize {
    let body = match &message.body {
        Body::Data(sections) => sections.iter().map(|section| section.0.len()).sum(),
        Body::Sequence(sections) => {
            sections.iter().flat_map(|section| &section.0).map(of_value).sum()
        }
        Body::Value(value) => of_value(&value.0),
        Body::Empty => 0,
    };
    let delivery = message.delivery_annotations.iter().map(|section| &section.0);
    let others = message.message_annotations.iter().map(|section| &section.0);
    let annotations = delivery.chain(others).chain(message.footer.iter().map(|section| &section.0));
    let annotations = annotations.flat_map(|section| section.iter());
    let annotations = annotations.map(|(_, value)| size_of::<Value>() + of_value(value));
    let properties = message.application_properties.iter().flat_map(|section| section.0.iter());
    let properties = properties.map(|(name, value)| name.len() + of_simple(value));
    EMPTY + body + annotations.sum::<usize>() + properties.sum::<usize>()
}

/// What encodings nest is bounded by the fence.
fn of_value(value: &Value) -> usize {
    let inside = if let Value::List(items) = value {
        items.iter().map(of_value).sum()
    } else if let Value::Array(items) = value {
        items.0.iter().map(of_value).sum()
    } else if let Value::Map(pairs) = value {
        // Each key is in an index as well.
        pairs.iter().map(|(key, value)| 2 * of_value(key) + of_value(value)).sum()
    } else if let Value::Described(described) = value {
        size_of::<Value>() + of_value(&described.value)
    } else if let Value::String(text) = value {
        text.len()
    } else if let Value::Symbol(text) = value {
        text.as_str().len()
    } else if let Value::Binary(bytes) = value {
        bytes.len()
    } else {
        0
    };
    size_of::<Value>() + inside
}

fn of_simple(value: &SimpleValue) -> usize {
    let inside = if let SimpleValue::String(text) = value {
        text.len()
    } else if let SimpleValue::Symbol(text) = value {
        text.as_str().len()
    } else if let SimpleValue::Binary(bytes) = value {
        bytes.len()
    } else {
        0
    };
    2 * size_of::<SimpleValue>() + inside
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp_types::messaging::AmqpValue;

    use super::*;

    #[test]
    fn a_message_weighs_what_it_takes() {
        let of =
            |value| of_message(&Message::builder().body(Body::Value(AmqpValue(value))).build());
        assert!(of(Value::Null) < 2 * EMPTY);
        assert!(of(Value::from("x".repeat(1 << 20))) > 1 << 20);
        // A byte each on the wire.
        assert!(of(Value::List(vec![Value::Null; 60_000])) > 60_000 * size_of::<Value>());
        let nested = Value::List(vec![Value::List(vec![Value::from("x".repeat(1 << 20))])]);
        assert!(of(nested) > 1 << 20);
    }

    #[test]
    fn one_may_wait_whatever_it_weighs_and_more_as_long_as_they_are_light() {
        let all = Weight::default();
        assert!(all.add(2 * LIMIT));
        assert!(!all.clone().add(1));
        all.remove(2 * LIMIT);
        assert!(all.add(LIMIT - 1));
        assert!(all.add(1));
        assert!(!all.add(1));
    }
}
