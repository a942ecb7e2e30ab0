//! Who calls.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use opgate_bus as bus;
use opgate_core::Error;

/// A request as it came.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query exactly as on the request line: no escape is undone, no slash taken away.
    pub target: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a Bytes,
}

/// Who calls, as far as that matters to this face.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose operations may be seen, and who it is.
    pub caller: bus::Caller,
    /// The OCID of the caller's tenancy, where it has one.
    pub tenancy: Option<Arc<str>>,
}

impl Caller {
    /// A caller nobody authenticated.
    pub fn anonymous() -> Self {
        Self { caller: bus::Caller::anonymous(), tenancy: None }
    }
}

/// Decides who calls. Asked for every request under a path of this face, before anything is made of
/// what it asks for.
pub trait Authenticator: Send + Sync {
    /// Who sent this.
    ///
    /// # Errors
    /// `Unauthenticated`, with one text whatever the reason.
    fn authenticate(&self, presented: &Presented<'_>) -> Result<Caller, Error>;
}

/// Lets everybody in, as nobody in particular.
#[derive(Clone, Copy, Debug)]
pub struct Anyone;

impl Authenticator for Anyone {
    fn authenticate(&self, _: &Presented<'_>) -> Result<Caller, Error> {
        Ok(Caller::anonymous())
    }
}
