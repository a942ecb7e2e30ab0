//! Backends and routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use opgate_bus::{LEASE, Pull, QUEUE, ResourceRule};
use opgate_core::Kind;
use opgate_longrunning::{HttpForm, InputForm};

use super::amqp_backend::{self, AmqpBackend};
use super::amqp_doors;
use super::forms::{self, Form};
use super::longrunning_backend::{self, LongrunningBackend};
use super::manner::{self, Manner};
use super::nexus::{self, Nexus};
use super::oci_backend::{self, OciBackend};
use super::resources;
use super::section::Section;
use super::{MS, RETENTION_MAX, Retry, SECOND, narrow, text};

/// `[backends.NAME]`.
#[derive(Clone, Debug)]
pub struct Backend {
    /// What it is.
    pub kind: BackendKind,
    /// Operations it carries out at once.
    pub concurrency: usize,
    /// How it is called, where its calls leave this process.
    pub manner: Manner,
}

/// What a backend is.
#[derive(Clone, Debug)]
pub enum BackendKind {
    /// The built-in one.
    Showcase,
    /// Workers that come for their operations.
    Worker(Worker),
    /// An upstream Nexus handler.
    Nexus(Box<Nexus>),
    /// An upstream API of OCI's kind.
    Oci(Box<OciBackend>),
    /// An upstream AMQP node.
    Amqp(Box<AmqpBackend>),
    /// An upstream gRPC service.
    Longrunning(Box<LongrunningBackend>),
}

impl BackendKind {
    /// The word in the configuration.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Showcase => "showcase",
            Self::Worker(_) => "worker",
            Self::Nexus(_) => "nexus",
            Self::Oci(_) => "oci",
            Self::Amqp(_) => "amqp",
            Self::Longrunning(_) => "longrunning",
        }
    }

    /// Where its upstream is, without anything secret; none where there is none.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        match self {
            Self::Showcase | Self::Worker(_) => None,
            Self::Nexus(nexus) => Some(nexus.endpoint.to_string()),
            Self::Oci(oci) => Some(oci.endpoint.to_string()),
            Self::Amqp(amqp) => Some(amqp.endpoint.to_string()),
            Self::Longrunning(upstream) => Some(upstream.endpoint.to_string()),
        }
    }

    /// The table of a route that is for it.
    pub(super) const fn table(&self) -> &'static str {
        match self {
            // The door has the protocol's name.
            Self::Amqp(_) => "amqp_call",
            Self::Longrunning(_) => "longrunning_call",
            Self::Showcase | Self::Worker(_) | Self::Nexus(_) | Self::Oci(_) => self.word(),
        }
    }
}

/// What is configured for workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Operations that wait in one queue; more are refused.
    pub backlog: usize,
    /// How long a worker may be silent unless it asks for another time.
    pub lease: Duration,
    /// Leases of one operation that may run out before it fails.
    pub attempts: u32,
}

/// The kinds there are, each with the keys that not all have.
const KINDS: [(&str, &[&str]); 6] = [
    ("showcase", &[]),
    ("worker", &["backlog", "lease", "attempts"]),
    ("nexus", &nexus::KEYS),
    ("oci", &oci_backend::KEYS),
    ("amqp", &amqp_backend::KEYS),
    ("longrunning", &longrunning_backend::KEYS),
];

/// `[routes.NAME]`.
#[derive(Clone, Debug)]
pub struct Route {
    /// The kind it gives its operations.
    pub kind: Kind,
    /// The name of its backend, which exists.
    pub backend: String,
    /// How long an ended operation stays readable.
    pub retention: Duration,
    /// How long an operation may take in all; none is no limit.
    pub timeout: Option<Duration>,
    /// Whether a caller's key is the same start through whichever protocol.
    pub unify_keys: bool,
    /// By what of their input operations share one job; none where each has its own.
    pub share: Option<String>,
    /// The gRPC method that starts it, if there is one.
    pub grpc: Option<GrpcDoor>,
    /// The HTTP request that starts it beside the gRPC method, where it is configured.
    pub http: Option<HttpForm>,
    /// The HTTP request that starts it in the manner of OCI, where it is configured.
    pub oci: Option<opgate_oci::DoorSettings>,
    /// The AMQP management request that starts it, if there is one.
    pub amqp: Option<opgate_amqp::management::DoorSettings>,
    /// What its operations work on.
    pub resources: Vec<ResourceRule>,
    /// What the backend is told of the route, by the backend's own keys.
    pub options: BTreeMap<String, String>,
    /// Whether all of it is as shipped: who asks for one of its doors is at fault, not this route.
    pub shipped: bool,
}

/// `[routes.NAME.grpc]`: a gRPC method that returns `google.longrunning.Operation`. Where a name is
/// missing, the method's descriptor or the request decides.
#[derive(Clone, Debug)]
pub struct GrpcDoor {
    /// `package.Service/Method`, or `package.Service/*`.
    pub method: String,
    /// Full name of the request message.
    pub request_type: Option<String>,
    /// Full name of the message a success carries.
    pub response_type: Option<String>,
    /// Full name of the message metadata is shown in.
    pub metadata_type: Option<String>,
    /// What the backend is given.
    pub input: InputForm,
    /// The listing scope: a text with request fields in braces.
    pub parent: Option<String>,
    /// The request field that makes a repeat the same start.
    pub request_id: Option<String>,
    /// Whether the operation is streamed until it is done.
    pub stream: Option<bool>,
}

/// The backends; `http` is the address opgate is called back at where nothing else is configured,
/// `authorities` a file of those that are believed beside the system's; `retry` what is tried again where a backend does
/// not say.
pub(super) fn backends(
    root: &Section<'_>,
    http: SocketAddr,
    authorities: Option<&Path>,
    retry: Retry,
) -> BTreeMap<String, Backend> {
    let read = |section: &Section<'_>| {
        let kind = kind(section, &section.text("kind"), http, authorities);
        let concurrency = section.count("concurrency", 1..=1_000_000);
        let backend = Backend { kind, concurrency, manner: Manner::of(section, retry) };
        section.finish();
        backend
    };
    root.named("backends").into_iter().map(|(name, section)| (name, read(&section))).collect()
}

fn kind(
    section: &Section<'_>,
    word: &str,
    http: SocketAddr,
    authorities: Option<&Path>,
) -> BackendKind {
    let known = KINDS.iter().any(|(kind, _)| *kind == word);
    if !known && !word.is_empty() {
        let there: Vec<String> = KINDS.iter().map(|(kind, _)| format!("{kind:?}")).collect();
        let reason = format!("is not known; the kinds there are: {}", there.join(", "));
        section.refuse_word("kind", reason, word, KINDS.iter().map(|(kind, _)| *kind));
    }
    let keys: BTreeSet<&str> = KINDS.iter().flat_map(|(_, keys)| *keys).copied().collect();
    // Calls of all that have an endpoint leave this process.
    let has = |keys: &[&str], key: &str| {
        keys.contains(&key) || (keys.contains(&"endpoint") && manner::KEYS.contains(&key))
    };
    for key in keys.into_iter().chain(manner::KEYS).filter(|key| section.has(key)) {
        let of = KINDS.iter().filter(move |(_, keys)| has(keys, key));
        let of: Vec<&str> = of.map(|(kind, _)| *kind).collect();
        if known && !of.contains(&word) {
            let of: Vec<String> = of.iter().map(|kind| format!("kind = {kind:?}")).collect();
            section
                .refuse(key, format!("has no effect: it is for backends of {}", of.join(" or ")));
        }
    }
    match word {
        "worker" => BackendKind::Worker(worker(section)),
        "nexus" => nexus::backend(section, http)
            .map_or(BackendKind::Showcase, |nexus| BackendKind::Nexus(Box::new(nexus))),
        "oci" => oci_backend::backend(section)
            .map_or(BackendKind::Showcase, |oci| BackendKind::Oci(Box::new(oci))),
        "amqp" => amqp_backend::backend(section, authorities)
            .map_or(BackendKind::Showcase, |amqp| BackendKind::Amqp(Box::new(amqp))),
        "longrunning" => longrunning_backend::backend(section, authorities)
            .map_or(BackendKind::Showcase, |upstream| BackendKind::Longrunning(Box::new(upstream))),
        _ => BackendKind::Showcase,
    }
}

fn worker(section: &Section<'_>) -> Worker {
    let default = Pull::default();
    Worker {
        backlog: section
            .optional("backlog", |section, key| section.count(key, 1..=10_000_000))
            .unwrap_or(default.backlog),
        lease: section
            .optional("lease", |section, key| section.duration(key, LEASE))
            .unwrap_or(default.lease),
        attempts: section
            .optional("attempts", |section, key| section.count(key, 1..=1000))
            .map_or(default.attempts, |attempts| narrow(attempts as u64)),
    }
}

pub(super) fn routes(
    sections: &BTreeMap<String, Section<'_>>,
    backends: &BTreeMap<String, Backend>,
    retention: Duration,
) -> BTreeMap<String, Route> {
    let mut routes = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    let mut methods = BTreeMap::new();
    let mut queues = BTreeMap::new();
    // Who asks for what a shipped route has is at fault, not the shipped one.
    let shipped_first = |(name, section): &(&String, &Section<'_>)| {
        (!section.is_all_shipped(), String::clone(name))
    };
    let mut sections: Vec<_> = sections.iter().collect();
    sections.sort_by_cached_key(shipped_first);
    for (name, section) in sections {
        let enabled = section.optional("enabled", Section::flag).unwrap_or(true);
        let route = route(name, section, backends, retention);
        section.finish();
        let Some(route) = route.filter(|_| enabled) else { continue };
        if let Some(other) = kinds.insert(route.kind.to_string(), name.clone()) {
            let reason = format!(
                "of that service is what route {other} is for: over Nexus they could not be told apart"
            );
            section.refuse("operation", reason);
        }
        if let Some(grpc) = &route.grpc
            && let Some(other) = methods.insert(grpc.method.clone(), name.clone())
        {
            let grpc = section.section("grpc");
            grpc.refuse("method", format!("is the method of route {other} already"));
        }
        let kind = backends.get(&route.backend).map(|known| &known.kind);
        if let Some(BackendKind::Worker(_)) = kind {
            let queue = route.options.get(QUEUE).unwrap_or(&route.backend).clone();
            let of = queues.entry(queue).or_insert_with(|| route.backend.clone());
            if *of != route.backend {
                let reason =
                    format!("is a queue of backend {of}: workers could not tell them apart");
                section.section("worker").refuse("queue", reason);
            }
        }
        routes.insert(name.clone(), route);
    }
    routes
}

/// A route; none if its kind is no kind.
fn route(
    name: &str,
    section: &Section<'_>,
    backends: &BTreeMap<String, Backend>,
    retention: Duration,
) -> Option<Route> {
    let (service, operation) = (section.text("service"), section.text("operation"));
    let kind = Kind::new(&service, &operation);
    if let Err(error) = &kind
        && !service.is_empty()
        && !operation.is_empty()
    {
        section.refuse(error.what, error.problem.clone());
    }
    nexus::check_kind(section, &service, &operation);
    let backend = section.text("backend");
    if !backends.contains_key(&backend) && !backend.is_empty() {
        let known = || backends.keys().map(String::as_str);
        let there = known().collect::<Vec<_>>().join(", ");
        let reason = format!("is not declared; there are: {there}");
        section.refuse_word("backend", reason, &backend, known());
    }
    let (http, oci) = match forms::form(name, section) {
        Some(Form::Longrunning(form)) => (Some(form), None),
        Some(Form::Oci(door)) => (None, Some(door)),
        None => (None, None),
    };
    Some(Route {
        retention: section
            .optional("retention", |section, key| section.duration(key, SECOND..=RETENTION_MAX))
            .unwrap_or(retention),
        timeout: section
            .optional("timeout", |section, key| section.duration(key, MS..=RETENTION_MAX)),
        unify_keys: section.optional("unify_keys", Section::flag).unwrap_or(false),
        share: section.optional("share", share),
        grpc: section.optional("grpc", |section, key| grpc(&section.section(key))),
        http,
        oci,
        amqp: amqp_doors::door(name, section),
        resources: resources::rules(section),
        options: options(section, &service, backends.get(&backend).map(|known| &known.kind)),
        backend,
        kind: kind.ok()?,
        shipped: section.is_all_shipped(),
    })
}

/// A template that says something else of one input than of another.
fn share(section: &Section<'_>, key: &'static str) -> String {
    let text = section.text(key);
    // That it is empty was told.
    if !text.is_empty()
        && let Err(problem) = opgate_bus::check_share(&text)
    {
        section.refuse(key, problem);
    }
    text
}

fn grpc(section: &Section<'_>) -> GrpcDoor {
    let message = |key| section.optional(key, |section, key| full_name(section, key));
    let door = GrpcDoor {
        method: section.text("method"),
        request_type: message("request_type"),
        response_type: message("response_type"),
        metadata_type: message("metadata_type"),
        input: section.optional("input", input).unwrap_or(InputForm::Bytes),
        parent: section.optional("parent", Section::text_or_empty),
        request_id: section.optional("request_id", Section::text),
        stream: section.optional("stream", Section::flag),
    };
    section.finish();
    let method = door.method.split_once('/');
    let is_method = method.is_some_and(|(service, method)| {
        is_full_name(service) && (method == "*" || is_word(method))
    });
    if !is_method && !door.method.is_empty() {
        section.refuse("method", "must be package.Service/Method, or package.Service/*");
    }
    door
}

fn input(section: &Section<'_>, key: &'static str) -> InputForm {
    section.choice(key, &[("bytes", InputForm::Bytes), ("json", InputForm::Json)])
}

fn full_name(section: &Section<'_>, key: &'static str) -> String {
    let name = section.text(key);
    if !is_full_name(&name) && !name.is_empty() {
        section.refuse(key, "must be the full name of a message, such as google.protobuf.Struct");
    }
    name
}

/// Whether `name` is words joined by dots.
fn is_full_name(name: &str) -> bool {
    name.split('.').all(is_word)
}

/// Whether `word` is letters, digits and `_`, no digit first.
fn is_word(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with(|first: char| first.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What the backend is told of a route.
fn options(
    section: &Section<'_>,
    service: &str,
    backend: Option<&BackendKind>,
) -> BTreeMap<String, String> {
    let worker = section.section("worker");
    let queue = worker.optional("queue", queue).map(|queue| (QUEUE.to_owned(), queue));
    worker.finish();
    let is_oci = matches!(backend, Some(BackendKind::Oci(_)));
    let is_amqp = matches!(backend, Some(BackendKind::Amqp(_)));
    let amqp = section.section("amqp_call");
    let of_kinds = [
        ("showcase", showcase(section, service)),
        ("worker", BTreeMap::from_iter(queue)),
        ("nexus", nexus::options(&section.section("nexus"))),
        ("oci", oci_backend::options(&section.section("oci"), is_oci && section.has("oci"))),
        ("amqp_call", amqp_backend::options(&amqp, is_amqp && section.has("amqp_call"))),
        ("longrunning_call", longrunning_backend::options(&section.section("longrunning_call"))),
    ];
    if is_oci && !section.has("oci") {
        section.refuse("oci", "is missing: the route's backend is to know what to call");
    }
    if is_amqp && !section.has("amqp_call") {
        section.refuse("amqp_call", "is missing: the route's backend is to know what to ask for");
    }
    let is_longrunning = matches!(backend, Some(BackendKind::Longrunning(_)));
    if is_longrunning && !section.has("longrunning_call") {
        let reason = "is missing: the route's backend is to know which method to call";
        section.refuse("longrunning_call", reason);
    }
    let mut found = None;
    for (kind, options) in of_kinds {
        match backend {
            Some(backend) if backend.table() == kind => found = Some(options),
            // A shipped route that is given another backend keeps what was said for the first one.
            Some(_) if section.has(kind) && !section.is_shipped(kind) => {
                let word = kind.strip_suffix("_call").unwrap_or(kind);
                let reason =
                    format!("has no effect: the route's backend is not of kind = {word:?}");
                section.refuse(kind, reason);
            }
            Some(_) | None => {}
        }
    }
    found.unwrap_or_default()
}

/// What a queue's name is.
pub(super) const NAME: &str = "1 to 64 of the characters a-z, 0-9 and -";

/// Whether it is a name of a queue: one like all others.
pub(super) fn is_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(letter)
}

/// The queue of a route to workers.
fn queue(section: &Section<'_>, key: &'static str) -> String {
    let name = section.text(key);
    if !name.is_empty() && !is_name(&name) {
        section.refuse(key, format!("must be {NAME}"));
    }
    name
}

/// The options of a route to a showcase.
fn showcase(section: &Section<'_>, service: &str) -> BTreeMap<String, String> {
    let instruction = section.free("showcase").map(text::json);
    let options = BTreeMap::from_iter(instruction.map(|i| ("instruction".into(), i.to_string())));
    if service == "showcase" && !options.is_empty() {
        let reason = "has no effect: operations of the service showcase are told by their input";
        section.refuse("showcase", reason);
    } else if let Err(error) = opgate_native::check_options(&options) {
        section.refuse("showcase", error.to_string());
    }
    options
}
