//! A value of a filter, as everything it can be.

use std::cmp::Ordering;

use super::pattern::Pattern;
use super::time;

/// A value, read once.
#[derive(Clone, Debug)]
pub(super) struct Literal {
    pub(super) text: String,
    pub(super) pattern: Pattern,
    pub(super) number: Option<Number>,
    /// Nanoseconds since the Unix epoch.
    pub(super) time: Option<i128>,
    /// Nanoseconds.
    pub(super) duration: Option<i128>,
}

impl Literal {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            pattern: Pattern::new(text),
            number: Number::parse(text),
            time: time::instant(text),
            duration: time::duration(text),
        }
    }

    pub(super) fn truth(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }
}

/// A number; integers stay exact.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    /// Digits, with a sign, a fraction and an exponent where wanted; finite.
    fn parse(text: &str) -> Option<Self> {
        let digits =
            |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
        if !text.bytes().all(digits) {
            return None;
        }
        if let Ok(integer) = text.parse() {
            return Some(Self::Int(integer));
        }
        text.parse().ok().filter(|float: &f64| float.is_finite()).map(Self::Float)
    }

    /// None where one is not a number.
    pub(super) fn cmp(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (a, b) => a.float().partial_cmp(&b.float()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a float it is compared to has no more digits")]
    const fn float(self) -> f64 {
        match self {
            Self::Int(integer) => integer as f64,
            Self::Float(float) => float,
        }
    }
}
