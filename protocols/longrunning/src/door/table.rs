//! All doors, checked at start.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use opgate_core::{Error, Expects, Payload};
use opgate_rpc::transcode::{Found, Rules};
use prost_reflect::{Kind, MessageDescriptor, MethodDescriptor};

use super::http_form::{self, HttpStart};
use super::parent::{ParentRule, field};
use super::{Door, DoorSettings, InputForm};
use crate::buildgrid::EXECUTION;
use crate::types::Types;

const OPERATION: &str = "google.longrunning.Operation";
/// Services that are answered here, and to which no door may lead.
const OWN: [&str; 4] = [
    "google.longrunning.Operations",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// Doors by what they lead from.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    /// By `package.Service/Method`.
    methods: HashMap<String, Arc<Door>>,
    /// By `package.Service`.
    services: HashMap<String, Arc<Door>>,
    /// By HTTP method and path.
    http: Rules<HttpStart>,
    /// Routes with the texts of these.
    requests: Vec<(Arc<str>, Arc<str>)>,
}

impl Doors {
    /// Checks every door and returns every problem.
    pub(crate) fn new(
        types: &Types,
        settings: &[DoorSettings],
        has_route: impl Fn(&str) -> bool,
    ) -> (Self, Vec<String>) {
        let mut doors = Self::default();
        let mut problems = Vec::new();
        for settings in settings {
            let mut found = Vec::new();
            let door = Arc::new(build(types, settings, &mut found));
            if !has_route(&settings.route) {
                found.push(format!("there is no route `{}`", settings.route));
            }
            let taken = match settings.method.strip_suffix("/*") {
                Some(service) => doors.services.insert(service.to_owned(), Arc::clone(&door)),
                None => doors.methods.insert(settings.method.clone(), Arc::clone(&door)),
            };
            if taken.is_some() {
                found.push("another door has the same method".to_owned());
            } else {
                let described = described(types, settings);
                let (bindings, wrong) = http_form::bindings(
                    settings.http.as_ref(),
                    door.request.as_ref(),
                    described.as_ref(),
                );
                found.extend(wrong);
                let texts = bindings.iter().map(http_form::text);
                doors.requests.extend(texts.map(|text| (Arc::clone(&door.route), text)));
                let wrong = http_form::add(&mut doors.http, &door, bindings, &doors.requests);
                found.extend(wrong);
            }
            let method = &settings.method;
            problems.extend(
                found.into_iter().map(|problem| format!("grpc method {method}: {problem}")),
            );
        }
        (doors, problems)
    }

    /// The door of a method, `package.Service/Method`.
    pub(crate) fn get(&self, endpoint: &str) -> Option<&Arc<Door>> {
        self.methods.get(endpoint).or_else(|| {
            let (service, method) = endpoint.split_once('/')?;
            self.services.get(service).filter(|_| is_identifier(method))
        })
    }

    /// What an HTTP request of this method and raw path starts.
    pub(crate) fn http(
        &self,
        method: &http::Method,
        path: &str,
    ) -> Result<Option<Found<'_, HttpStart>>, Error> {
        self.http.find(method, path)
    }

    /// The HTTP requests that start routes, each with its route, such as `POST /v1/things`.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.requests.iter().map(|(route, request)| (&**route, &**request))
    }

    /// The types that each door's route declares for its operations.
    pub(crate) fn declared(&self) -> BTreeMap<Arc<str>, Expects> {
        let doors = self.methods.values().chain(self.services.values());
        doors.map(|door| (Arc::clone(&door.route), door.expects.clone())).collect()
    }

    /// The services doors lead from, each once.
    pub(crate) fn services(&self) -> Vec<String> {
        let methods = self.methods.keys().filter_map(|endpoint| endpoint.split_once('/'));
        let mut services: Vec<String> = methods
            .map(|(service, _)| service)
            .chain(self.services.keys().map(String::as_str))
            .map(str::to_owned)
            .collect();
        services.sort_unstable();
        services.dedup();
        services
    }
}

pub(crate) fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// The descriptor of a door's method.
fn described(types: &Types, settings: &DoorSettings) -> Option<MethodDescriptor> {
    let (service, method) = settings.method.split_once('/')?;
    types.method(service, method)
}

/// Builds a door. Where there are problems, what comes out is not used.
fn build(types: &Types, settings: &DoorSettings, problems: &mut Vec<String>) -> Door {
    let (service, method) = settings.method.split_once('/').unwrap_or((&settings.method, ""));
    let wildcard = method == "*";
    if !service.split('.').all(is_identifier) || !(wildcard || is_identifier(method)) {
        problems.push("`package.Service/Method` or `package.Service/*` is expected".to_owned());
    }
    if OWN.contains(&service) {
        problems.push(format!("{service} is opgate's own"));
    }
    if service == EXECUTION && method == "WaitExecution" {
        problems.push("it starts nothing, and is opgate's own".to_owned());
    }
    let described = described(types, settings);
    if let Some(described) = &described {
        problems.extend(method_problems(described));
    } else if !wildcard {
        problems.extend(types.no_method(service, method));
    }
    let streams = described.as_ref().map(MethodDescriptor::is_server_streaming);
    if let (Some(configured), Some(described)) = (settings.stream, streams)
        && configured != described
    {
        problems.push(format!("stream: it is {described} by its descriptor"));
    }
    let declared = described.as_ref().and_then(|described| types.operation_types(described));
    let package = service.rsplit_once('.').map_or("", |(package, _)| package);
    let mut named = |key: &str, configured: Option<&str>, declared: Option<&str>| {
        let name = configured.or(declared).filter(|name| !name.is_empty())?;
        let found = resolve(types, package, name);
        if found.is_none() {
            problems.push(format!("{key}: {}", types.no_message(name)));
        }
        found
    };
    let declared_response = declared.as_ref().map(|declared| &*declared.response);
    let declared_metadata = declared.as_ref().map(|declared| &*declared.metadata);
    let response = named("response_type", settings.response_type.as_deref(), declared_response);
    let metadata = named("metadata_type", settings.metadata_type.as_deref(), declared_metadata);
    let configured = named("request_type", settings.request_type.as_deref(), None);
    let request = configured.or_else(|| described.as_ref().map(MethodDescriptor::input));
    if let (Some(request), Some(described)) = (&request, &described)
        && *request != described.input()
    {
        problems.push(format!(
            "request_type: it is {} by its descriptor",
            described.input().full_name()
        ));
    }
    if wildcard && settings.request_type.is_some() {
        problems
            .push("request_type: the methods of a whole service have none in common".to_owned());
    }
    if settings.input == InputForm::Json && request.is_none() {
        problems.push("input: `json` needs a request_type".to_owned());
    }
    let parent = match &settings.parent {
        None => ParentRule::default_for(request.as_ref()),
        Some(template) => ParentRule::parse(template, request.as_ref()).unwrap_or_else(|problem| {
            problems.push(format!("parent: {problem}"));
            ParentRule::Header
        }),
    };
    let path = |name: &str, kind: &Kind| {
        request.as_ref().and_then(|message| field(message, name, kind).ok())
    };
    let request_id = match (&settings.request_id, &request) {
        (None, _) => path("request_id", &Kind::String),
        (Some(name), Some(message)) => field(message, name, &Kind::String)
            .map_err(|problem| problems.push(format!("request_id: {problem}")))
            .ok(),
        (Some(_), None) => {
            problems.push(
                "request_id: a field can be used only where the request type is known".to_owned(),
            );
            None
        }
    };
    let validate_only = path("validate_only", &Kind::Bool);
    Door {
        endpoint: (!wildcard).then(|| Arc::from(&*settings.method)),
        route: Arc::from(&*settings.route),
        media_type: match &request {
            Some(message) => Payload::protobuf(message.full_name(), "").media_type,
            None => Arc::from(Payload::PROTOBUF),
        },
        expects: Expects { response_type: full_name(response), metadata_type: full_name(metadata) },
        request,
        parent,
        request_id,
        validate_only,
        input: settings.input,
        streams: settings.stream.or(streams).unwrap_or(false),
    }
}

fn full_name(message: Option<MessageDescriptor>) -> Option<Arc<str>> {
    message.map(|message| Arc::from(message.full_name()))
}

/// What keeps a method from starting operations.
pub(crate) fn method_problems(method: &MethodDescriptor) -> Vec<String> {
    let mut problems = Vec::new();
    if method.is_client_streaming() {
        problems.push("its requests stream; an operation is started by one".to_owned());
    }
    let output = method.output();
    if output.full_name() != OPERATION {
        problems.push(format!("it returns {}, not {OPERATION}", output.full_name()));
    }
    problems
}

/// A message by its full name, or, as `operation_info` has it, by its name in the method's package.
pub(crate) fn resolve(types: &Types, package: &str, name: &str) -> Option<MessageDescriptor> {
    let full = name.trim_start_matches('.');
    types.message(full).or_else(|| types.message(&format!("{package}.{full}")))
}
