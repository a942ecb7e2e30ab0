//! What is configured for an upstream handler, and for a route to it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::HeaderName;
use opgate_bus::{Backoff, Gate};
use opgate_egress::{Credentials, Passing};

use super::endpoint::{self, Endpoint};

/// What is configured for one upstream handler.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the backend.
    pub name: Arc<str>,
    /// Where the handler is.
    pub endpoint: Endpoint,
    /// What it is to know opgate by.
    pub credentials: Credentials,
    /// Where it reaches opgate.
    pub callback: CallbackBase,
    /// How opgate learns of the end.
    pub completion: Completion,
    /// Time for one request, connecting included; a long poll has its wait on top.
    pub timeout: Duration,
    /// The wait before the first look for a result; later ones are twice as long each,
    pub poll_first: Duration,
    /// up to this. It is also how long the handler is asked to hold a request where opgate learns of
    /// the end in no other way.
    pub poll_longest: Duration,
    /// When and how often to tell the handler of a cancel it did not take.
    pub retry: Backoff,
    /// How long an operation is looked for that the handler has known and does not any more, before it fails.
    pub grace: Duration,
    /// What all calls pass through.
    pub gate: Gate,
}

/// How opgate learns that an operation has ended upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The handler calls back, and is not asked.
    Callback,
    /// The handler is asked, and is given no callback.
    Poll,
    /// The handler calls back, and is asked now and then in case that is lost. Where it has no
    /// get-result only the callback is waited for, where opgate has no address it is only asked.
    Both,
}

/// The URL beneath which an upstream reaches opgate. It may become known after the backends are made:
/// clones share it.
#[derive(Clone, Debug, Default)]
pub struct CallbackBase(Arc<OnceLock<Box<str>>>);

impl CallbackBase {
    /// One that is known.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed.
    pub fn new(text: &str) -> Result<Self, String> {
        let (base, query) = endpoint::url(text)?;
        if query.is_some() {
            return Err("must not have a query: the path goes on behind it".to_owned());
        }
        // Temporal takes URLs of 1000 characters; path and handle come behind.
        if base.len() > BASE_BYTES {
            return Err(format!("is longer than {BASE_BYTES} bytes"));
        }
        let known = Self::default();
        known.set(base);
        Ok(known)
    }

    /// Makes it known; where it is already, that stays.
    pub fn set(&self, base: &str) {
        self.0.get_or_init(|| base.trim_end_matches('/').into());
    }

    /// The URL, without a slash at its end, once it is known.
    pub(super) fn get(&self) -> Option<&str> {
        self.0.get().map(|base| &**base)
    }
}

/// Longest base of callbacks, in bytes.
const BASE_BYTES: usize = 800;

/// Option of a route: the service's name upstream. Left out: the route's.
pub const SERVICE: &str = "service";
/// Option of a route: the operation's name upstream. Left out: the route's.
pub const OPERATION: &str = "operation";
/// Option of a route: the headers of a start that are sent along, separated by commas; a name may
/// end in `*`. Left out: [`FORWARDED`].
pub const HEADERS: &str = "headers";
/// The headers that are sent along unless a route says otherwise.
pub const FORWARDED: [&str; 3] = ["baggage", "x-correlation-id", "x-request-id"];

/// Whether the options of a route to a Nexus backend are right: what a configuration check asks.
///
/// # Errors
/// The option at fault, and what is wrong.
pub fn check_options(options: &BTreeMap<String, String>) -> Result<(), (String, String)> {
    for (option, value) in options {
        let problem = match option.as_str() {
            SERVICE | OPERATION => endpoint::check_name(value).err(),
            HEADERS => Passing::new(value).check(may_pass).err(),
            _ => Some(format!("is not known; allowed are: {SERVICE}, {OPERATION}, {HEADERS}")),
        };
        if let Some(problem) = problem {
            return Err((option.clone(), problem));
        }
    }
    Ok(())
}

/// Whether a route lets a caller's header pass: by its list, or by the default where it has none.
pub(super) fn passes(options: &BTreeMap<String, String>, name: &HeaderName) -> bool {
    may_pass(name)
        && match options.get(HEADERS) {
            Some(list) => Passing::new(list).holds(name),
            None => FORWARDED.into_iter().any(|forwarded| name == forwarded),
        }
}

/// Whether a caller's header may ever be sent to a handler.
fn may_pass(name: &HeaderName) -> bool {
    opgate_egress::may_pass(name) && !is_ours(name)
}

/// Whether a header is part of the protocol, or of one hop: no configuration can set it.
pub fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    ["nexus-", "content-", "proxy-", "grpc-", ":"].iter().any(|stem| name.starts_with(stem))
        || matches!(
            name,
            "request-timeout"
                | "operation-timeout"
                | "connection"
                | "expect"
                | "host"
                | "keep-alive"
                | "te"
                | "trailer"
                | "traceparent"
                | "tracestate"
                | "transfer-encoding"
                | "upgrade"
                | "user-agent"
                | "temporal-nexus-failure-support"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> HeaderName {
        name.parse().unwrap()
    }

    fn options(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn only_what_is_on_the_list_passes_and_some_never_do() {
        for (header, by_list, by_default, by_star) in [
            ("x-tenant", true, false, true),
            ("acme-one", true, false, true),
            ("acme", false, false, true),
            ("baggage", false, true, true),
            ("authorization", false, false, false),
            ("cookie", false, false, false),
            ("request-timeout", false, false, false),
            ("nexus-callback-token", false, false, false),
            ("content-type", false, false, false),
            ("transfer-encoding", false, false, false),
        ] {
            let passes = |options| passes(&options, &name(header));
            assert_eq!(passes(options(HEADERS, "x-tenant,Acme-*")), by_list, "{header}");
            assert_eq!(passes(BTreeMap::new()), by_default, "{header}");
            assert_eq!(passes(options(HEADERS, "*")), by_star, "{header}");
            assert!(!passes(options(HEADERS, "")), "{header}");
        }
    }

    #[test]
    fn the_options_of_a_route_are_checked() {
        for (option, value, right) in [
            (SERVICE, "a/b c", true),
            (SERVICE, "..", false),
            (OPERATION, ".", false),
            (HEADERS, "x-a,b-*", true),
            (HEADERS, "", true),
            (HEADERS, "x a", false),
            (HEADERS, "authorization", false),
            (HEADERS, "Nexus-Callback-Token", false),
            ("header", "x", false),
        ] {
            assert_eq!(check_options(&options(option, value)).is_ok(), right, "{option} {value:?}");
        }
    }

    #[test]
    fn the_base_of_callbacks_may_come_late_and_stays() {
        let late = CallbackBase::default();
        let shared = late.clone();
        assert_eq!(shared.get(), None);
        late.set("http://127.0.0.1:8080/");
        late.set("http://elsewhere");
        assert_eq!(shared.get(), Some("http://127.0.0.1:8080"));
        assert!(CallbackBase::new("https://h/?a=b").is_err());
        assert!(CallbackBase::new(&format!("https://h/{}", "x".repeat(1000))).is_err());
        assert_eq!(CallbackBase::new("https://h/opgate/").unwrap().get(), Some("https://h/opgate"));
    }
}
