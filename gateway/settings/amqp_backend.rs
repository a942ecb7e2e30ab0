//! Backends of kind `amqp`, and routes to them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use opgate_amqp::backend::{self as upstream, Endpoint, ReplyTo, Sasl};
use opgate_egress::{Renewable, Shown};

use super::nexus::{checked, from_file};
use super::section::Section;
use super::{DAY, HOUR, MS, RETENTION_MAX, SECOND, text};

/// What is configured for an upstream AMQP node.
#[derive(Clone, Debug)]
pub struct AmqpBackend {
    /// Where its container is.
    pub endpoint: Endpoint,
    /// Its address there.
    pub node: String,
    /// Where its replies are to be sent.
    pub reply: ReplyTo,
    /// As whom it is called.
    pub sasl: Renewable<Sasl>,
    /// The client certificate that is shown to it, where there is one.
    pub shown: Option<Shown>,
    /// Time for one request.
    pub timeout: Duration,
    /// How long it may be silent.
    pub idle: Duration,
    /// Requests that wait for a reply at once.
    pub in_flight: usize,
    /// The wait between the first two looks at an operation upstream.
    pub poll_first: Duration,
    /// The longest wait between two.
    pub poll_longest: Duration,
    /// How long an operation upstream is looked for that is not found.
    pub grace: Duration,
}

/// The keys that this kind of backend has beside those of all.
pub(super) const KEYS: [&str; 16] = [
    "endpoint",
    "hostname",
    "node",
    "reply",
    "sasl",
    "user",
    "password_file",
    "allow_plaintext",
    "cert_file",
    "key_file",
    "timeout",
    "idle_timeout",
    "in_flight",
    "poll_first",
    "poll_longest",
    "grace",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    Anonymous,
    Plain,
    External,
}

const MECHANISMS: [(&str, Mechanism); 3] = [
    ("anonymous", Mechanism::Anonymous),
    ("plain", Mechanism::Plain),
    ("external", Mechanism::External),
];
const REPLIES: [(&str, ReplyTo); 4] = [
    ("auto", ReplyTo::Auto),
    ("dynamic", ReplyTo::Dynamic),
    ("named", ReplyTo::Named),
    ("paired", ReplyTo::Paired),
];

/// Reads `[backends.NAME]` of this kind; none where it cannot be one. `authorities`: those that are
/// believed beside the system's.
pub(super) fn backend(section: &Section<'_>, authorities: Option<&Path>) -> Option<AmqpBackend> {
    let endpoint = section.text("endpoint");
    // What the placeholder is for: nothing else is to be blamed for it.
    let endpoint = checked(section, "endpoint", Endpoint::parse(&endpoint))
        .or_else(|| Endpoint::parse("amqps://none.invalid").ok())?;
    let duration = |key, range, default| {
        section.optional(key, |section, key| section.duration(key, range)).unwrap_or(default)
    };
    let shown = shown(section, endpoint.is_tls(), "amqps://", authorities);
    let endpoint = match section.optional("hostname", Section::text) {
        Some(hostname) => endpoint.known_as(hostname),
        None => endpoint,
    };
    let backend = AmqpBackend {
        node: section.optional("node", Section::text).unwrap_or_else(|| upstream::NODE.to_owned()),
        reply: section
            .optional("reply", |section, key| section.choice(key, &REPLIES))
            .unwrap_or(ReplyTo::Auto),
        sasl: sasl(section, &endpoint, shown.is_some()).into(),
        shown,
        timeout: duration("timeout", MS..=HOUR, upstream::TIMEOUT),
        idle: duration("idle_timeout", SECOND..=HOUR, upstream::IDLE),
        in_flight: section
            .optional("in_flight", |section, key| section.count(key, 1..=65_536))
            .unwrap_or(upstream::IN_FLIGHT),
        poll_first: duration("poll_first", MS..=HOUR, upstream::POLL_FIRST),
        poll_longest: duration("poll_longest", MS..=HOUR, upstream::POLL_LONGEST),
        grace: duration("grace", Duration::ZERO..=DAY, upstream::GRACE),
        endpoint,
    };
    if backend.poll_first > backend.poll_longest {
        section.refuse("poll_first", "must be at most poll_longest");
    }
    Some(backend)
}

/// The client certificate. `tls`: whether the endpoint is one over TLS, which then begins with `scheme`.
pub(super) fn shown(
    section: &Section<'_>,
    tls: bool,
    scheme: &str,
    authorities: Option<&Path>,
) -> Option<Shown> {
    const PAIR: [&str; 2] = ["cert_file", "key_file"];
    let [certificate, key] = PAIR.map(|key| section.optional(key, Section::text));
    for (one, other) in [(PAIR[0], PAIR[1]), (PAIR[1], PAIR[0])] {
        if section.has(one) && !section.has(other) {
            section.refuse(one, format!("needs {other} beside it"));
        } else if section.has(one) && !tls {
            let reason = format!("has no effect: it is for an endpoint that begins with {scheme}");
            section.refuse(one, reason);
        }
    }
    let shown = Shown { certificate: certificate?.into(), key: key?.into() };
    if tls
        && !PAIR.into_iter().any(|key| section.is_refused(key))
        && let Err(problem) = opgate_egress::tls(authorities, Some(&shown))
    {
        section.refuse(PAIR[0], problem.to_string());
    }
    Some(shown)
}

/// As whom the node is called: as it is said, else as what there is to show.
fn sasl(section: &Section<'_>, endpoint: &Endpoint, shown: bool) -> Sasl {
    let allowed = section.optional("allow_plaintext", Section::flag).unwrap_or(false);
    let mechanism = section
        .optional("sasl", |section, key| section.choice(key, &MECHANISMS))
        .unwrap_or_else(|| match (section.has("user"), shown) {
            (true, _) => Mechanism::Plain,
            (false, true) => Mechanism::External,
            (false, false) => Mechanism::Anonymous,
        });
    if mechanism != Mechanism::Plain {
        for key in ["user", "password_file"].into_iter().filter(|key| section.has(key)) {
            section.refuse(key, "has no effect: it is for sasl = \"plain\"");
        }
    }
    match mechanism {
        Mechanism::Anonymous => Sasl::Anonymous,
        Mechanism::External => {
            if !shown && !section.is_refused("sasl") {
                section.refuse("sasl", "needs cert_file and key_file: they say who calls");
            }
            Sasl::External
        }
        Mechanism::Plain => {
            if !endpoint.is_tls() && !endpoint.is_loopback() && !allowed {
                let reason = "sends the password to another machine without TLS: it must begin with \
                              amqps://, unless allow_plaintext = true stands beside it";
                section.refuse("endpoint", reason);
            }
            let user = section.text("user");
            if user.contains('\0') {
                section.refuse("user", "must not contain a zero character");
            }
            let path = section.text("password_file");
            let password = if path.is_empty() {
                None
            } else {
                checked(section, "password_file", from_file(&path))
            };
            Sasl::Plain { user: user.into(), password: password.unwrap_or_default().into() }
        }
    }
}

/// Reads `[routes.NAME.amqp_call]`; `used`: whether it is there and the route's backend is of this kind.
pub(super) fn options(section: &Section<'_>, used: bool) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    let mut put = |key: &str, value: Option<String>| {
        options.extend(value.map(|value| (key.to_owned(), value)));
    };
    let texts = [
        upstream::OPERATION,
        upstream::TYPE,
        upstream::ENTITY_NAME,
        upstream::ENTITY_IDENTITY,
        upstream::COMPLETION,
    ];
    for key in texts {
        put(key, section.optional(key, Section::text));
    }
    let properties = section.free(upstream::PROPERTIES);
    put(upstream::PROPERTIES, properties.map(|table| text::json(table).to_string()));
    let body = section.value(upstream::BODY);
    put(upstream::BODY, body.map(|body| text::json(body).to_string()));
    let flag = section.optional(upstream::IDEMPOTENT, Section::flag);
    put(upstream::IDEMPOTENT, flag.map(|flag| flag.to_string()));
    let headers = section.optional(upstream::HEADERS, Section::texts);
    put(upstream::HEADERS, headers.map(|list| list.join(",")));
    let within = section
        .optional(upstream::REPLY_WITHIN, |section, key| section.duration(key, MS..=RETENTION_MAX));
    put(upstream::REPLY_WITHIN, within.map(|within| within.as_millis().to_string()));
    let poll = section.section("poll");
    for key in upstream::poll_keys() {
        let list = matches!(key, "succeeded" | "failed" | "canceled");
        let value = if list {
            poll.optional(key, Section::texts).map(|list| list.join(","))
        } else {
            poll.optional(key, Section::text_or_empty)
        };
        put(&format!("{}{key}", upstream::POLL), value);
    }
    poll.finish();
    section.finish();
    if used && let Err((key, problem)) = upstream::check_options(&options) {
        match key.strip_prefix(upstream::POLL) {
            Some(inner) if !poll.is_refused(inner) => poll.refuse(inner, problem),
            None if !section.is_refused(&key) => section.refuse(&key, problem),
            Some(_) | None => {}
        }
    }
    options
}
