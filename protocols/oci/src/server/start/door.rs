//! One door: a request of the SDKs' that starts a route's operations.

use std::sync::Arc;

use bytes::Bytes;
use opgate_core::{Loss, Losses, Payload};
use opgate_rpc::exact;
use opgate_rpc::transcode::query_pairs;
use opgate_template::{self as template, Placeholder, Source};
use serde_json::{Map, Value};

use super::form::{Captured, Form};
use super::{DoorProblem, DoorSettings};
use crate::wire::error::{Code, Refusal};

/// What templates of inputs are given.
const PATH: &str = "path";
const QUERY: &str = "query";
const BODY: &str = "body";
/// The field of an input that names its compartment where nothing else is said.
pub(in crate::server) const COMPARTMENT: &str = "compartmentId";
/// Largest body, in bytes; as a tree it takes many times as much memory.
pub(in crate::server) const BODY_BYTES: usize = 1024 * 1024;
/// Where work requests are read: no door can be there.
const OWN: [&str; 4] =
    ["workRequests", "taggingWorkRequests", "iamWorkRequests", "loadBalancerWorkRequests"];

/// A door, checked.
#[derive(Debug)]
pub(crate) struct Door {
    /// The route that it starts.
    pub(crate) route: Arc<str>,
    /// The request as configured, by which operations remember where they came from.
    pub(super) request: Arc<str>,
    pub(super) form: Form,
    /// None: all fields there are.
    input: Option<Value>,
    compartment: Option<String>,
    required: Vec<String>,
}

impl Door {
    /// The door as configured, where it can be one, and every problem there is with it.
    pub(super) fn new(
        settings: &DoorSettings,
        services: &[&str],
    ) -> (Option<Self>, Vec<DoorProblem>) {
        let mut problems = Vec::new();
        let mut wrong =
            |key, problem: String| problems.push(DoorProblem::new(settings, key, problem));
        let form = match Form::parse(&settings.request) {
            Ok(form) => form,
            Err(problem) => {
                wrong("request", problem);
                return (None, problems);
            }
        };
        // Of two services in one another's path it is the nearer one's.
        let above = services.iter().filter_map(|path| Some((*path, form.beneath(path)?)));
        let service = above.max_by_key(|(path, _)| path.len());
        match &service {
            None if services.is_empty() => {
                wrong("request", "lies beneath no OCI service: none is configured".to_owned());
            }
            None => {
                let there = services.join(", ");
                wrong("request", format!("lies beneath no OCI service; they are at {there}"));
            }
            Some((_, rest)) => {
                let first = rest.first().copied().unwrap_or_default();
                if OWN.contains(&first) {
                    wrong("request", format!("is beneath {first}, where work requests are read"));
                }
            }
        }
        if let Some(input) = &settings.input
            && let Err(problem) = check_input(input, &form)
        {
            wrong("input", problem);
        }
        if let Some(compartment) = &settings.compartment
            && let Err(problem) = check_compartment(compartment)
        {
            wrong("compartment", problem);
        }
        if settings.required.iter().any(String::is_empty) {
            wrong("required", "has an empty name".to_owned());
        }
        let beneath = service.is_some();
        let door = beneath.then(|| Self {
            route: settings.route.as_str().into(),
            request: settings.request.as_str().into(),
            form,
            input: settings.input.clone(),
            compartment: settings.compartment.clone(),
            required: settings.required.clone(),
        });
        (door, problems)
    }

    /// What a request gives the operation to work on.
    ///
    /// # Errors
    /// A parameter that is missing or wrong, by its name.
    pub(super) fn input(
        &self,
        captured: &Captured<'_>,
        query: Option<&str>,
        body: &Bytes,
    ) -> Result<Value, Refusal> {
        let path = path(captured)?;
        let query = self::query(query)?;
        let body = self::body(body)?;
        let input = match &self.input {
            None => merged(path, query, body)?,
            Some(template) => expanded(template, path, query, body)?,
        };
        for name in &self.required {
            if input.get(name).is_none_or(Value::is_null) {
                return Err(Refusal::missing(&self.callers_name(name)));
            }
        }
        Ok(input)
    }

    /// The compartment that an input names; none where it names none and need not.
    ///
    /// # Errors
    /// It is missing where the configuration asks for it, or no text.
    pub(super) fn compartment(&self, input: &Value) -> Result<Option<String>, Refusal> {
        let source = Source { input: Some(input), id: None };
        let found = match &self.compartment {
            None => input.get(COMPARTMENT).filter(|id| !id.is_null()).cloned(),
            Some(template) => {
                let made = template::expand(&Value::String(template.clone()), &source);
                let made = made.map_err(|problem| Refusal::from(&problem.of(COMPARTMENT)))?;
                if made.is_null() {
                    return Err(Refusal::missing(&self.callers_name(&named(template))));
                }
                Some(made)
            }
        };
        match found {
            None => Ok(None),
            Some(Value::String(id)) if !id.is_empty() => Ok(Some(id)),
            Some(_) => {
                let name = self.compartment.as_deref().map_or(COMPARTMENT.to_owned(), named);
                let problem = "must be the OCID of a compartment, as a text";
                Err(Refusal::invalid(&self.callers_name(&name), problem))
            }
        }
    }

    /// What a field of the input is called in the request, where it is made of one value there.
    fn callers_name(&self, field: &str) -> String {
        match self.input.as_ref().and_then(|input| input.get(field)) {
            Some(Value::String(template)) if template.starts_with("${/") => named(template),
            _ => field.to_owned(),
        }
    }
}

/// The name of what a template takes: the last one in its first pointer.
fn named(template: &str) -> String {
    let text = Value::String(template.to_owned());
    let placeholders = template::placeholders(&text).unwrap_or_default();
    let pointer = placeholders.iter().find_map(|placeholder| match placeholder {
        Placeholder::Pointer(pointer) => pointer.rsplit('/').next(),
        Placeholder::Whole | Placeholder::Id | Placeholder::Uuid => None,
    });
    pointer.unwrap_or(COMPARTMENT).to_owned()
}

fn check_input(input: &Value, form: &Form) -> Result<(), String> {
    for placeholder in template::placeholders(input).map_err(|problem| problem.to_string())? {
        let pointer = match placeholder {
            Placeholder::Whole => continue,
            Placeholder::Pointer(pointer) => pointer,
            Placeholder::Id | Placeholder::Uuid => return Err(no_id()),
        };
        let mut steps = pointer.split('/').skip(1);
        match (steps.next().unwrap_or_default(), steps.next()) {
            (PATH, Some(name)) if !form.fields().any(|field| field == name) => {
                return Err(format!("takes ${{{pointer}}}, and the path has no {{{name}}}"));
            }
            (PATH | QUERY | BODY, _) => {}
            _ => {
                return Err(format!(
                    "takes ${{{pointer}}}, and there are only ${{/path/...}}, ${{/query/...}} and \
                     ${{/body/...}}"
                ));
            }
        }
    }
    Ok(())
}

fn check_compartment(template: &str) -> Result<(), String> {
    let text = Value::String(template.to_owned());
    let placeholders = template::placeholders(&text).map_err(|problem| problem.to_string())?;
    let no_id_yet = |placeholder| matches!(placeholder, Placeholder::Id | Placeholder::Uuid);
    if placeholders.into_iter().any(no_id_yet) { Err(no_id()) } else { Ok(()) }
}

fn no_id() -> String {
    "takes the operation's id, and there is none before it has started".to_owned()
}

fn path(captured: &Captured<'_>) -> Result<Map<String, Value>, Refusal> {
    let mut fields = Map::new();
    for (name, value) in captured {
        // Within a URL that a backend makes of them they would be steps in its path.
        if matches!(*value, "." | "..") {
            return Err(Refusal::invalid(name, "must not be . or .."));
        }
        if value.chars().any(char::is_control) {
            return Err(Refusal::invalid(name, "has a control character in it"));
        }
        fields.insert((*name).to_owned(), Value::from(*value));
    }
    Ok(fields)
}

/// The parameters as texts; of one that is there more than once the list of them.
fn query(query: Option<&str>) -> Result<Map<String, Value>, Refusal> {
    let mut fields = Map::new();
    for (name, value) in query_pairs(query).map_err(|error| Refusal::from(&error))? {
        match fields.get_mut(&name) {
            None => {
                fields.insert(name, Value::String(value));
            }
            Some(Value::Array(values)) => values.push(Value::String(value)),
            Some(first) => *first = Value::Array(vec![first.take(), Value::String(value)]),
        }
    }
    Ok(fields)
}

/// The body as JSON; none where there is none.
fn body(body: &Bytes) -> Result<Option<Value>, Refusal> {
    if body.is_empty() {
        return Ok(None);
    }
    let body = serde_json::from_slice(body).map_err(|error| {
        Refusal::new(Code::CannotParseRequest, format!("body: is not JSON: {error}"))
    })?;
    Ok(Some(body))
}

/// All fields there are; of one name the path's, else the query's.
fn merged(
    path: Map<String, Value>,
    query: Map<String, Value>,
    body: Option<Value>,
) -> Result<Value, Refusal> {
    let mut all = match body {
        None => Map::new(),
        Some(Value::Object(fields)) => fields,
        Some(_) => {
            let text = "body: must be a JSON object";
            return Err(Refusal::new(Code::CannotParseRequest, text));
        }
    };
    all.extend(query);
    all.extend(path);
    Ok(Value::Object(all))
}

fn expanded(
    template: &Value,
    path: Map<String, Value>,
    query: Map<String, Value>,
    body: Option<Value>,
) -> Result<Value, Refusal> {
    let mut request = Map::new();
    request.insert(PATH.to_owned(), Value::Object(path));
    request.insert(QUERY.to_owned(), Value::Object(query));
    request.extend(body.map(|body| (BODY.to_owned(), body)));
    let request = Value::Object(request);
    let source = Source { input: Some(&request), id: None };
    template::expand(template, &source).map_err(|problem| Refusal::from(&problem.of(BODY)))
}

/// The input as an operation carries it, and what of the body it does not say: of what the body alone is,
/// nothing is written anew. What a template leaves out is left out on purpose.
pub(super) fn content(
    door: &Door,
    captured: &Captured<'_>,
    query: Option<&str>,
    body: &Bytes,
    input: &Value,
) -> (Payload, Losses) {
    let alone = captured.is_empty() && query.is_none_or(str::is_empty);
    let whole = match &door.input {
        None => alone,
        Some(template) => template == "${/body}",
    };
    if whole && !body.is_empty() {
        return (Payload::json(body.clone()), Losses::NONE);
    }
    let made = Payload::json(input.to_string());
    let text = match (&door.input, serde_json::from_slice(body)) {
        (None, Ok(fields)) => exact::of_values(body, &fields),
        (Some(_), Ok(Value::Object(_) | Value::Array(_))) => {
            Losses::NONE.with(Loss::ResultNumbers, !exact::keeps_numbers(body, true))
        }
        (_, _) => Losses::NONE,
    };
    (made, text.as_input())
}

#[cfg(test)]
mod tests;
