//! What a route to an OCI API says: the request that starts an operation there, and where its work
//! requests are. See oci.md for the paths; the words of a configuration are those of `OPTIONS`.

use std::collections::BTreeMap;

use http::{HeaderName, Method};
use opgate_core::{Error, ErrorKind};
use opgate_egress::Passing;
use opgate_template::{self as template, Source};
use serde_json::Value;

use super::dialect::collection;
use super::endpoint::{Endpoint, encoded, with_query};
use crate::wire::dialect::Dialect;

/// Option of a route: the method and path of the request that starts an operation, such as
/// `DELETE /20160918/compartments/{compartmentId}`; what is in braces is a field of the input.
pub const REQUEST: &str = "request";
/// Option of a route: a template over the input, as JSON. Left out: there is no body.
pub const BODY: &str = "body";
/// Option of a route: the parameters of the request, a JSON object of templates over the input.
pub const QUERY: &str = "query";
/// Option of a route: the path of the work requests. Left out: beside the request, behind its version.
pub const WORK_REQUESTS: &str = "work_requests";
/// Option of a route: the name of a [`Dialect`].
pub const DIALECT: &str = "dialect";
/// Option of a route: whether work requests can be canceled, `true` or `false`. Left out: as the
/// dialect has it.
pub const CANCEL: &str = "cancel";
/// Option of a route: the headers of a start that are sent along, separated by commas; a name may
/// end in `*`. Left out: [`FORWARDED`].
pub const HEADERS: &str = "headers";
/// The headers that are sent along unless a route says otherwise.
pub const FORWARDED: [&str; 4] = ["baggage", "if-match", "x-correlation-id", "x-request-id"];

const OPTIONS: [&str; 7] = [REQUEST, BODY, QUERY, WORK_REQUESTS, DIALECT, CANCEL, HEADERS];
const METHODS: [Method; 4] = [Method::DELETE, Method::POST, Method::PUT, Method::PATCH];
/// What a request is refused with that asks for the input's fields where it has none.
const NO_FIELDS: &str = "must be JSON, for the request upstream is made of its fields (a route's gRPC door makes JSON of \
     its messages with input = \"json\")";

/// What a route says.
#[derive(Clone, Debug)]
pub(super) struct Plan<'a> {
    method: Method,
    path: Vec<Piece<'a>>,
    query: BTreeMap<String, Value>,
    body: Option<Value>,
    /// Without a slash at the end.
    work_requests: String,
    pub(super) dialect: Dialect,
    /// Whether work requests can be canceled.
    pub(super) cancels: bool,
    headers: Option<&'a str>,
}

#[derive(Clone, Copy, Debug)]
enum Piece<'a> {
    Text(&'a str),
    Field(&'a str),
}

/// Whether the options of a route to an OCI API are right: what a configuration check asks.
///
/// # Errors
/// The option at fault, and what is wrong.
pub fn check_options(options: &BTreeMap<String, String>) -> Result<(), (String, String)> {
    Plan::of(options).map(drop).map_err(|(key, problem)| (key.to_owned(), problem))
}

impl<'a> Plan<'a> {
    /// Reads the options of a route.
    pub(super) fn of(options: &'a BTreeMap<String, String>) -> Result<Self, (&'a str, String)> {
        if let Some(unknown) = options.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
            let problem = format!("is not known; allowed are: {}", OPTIONS.join(", "));
            return Err((unknown, problem));
        }
        let about = |key| move |problem| (key, problem);
        let option = |key| options.get(key).map(String::as_str);
        let words = Dialect::ALL.map(|dialect| format!("{:?}", dialect.name()));
        let known = |word: &str| Dialect::ALL.into_iter().find(|dialect| dialect.name() == word);
        let dialect = option(DIALECT).and_then(known);
        let dialect =
            dialect.ok_or_else(|| (DIALECT, format!("must be one of {}", words.join(", "))))?;
        let (method, path) = option(REQUEST)
            .ok_or_else(|| "is missing".to_owned())
            .and_then(request)
            .map_err(about(REQUEST))?;
        let work_requests = match option(WORK_REQUESTS) {
            Some(path) => beneath(path).map_err(about(WORK_REQUESTS))?.to_owned(),
            None => beside(&path, dialect).map_err(about(WORK_REQUESTS))?,
        };
        if method == Method::DELETE && options.contains_key(BODY) {
            let problem = "a DELETE has none: it would not be covered by the signature";
            return Err((BODY, problem.to_owned()));
        }
        let headers = option(HEADERS);
        headers
            .map_or(Ok(()), |list| Passing::new(list).check(may_pass))
            .map_err(about(HEADERS))?;
        Ok(Self {
            method,
            path,
            query: option(QUERY).map_or(Ok(BTreeMap::new()), query).map_err(about(QUERY))?,
            body: option(BODY).map(body).transpose().map_err(about(BODY))?,
            work_requests,
            dialect,
            cancels: match option(CANCEL) {
                None => dialect.cancels(),
                Some("true") => true,
                Some("false") => false,
                Some(_) => return Err((CANCEL, "must be true or false".to_owned())),
            },
            headers,
        })
    }

    /// The method of the request that starts an operation.
    pub(super) const fn method(&self) -> &Method {
        &self.method
    }

    /// The URL and the body of the request that starts an operation.
    ///
    /// # Errors
    /// What of the input is missing or cannot be in it.
    pub(super) fn start(
        &self,
        endpoint: &Endpoint,
        source: &Source<'_>,
    ) -> Result<(String, Option<Value>), Error> {
        let reads = |value: &Value| template::reads_input(value);
        if source.input.is_none()
            && (self.body.as_ref().is_some_and(reads) || self.query.values().any(reads))
        {
            return Err(Error::invalid("input", NO_FIELDS));
        }
        let mut url = endpoint.to_string();
        for piece in &self.path {
            match piece {
                Piece::Text(text) => url.push_str(text),
                Piece::Field(name) => url.extend(encoded(&segment(name, source)?)),
            }
        }
        let mut parameters = Vec::new();
        for (name, value) in &self.query {
            let made = template::expand(value, source).map_err(|problem| problem.of(QUERY))?;
            for text in texts(made).ok_or_else(|| unfit(name))? {
                parameters.push((name.as_str(), text));
            }
        }
        with_query(&mut url, parameters.iter().map(|(name, text)| (*name, text.as_str())));
        let body = self.body.as_ref().map(|body| template::expand(body, source)).transpose();
        let body = body.map_err(|problem| problem.of(BODY))?.filter(|body| !body.is_null());
        Ok((url, body))
    }

    /// Whether the body is the input as it is.
    pub(super) fn takes_all(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body == "${}")
    }

    /// The URL of a work request, or of one of its lists.
    pub(super) fn work_request(&self, endpoint: &Endpoint, id: &str, list: &str) -> String {
        let mut url = format!("{endpoint}{}/", self.work_requests);
        url.extend(encoded(id));
        url.push_str(list);
        url
    }

    /// Whether a caller's header is sent along.
    pub(super) fn passes(&self, name: &HeaderName) -> bool {
        may_pass(name)
            && match self.headers {
                Some(list) => Passing::new(list).holds(name),
                None => FORWARDED.into_iter().any(|forwarded| name == forwarded),
            }
    }
}

/// Whether a caller's header may ever be sent upstream: not what is the protocol's own.
fn may_pass(name: &HeaderName) -> bool {
    let own = matches!(name.as_str(), "date" | "x-date" | "x-content-sha256")
        || name.as_str().starts_with("opc-");
    opgate_egress::may_pass(name) && !own
}

fn request(text: &str) -> Result<(Method, Vec<Piece<'_>>), String> {
    let allowed = "must be a method and a path, such as \
                   \"DELETE /20160918/compartments/{compartmentId}\"";
    let (method, path) = text.split_once(' ').ok_or(allowed)?;
    let method = METHODS.into_iter().find(|known| known.as_str() == method);
    let method =
        method.ok_or_else(|| format!("{allowed}; the methods are DELETE, POST, PUT, PATCH"))?;
    if !path.starts_with('/') {
        return Err(format!("{allowed}; the path begins with /"));
    }
    let mut pieces = Vec::new();
    let mut rest = path;
    while let Some((text, after)) = rest.split_once('{') {
        let (field, after) =
            after.split_once('}').ok_or_else(|| format!("{allowed}; a {{ needs its }}"))?;
        if field.is_empty() || field.contains('{') {
            return Err(format!("{allowed}; {{{field}}} is no name of a field of the input"));
        }
        pieces.extend([Piece::Text(text), Piece::Field(field)]);
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    let fits = |piece: &Piece<'_>| match piece {
        Piece::Text(text) => is_path(text),
        Piece::Field(_) => true,
    };
    if !pieces.iter().all(fits) {
        return Err(format!("{allowed}; parameters have a table of their own, query"));
    }
    Ok((method, pieces))
}

/// Whether a text can stand in a path as it is.
fn is_path(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte))
}

/// The path of the work requests, without a slash at its end.
fn beneath(path: &str) -> Result<&str, String> {
    let trimmed = path.trim_end_matches('/');
    if !path.starts_with('/') || trimmed.is_empty() || !is_path(path) {
        return Err("must be a path, such as \"/20160918/workRequests\"".to_owned());
    }
    Ok(trimmed)
}

/// The path of the work requests where only the request's is known: behind the same version.
fn beside(path: &[Piece<'_>], dialect: Dialect) -> Result<String, String> {
    let missing = "is missing: the request's path has no version such as /20160918 that it could be \
                   behind";
    let Some(Piece::Text(path)) = path.first() else { return Err(missing.to_owned()) };
    let is_version =
        |part: &&str| part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_digit());
    let version = path.split('/').find(is_version).ok_or(missing)?;
    let (front, _) = path.split_once(version).ok_or(missing)?;
    Ok(format!("{front}{version}/{}", collection(dialect)))
}

fn query(text: &str) -> Result<BTreeMap<String, Value>, String> {
    let allowed = "must be a table of templates, such as { force = \"${/force}\" }";
    let query: BTreeMap<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("{allowed}: {error}"))?;
    for (name, value) in &query {
        template::check(value).map_err(|problem| format!("{name}: {problem}"))?;
        if name.is_empty() || value.is_object() {
            return Err(format!("{allowed}; {name:?} is none"));
        }
    }
    Ok(query)
}

fn body(text: &str) -> Result<Value, String> {
    let body: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    template::check(&body).map_err(|problem| problem.to_string())?;
    Ok(body)
}

/// A field of the input as a segment of a path.
fn segment(name: &str, source: &Source<'_>) -> Result<String, Error> {
    let field = || format!("input.{name}");
    let input = source.input.ok_or_else(|| Error::invalid("input", NO_FIELDS))?;
    let value = input.get(name).ok_or_else(|| Error::invalid(field(), "is missing"))?;
    match text(value) {
        // HTTP libraries take dots for steps in the path, however they are encoded.
        Some(text) if text.is_empty() || matches!(text.as_str(), "." | "..") => {
            Err(Error::invalid(field(), format!("{text:?} cannot be in the path of a URL")))
        }
        Some(text) => Ok(text),
        None => Err(Error::invalid(field(), "must be a text, a number or a truth value")),
    }
}

/// The values of a parameter: one, several, or none where nothing was found.
fn texts(value: Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => items.iter().map(text).collect(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            text(&value).map(|text| vec![text])
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn unfit(parameter: &str) -> Error {
    let text = "is made of the input, and becomes neither a text, a number nor a truth value, nor a \
                list of these";
    Error::invalid(format!("{QUERY}.{parameter}"), text)
}

/// A route whose options were not checked.
pub(super) fn unusable((key, problem): (&str, String)) -> Error {
    Error::new(ErrorKind::Internal, format!("the route's option {key} {problem}"))
}

#[cfg(test)]
mod tests;
