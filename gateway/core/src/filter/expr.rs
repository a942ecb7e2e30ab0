//! What a filter says, apart from what its fields are.

use std::fmt::{self, Display as _, Write as _};

use super::cursor;

/// Where in the filter something stands. Places are no part of what a filter says: all are equal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place(usize);

impl Place {
    pub(super) const fn new(offset: usize) -> Self {
        Self(offset)
    }

    /// In bytes from the start.
    pub const fn offset(self) -> usize {
        self.0
    }
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

/// An expression. `And` and `Or` hold two members at least, and none of their own kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// All of these.
    And(Vec<Expr>),
    /// One of these.
    Or(Vec<Expr>),
    /// Not this.
    Not(Box<Expr>),
    /// A single condition.
    Term(Term),
}

/// A single condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// A text that may stand anywhere.
    Anywhere(String),
    /// A field compared to a value.
    Compare {
        /// The field.
        path: Path,
        /// How.
        operator: Operator,
        /// The value, without quotes and escapes.
        value: String,
        /// Where the value stands.
        at: Place,
    },
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `:`
    Has,
}

impl Operator {
    /// Every operator; one that begins with another comes before it.
    pub const ALL: [Self; 7] =
        [Self::Ne, Self::Le, Self::Lt, Self::Ge, Self::Gt, Self::Eq, Self::Has];

    /// As it is written.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Has => ":",
        }
    }
}

/// The way to a field: at least one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The names, without quotes and escapes.
    pub segments: Vec<String>,
    /// Where it stands.
    pub at: Place,
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(members) => joined(f, members, " AND "),
            Self::Or(members) => joined(f, members, " OR "),
            Self::Not(inner) => {
                f.write_str("NOT ")?;
                if matches!(**inner, Self::Term(_)) { inner.fmt(f) } else { write!(f, "({inner})") }
            }
            Self::Term(term) => term.fmt(f),
        }
    }
}

/// OR binds tighter: within AND it needs no parentheses, the other way round it does.
fn joined(f: &mut fmt::Formatter<'_>, members: &[Expr], word: &str) -> fmt::Result {
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        if matches!(member, Expr::And(_)) { write!(f, "({member})")? } else { member.fmt(f)? }
    }
    Ok(())
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anywhere(text) => in_quotes(f, text),
            Self::Compare { path, operator, value, .. } => {
                write!(f, "{path} {} ", operator.sign())?;
                in_quotes(f, value)
            }
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                f.write_char('.')?;
            }
            let plain = !segment.is_empty() && segment.chars().all(cursor::is_word);
            // Only as the first could it be taken for something else.
            let taken = index == 0
                && (segment.starts_with('-') || cursor::RESERVED.contains(&segment.as_str()));
            if plain && !taken { f.write_str(segment)? } else { in_quotes(f, segment)? }
        }
        Ok(())
    }
}

fn in_quotes(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(character)?;
    }
    f.write_char('"')
}
