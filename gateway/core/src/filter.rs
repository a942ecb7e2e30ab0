//! List filters: the language of AIP-160, as far as clients use it.
//!
//! ```text
//! filter      = [ expression ]
//! expression  = factor { [ AND ] factor }             a blank is an AND
//! factor      = term { OR term }                      OR binds tighter than AND
//! term        = [ NOT | "-" ] ( "(" expression ")" | restriction )
//! restriction = literal                               anywhere in the subject's texts
//!             | path operator ( value | "(" expression of values ")" )
//! path        = segment { "." segment }               a segment may be quoted
//! operator    = "=" | "!=" | "<" | "<=" | ">" | ">=" | ":"
//! ```
//!
//! A value stands in single or double quotes, or is a run without blanks, quotes, parentheses,
//! commas and comparison signs: `type.googleapis.com/a.b.C`, `2026-01-02T03:04:05+01:00`. Quotes
//! decide nothing about its type; within them a backslash escapes itself and quotes, and `\n`, `\r`
//! and `\t` are known. `AND`, `OR` and `NOT` are upper case; their lower-case forms are refused
//! rather than taken for texts. There are no functions.
//!
//! What a term means follows the type of its field:
//!
//! - **text**: `=` and `!=` know `*` as any run of characters, `:` is "contains" (`*` too), the
//!   others compare by character. Case counts everywhere.
//! - **numbers, timestamps** (RFC 3339, any offset), **durations** (`1.5s`) compare by value; `:`
//!   is `=`.
//! - **booleans and names of a fixed set** take `=`, `!=` and `:`; an error code takes its name or
//!   its number, and the order of the numbers.
//! - **a list** has an element that equals (`:`). **A message or map** has a field that is set (`:`).
//! - `field:*`: it is set, and neither empty, zero nor false.
//! - What is not set matches nothing, `!=` neither; `NOT` is plain negation, so `NOT field = x`
//!   matches where the field is not set.
//!
//! [`Filter::parse`] knows the language only. [`Filter::bind`] holds a filter against a [`Schema`]:
//! a field that is not there, or a value that cannot be of its type, is refused with its column.
//! What is bound is evaluated on a [`Subject`] and cannot fail; the order of terms plays no part,
//! and cheap terms go first.

mod bound;
mod canonical;
mod cursor;
mod expr;
mod literal;
mod parse;
mod pattern;
mod predicate;
mod schema;
pub(crate) mod time;
mod value;

use std::fmt;

pub use bound::Bound;
pub use canonical::{Canonical, canonical};
pub use expr::{Expr, Operator, Path, Place, Term};
pub use predicate::Predicate;
pub use schema::{FieldType, Needs, Resolved, Schema, Subject, is_field};
pub use value::{Found, Keys, Value};

use crate::error::Error;

/// Longest filter, in bytes.
pub const BYTES: usize = 4096;
/// Parentheses within parentheses, at most.
pub const NESTING: usize = 20;
/// Terms of one filter, at most: what one operation can cost a list.
pub const TERMS: usize = 256;

/// A filter that was read, not yet bound to fields.
#[derive(Clone, Debug)]
pub struct Filter {
    text: String,
    expr: Option<Expr>,
}

impl Filter {
    /// Reads a filter; an empty one lets everything through.
    ///
    /// # Errors
    /// `InvalidArgument` on `filter`, with the column (in characters, from 1), when it is longer
    /// than [`BYTES`], nested deeper than [`NESTING`], of more than [`TERMS`] terms, or malformed.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > BYTES {
            let text = format!("is {} bytes long, at most {BYTES} are allowed", text.len());
            return Err(Error::invalid("filter", text));
        }
        let expr = parse::filter(text).map_err(|problem| problem.of(text))?;
        Ok(Self { text: text.to_owned(), expr })
    }

    /// What it says; none where it is empty.
    pub const fn expr(&self) -> Option<&Expr> {
        self.expr.as_ref()
    }

    /// Binds it to the fields of a schema.
    ///
    /// # Errors
    /// `InvalidArgument` on `filter`, with the column, for a field that is not there, an operator
    /// that its type does not have, or a value that cannot be of its type.
    pub fn bind<S: Schema>(&self, schema: &S) -> Result<Bound<S::Field>, Error> {
        Bound::new(schema, self.expr.as_ref()).map_err(|problem| problem.of(&self.text))
    }
}

/// In a form that reads back as the same expression.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.as_ref().map_or(Ok(()), |expr| expr.fmt(f))
    }
}

/// What is wrong with a filter, and where.
#[derive(Debug)]
struct Problem {
    place: Place,
    text: String,
}

impl Problem {
    fn at(place: Place, text: impl Into<String>) -> Self {
        Self { place, text: text.into() }
    }

    fn of(self, filter: &str) -> Error {
        let before = filter.get(..self.place.offset()).unwrap_or(filter);
        let column = before.chars().count() + 1;
        Error::invalid("filter", format!("at column {column}: {}", self.text))
    }
}

/// As much of a word of the filter as a message quotes.
fn quoted(word: &str) -> String {
    const BYTES_SHOWN: usize = 64;
    match word.get(..word.floor_char_boundary(BYTES_SHOWN)) {
        Some(shown) if shown.len() < word.len() => format!("`{shown}...`"),
        _ => format!("`{word}`"),
    }
}
