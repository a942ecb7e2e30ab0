//! Query parameters as fields of a message.

use std::collections::HashSet;

use opgate_core::Error;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};

use super::mask::find;
use super::percent::{Decode, decode};
use super::scalar;

/// Parameters of one request.
const PARAMETERS_MAX: usize = 1000;
/// Fields within fields.
const DEPTH_MAX: usize = 32;

/// The parameters of a query in their order, escapes resolved.
///
/// # Errors
/// A name or a value is no text; or there are too many.
pub fn pairs(query: Option<&str>) -> Result<Vec<(String, String)>, Error> {
    let mut pairs = Vec::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        if pairs.len() == PARAMETERS_MAX {
            let problem = format!("more than {PARAMETERS_MAX} parameters");
            return Err(Error::invalid("query", problem));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name =
            decode(name, Decode::Form).map_err(|problem| Error::invalid("query", problem))?;
        let value = decode(value, Decode::Form)
            .map_err(|problem| Error::invalid(scalar::clip(&name).to_owned(), problem))?;
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// Sets fields of a message by their paths, each but once.
#[derive(Debug)]
pub(super) struct Setter<'m> {
    message: &'m mut DynamicMessage,
    /// What was set, by the numbers on the way to it.
    set: HashSet<Vec<u32>>,
}

impl<'m> Setter<'m> {
    pub(super) fn new(message: &'m mut DynamicMessage) -> Self {
        Self { message, set: HashSet::new() }
    }

    /// Sets the field of a path such as `workflow.displayName`, adds to it where it is a list.
    pub(super) fn set(&mut self, path: &str, text: &str) -> Result<(), Error> {
        let wrong = |problem: String| Error::invalid(scalar::clip(path).to_owned(), problem);
        let mut numbers = Vec::new();
        let mut message = &mut *self.message;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let descriptor = message.descriptor();
            let field = find(&descriptor, name).ok_or_else(|| {
                wrong(format!("{} has no field `{}`", descriptor.full_name(), scalar::clip(name)))
            })?;
            numbers.push(field.number());
            if numbers.len() > DEPTH_MAX {
                return Err(wrong(format!("lies deeper than {DEPTH_MAX} fields")));
            }
            check_alternatives(message, &field).map_err(wrong)?;
            if names.peek().is_none() {
                let value = value(&field, text).map_err(wrong)?;
                if field.is_list() {
                    if let Some(values) = message.get_field_mut(&field).as_list_mut() {
                        values.push(value);
                    }
                } else if !self.set.insert(numbers) {
                    return Err(wrong("is given more than once".to_owned()));
                } else {
                    message.set_field(&field, value);
                }
                return Ok(());
            }
            let through = "goes through a field that is not a single message";
            if field.is_list() || field.is_map() {
                return Err(wrong(through.to_owned()));
            }
            message = message
                .get_field_mut(&field)
                .as_message_mut()
                .ok_or_else(|| wrong(through.to_owned()))?;
        }
        Ok(())
    }
}

/// Of the fields of a oneof, one may be set.
fn check_alternatives(message: &DynamicMessage, field: &FieldDescriptor) -> Result<(), String> {
    let Some(oneof) = field.containing_oneof() else { return Ok(()) };
    let other = oneof.fields().find(|other| other != field && message.has_field(other));
    match other {
        Some(other) => Err(format!("excludes `{}`, which is set too", other.json_name())),
        None => Ok(()),
    }
}

fn value(field: &FieldDescriptor, text: &str) -> Result<Value, String> {
    let kind = field.kind();
    if field.is_map() || (field.is_list() && matches!(kind, Kind::Message(_))) {
        return Err("can be given in a body only".to_owned());
    }
    scalar::from_text(&kind, text)
}
