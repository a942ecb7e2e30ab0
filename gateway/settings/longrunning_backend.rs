//! Backends of kind `longrunning`, and routes to them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use opgate_egress::{Credentials, Shown};
use opgate_longrunning::Types;
use opgate_longrunning::backend::{self as upstream, Endpoint};

use super::amqp_backend::shown;
use super::nexus::{checked, credentials};
use super::section::Section;
use super::{BackendKind, DAY, HOUR, MS, RETENTION_MAX, Settings, text};

/// What is configured for an upstream gRPC service.
#[derive(Clone, Debug)]
pub struct LongrunningBackend {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What it is to know opgate by.
    pub credentials: Credentials,
    /// The client certificate that is shown to it, where there is one.
    pub shown: Option<Shown>,
    /// Time for one call.
    pub timeout: Duration,
    /// The wait between the first two looks at an operation upstream.
    pub poll_first: Duration,
    /// The longest wait between two.
    pub poll_longest: Duration,
    /// How long an operation upstream is looked for that is not found.
    pub grace: Duration,
    /// Operations that are waited for at once by `WaitOperation`.
    pub waits: usize,
}

/// The keys that this kind of backend has beside those of all.
pub(super) const KEYS: [&str; 14] = [
    "endpoint",
    "bearer",
    "bearer_file",
    "basic",
    "basic_file",
    "headers",
    "allow_plaintext",
    "cert_file",
    "key_file",
    "timeout",
    "poll_first",
    "poll_longest",
    "grace",
    "waits",
];
/// Those that are secrets, or may hold some.
const SECRETS: [&str; 5] = ["bearer", "bearer_file", "basic", "basic_file", "headers"];

/// Reads `[backends.NAME]` of this kind; none where it cannot be one. `authorities`: those that are
/// believed beside the system's.
pub(super) fn backend(
    section: &Section<'_>,
    authorities: Option<&Path>,
) -> Option<LongrunningBackend> {
    let endpoint = section.text("endpoint");
    // What the placeholder is for: nothing else is to be blamed for it.
    let endpoint = checked(section, "endpoint", Endpoint::parse(&endpoint))
        .or_else(|| Endpoint::parse("https://none.invalid").ok())?;
    let duration = |key, range, default| {
        section.optional(key, |section, key| section.duration(key, range)).unwrap_or(default)
    };
    let allowed = section.optional("allow_plaintext", Section::flag).unwrap_or(false);
    let secret = SECRETS.into_iter().any(|key| section.has(key));
    if secret && !endpoint.is_tls() && !endpoint.is_loopback() && !allowed {
        let reason = "sends what opgate is known by to another machine without TLS: it must begin with \
                      https://, unless allow_plaintext = true stands beside it";
        section.refuse("endpoint", reason);
    }
    let backend = LongrunningBackend {
        credentials: credentials(section, upstream::is_ours),
        shown: shown(section, endpoint.is_tls(), "https://", authorities),
        timeout: duration("timeout", MS..=HOUR, upstream::TIMEOUT),
        poll_first: duration("poll_first", MS..=HOUR, upstream::POLL_FIRST),
        poll_longest: duration("poll_longest", MS..=HOUR, upstream::POLL_LONGEST),
        grace: duration("grace", Duration::ZERO..=DAY, upstream::GRACE),
        waits: section
            .optional("waits", |section, key| section.count(key, 0..=65_536))
            .unwrap_or(upstream::WAITS),
        endpoint,
    };
    if backend.poll_first > backend.poll_longest {
        section.refuse("poll_first", "must be at most poll_longest");
    }
    Some(backend)
}

/// Reads `[routes.NAME.longrunning_call]`. Whether it is right is told when the descriptors are known.
pub(super) fn options(section: &Section<'_>) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    let mut put = |key: &str, value: Option<String>| {
        options.extend(value.map(|value| (key.to_owned(), value)));
    };
    for key in [upstream::METHOD, upstream::REQUEST_TYPE, upstream::REQUEST_ID, upstream::RESULT] {
        put(key, section.optional(key, Section::text));
    }
    let request = section.value(upstream::REQUEST);
    put(upstream::REQUEST, request.map(|request| text::json(request).to_string()));
    let metadata = section.free(upstream::METADATA);
    put(upstream::METADATA, metadata.map(|table| text::json(table).to_string()));
    for key in [upstream::IDEMPOTENT, upstream::CANCEL] {
        let flag = section.optional(key, Section::flag);
        put(key, flag.map(|flag| flag.to_string()));
    }
    let headers = section.optional(upstream::HEADERS, Section::texts);
    put(upstream::HEADERS, headers.map(|list| list.join(",")));
    let within = section
        .optional(upstream::START_WITHIN, |section, key| section.duration(key, MS..=RETENTION_MAX));
    put(upstream::START_WITHIN, within.map(|within| within.as_millis().to_string()));
    section.finish();
    options
}

/// Notes what is wrong with the routes to backends of this kind: that takes the descriptors.
pub(super) fn check(settings: &Settings, routes: &BTreeMap<String, Section<'_>>) {
    let is_one = |name: &str| {
        let backend = settings.backends.get(name);
        matches!(backend.map(|backend| &backend.kind), Some(BackendKind::Longrunning(_)))
    };
    let calls = settings.routes.iter().filter(|(_, route)| is_one(&route.backend));
    let mut calls = calls.peekable();
    if calls.peek().is_none() {
        return;
    }
    let types = Types::of(&settings.grpc().descriptor_sets);
    for (name, route) in calls {
        let Some(section) = routes.get(name).filter(|route| route.has("longrunning_call")) else {
            continue;
        };
        let section = section.section("longrunning_call");
        if let Err((key, problem)) = upstream::check_options(&types, &route.options)
            && !section.is_refused(&key)
        {
            section.refuse(&key, problem);
        }
    }
}
