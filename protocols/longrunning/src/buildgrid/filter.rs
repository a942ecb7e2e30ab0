//! BuildGrid's filters: `key op value` joined by `&`, with blanks anywhere between.
//!
//! | key | value | read from |
//! |---|---|---|
//! | `stage` | a stage by name, in any case; stages have an order | the state |
//! | `name` | text | the id, without the instance |
//! | `action_digest` | `HASH/SIZE` | the `ExecuteRequest` |
//! | `queued_time`, `start_time`, `completed_time` | a date, or a date and time, ISO 8601; UTC where it says no zone | accepted, first taken, ended |
//! | `invocation_id`, `correlated_invocations_id`, `tool_name`, `tool_version`, `action_mnemonic`, `target_id`, `configuration_id` | text | the header with REAPI's `RequestMetadata` |
//! | `client_workflow`, `client_actor`, `client_subject` | text | the headers `x-request-workflow`, `-actor`, `-subject` |
//! | `command`; `platform` | text; `KEY:VALUE` | nothing: they lie in the CAS, and match nothing |
//! | `sort_order` | a key, then `(asc)` or `(desc)`; may be repeated, see [`order`] | |
//!
//! Operators are `=`, `!=`, `<`, `<=`, `>` and `>=`, for texts by character; `sort_order` takes `=`
//! only. There are neither quotes nor OR: a value ends at a blank or `&`, and holds no operator.
//! What is not set matches nothing, `!=` neither.
//!
//! Where there is no term at all, what has ended is hidden. As soon as there is one, `sort_order`
//! alone included, nothing is but what the terms say: as BuildGrid has it.

#[cfg(test)]
mod fuzz;
mod key;
pub(super) mod order;
mod parse;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use opgate_core::{Error, Operation};

use super::said::Subject;
use super::stage::Stage;
use key::{Key, Value};
use order::Order;

/// Longest filter, in bytes.
pub(super) const BYTES_MAX: usize = 4096;
/// Terms of one filter, at most.
pub(super) const TERMS_MAX: usize = 64;

/// A filter that was read.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    terms: Vec<Term>,
    order: Order,
}

#[derive(Clone, Debug)]
struct Term {
    key: Key,
    operator: Operator,
    value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Operator {
    /// Longer ones first, as the shorter begin them.
    const ALL: [(&'static str, Self); 6] = [
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("!=", Self::Unequal),
        ("=", Self::Equal),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// `InvalidArgument` on `filter`, with the column (in characters, from 1).
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > BYTES_MAX {
            let text = format!("is {} bytes long, at most {BYTES_MAX} are allowed", text.len());
            return Err(Error::invalid("filter", text));
        }
        let (mut terms, order) = parse::filter(text)?;
        if terms.is_empty() && order.is_none() {
            let value = Value::Stage(Stage::Completed);
            terms.push(Term { key: Key::Stage, operator: Operator::Unequal, value });
        }
        // What the record alone decides goes first.
        terms.sort_by_key(|term| term.key.needs_input());
        Ok(Self { terms, order })
    }

    /// In which order the operations are listed.
    pub(crate) const fn order(&self) -> &Order {
        &self.order
    }

    /// Whether an operation passes.
    pub(crate) fn passes(&self, operation: &Operation) -> bool {
        let subject = Subject::new(operation);
        self.terms.iter().all(|term| term.holds(&subject))
    }

    /// Whether an operation passes, where that can be told without its payloads.
    pub(crate) fn early(&self, without_payloads: &Operation) -> Option<bool> {
        let subject = Subject::new(without_payloads);
        for term in &self.terms {
            if term.key.needs_input() {
                return None;
            }
            if !term.holds(&subject) {
                return Some(false);
            }
        }
        Some(true)
    }
}

impl Term {
    fn holds(&self, subject: &Subject<'_>) -> bool {
        let found = self.key.read(subject);
        let order = found.and_then(|found| found.partial_cmp(&self.value));
        order.is_some_and(|order| self.operator.holds(order))
    }
}
