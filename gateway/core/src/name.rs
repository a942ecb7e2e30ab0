//! Names: tenant, parent, kind.

use std::fmt;
use std::sync::Arc;

use crate::limits;

/// A name was empty, too long, or held a character that is not allowed there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct NameError {
    /// Which name.
    pub what: &'static str,
    /// What was wrong with it, and what is allowed.
    pub problem: String,
}

fn check(what: &'static str, text: &str, may_be_empty: bool) -> Result<(), NameError> {
    let problem = if text.is_empty() && !may_be_empty {
        "is empty".to_owned()
    } else if text.len() > limits::NAME_BYTES {
        format!("is {} bytes long, at most {} are allowed", text.len(), limits::NAME_BYTES)
    } else if text.chars().any(char::is_control) {
        "holds a control character".to_owned()
    } else {
        return Ok(());
    };
    Err(NameError { what, problem })
}

/// The security boundary: part of every key, every query and every sealed token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The tenant of callers that were not authenticated.
    pub fn anonymous() -> Self {
        Self(Arc::from("default"))
    }

    /// A tenant name of 1 to 1024 bytes without control characters.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check("tenant", name, false)?;
        Ok(Self(Arc::from(name)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The listing scope inside a tenant: Google's parent, OCI's compartment, BuildGrid's instance.
///
/// Segments are separated by `/`; the empty parent is the root, above all others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parent(Arc<str>);

impl Parent {
    /// The root.
    pub fn root() -> Self {
        Self(Arc::from(""))
    }

    /// A parent of at most 1024 bytes and 32 segments, without control characters.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check("parent", name, true)?;
        let segments = name.split('/').count();
        if segments > limits::PARENT_SEGMENTS {
            let allowed = limits::PARENT_SEGMENTS;
            let problem = format!("has {segments} segments, at most {allowed} are allowed");
            return Err(NameError { what: "parent", problem });
        }
        Ok(Self(Arc::from(name)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` is this parent or lies beneath it, on a `/` boundary.
    pub fn contains(&self, other: &str) -> bool {
        self.0.is_empty()
            || other
                .strip_prefix(&*self.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// What was asked: a service and one of its operations. Case is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    service: Arc<str>,
    operation: Arc<str>,
}

impl Kind {
    /// A kind from two names of 1 to 1024 bytes without control characters.
    pub fn new(service: &str, operation: &str) -> Result<Self, NameError> {
        check("service", service, false)?;
        check("operation", operation, false)?;
        Ok(Self { service: Arc::from(service), operation: Arc::from(operation) })
    }

    /// The service, for example `showcase`.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The operation, for example `run`.
    pub fn operation(&self) -> &str {
        &self.operation
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_contains_itself_and_what_is_beneath_it_only() {
        let parent = Parent(Arc::from("projects/p"));
        assert!(parent.contains("projects/p"));
        assert!(parent.contains("projects/p/locations/l"));
        assert!(!parent.contains("projects/pq"));
        assert!(!parent.contains("projects"));
        assert!(Parent::root().contains("anything/at/all"));
    }

    #[test]
    fn names_are_bounded_and_printable() {
        assert!(Tenant::new("").is_err());
        assert!(Parent::new("").is_ok());
        assert!(Kind::new("a", &"x".repeat(limits::NAME_BYTES + 1)).is_err());
        assert!(Kind::new("a\n", "b").is_err());
    }
}
