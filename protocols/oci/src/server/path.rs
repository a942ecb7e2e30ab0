//! Paths: which service is asked, and for what.

use std::borrow::Cow;

use http::Method;
use opgate_telemetry as telemetry;
use percent_encoding::percent_decode_str;

use super::settings::Service;
use crate::wire::dialect::Dialect;

/// The names under which identity has its work requests; the last two are of its tags and domains.
const OF_IDENTITY: [&str; 3] = ["workRequests", TAGGING, "iamWorkRequests"];
pub(super) const TAGGING: &str = "taggingWorkRequests";
const WORK_REQUESTS: &str = "workRequests";
const OF_LOAD_BALANCER: &str = "loadBalancerWorkRequests";

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
        "" => Some(rest).filter(|rest| rest.is_empty()),
        trimmed if trimmed.len() < rest.len() => rest.get(rest.len() - trimmed.len() - 1..),
        _ => None,
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call<'p> {
    /// One work request, by its OCID.
    Get(Cow<'p, str>),
    /// There is such a path, and these methods of it.
    OtherMethod(&'static str),
    /// Nothing of work requests.
    Other,
}

impl Call<'_> {
    pub(super) const fn method(&self) -> telemetry::Method {
        match self {
            Self::Get(_) => telemetry::Method::Get,
            Self::OtherMethod(_) | Self::Other => telemetry::Method::Other,
        }
    }
}

impl<'p> Call<'p> {
    /// Reads a method, and what stands behind a service's path.
    pub(super) fn parse(dialect: Dialect, method: &Method, rest: &'p str) -> Self {
        let mut parts = rest.split('/').skip(1);
        let (first, second, third) = (parts.next(), parts.next(), parts.next());
        if parts.next().is_some() {
            return Self::Other;
        }
        let get = *method == Method::GET;
        match (first, second, third) {
            (Some(name), Some(id), None) if is_collection(dialect, name) && !id.is_empty() => {
                if get { Self::Get(decoded(id)) } else { Self::OtherMethod("GET") }
            }
            _ => Self::Other,
        }
    }
}

fn is_collection(dialect: Dialect, name: &str) -> bool {
    match dialect {
        Dialect::Identity => OF_IDENTITY.contains(&name),
        Dialect::WorkRequests | Dialect::ContainerEngine | Dialect::Modern => name == WORK_REQUESTS,
        Dialect::LoadBalancer => name == OF_LOAD_BALANCER,
    }
}

/// An id in a path. One that is not text names nothing, as any other that nobody has.
fn decoded(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

/// The services, the longest path first.
pub(super) fn sorted(mut services: Vec<Service>) -> Vec<Service> {
    services.sort_by_key(|service| std::cmp::Reverse(service.path.len()));
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
            ("/20160918", "/20160918/", None),
            ("/20160918", "/201609180/x", None),
            ("/20160918", "/oci/20160918/x", None),
            ("/oci/20160918", "/20160918/x", None),
            ("/20160918", "20160918/x", None),
            ("/20160918", "*", None),
        ] {
            assert_eq!(behind(service, path), rest, "{service} {path}");
        }
    }
}
