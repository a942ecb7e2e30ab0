//! What of this face is configured.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opgate_core::{Parent, Tenant};

use super::authenticate::{Anyone, Authenticator};
use super::path;
use super::start::DoorSettings;
use crate::wire::dialect::Dialect;
use crate::wire::ocid::Ocids;

/// What of this face is configured.
#[derive(Clone)]
pub struct Settings {
    /// How OCIDs look.
    pub ocids: Ocids,
    /// The services, each at a path of its own.
    pub services: Vec<Service>,
    /// The calls that start operations.
    pub doors: Vec<DoorSettings>,
    /// The tenancies, and whose operations they see.
    pub tenancies: Vec<Tenancy>,
    /// Compartments that stand for parents of other names than their own.
    pub compartments: Vec<Compartment>,
    /// Who may call.
    pub authenticator: Arc<dyn Authenticator>,
    /// Largest request body, in bytes. Default 4 MiB.
    pub request_bytes: usize,
    /// Time for a request body to arrive. Default 30 s.
    pub request_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ocids: Ocids { realm: "oc1".to_owned(), region: String::new() },
            services: Vec::new(),
            doors: Vec::new(),
            tenancies: Vec::new(),
            compartments: Vec::new(),
            authenticator: Arc::new(Anyone),
            request_bytes: 4 * 1024 * 1024,
            request_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("ocids", &self.ocids)
            .field("services", &self.services)
            .field("doors", &self.doors)
            .field("tenancies", &self.tenancies)
            .field("compartments", &self.compartments)
            .field("request_bytes", &self.request_bytes)
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}

/// One service: a dialect at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name, which the types of OCIDs begin with.
    pub name: String,
    /// How all of its paths begin, such as `/20160918`. See [`Service::check_path`].
    pub path: String,
    /// How it speaks.
    pub dialect: Dialect,
    /// The services of the kinds that its lists show; none shows all.
    pub shows: Option<BTreeSet<String>>,
}

impl Service {
    /// Whether a path is the service's own, or lies beneath it.
    pub fn has(&self, path: &str) -> bool {
        path::behind(&self.path, path).is_some()
    }

    /// Whether a path can be a service's: segments of letters, digits, `-`, `_` and `.`, the last
    /// of them an API version of eight digits.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed.
    pub fn check_path(path: &str) -> Result<(), String> {
        const ALLOWED: &str = "must be /VERSION, or /PREFIX/VERSION, where VERSION is eight digits \
                               and PREFIX is of letters, digits, -, _ and .";
        let mut segments = path.split('/').rev();
        let version = segments.next().unwrap_or_default();
        let is_version = version.len() == 8 && version.bytes().all(|byte| byte.is_ascii_digit());
        let mut prefix: Vec<&str> = segments.collect();
        let rooted = prefix.pop() == Some("");
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_segment = |segment: &&str| {
            !segment.is_empty() && segment.bytes().all(letter) && !matches!(*segment, "." | "..")
        };
        if is_version && rooted && path.len() <= 256 && prefix.iter().all(is_segment) {
            Ok(())
        } else {
            Err(ALLOWED.to_owned())
        }
    }
}

/// A tenancy: a tenant under its OCID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenancy {
    /// Its OCID.
    pub id: String,
    /// Whose operations it sees.
    pub tenant: Tenant,
}

/// A compartment that is called otherwise elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compartment {
    /// Its OCID.
    pub id: String,
    /// The parent that it is.
    pub parent: Parent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_with_a_version() {
        for path in ["/20160918", "/oci/20160918", "/a/b-c_d.e/20180222"] {
            assert_eq!(Service::check_path(path), Ok(()), "{path}");
        }
        for path in [
            "",
            "/",
            "20160918",
            "/2016091",
            "/201609180",
            "/2016091x",
            "/20160918/",
            "//20160918",
            "/a//20160918",
            "/../20160918",
            "/a%2F/20160918",
            "/20160918/x",
        ] {
            assert!(Service::check_path(path).is_err(), "{path}");
        }
    }
}
