//! Paths: which service is asked, and for what.

use std::borrow::Cow;
use std::cmp::Reverse;

use http::Method;
use opgate_telemetry as telemetry;
use percent_encoding::percent_decode_str;

use super::settings::Service;
use crate::wire::dialect::Dialect;

/// What stands behind the path of a service, a slash first; none where a path is not the service's.
///
/// Slashes may be doubled up to there: an SDK whose endpoint ends with one puts its own behind it.
pub(super) fn behind<'p>(service: &str, path: &'p str) -> Option<&'p str> {
    let mut rest = path;
    for segment in service.split('/').skip(1) {
        let trimmed = rest.trim_start_matches('/');
        if trimmed.len() == rest.len() {
            return None;
        }
        rest = trimmed.strip_prefix(segment)?;
    }
    match rest.trim_start_matches('/') {
        "" => rest.get(..rest.len().min(1)),
        trimmed if trimmed.len() < rest.len() => rest.get(rest.len() - trimmed.len() - 1..),
        _ => None,
    }
}

/// A set of work requests that a service lists under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collection {
    /// `workRequests`: all of them.
    All,
    /// `taggingWorkRequests` of identity.
    Tagging,
    /// `iamWorkRequests` of identity: its domains.
    Domains,
    /// `loadBalancerWorkRequests`, which are listed elsewhere.
    LoadBalancer,
}

impl Collection {
    fn parse(dialect: Dialect, name: &str) -> Option<Self> {
        match (dialect, name) {
            (Dialect::Identity, "taggingWorkRequests") => Some(Self::Tagging),
            (Dialect::Identity, "iamWorkRequests") => Some(Self::Domains),
            (Dialect::LoadBalancer, "loadBalancerWorkRequests") => Some(Self::LoadBalancer),
            (Dialect::LoadBalancer, _) => None,
            (_, "workRequests") => Some(Self::All),
            _ => None,
        }
    }

    /// The name in paths.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::All => "workRequests",
            Self::Tagging => "taggingWorkRequests",
            Self::Domains => "iamWorkRequests",
            Self::LoadBalancer => "loadBalancerWorkRequests",
        }
    }
}

/// What happened to a work request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entries {
    Errors,
    Logs,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call<'p> {
    /// A page of work requests.
    List(Collection),
    /// A page of those of one load balancer.
    ListOf(Cow<'p, str>),
    /// One work request, by its OCID.
    Get(Cow<'p, str>),
    /// A page of what happened to one.
    Entries(Entries, Cow<'p, str>),
    /// The end of one.
    Cancel(Cow<'p, str>),
    /// There is such a path, and these methods of it.
    OtherMethod(&'static str),
    /// Nothing of work requests.
    Other,
}

impl Call<'_> {
    pub(super) const fn method(&self) -> telemetry::Method {
        match self {
            Self::List(_) | Self::ListOf(_) => telemetry::Method::List,
            Self::Get(_) | Self::Entries(..) => telemetry::Method::Get,
            Self::Cancel(_) => telemetry::Method::Cancel,
            Self::OtherMethod(_) | Self::Other => telemetry::Method::Other,
        }
    }
}

impl<'p> Call<'p> {
    /// Reads a method, and what stands behind a service's path.
    pub(super) fn parse(dialect: Dialect, method: &Method, rest: &'p str) -> Self {
        let mut parts = rest.split('/').skip(1);
        let (first, second, third) = (parts.next(), parts.next(), parts.next());
        let (Some(first), None) = (first, parts.next()) else { return Self::Other };
        let (get, delete) = (*method == Method::GET, *method == Method::DELETE);
        let or = |there: bool, call: Self, methods| {
            if there { call } else { Self::OtherMethod(methods) }
        };
        if let (Dialect::LoadBalancer, "loadBalancers", Some(id), Some("workRequests")) =
            (dialect, first, second, third)
        {
            return or(get, Self::ListOf(decoded(id)), "GET");
        }
        let Some(collection) = Collection::parse(dialect, first) else { return Self::Other };
        let balancer = collection == Collection::LoadBalancer;
        match (second, third) {
            (None, None) if !balancer => or(get, Self::List(collection), "GET"),
            (Some(""), _) => Self::Other,
            (Some(id), None) if delete && dialect.cancels() => Self::Cancel(decoded(id)),
            (Some(id), None) => {
                let methods = if dialect.cancels() { "GET, DELETE" } else { "GET" };
                or(get, Self::Get(decoded(id)), methods)
            }
            (Some(id), Some("errors")) if !balancer => {
                or(get, Self::Entries(Entries::Errors, decoded(id)), "GET")
            }
            (Some(id), Some("logs")) if !balancer => {
                or(get, Self::Entries(Entries::Logs, decoded(id)), "GET")
            }
            _ => Self::Other,
        }
    }
}

/// An id in a path. One that is not text names nothing, as any other that nobody has.
fn decoded(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

/// The services, the longest path first.
pub(super) fn sorted(mut services: Vec<Service>) -> Vec<Service> {
    services.sort_by_key(|service| Reverse(service.path.len()));
    services
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_what_stands_behind_its_path() {
        for (service, path, rest) in [
            ("/20160918", "/20160918/workRequests", Some("/workRequests")),
            ("/20160918", "//20160918//workRequests", Some("/workRequests")),
            ("/oci/20160918", "/oci//20160918/x//y/", Some("/x//y/")),
            ("/20160918", "/20160918", Some("")),
            ("/20160918", "/20160918/", Some("/")),
            ("/20160918", "/20160918//", Some("/")),
            ("/20160918", "/201609180/x", None),
            ("/20160918", "/oci/20160918/x", None),
            ("/oci/20160918", "/20160918/x", None),
            ("/20160918", "20160918/x", None),
            ("/20160918", "*", None),
        ] {
            assert_eq!(behind(service, path), rest, "{service} {path}");
        }
    }

    #[test]
    fn every_dialect_has_its_own_calls() {
        let id = || Cow::Borrowed("i");
        let rows = [
            ("GET", "/workRequests", "L L L L -"),
            ("GET", "/taggingWorkRequests", "T - - - -"),
            ("GET", "/iamWorkRequests", "D - - - -"),
            ("GET", "/loadBalancerWorkRequests", "- - - - -"),
            ("GET", "/loadBalancers/i/workRequests", "- - - - B"),
            ("GET", "/workRequests/i", "G G G G -"),
            ("GET", "/taggingWorkRequests/i", "G - - - -"),
            ("GET", "/loadBalancerWorkRequests/i", "- - - - G"),
            ("GET", "/workRequests/i/errors", "E E E E -"),
            ("GET", "/workRequests/i/logs", "M M M M -"),
            ("GET", "/taggingWorkRequests/i/logs", "M - - - -"),
            ("GET", "/loadBalancerWorkRequests/i/logs", "- - - - -"),
            ("DELETE", "/workRequests/i", "m m C C -"),
            ("POST", "/workRequests/i", "m m m m -"),
            ("HEAD", "/workRequests/i", "m m m m -"),
            ("POST", "/workRequests", "m m m m -"),
            ("PUT", "/workRequests/i/logs", "m m m m -"),
            ("GET", "/workRequests/", "- - - - -"),
            ("GET", "/workRequests//logs", "- - - - -"),
            ("GET", "/workRequests/i/x", "- - - - -"),
            ("GET", "/workRequests/i/logs/x", "- - - - -"),
            ("GET", "/WorkRequests/i", "- - - - -"),
            ("GET", "", "- - - - -"),
            ("DELETE", "/compartments/i", "- - - - -"),
        ];
        for (method, rest, expected) in rows {
            let method = method.parse().unwrap();
            let found = Dialect::ALL.map(|dialect| match Call::parse(dialect, &method, rest) {
                Call::List(Collection::All) => "L",
                Call::List(Collection::Tagging) => "T",
                Call::List(Collection::Domains) => "D",
                Call::ListOf(of) if of == id() => "B",
                Call::Get(of) if of == id() => "G",
                Call::Entries(Entries::Errors, of) if of == id() => "E",
                Call::Entries(Entries::Logs, of) if of == id() => "M",
                Call::Cancel(of) if of == id() => "C",
                Call::OtherMethod(_) => "m",
                Call::Other => "-",
                other @ (Call::List(_)
                | Call::ListOf(_)
                | Call::Get(_)
                | Call::Entries(..)
                | Call::Cancel(_)) => panic!("{other:?}"),
            });
            assert_eq!(found.join(" "), expected, "{method} {rest}");
        }
    }

    #[test]
    fn fuzz_paths() {
        const WORDS: [&str; 12] = [
            "/",
            "20160918",
            "oci",
            "workRequests",
            "taggingWorkRequests",
            "loadBalancers",
            "errors",
            "logs",
            "%2F",
            "%",
            "\u{e9}",
            "x",
        ];
        bolero::check!().for_each(|bytes: &[u8]| {
            let words: String =
                bytes.iter().map(|byte| WORDS[usize::from(*byte) % WORDS.len()]).collect();
            for path in [words.as_str(), &String::from_utf8_lossy(bytes)] {
                for service in ["/20160918", "/oci/20160918"] {
                    let Some(rest) = behind(service, path) else { continue };
                    assert!(rest.is_empty() || rest.starts_with('/'), "{path} {rest}");
                    // Behind a service's path nothing is taken away.
                    assert!(path.ends_with(rest));
                    for dialect in Dialect::ALL {
                        for method in [Method::GET, Method::DELETE] {
                            let call = Call::parse(dialect, &method, rest);
                            assert!(
                                call != Call::Cancel("".into()) && call != Call::Get("".into())
                            );
                        }
                    }
                }
            }
        });
    }
}
