//! What a filter can be bound to and evaluated on.

use super::value::Found;

/// The fields there are.
pub trait Schema {
    /// What stands for a field once it was looked up.
    type Field;

    /// Looks a field up. Segments may come in `snake_case` or `camelCase`, see [`is_field`].
    ///
    /// # Errors
    /// A text that says what is wrong with the path and which fields there are.
    fn resolve(&self, path: &[String]) -> Result<Resolved<Self::Field>, String>;

    /// What it takes to look for a text anywhere.
    fn anywhere(&self) -> Needs;
}

/// A field that was looked up.
#[derive(Clone, Debug)]
pub struct Resolved<F> {
    /// The field.
    pub field: F,
    /// Its type.
    pub of: FieldType,
    /// What it takes to read it.
    pub needs: Needs,
}

/// The type of a field: which operators and values it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// `true` or `false`.
    Bool,
    /// An integer or a float.
    Number,
    /// Any text.
    Text,
    /// One of these names.
    Names(&'static [&'static str]),
    /// A `google.rpc.Code`, by name or number.
    Code,
    /// An instant.
    Time,
    /// A message with fields of its own.
    Message,
    /// Known only with the value at hand.
    Dynamic,
}

/// What reading a field takes, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// The record without its payloads.
    Record,
    /// A message made of the record without its payloads.
    Message,
    /// The payloads, which may lie elsewhere.
    Bodies,
}

/// What a filter is evaluated on.
pub trait Subject<F> {
    /// Shows `test` every value of the field until it says true; whether it did. A field that is not
    /// set has no value. None when that cannot be told without what is not at hand.
    fn any(&self, field: &F, test: &mut dyn FnMut(Found<'_>) -> bool) -> Option<bool>;

    /// The same for every text in which a literal by itself is looked for.
    fn anywhere(&self, test: &mut dyn FnMut(&str) -> bool) -> Option<bool>;
}

/// Whether a segment means this `snake_case` field, in `snake_case` or `camelCase`.
pub fn is_field(segment: &str, field: &str) -> bool {
    let mut camel = segment.chars();
    let mut up = false;
    let as_camel = field.chars().all(|character| {
        if character == '_' {
            up = true;
            return true;
        }
        let expected = if up { character.to_ascii_uppercase() } else { character };
        up = false;
        camel.next() == Some(expected)
    });
    segment == field || (as_camel && camel.next().is_none())
}
