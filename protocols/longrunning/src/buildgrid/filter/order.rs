//! The order of a list.
//!
//! Without `sort_order`, lists are newest first, as everywhere here: it is the order in which
//! operations are stored, so a list of any length is walked a page at a time. (BuildGrid's own is
//! oldest first.)
//!
//! With it, all operations that pass have to be looked at before the first is known. There may be
//! [`WINDOW`] of them; where there are more the list is refused, rather than sorted in part. What is
//! not set comes last, with `(desc)` first; ties go by name. A token says where the page ended by the
//! values there, so no operation is skipped or shown twice because others came or went; one whose
//! own values change in between may be.

use std::cmp::Ordering;

use opgate_core::{Operation, OperationId};

use super::key::{Key, Value};
use crate::buildgrid::said::Subject;
use crate::buildgrid::stage::Stage;

/// Operations that can be sorted, at most.
pub(crate) const WINDOW: usize = 10_000;
/// Keys to sort by, at most.
const KEYS_MAX: usize = 8;
/// Keys that can be sorted by: those BuildGrid can page by, and that are known here.
const SORTABLE: [&str; 6] =
    ["stage", "name", "queued_time", "start_time", "completed_time", "action_digest"];

/// The keys to sort by, the first before the second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order(Vec<SortKey>);

#[derive(Clone, Copy, Debug)]
pub(super) struct SortKey {
    key: Key,
    descending: bool,
}

impl SortKey {
    /// Reads `key`, `key(asc)` or `key(desc)`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (name, descending) = match (text.strip_suffix("(desc)"), text.strip_suffix("(asc)")) {
            (Some(name), _) => (name, true),
            (None, Some(name)) => (name, false),
            (None, None) => (text, false),
        };
        let name = name.to_ascii_lowercase();
        let sortable = SORTABLE.contains(&&*name);
        let key = Key::from_name(&name).filter(|_| sortable).ok_or_else(|| {
            let known = SORTABLE.join(", ");
            format!("`{text}` is nothing to sort by; there are: {known}, each with (asc) or (desc)")
        })?;
        Ok(Self { key, descending })
    }
}

impl Order {
    pub(super) fn new(keys: Vec<SortKey>) -> Result<Self, String> {
        if keys.len() > KEYS_MAX {
            return Err(format!("sorts by {} keys, at most {KEYS_MAX} are allowed", keys.len()));
        }
        Ok(Self(keys))
    }

    /// Whether lists keep the order they are stored in.
    pub(crate) const fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Where an operation stands in this order.
    pub(crate) fn place(&self, operation: &Operation) -> Place {
        let subject = Subject::new(operation);
        let values = self.0.iter().map(|sort| sort.key.read(&subject)).collect();
        Place { values, id: operation.id }
    }

    /// The order of two places.
    pub(crate) fn compare(&self, this: &Place, other: &Place) -> Ordering {
        for (sort, (this, other)) in self.0.iter().zip(this.values.iter().zip(&other.values)) {
            let order = match (this, other) {
                (Some(this), Some(other)) => this.partial_cmp(other).unwrap_or(Ordering::Equal),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            };
            let order = if sort.descending { order.reverse() } else { order };
            if order.is_ne() {
                return order;
            }
        }
        this.id.cmp(&other.id)
    }

    /// A place from the bytes it was written as; none where they are not of this order.
    pub(crate) fn read(&self, bytes: &[u8]) -> Option<Place> {
        let mut reader = Reader(bytes);
        let mut values = Vec::with_capacity(self.0.len());
        for _ in &self.0 {
            reader.value(&mut values)?;
        }
        let id = OperationId::from_bits(u128::from_be_bytes(*reader.take()?));
        reader.0.is_empty().then_some(Place { values, id })
    }
}

/// Where an operation stands: the values it is sorted by, then its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    values: Vec<Option<Value>>,
    pub(crate) id: OperationId,
}

impl Place {
    /// The place as bytes: each value behind its kind.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for value in &self.values {
            match value {
                None => bytes.push(0),
                Some(Value::Stage(stage)) => bytes.extend([1, *stage as u8]),
                Some(Value::Time(nanos)) => {
                    bytes.push(2);
                    bytes.extend(nanos.to_be_bytes());
                }
                Some(Value::Text(text)) => {
                    // The texts to sort by are names and digests, far shorter than this.
                    let text =
                        text.get(..text.floor_char_boundary(u16::MAX.into())).unwrap_or_default();
                    bytes.push(3);
                    bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
                    bytes.extend(text.as_bytes());
                }
            }
        }
        bytes.extend(self.id.to_bits().to_be_bytes());
        bytes
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    /// Adds a value, or that there is none; none where these bytes are neither.
    fn value(&mut self, values: &mut Vec<Option<Value>>) -> Option<()> {
        let [kind] = *self.take()?;
        values.push(match kind {
            0 => None,
            1 => {
                let [number] = *self.take()?;
                Some(Value::Stage(*Stage::ALL.get(usize::from(number))?))
            }
            2 => Some(Value::Time(i128::from_be_bytes(*self.take()?))),
            3 => {
                let length = u16::from_be_bytes(*self.take()?);
                let (text, rest) = self.0.split_at_checked(length.into())?;
                self.0 = rest;
                Some(Value::Text(std::str::from_utf8(text).ok()?.to_owned()))
            }
            _ => return None,
        });
        Some(())
    }
}
