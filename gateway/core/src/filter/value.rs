//! Values of fields, and how they compare to what a filter wants.

use std::cmp::Ordering;
use std::fmt;

use super::expr::Operator;
use super::literal::{Literal, Number};
use super::time;

/// A value of a field.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// A float.
    Float(f64),
    /// A text.
    Text(&'a str),
    /// A text of a form without types (JSON): where it and what is wanted are both timestamps, they
    /// compare as such.
    Untyped(&'a str),
    /// One of a set of names, where it has a number with that.
    Name(&'a str, Option<i32>),
    /// Nanoseconds since the Unix epoch.
    Time(i128),
    /// Nanoseconds.
    Duration(i128),
    /// A message or map.
    Message(&'a dyn Keys),
    /// Something that cannot be compared, and whether it is more than a default.
    Opaque(bool),
}

/// The fields of a message that are set, or the keys of a map.
pub trait Keys: fmt::Debug {
    /// Whether this one is among them.
    fn has(&self, key: &str) -> bool;
}

/// A value that a path led to.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The value.
    pub value: Value<'a>,
    /// Whether the way led through a list: only `:` goes there.
    pub listed: bool,
}

impl<'a> From<Value<'a>> for Found<'a> {
    fn from(value: Value<'a>) -> Self {
        Self { value, listed: false }
    }
}

impl Found<'_> {
    /// Whether there is more than a default value.
    pub(super) fn is_present(&self) -> bool {
        self.listed
            || match self.value {
                Value::Bool(truth) => truth,
                Value::Int(number) => number != 0,
                Value::Float(number) => number != 0.0,
                Value::Text(text) | Value::Untyped(text) => !text.is_empty(),
                Value::Name(_, number) => number != Some(0),
                Value::Opaque(present) => present,
                Value::Time(_) | Value::Duration(_) | Value::Message(_) => true,
            }
    }

    /// Whether the comparison holds. It never does between things that cannot be compared.
    pub(super) fn compares(&self, operator: Operator, literal: &Literal) -> bool {
        if self.listed {
            return operator == Operator::Has && self.value.compares(Operator::Eq, literal);
        }
        self.value.compares(operator, literal)
    }
}

impl Value<'_> {
    fn compares(self, operator: Operator, literal: &Literal) -> bool {
        match self {
            Self::Text(text) => match operator {
                Operator::Eq => literal.pattern.is(text),
                Operator::Ne => !literal.pattern.is(text),
                Operator::Has => literal.pattern.is_in(text),
                Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge => {
                    holds(operator, Some(text.cmp(&literal.text)))
                }
            },
            Self::Untyped(text) => match literal.time.and_then(|_| time::instant(text)) {
                Some(time) => Self::Time(time).compares(operator, literal),
                None => Self::Text(text).compares(operator, literal),
            },
            Self::Bool(truth) => {
                literal.truth().is_some_and(|wanted| same(operator, truth == wanted))
            }
            Self::Int(number) => literal
                .number
                .is_some_and(|wanted| holds(operator, Number::Int(number).cmp(wanted))),
            Self::Float(number) => literal
                .number
                .is_some_and(|wanted| holds(operator, Number::Float(number).cmp(wanted))),
            Self::Name(name, number) => match (number, literal.number) {
                (Some(number), Some(wanted)) => {
                    holds(operator, Number::Int(number.into()).cmp(wanted))
                }
                _ => same(operator, name == literal.text),
            },
            Self::Time(time) => {
                literal.time.is_some_and(|wanted| holds(operator, Some(time.cmp(&wanted))))
            }
            Self::Duration(length) => {
                literal.duration.is_some_and(|wanted| holds(operator, Some(length.cmp(&wanted))))
            }
            Self::Message(keys) => operator == Operator::Has && keys.has(&literal.text),
            Self::Opaque(_) => false,
        }
    }
}

/// For what is the same or not, and has no order.
fn same(operator: Operator, same: bool) -> bool {
    match operator {
        Operator::Eq | Operator::Has => same,
        Operator::Ne => !same,
        Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge => false,
    }
}

/// For what has an order; none where there is none between the two: they are not the same then.
fn holds(operator: Operator, order: Option<Ordering>) -> bool {
    match operator {
        Operator::Eq | Operator::Has => order == Some(Ordering::Equal),
        Operator::Ne => order != Some(Ordering::Equal),
        Operator::Lt => order == Some(Ordering::Less),
        Operator::Le => order.is_some_and(Ordering::is_le),
        Operator::Gt => order == Some(Ordering::Greater),
        Operator::Ge => order.is_some_and(Ordering::is_ge),
    }
}
