//! What Azure's Event Hubs clients read before anything else. An entity is shown as a hub with one
//! partition, whose events are the operations started beneath it: the last one enqueued is the newest
//! operation.

use std::time::UNIX_EPOCH;

use opgate_bus::List;
use opgate_core::{Error, ErrorKind, Parent};
use serde_amqp::Value;
use serde_amqp::primitives::{Array, Timestamp};

use super::Inner;
use super::answer::{Answer, Answered, map};
use super::request::Asked;
use crate::wire::names;

/// The only partition.
const ONLY: &str = "0";

impl Inner {
    pub(super) fn event_hub(&self, asked: &Asked) -> Answered {
        let (name, _) = hub(asked)?;
        let began = self.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let began = i64::try_from(began.as_millis()).unwrap_or(i64::MAX);
        Ok(Answer::ok(map([
            (names::NAME, Value::String(name)),
            (names::TYPE, Value::from(names::EVENT_HUB)),
            // Since when this node answers: an entity has no beginning.
            ("created_at", Value::Timestamp(Timestamp::from_milliseconds(began))),
            ("partition_count", Value::Int(1)),
            ("partition_ids", Value::Array(Array(vec![Value::from(ONLY)]))),
        ])))
    }

    pub(super) async fn partition(&self, asked: &Asked) -> Answered {
        let (name, scope) = hub(asked)?;
        if asked.text("partition")? != Some(ONLY) {
            let error =
                Error::invalid("partition", format!("must be {ONLY:?}: it is the only one"));
            return Err(Error { kind: ErrorKind::NotFound, ..error });
        }
        let list = List { scope, page_size: 1, page_token: String::new(), filter: None };
        let listing = self.bus.list(&asked.caller, list).await?;
        let newest = listing.items.first();
        let seq = newest.map_or(-1, |newest| i64::try_from(newest.seq.0).unwrap_or(i64::MAX));
        let time = newest.map_or(0, |newest| newest.times.accepted.millis());
        Ok(Answer::ok(map([
            (names::NAME, Value::String(name)),
            (names::TYPE, Value::from(names::PARTITION)),
            ("partition", Value::from(ONLY)),
            ("begin_sequence_number", Value::Long(0)),
            ("last_enqueued_sequence_number", Value::Long(seq)),
            ("last_enqueued_offset", Value::String(seq.to_string())),
            ("last_enqueued_time_utc", Value::Timestamp(Timestamp::from_milliseconds(time))),
            ("is_partition_empty", Value::Bool(newest.is_none())),
        ])))
    }
}

/// The entity that is meant: its name, and the parent that it is. Its clients name it in the request, and
/// send that to the node of all.
fn hub(asked: &Asked) -> Result<(String, Parent), Error> {
    let scope = asked.scope()?;
    let name = asked.subject().map_or_else(|_| scope.as_str().to_owned(), str::to_owned);
    if name.is_empty() {
        return Err(Error::invalid(names::NAME, "is missing: it is the name of an event hub"));
    }
    let named = Parent::new(&name).map_err(|error| Error::invalid(names::NAME, error.problem))?;
    let scope = if scope.contains(named.as_str()) { named } else { scope };
    Ok((name, scope))
}
