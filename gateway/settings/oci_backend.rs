//! Backends of kind `oci`, and routes to them.

use std::collections::BTreeMap;
use std::time::Duration;

use opgate_oci::backend::{self as upstream, Endpoint};
use opgate_oci::signature::{Fingerprint, FingerprintError, Signer};
use opgate_oci::wire::dialect::Dialect;

use super::nexus::{checked, from_file};
use super::section::Section;
use super::{DAY, HOUR, MS, text};

/// What is configured for an upstream API of OCI's kind.
#[derive(Clone, Debug)]
pub struct OciBackend {
    /// Where it is.
    pub endpoint: Endpoint,
    /// As whom requests are signed; none where they are not.
    pub signer: Option<Signer>,
    /// Time for one request.
    pub timeout: Duration,
    /// The wait between the first two looks at a work request.
    pub poll_first: Duration,
    /// The longest wait between two.
    pub poll_longest: Duration,
    /// How long a work request is looked for that is not found.
    pub grace: Duration,
}

/// The keys that this kind of backend has beside those of all.
pub(super) const KEYS: [&str; 10] = [
    "endpoint",
    "signing",
    "tenancy",
    "user",
    "key_file",
    "fingerprint",
    "timeout",
    "poll_first",
    "poll_longest",
    "grace",
];
/// Those of a signature.
const IDENTITY: [&str; 4] = ["tenancy", "user", "key_file", "fingerprint"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Signing {
    User,
    None,
}

const SIGNINGS: [(&str, Signing); 2] = [("user", Signing::User), ("none", Signing::None)];

/// Reads `[backends.NAME]` of this kind; none where it cannot be one.
pub(super) fn backend(section: &Section<'_>) -> Option<OciBackend> {
    let endpoint = section.text("endpoint");
    // What the placeholder is for: nothing else is to be blamed for it.
    let endpoint = checked(section, "endpoint", Endpoint::parse(&endpoint))
        .or_else(|| Endpoint::parse("http://none.invalid").ok());
    let duration = |key, range, default| {
        section.optional(key, |section, key| section.duration(key, range)).unwrap_or(default)
    };
    let backend = OciBackend {
        signer: signer(section),
        timeout: duration("timeout", MS..=HOUR, upstream::TIMEOUT),
        poll_first: duration("poll_first", MS..=HOUR, upstream::POLL_FIRST),
        poll_longest: duration("poll_longest", MS..=HOUR, upstream::POLL_LONGEST),
        grace: duration("grace", Duration::ZERO..=DAY, upstream::GRACE),
        endpoint: endpoint?,
    };
    if backend.poll_first > backend.poll_longest {
        section.refuse("poll_first", "must be at most poll_longest");
    }
    Some(backend)
}

/// As whom requests are signed.
fn signer(section: &Section<'_>) -> Option<Signer> {
    let signing = section
        .optional("signing", |section, key| section.choice(key, &SIGNINGS))
        .unwrap_or(Signing::User);
    if signing == Signing::None {
        for key in IDENTITY.into_iter().filter(|key| section.has(key)) {
            section.refuse(key, "has no effect: with signing = \"none\" nothing is signed");
        }
        return None;
    }
    for key in ["tenancy", "user", "key_file"].into_iter().filter(|key| !section.has(key)) {
        let reason = "is missing: requests are signed with a user's key, unless signing = \"none\" \
                      stands beside the endpoint";
        section.refuse(key, reason);
    }
    let ocid = |key, word: &str| {
        let ocid = section.optional(key, Section::text).unwrap_or_default();
        if !ocid.is_empty() && !is_ocid(&ocid, word) {
            section.refuse(key, format!("must be an OCID such as \"ocid1.{word}.oc1..aaaa\""));
        }
        ocid
    };
    let (tenancy, user) = (ocid("tenancy", "tenancy"), ocid("user", "user"));
    let fingerprint = section.optional("fingerprint", |section, key| {
        let text = section.text(key);
        let read = text.parse::<Fingerprint>();
        checked(section, key, read.map_err(|error: FingerprintError| error.to_string()))
    });
    let path = section.optional("key_file", Section::text).filter(|path| !path.is_empty())?;
    let key = from_file(&path).and_then(|pem| {
        let signer = Signer::new(&tenancy, &user, fingerprint.flatten(), &pem);
        signer.map_err(|problem| format!("{path}: {problem}"))
    });
    checked(section, "key_file", key)
}

/// Whether a text is an OCID of this type that can stand in the name of a key.
fn is_ocid(text: &str, word: &str) -> bool {
    let mut parts = text.split('.');
    (parts.next(), parts.next()) == (Some("ocid1"), Some(word))
        && parts.clone().count() >= 3
        && parts.next_back().is_some_and(|unique| !unique.is_empty())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

/// Reads `[routes.NAME.oci]`; `used`: whether it is there and the route's backend is of this kind.
pub(super) fn options(section: &Section<'_>, used: bool) -> BTreeMap<String, String> {
    let dialects = Dialect::ALL.map(|dialect| (dialect.name(), dialect.name()));
    let mut options = BTreeMap::new();
    let mut put = |key: &str, value: Option<String>| {
        options.extend(value.map(|value| (key.to_owned(), value)));
    };
    for key in [upstream::REQUEST, upstream::WORK_REQUESTS] {
        put(key, section.optional(key, Section::text));
    }
    let dialect =
        section.optional(upstream::DIALECT, |section, key| section.choice(key, &dialects));
    put(upstream::DIALECT, dialect.map(str::to_owned));
    let cancel = section.optional(upstream::CANCEL, Section::flag);
    put(upstream::CANCEL, cancel.map(|cancel| cancel.to_string()));
    let headers = section.optional(upstream::HEADERS, Section::texts);
    put(upstream::HEADERS, headers.map(|list| list.join(",")));
    let query = section.free(upstream::QUERY);
    put(upstream::QUERY, query.map(|query| text::json(query).to_string()));
    let body = section.value(upstream::BODY);
    put(upstream::BODY, body.map(|body| text::json(body).to_string()));
    section.finish();
    if used
        && let Err((key, problem)) = upstream::check_options(&options)
        && !section.is_refused(&key)
    {
        section.refuse(&key, problem);
    }
    options
}
