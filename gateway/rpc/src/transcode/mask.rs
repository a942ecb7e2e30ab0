//! Which fields of an answer are wanted: the `fields` parameter and the header `X-Goog-FieldMask`.
//!
//! `a,b` takes both; `a/b`, `a.b` and `a(b)` take b within a, in every element where a is a list;
//! `*` stands for every name at its level. A name may be written as in JSON or as in the `.proto`.
//! Nothing that was not asked for is kept, `@type` neither.

use std::borrow::Cow;
use std::collections::BTreeMap;

use opgate_core::Error;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// Longest mask, in bytes.
const MASK_BYTES_MAX: usize = 4096;
/// Names within names.
const MASK_DEPTH_MAX: usize = 32;
const ALL: &str = "*";

/// A set of fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    root: Node,
}

/// What is wanted of one value: all of it where there are no names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    names: BTreeMap<String, Self>,
}

/// What is wanted of the value at hand.
#[derive(Clone, Debug)]
pub(super) enum Wanted<'m> {
    /// All of it.
    All,
    /// What these say together. As many as there are nodes at this depth of the mask, at most.
    Some(Cow<'m, [&'m Node]>),
}

impl Mask {
    /// Reads a mask. `field` is what it was given as, for the error.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Error> {
        if text.len() > MASK_BYTES_MAX {
            let problem = format!("is longer than {MASK_BYTES_MAX} bytes");
            return Err(Error::invalid(field, problem));
        }
        let mut parser = Parser { text, at: 0 };
        let mut root = None;
        let parsed = parser.list(&mut root, 0).and_then(|()| match parser.peek() {
            None => Ok(()),
            Some(odd) => Err(format!("`{odd}` is out of place")),
        });
        match (parsed, root) {
            (Ok(()), Some(root)) => Ok(Self { root }),
            (Ok(()), None) => Err(Error::invalid(field, "names no field")),
            (Err(problem), _) => {
                let column = parser.at + 1;
                Err(Error::invalid(field, format!("{problem}, at position {column}")))
            }
        }
    }

    /// Whether every name is a field of the message; what lies within an Any, a Struct or a map is
    /// anything.
    ///
    /// # Errors
    /// The first name that is none.
    pub fn check(&self, field: &'static str, message: &MessageDescriptor) -> Result<(), Error> {
        check(&self.root, message, "").map_err(|problem| Error::invalid(field, problem))
    }

    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted::of(vec![&self.root])
    }
}

fn check(node: &Node, message: &MessageDescriptor, path: &str) -> Result<(), String> {
    for (name, within) in &node.names {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if name == ALL {
            // Each name below has to be in one of them at least; where there are many, any.
            continue;
        }
        let field = find(message, name)
            .ok_or_else(|| format!("`{path}`: {} has no such field", message.full_name()))?;
        if within.names.is_empty() || is_free(&field) {
            continue;
        }
        let kind = field.kind();
        let Some(inner) = kind.as_message().filter(|inner| !has_own_json(inner)) else {
            return Err(format!("`{path}` has no fields within"));
        };
        check(within, inner, &path)?;
    }
    Ok(())
}

/// A field of this name, as in JSON or as in the `.proto`.
pub(super) fn find(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name))
}

/// Whether the names within are not the descriptor's to say.
fn is_free(field: &FieldDescriptor) -> bool {
    let free = ["Any", "Struct", "Value", "ListValue"];
    field.is_map()
        || matches!(field.kind(), Kind::Message(message)
            if message.full_name().strip_prefix("google.protobuf.")
                .is_some_and(|name| free.contains(&name)))
}

/// Whether the JSON of the message is no object of its fields.
fn has_own_json(message: &MessageDescriptor) -> bool {
    super::writer::has_own_json(message.full_name())
}

impl<'m> Wanted<'m> {
    fn of(nodes: Vec<&'m Node>) -> Self {
        if nodes.iter().any(|node| node.names.is_empty()) {
            Self::All
        } else {
            Self::Some(Cow::Owned(nodes))
        }
    }

    /// What is wanted of the entry of this key; `None` if it is not wanted at all.
    pub(super) fn key(&self, key: &str) -> Option<Self> {
        self.keys(&[key])
    }

    /// What is wanted of a field.
    pub(super) fn field(&self, field: &FieldDescriptor) -> Option<Self> {
        match self {
            Self::All => Some(Self::All),
            Self::Some(_) if field.name() == field.json_name() => self.key(field.name()),
            Self::Some(_) => self.keys(&[field.json_name(), field.name()]),
        }
    }

    fn keys(&self, keys: &[&str]) -> Option<Self> {
        let Self::Some(nodes) = self else { return Some(Self::All) };
        let found = nodes
            .iter()
            .flat_map(|node| keys.iter().chain(&[ALL]).filter_map(|key| node.names.get(*key)));
        let found: Vec<&Node> = found.collect();
        (!found.is_empty()).then(|| Self::of(found))
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let taken = self.peek() == Some(wanted);
        if taken {
            self.at += wanted.len_utf8();
        }
        taken
    }

    fn spaces(&mut self) {
        while self.take(' ') {}
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_name = |letter: char| {
            letter.is_alphanumeric() || matches!(letter, '_' | '-' | '@' | '*' | '$')
        };
        let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        if name.is_empty() {
            return Err(match self.peek() {
                None => "a name is missing at the end".to_owned(),
                Some(odd) => format!("a name is expected, not `{odd}`"),
            });
        }
        if name.contains('*') && name != ALL {
            return Err(format!("`{name}`: `*` stands alone"));
        }
        self.at += end;
        Ok(name)
    }

    /// Names with commas between. What is added to no node at all makes one; what is added to a node
    /// that means all of it changes nothing.
    fn list(&mut self, into: &mut Option<Node>, depth: usize) -> Result<(), String> {
        loop {
            self.spaces();
            self.path(into, depth)?;
            self.spaces();
            if !self.take(',') {
                return Ok(());
            }
        }
    }

    fn path(&mut self, into: &mut Option<Node>, depth: usize) -> Result<(), String> {
        if depth >= MASK_DEPTH_MAX {
            return Err(format!("names lie deeper than {MASK_DEPTH_MAX}"));
        }
        let name = self.name()?;
        let fresh = into.is_none();
        let node = into.get_or_insert_default();
        // A node that is there without names means all of it.
        let all = !fresh && node.names.is_empty();
        let mut within = node.names.remove(name);
        if self.take('/') || self.take('.') {
            self.path(&mut within, depth + 1)?;
        } else if self.take('(') {
            self.list(&mut within, depth + 1)?;
            if !self.take(')') {
                return Err("`)` is missing".to_owned());
            }
        } else {
            within = Some(Node::default());
        }
        if !all {
            node.names.insert(name.to_owned(), within.unwrap_or_default());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Mask::parse("fields", text).unwrap_err().message.into_owned()
    }

    #[test]
    fn the_forms_of_a_path_are_one() {
        let mask = |text| Mask::parse("fields", text).unwrap();
        assert_eq!(mask("a/b,a/c"), mask("a(b,c)"));
        assert_eq!(mask("a.b,a.c"), mask("a( c , b )"));
        assert_eq!(mask("a/b,a"), mask("a"));
        assert_eq!(mask("a,a/b"), mask("a"));
        assert_eq!(mask("a/b(c/d,e)"), mask("a/b/e,a/b/c/d"));
        assert_ne!(mask("*"), mask("a"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, problem) in [
            ("", "a name is missing at the end, at position 1"),
            ("a,", "a name is missing at the end, at position 3"),
            (",a", "a name is expected, not `,`, at position 1"),
            ("a//b", "a name is expected, not `/`, at position 3"),
            ("a(b", "`)` is missing, at position 4"),
            ("a()", "a name is expected, not `)`, at position 3"),
            ("a)", "`)` is out of place, at position 2"),
            ("a(b)c", "`c` is out of place, at position 5"),
            ("a*", "`a*`: `*` stands alone, at position 1"),
            ("a b", "`b` is out of place, at position 3"),
        ] {
            assert_eq!(refused(text), format!("fields: {problem}"), "{text}");
        }
        assert!(refused(&"a/".repeat(40)).contains("deeper than 32"));
        assert!(refused(&"a".repeat(5000)).contains("longer than 4096"));
    }
}
