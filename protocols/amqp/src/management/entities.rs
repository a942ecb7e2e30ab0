//! What there is at a node: types, their attributes and operations, other nodes, the node itself.

use std::collections::BTreeSet;

use serde_amqp::Value;

use super::answer::{Answer, Answered};
use super::operations::CREATED_WITH;
use super::request::Asked;
use super::shown::Shown;
use super::update::CHANGED;
use super::{Inner, attributes};
use crate::wire::{address, names};

/// Operations on operations, each with the names of its arguments.
const OF_OPERATIONS: [(&str, &[&str]); 6] = [
    ("CREATE", &CREATED_WITH),
    ("READ", &[]),
    ("UPDATE", &CHANGED),
    ("DELETE", &[names::VERSION]),
    ("CANCEL", &[names::REASON, names::VERSION]),
    ("WAIT", &[names::TIMEOUT]),
];
/// Operations of a node.
const OF_NODES: [(&str, &[&str]); 7] = [
    (
        "QUERY",
        &[names::ATTRIBUTE_NAMES, names::ENTITY_TYPE, names::OFFSET, names::COUNT, names::FILTER],
    ),
    ("GET-TYPES", &[names::ENTITY_TYPE]),
    ("GET-ATTRIBUTES", &[names::ENTITY_TYPE]),
    ("GET-OPERATIONS", &[names::ENTITY_TYPE]),
    ("GET-ANNOTATIONS", &[names::ENTITY_TYPE]),
    ("GET-MGMT-NODES", &[]),
    ("READ", &[]),
];
/// The attributes of a node.
const NODE_ATTRIBUTES: [&str; 6] =
    [names::IDENTITY, names::NAME, names::TYPE, "address", "product", "version"];
const EVENT_HUB_ATTRIBUTES: [&str; 5] =
    [names::NAME, names::TYPE, "created_at", "partition_count", "partition_ids"];
const PARTITION_ATTRIBUTES: [&str; 8] = [
    names::NAME,
    names::TYPE,
    "partition",
    "begin_sequence_number",
    "last_enqueued_sequence_number",
    "last_enqueued_offset",
    "last_enqueued_time_utc",
    "is_partition_empty",
];

/// Whether an operation is opgate's own, of a node or of an operation.
pub(super) fn is_own(operation: &str) -> bool {
    OF_NODES.iter().chain(&OF_OPERATIONS).any(|(own, _)| *own == operation)
}

impl Inner {
    /// What is asked of the node itself.
    pub(super) async fn of_node(&self, asked: &Asked) -> Answered {
        let of = |of: fn(&Self, &str) -> Value| Ok(Answer::ok(self.by_type(asked, of)?));
        match asked.operation.as_str() {
            "QUERY" => self.query(asked).await,
            "GET-TYPES" | "GET-ANNOTATIONS" => of(|_, _| Value::List(Vec::new())),
            "GET-ATTRIBUTES" => of(|_, of| texts(attributes_of(of))),
            "GET-OPERATIONS" => of(Self::operations_of),
            "GET-MGMT-NODES" => Ok(Answer::ok(texts(self.nodes(asked)))),
            "READ" => Self::itself(asked),
            _ => Err(self.unsupported(asked)),
        }
    }

    /// The node itself.
    pub(super) fn itself(asked: &Asked) -> Answered {
        if Self::is_entity(asked) {
            return Err(opgate_core::Error::not_found());
        }
        Ok(Answer::shown(&Shown::map([
            (names::IDENTITY, Shown::text(names::SELF)),
            (names::NAME, Shown::text(names::SELF)),
            (names::TYPE, Shown::text(names::MANAGEMENT)),
            ("address", Shown::text(&asked.node)),
            ("product", Shown::text("opgate")),
            ("version", Shown::text(env!("CARGO_PKG_VERSION"))),
        ])))
    }

    /// A map with what there is of each type, or of the one that is asked for.
    fn by_type(
        &self,
        asked: &Asked,
        of: fn(&Self, &str) -> Value,
    ) -> Result<Value, opgate_core::Error> {
        let only = asked.text(names::ENTITY_TYPE)?;
        let types = self.types().into_iter().filter(|of| only.is_none_or(|only| only == of));
        Ok(Value::Map(types.map(|name| (Value::from(&*name), of(self, &name))).collect()))
    }

    /// Every type, in order.
    pub(super) fn types(&self) -> BTreeSet<String> {
        let own = [names::MANAGEMENT, names::OPERATION_TYPE, names::EVENT_HUB, names::PARTITION];
        own.map(str::to_owned).into_iter().chain(self.doors.types().map(str::to_owned)).collect()
    }

    /// The operations of a type by name; none where there is no such type.
    pub(super) fn offered(&self, of: &str) -> Vec<String> {
        let of = if of.is_empty() { names::MANAGEMENT } else { of };
        let mut offered: BTreeSet<String> =
            own(of).iter().map(|(operation, _)| (*operation).to_owned()).collect();
        offered.extend(self.doors.operations(of).into_iter().map(str::to_owned));
        offered.into_iter().collect()
    }

    fn operations_of(&self, of: &str) -> Value {
        let own = own(of).iter().map(|(operation, arguments)| {
            (Value::from(*operation), texts(arguments.iter().copied()))
        });
        let doors = self
            .doors
            .operations(of)
            .into_iter()
            .map(|operation| (Value::from(operation), texts([""; 0])));
        Value::Map(own.chain(doors).collect())
    }

    /// The addresses of management nodes: that of all, this one, those that doors name.
    fn nodes(&self, asked: &Asked) -> BTreeSet<String> {
        let mut nodes = BTreeSet::from([address::MANAGEMENT.to_owned(), asked.node.to_string()]);
        nodes.extend(self.doors.nodes().map(str::to_owned));
        nodes
    }
}

fn own(of: &str) -> &'static [(&'static str, &'static [&'static str])] {
    match of {
        names::OPERATION_TYPE => &OF_OPERATIONS,
        names::MANAGEMENT => &OF_NODES,
        names::EVENT_HUB | names::PARTITION => &[("READ", &[])],
        _ => &[],
    }
}

fn attributes_of(of: &str) -> Vec<&'static str> {
    match of {
        names::OPERATION_TYPE => attributes::names().collect(),
        names::MANAGEMENT => NODE_ATTRIBUTES.into(),
        names::EVENT_HUB => EVENT_HUB_ATTRIBUTES.into(),
        names::PARTITION => PARTITION_ATTRIBUTES.into(),
        _ => Vec::new(),
    }
}

fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Value {
    Value::List(texts.into_iter().map(|text| Value::from(text.as_ref())).collect())
}
