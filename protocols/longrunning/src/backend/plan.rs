//! What a route to a gRPC service says: the method that starts an operation there, and what its request
//! is made of. The words of a configuration are those of `OPTIONS`.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderName;
use opgate_core::{Error, ErrorKind, Payload};
use opgate_egress::Passing;
use opgate_rpc::headers::IDEMPOTENCY_KEY;
use opgate_rpc::transcode::no_field;
use opgate_template as template;
use prost_reflect::{Kind, MessageDescriptor};
use serde_json::Value;

use crate::door::{field, is_identifier, method_problems, resolve};
use crate::types::Types;

/// Option of a route: the method that starts an operation, `package.Service/Method`.
pub const METHOD: &str = "method";
/// Option of a route: the full name of the request message. Left out: as the method's descriptor says;
/// where there is none, requests are opaque bytes.
pub const REQUEST_TYPE: &str = "request_type";
/// Option of a route: a template of the request, as JSON. Left out: the request is the input.
pub const REQUEST: &str = "request";
/// Option of a route: the field of the request that is given the operation's id as a UUID, unless it has
/// a value (AIP-155). Such a request may come twice.
pub const REQUEST_ID: &str = "request_id";
/// Option of a route: what the call carries as metadata, a JSON object of templates, each in one text.
pub const METADATA: &str = "metadata";
/// Option of a route: whether a start whose outcome is unknown is sent again, `true` or `false`. Left
/// out: only with a `request_id`; else its operation fails and says so.
pub const IDEMPOTENT: &str = "idempotent";
/// Option of a route: `json` where results are made JSON as far as their types are known, `bytes` where
/// they stay as they are. Left out: bytes.
pub const RESULT: &str = "result";
/// Option of a route: whether operations can be canceled, `true` or `false`. Left out: they can.
pub const CANCEL: &str = "cancel";
/// Option of a route: how long the answer to a start is waited for, in milliseconds. Left out: as the
/// backend has it.
pub const START_WITHIN: &str = "timeout";
/// Option of a route: the headers of a start that are sent along, separated by commas; a name may
/// end in `*`. Left out: [`FORWARDED`].
pub const HEADERS: &str = "headers";
/// The headers that are sent along unless a route says otherwise.
pub const FORWARDED: [&str; 4] =
    ["baggage", "x-correlation-id", "x-goog-request-params", "x-request-id"];

const OPTIONS: [&str; 10] = [
    METHOD,
    REQUEST_TYPE,
    REQUEST,
    REQUEST_ID,
    METADATA,
    IDEMPOTENT,
    RESULT,
    CANCEL,
    START_WITHIN,
    HEADERS,
];

/// What a route says, and what is known of its types.
#[derive(Clone, Debug)]
pub(super) struct Plan<'a> {
    /// `package.Service/Method`.
    pub(super) method: &'a str,
    /// The request message; none where it is opaque.
    pub(super) kind: Option<MessageDescriptor>,
    /// What it is made of; none where it is the input.
    pub(super) request: Option<Value>,
    /// The numbers on the way to the field that gets the operation's id.
    pub(super) request_id: Option<Vec<u32>>,
    /// Metadata, each a template in one text.
    pub(super) metadata: Vec<(HeaderName, String)>,
    /// Whether a start whose outcome is unknown is sent again.
    pub(super) idempotent: bool,
    /// Whether results are made JSON.
    pub(super) json: bool,
    /// Whether operations can be canceled.
    pub(super) cancels: bool,
    /// How long the answer to a start is waited for, where the route says so.
    pub(super) timeout: Option<Duration>,
    headers: Option<&'a str>,
}

/// Whether the options of a route to a gRPC service are right: what a configuration check asks.
///
/// # Errors
/// The option at fault, and what is wrong.
pub fn check_options(
    types: &Types,
    options: &BTreeMap<String, String>,
) -> Result<(), (String, String)> {
    Plan::of(types, options).map(drop).map_err(|(key, problem)| (key.to_owned(), problem))
}

impl<'a> Plan<'a> {
    /// Reads the options of a route.
    pub(super) fn of(
        types: &Types,
        options: &'a BTreeMap<String, String>,
    ) -> Result<Self, (&'a str, String)> {
        if let Some(unknown) = options.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
            let problem = format!("is not known; allowed are: {}", OPTIONS.join(", "));
            return Err((unknown, problem));
        }
        let about = |key| move |problem| (key, problem);
        let option = |key| options.get(key).map(String::as_str);
        let flag = |key| match option(key) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err((key, "must be true or false".to_owned())),
        };
        let method = option(METHOD)
            .ok_or_else(|| "is missing: it is what is called".to_owned())
            .and_then(method)
            .map_err(about(METHOD))?;
        let kind = kind(types, method, option(REQUEST_TYPE))?;
        let request = option(REQUEST)
            .map(|text| request(text, kind.as_ref()))
            .transpose()
            .map_err(about(REQUEST))?;
        let request_id = option(REQUEST_ID)
            .map(|path| match &kind {
                Some(kind) => field(kind, path, &Kind::String),
                None => Err("a field can be used only where the request type is known".to_owned()),
            })
            .transpose()
            .map_err(about(REQUEST_ID))?;
        let headers = option(HEADERS);
        headers
            .map_or(Ok(()), |list| Passing::new(list).check(may_pass))
            .map_err(about(HEADERS))?;
        let idempotent = flag(IDEMPOTENT)?;
        if request_id.is_some() && idempotent == Some(false) {
            let problem = "contradicts request_id: by that a repeat is known to be the same start";
            return Err((IDEMPOTENT, problem.to_owned()));
        }
        Ok(Self {
            method,
            request,
            idempotent: idempotent.unwrap_or(request_id.is_some()),
            request_id,
            kind,
            metadata: option(METADATA).map_or(Ok(Vec::new()), metadata).map_err(about(METADATA))?,
            json: match option(RESULT) {
                None | Some("bytes") => false,
                Some("json") => true,
                Some(_) => return Err((RESULT, "must be \"bytes\" or \"json\"".to_owned())),
            },
            cancels: flag(CANCEL)?.unwrap_or(true),
            timeout: option(START_WITHIN)
                .map(str::parse)
                .transpose()
                .map_err(|_| (START_WITHIN, "must be a number of milliseconds".to_owned()))?
                .map(Duration::from_millis),
            headers,
        })
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

/// Whether a caller's header may ever be sent upstream.
fn may_pass(name: &HeaderName) -> bool {
    opgate_egress::may_pass(name) && !is_ours(name)
}

/// Whether a header is one that opgate sets itself.
pub fn is_ours(name: &HeaderName) -> bool {
    name == IDEMPOTENCY_KEY
}

/// A method, without the slash that gRPC's own paths begin with.
fn method(text: &str) -> Result<&str, String> {
    let method = text.strip_prefix('/').unwrap_or(text);
    let is_method = method.split_once('/').is_some_and(|(service, method)| {
        service.split('.').all(is_identifier) && is_identifier(method)
    });
    if is_method { Ok(method) } else { Err("must be package.Service/Method".to_owned()) }
}

/// The request message of a method.
fn kind(
    types: &Types,
    method: &str,
    configured: Option<&str>,
) -> Result<Option<MessageDescriptor>, (&'static str, String)> {
    let (service, name) = method.split_once('/').unwrap_or((method, ""));
    let described = types.method(service, name);
    if let Some(described) = &described {
        if let Some(problem) = method_problems(described).into_iter().next() {
            return Err((METHOD, problem));
        }
        if described.is_server_streaming() {
            let problem = "its answers stream; an operation is answered once";
            return Err((METHOD, problem.to_owned()));
        }
    } else if let Some(problem) = types.no_method(service, name) {
        return Err((METHOD, problem));
    }
    let package = service.rsplit_once('.').map_or("", |(package, _)| package);
    let named = configured.map(|name| {
        let problem = || (REQUEST_TYPE, types.no_message(name));
        resolve(types, package, name).ok_or_else(problem)
    });
    match (named.transpose()?, described) {
        (Some(named), Some(described)) if named != described.input() => {
            let problem = format!("it is {} by its descriptor", described.input().full_name());
            Err((REQUEST_TYPE, problem))
        }
        (Some(named), _) => Ok(Some(named)),
        (None, described) => Ok(described.map(|described| described.input())),
    }
}

fn request(text: &str, kind: Option<&MessageDescriptor>) -> Result<Value, String> {
    let Some(kind) = kind else {
        let problem = "can be made only where the request type is known: request_type names one of \
                       the descriptors";
        return Err(problem.to_owned());
    };
    let request: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    template::check(&request).map_err(|problem| problem.to_string())?;
    let own = kind.full_name().starts_with("google.protobuf.");
    let fields = request.as_object().filter(|fields| !own && !fields.contains_key("$merge"));
    for name in fields.into_iter().flat_map(serde_json::Map::keys) {
        let known = kind.get_field_by_name(name).or_else(|| kind.get_field_by_json_name(name));
        if known.is_none() {
            return Err(no_field(kind, name));
        }
    }
    Ok(request)
}

fn metadata(text: &str) -> Result<Vec<(HeaderName, String)>, String> {
    let allowed = "must be a table of templates, each in one text, such as \
                   { x-goog-request-params = \"parent=${/parent}\" }";
    let given: BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|error| format!("{allowed}: {error}"))?;
    let mut metadata = Vec::with_capacity(given.len());
    for (name, value) in given {
        template::check(&Value::String(value.clone()))
            .map_err(|problem| format!("{name}: {problem}"))?;
        let header: HeaderName =
            name.parse().map_err(|_| format!("{name:?} is no name of a header"))?;
        if header.as_str().ends_with("-bin") {
            return Err(format!("{name}: bytes cannot be made of a template"));
        }
        // Credentials are the backend's, not a route's.
        if !opgate_egress::may_pass(&header) {
            return Err(format!("{name} is never set by a route"));
        }
        metadata.push((header, value));
    }
    Ok(metadata)
}

/// A route whose options were not checked.
pub(super) fn unusable((key, problem): (&str, String)) -> Error {
    Error::new(ErrorKind::Internal, format!("the route's option {key} {problem}"))
}

/// What a request is refused with that asks for the input's fields where it has none.
pub(super) fn no_fields() -> Error {
    let text = format!(
        "must be {}, for the request upstream is made of its fields (a route's gRPC door makes JSON of \
         its messages with input = \"json\")",
        Payload::JSON
    );
    Error::invalid("input", text)
}

#[cfg(test)]
mod tests;
