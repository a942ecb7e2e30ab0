//! JSON as a message, strictly: what the message does not have, what is there twice, and what
//! follows the end is refused, with the path of the field and the place in the text.

mod any;
mod message;
mod scalars;
mod structure;

use std::cell::{Cell, RefCell};

use opgate_core::{Error, ErrorKind};
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, Value};
use serde::de::DeserializeSeed;
use serde_json::error::Category;

use self::message::{FieldSeed, MessageSeed};

/// Objects and lists within each other.
pub const DEPTH_MAX: usize = 100;
/// Values in one body: a value of one byte takes a hundred in between.
pub const VALUES_MAX: usize = 100_000;
/// Longest path of a field in an error, in bytes.
const PATH_BYTES_MAX: usize = 256;

/// The JSON text as a message of this type. What lies in an Any is read by the types of its pool.
///
/// # Errors
/// `INVALID_ARGUMENT` with the path of the field where there is one, else `body`;
/// `PAYLOAD_TOO_LARGE` for more than [`VALUES_MAX`] values.
pub fn from_json(message: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, Error> {
    let progress = Progress::default();
    read(&progress, json, MessageSeed { progress: &progress, message })
}

/// The JSON text as the value of a field; `None` for a null that means it is not set.
pub(super) fn field_from_json(
    field: &FieldDescriptor,
    json: &[u8],
) -> Result<Option<Value>, Error> {
    let progress = Progress::default();
    progress.step(Step::Name(field.json_name().to_owned()));
    read(&progress, json, FieldSeed { progress: &progress, field })
}

fn read<'de, S: DeserializeSeed<'de>>(
    progress: &Progress,
    json: &'de [u8],
    seed: S,
) -> Result<S::Value, Error> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let value = seed.deserialize(&mut reader).and_then(|value| {
        // What follows the end is no part of any field.
        progress.path.borrow_mut().clear();
        reader.end().map(|()| value)
    });
    value.map_err(|error| progress.refuse(&error))
}

/// Where in the text the reader is, and what it has met.
#[derive(Debug, Default)]
struct Progress {
    path: RefCell<Vec<Step>>,
    depth: Cell<usize>,
    values: Cell<usize>,
}

#[derive(Debug)]
enum Step {
    Name(String),
    Key(String),
    Index(usize),
}

impl Progress {
    fn step(&self, step: Step) {
        self.path.borrow_mut().push(step);
    }

    /// Leaves a value that was read. After an error nothing is left, so that the path is where it is.
    fn back(&self) {
        self.path.borrow_mut().pop();
    }

    /// Enters an object or a list.
    fn enter<E: serde::de::Error>(&self) -> Result<(), E> {
        self.depth.set(self.depth.get() + 1);
        if self.depth.get() > DEPTH_MAX {
            return Err(E::custom(format_args!("lies deeper than {DEPTH_MAX} levels")));
        }
        Ok(())
    }

    fn leave(&self) {
        self.depth.set(self.depth.get().saturating_sub(1));
    }

    /// Counts a value.
    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > VALUES_MAX {
            return Err(E::custom(format_args!("more than {VALUES_MAX} values")));
        }
        Ok(())
    }

    fn refuse(&self, error: &serde_json::Error) -> Error {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let bare = text.strip_suffix(&format!(" at line {line} column {column}"));
        let bare = bare.unwrap_or(&text);
        let place =
            if line == 0 { String::new() } else { format!(" (line {line}, column {column})") };
        if self.values.get() > VALUES_MAX {
            return Error::new(ErrorKind::PayloadTooLarge, format!("body: {bare}{place}"));
        }
        let what = match error.classify() {
            Category::Syntax | Category::Eof => "is not JSON: ",
            Category::Data | Category::Io => "",
        };
        Error::invalid(self.path(), format!("{what}{bare}{place}"))
    }

    fn path(&self) -> String {
        let mut text = String::new();
        for step in &*self.path.borrow() {
            match step {
                Step::Name(name) if text.is_empty() => text.push_str(name),
                Step::Name(name) => text.extend([".", name]),
                Step::Key(key) => text.extend(["[\"", key, "\"]"]),
                Step::Index(index) => text.extend(["[", &index.to_string(), "]"]),
            }
            if text.len() > PATH_BYTES_MAX {
                text.truncate(text.floor_char_boundary(PATH_BYTES_MAX));
                break;
            }
        }
        if text.is_empty() { "body".to_owned() } else { text }
    }
}

#[cfg(test)]
mod tests;
