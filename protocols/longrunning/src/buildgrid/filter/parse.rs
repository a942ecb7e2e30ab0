//! Reads the grammar.

use opgate_core::Error;

use super::key::Key;
use super::order::{Order, SortKey};
use super::{Operator, TERMS_MAX, Term};

const SORT_ORDER: &str = "sort_order";

/// The terms of a filter, and its order.
pub(super) fn filter(text: &str) -> Result<(Vec<Term>, Order), Error> {
    let (mut terms, mut order) = (Vec::new(), Vec::new());
    if text.trim().is_empty() {
        return Ok((terms, Order::default()));
    }
    for (index, part) in text.split('&').enumerate() {
        let part = Part { whole: text, part };
        if index == TERMS_MAX {
            let problem = format!("at most {TERMS_MAX} terms are allowed");
            return Err(part.problem(part.part, &problem));
        }
        let (name, rest) = part.key()?;
        let (operator, value) = part.operator(rest)?;
        let value = part.value(value)?;
        if name == SORT_ORDER {
            if operator != Operator::Equal {
                return Err(part.problem(rest, "`sort_order` takes `=` only"));
            }
            let key = SortKey::parse(value).map_err(|problem| part.problem(value, &problem))?;
            order.push(key);
            continue;
        }
        let key = Key::from_name(name).ok_or_else(|| {
            let known: Vec<&str> = Key::ALL.iter().map(|(name, _)| *name).collect();
            let known = known.join(", ");
            part.problem(name, &format!("`{name}` is no key; there are: {known}, {SORT_ORDER}"))
        })?;
        let value = key
            .value(value)
            .map_err(|allowed| part.problem(value, &format!("`{value}` {allowed}")))?;
        terms.push(Term { key, operator, value });
    }
    let order = Order::new(order).map_err(|problem| Error::invalid("filter", problem))?;
    Ok((terms, order))
}

/// What stands between two `&`.
#[derive(Clone, Copy)]
struct Part<'a> {
    whole: &'a str,
    part: &'a str,
}

impl<'a> Part<'a> {
    /// A problem with `place`, which is a piece of the whole.
    fn problem(self, place: &str, problem: &str) -> Error {
        let offset = place.as_ptr().addr().saturating_sub(self.whole.as_ptr().addr());
        let before = self.whole.get(..offset).unwrap_or(self.whole);
        let column = before.chars().count() + 1;
        Error::invalid("filter", format!("column {column}: {problem}"))
    }

    /// The key, and what follows it.
    fn key(self) -> Result<(&'a str, &'a str), Error> {
        let start = self.part.trim_start();
        let is_of_key = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let end = start.find(|letter| !is_of_key(letter)).unwrap_or(start.len());
        match start.split_at_checked(end) {
            Some((key, rest)) if !key.is_empty() => Ok((key, rest.trim_start())),
            _ => Err(self.problem(start, "a key is expected")),
        }
    }

    /// The operator at the beginning of `rest`, and what follows it.
    fn operator(self, rest: &'a str) -> Result<(Operator, &'a str), Error> {
        let mut known = Operator::ALL.into_iter();
        known
            .find_map(|(sign, operator)| Some((operator, rest.strip_prefix(sign)?.trim())))
            .ok_or_else(|| self.problem(rest, "an operator is expected: =, !=, <, <=, > or >="))
    }

    /// The value that `value` has to be.
    fn value(self, value: &'a str) -> Result<&'a str, Error> {
        let odd =
            |letter: char| letter.is_whitespace() || letter.is_control() || "=<>!".contains(letter);
        if value.is_empty() {
            return Err(self.problem(value, "a value is expected"));
        }
        match value.find(odd).and_then(|at| value.get(at..)) {
            Some(place) => {
                Err(self.problem(place, "a value holds neither blanks nor any of = < > !"))
            }
            None => Ok(value),
        }
    }
}
