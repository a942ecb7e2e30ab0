//! The order of a list.
//!
//! The newest first is the order in which operations are stored, so a list of any length is walked a
//! page at a time. For any other all operations that pass have to be looked at before the first is
//! known. There may be [`WINDOW`] of them; where there are more the list is refused, rather than
//! sorted in part. What is not set comes last, with `DESC` first; ties go by acceptance. A token says
//! where the page ended by the values there, so nothing is skipped or shown twice because others came
//! or went; what changes its own values in between may be.

use std::cmp::Ordering;

use opgate_core::{Operation, OperationId};

use super::query::Direction;
use crate::wire::state;

/// Operations that can be sorted, at most.
pub(super) const WINDOW: usize = 10_000;
/// As much of a text as is sorted by: more would make a token longer than some services allow.
const TEXT_BYTES: usize = 256;

/// What a list may be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Id,
    OperationType,
    Status,
    TimeAccepted,
    TimeStarted,
    TimeFinished,
}

/// By what, and in which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) key: Key,
    pub(super) direction: Direction,
}

/// Where an operation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    value: Value,
    seq: u64,
    pub(super) id: OperationId,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Time(i64),
    Text(String),
    Unset,
}

impl Order {
    /// Whether it is the order in which operations are stored.
    pub(super) fn is_stored(self) -> bool {
        self == Self { key: Key::TimeAccepted, direction: Direction::Descending }
    }

    /// Where an operation stands, which is called `ocid`.
    pub(super) fn place(self, operation: &Operation, ocid: &str) -> Place {
        let times = &operation.times;
        let time = |time: Option<opgate_core::Timestamp>| {
            time.map_or(Value::Unset, |time| Value::Time(time.nanos()))
        };
        let text = |text: &str| {
            let text = text.get(..text.floor_char_boundary(TEXT_BYTES)).unwrap_or_default();
            Value::Text(text.to_owned())
        };
        let value = match self.key {
            Key::Id => text(ocid),
            Key::OperationType => text(operation.kind.operation()),
            Key::Status => text(state::of(operation)),
            Key::TimeAccepted => time(Some(times.accepted)),
            Key::TimeStarted => time(times.started),
            Key::TimeFinished => time(times.closed),
        };
        Place { value, seq: operation.seq.0, id: operation.id }
    }

    pub(super) fn compare(self, this: &Place, other: &Place) -> Ordering {
        let order = (&this.value, this.seq).cmp(&(&other.value, other.seq));
        match self.direction {
            Direction::Ascending => order,
            Direction::Descending => order.reverse(),
        }
    }
}

impl Place {
    /// The place as bytes; the id is not needed to go on behind it.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = self.seq.to_be_bytes().to_vec();
        match &self.value {
            Value::Unset => bytes.push(0),
            Value::Time(nanos) => {
                bytes.push(1);
                bytes.extend(nanos.to_be_bytes());
            }
            Value::Text(text) => {
                bytes.push(2);
                bytes.extend(text.as_bytes());
            }
        }
        bytes
    }

    /// A place from the bytes it was written as.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (seq, rest) = bytes.split_first_chunk()?;
        let (kind, rest) = rest.split_first()?;
        let value = match kind {
            0 if rest.is_empty() => Value::Unset,
            1 => Value::Time(i64::from_be_bytes(rest.try_into().ok()?)),
            2 => Value::Text(std::str::from_utf8(rest).ok()?.to_owned()),
            _ => return None,
        };
        Some(Self { value, seq: u64::from_be_bytes(*seq), id: OperationId::from_bits(0) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place() -> impl Strategy<Value = Place> {
        let value = prop_oneof![
            Just(Value::Unset),
            any::<i64>().prop_map(Value::Time),
            ".{0,20}".prop_map(Value::Text),
        ];
        let id = OperationId::from_bits(0);
        (value, any::<u64>()).prop_map(move |(value, seq)| Place { value, seq, id })
    }

    proptest! {
        #[test]
        fn a_place_comes_back(place in place()) {
            prop_assert_eq!(Place::read(&place.write()), Some(place));
        }

        #[test]
        fn whatever_is_no_place_is_none(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Some(place) = Place::read(&bytes) {
                prop_assert_eq!(place.write(), bytes);
            }
        }

        #[test]
        fn one_direction_is_the_other_turned_round(this in place(), other in place()) {
            let order = |direction| Order { key: Key::Id, direction };
            prop_assert_eq!(
                order(Direction::Ascending).compare(&this, &other),
                order(Direction::Descending).compare(&other, &this)
            );
        }
    }
}
