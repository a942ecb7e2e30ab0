//! Backends of kind `nexus`, and routes to them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::time::Duration;

use config::ValueKind;
use http::HeaderName;
use opgate_egress::Credentials;
use opgate_nexus::backend::{
    self as upstream, CallbackBase, Completion, Completions, Endpoint, check_name,
};

use super::section::Section;
use super::{DAY, HOUR, MS};

/// What is configured for an upstream Nexus handler.
#[derive(Clone, Debug)]
pub struct Nexus {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What it is to know opgate by.
    pub credentials: Credentials,
    /// Where it reaches opgate; none is the `http` listener where that is of this machine.
    pub callback: Option<CallbackBase>,
    /// How opgate learns of the end.
    pub completion: Completion,
    /// Time for one request.
    pub timeout: Duration,
    /// The wait before the first look for a result.
    pub poll_first: Duration,
    /// The longest wait between two.
    pub poll_longest: Duration,
    /// How long an operation is looked for that the handler does not know any more.
    pub grace: Duration,
}

/// The keys that only this kind of backend has.
pub(super) const KEYS: [&str; 12] = [
    "endpoint",
    "callback",
    "completion",
    "timeout",
    "poll_first",
    "poll_longest",
    "grace",
    "bearer",
    "bearer_file",
    "basic",
    "basic_file",
    "headers",
];

const COMPLETIONS: [(&str, Completion); 3] =
    [("both", Completion::Both), ("callback", Completion::Callback), ("poll", Completion::Poll)];

/// Reads `[backends.NAME]` of this kind; none where it cannot be one.
pub(super) fn backend(section: &Section<'_>, http: SocketAddr) -> Option<Nexus> {
    let endpoint = section.text("endpoint");
    // What the placeholder is for: nothing else is to be blamed for it.
    let endpoint = checked(section, "endpoint", Endpoint::parse(&endpoint))
        .or_else(|| Endpoint::parse("http://none.invalid").ok());
    let callback = section.optional("callback", |section, key| {
        let base = section.text(key);
        checked(section, key, CallbackBase::new(&base))
    });
    let completion = section
        .optional("completion", |section, key| section.choice(key, &COMPLETIONS))
        .unwrap_or(Completion::Both);
    let duration = |key, default| {
        section.optional(key, |section, key| section.duration(key, MS..=HOUR)).unwrap_or(default)
    };
    let grace =
        section.optional("grace", |section, key| section.duration(key, Duration::ZERO..=DAY));
    let nexus = Nexus {
        credentials: credentials(section, upstream::is_ours),
        completion,
        timeout: duration("timeout", upstream::TIMEOUT),
        poll_first: duration("poll_first", upstream::POLL_FIRST),
        poll_longest: duration("poll_longest", upstream::POLL_LONGEST),
        grace: grace.unwrap_or(upstream::GRACE),
        callback: callback.flatten(),
        endpoint: endpoint?,
    };
    if nexus.poll_first > nexus.poll_longest {
        section.refuse("poll_first", "must be at most poll_longest");
    }
    match completion {
        Completion::Poll if section.has("callback") => {
            section.refuse("callback", "has no effect: with completion = \"poll\" there is none");
        }
        Completion::Callback if !section.has("callback") && !is_loopback(http) => section.refuse(
            "callback",
            "is missing: with completion = \"callback\" the handler must reach opgate, and an \
             http.listen beyond this machine does not say under which URL",
        ),
        Completion::Poll | Completion::Callback | Completion::Both => {}
    }
    Some(nexus)
}

/// Whether a bound address alone says where a callback goes.
pub(crate) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// What was read of a key; what is wrong with it is noted unless something is already.
pub(super) fn checked<T>(
    section: &Section<'_>,
    key: &'static str,
    read: Result<T, String>,
) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(problem) => {
            if !section.is_refused(key) {
                section.refuse(key, problem);
            }
            None
        }
    }
}

/// The secret of a key, written out or in a file.
pub(super) fn secret(
    section: &Section<'_>,
    key: &'static str,
    file: &'static str,
) -> Option<String> {
    if section.has(key) && section.has(file) {
        section.refuse(file, format!("cannot be beside {key}: which one is it?"));
        return None;
    }
    let inline = section.optional(key, Section::text);
    let from_file = section.optional(file, |section, key| {
        let path = section.text(key);
        if path.is_empty() { None } else { checked(section, key, from_file(&path)) }
    });
    inline.or(from_file.flatten()).filter(|secret| !secret.is_empty())
}

/// Largest file of a secret or a key, in bytes. A private key of 4096 bits has some 3,300.
const FILE_BYTES: u64 = 64 * 1024;

/// A secret from a file, without the line break that editors put at its end.
pub(super) fn from_file(path: &str) -> Result<String, String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| format!("{path}: {error}"))?;
    if text.len() as u64 > FILE_BYTES {
        return Err(format!("{path}: is larger than {FILE_BYTES} bytes"));
    }
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() { Err(format!("{path}: is empty")) } else { Ok(secret.to_owned()) }
}

/// The credentials in a section, by whichever keys they are given. `is_ours`: the headers that the
/// protocol sets itself.
pub(super) fn credentials(section: &Section<'_>, is_ours: fn(&HeaderName) -> bool) -> Credentials {
    let bearer = secret(section, "bearer", "bearer_file");
    let basic = secret(section, "basic", "basic_file");
    let blamed = |key, file| if section.has(key) { key } else { file };
    let mut all = Credentials::none();
    let mut take = |key, credentials: Result<Credentials, String>| {
        if let Some(credentials) = checked(section, key, credentials) {
            all = credentials;
        }
    };
    match (bearer, basic) {
        (Some(_), Some(_)) => section.refuse(
            blamed("basic", "basic_file"),
            "cannot be beside a bearer token: a request has one Authorization header",
        ),
        (Some(token), None) => take(blamed("bearer", "bearer_file"), Credentials::bearer(&token)),
        (None, Some(pair)) => take(blamed("basic", "basic_file"), Credentials::basic(&pair)),
        (None, None) => {}
    }
    let Some(headers) = section.free("headers") else { return all };
    let ValueKind::Table(headers) = &headers.kind else { return all };
    for (name, value) in headers {
        let value = match &value.kind {
            ValueKind::String(text) => Ok(text.clone()),
            ValueKind::Table(file) => match (file.len(), file.get("file").map(|f| &f.kind)) {
                (1, Some(ValueKind::String(path))) => from_file(path),
                _ => Err(HEADER.to_owned()),
            },
            ValueKind::Nil
            | ValueKind::Boolean(_)
            | ValueKind::I64(_)
            | ValueKind::I128(_)
            | ValueKind::U64(_)
            | ValueKind::U128(_)
            | ValueKind::Float(_)
            | ValueKind::Array(_) => Err(HEADER.to_owned()),
        };
        let ours = name.parse().is_ok_and(|name| is_ours(&name));
        let value = value.and_then(|value| {
            if ours {
                return Err("is a header that opgate sets itself".to_owned());
            }
            all.clone().with(name, &value)
        });
        match value {
            Ok(more) => all = more,
            Err(problem) => section.refuse("headers", format!("{name}: {problem}")),
        }
    }
    all
}

const HEADER: &str = "must be a text in quotes, or { file = \"path\" }";

/// Reads `[routes.NAME.nexus]`.
pub(super) fn options(section: &Section<'_>) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    for key in [upstream::SERVICE, upstream::OPERATION] {
        options.extend(section.optional(key, Section::text).map(|name| (key.to_owned(), name)));
    }
    let headers = section.optional(upstream::HEADERS, Section::texts);
    options.extend(headers.map(|list| (upstream::HEADERS.to_owned(), list.join(","))));
    section.finish();
    if let Err((key, problem)) = upstream::check_options(&options)
        && !section.is_refused(&key)
    {
        section.refuse(&key, problem);
    }
    options
}

/// Notes what of a route's kind cannot be in a URL: by one it is started over Nexus, and one is
/// its handler's.
pub(super) fn check_kind(section: &Section<'_>, service: &str, operation: &str) {
    for (key, name) in [(upstream::SERVICE, service), (upstream::OPERATION, operation)] {
        if let Err(problem) = check_name(name) {
            section.refuse(key, problem);
        }
    }
    let beneath = Completions::PATH.trim_end_matches('/').rsplit('/').next();
    if beneath == Some(service) {
        let reason = format!(
            "is what no service may be called: over Nexus, {} is where completions come in",
            Completions::PATH
        );
        section.refuse("service", reason);
    }
}
