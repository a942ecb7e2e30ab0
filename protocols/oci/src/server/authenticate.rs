//! Who calls.

use std::sync::Arc;

use opgate_bus as bus;

use crate::signature::{Head, Reason, Signed};

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

impl From<Signed> for Caller {
    fn from(Signed { caller, tenancy }: Signed) -> Self {
        Self { caller, tenancy: Some(tenancy) }
    }
}

/// Decides who calls. Asked for every request under a path of this face, before its body is read or
/// anything is made of what it asks for; then asked of the body.
pub trait Authenticator: Send + Sync {
    /// Who sent this.
    ///
    /// # Errors
    /// Why nobody is believed to have. The caller is not told.
    fn authenticate(&self, head: &Head<'_>) -> Result<Caller, Reason>;

    /// Whether that one sent this body, the whole of it.
    ///
    /// # Errors
    /// Why nobody is believed to have.
    fn check_body(&self, head: &Head<'_>, body: &[u8]) -> Result<(), Reason>;
}

/// Lets everybody in, as nobody in particular.
#[derive(Clone, Copy, Debug)]
pub struct Anyone;

impl Authenticator for Anyone {
    fn authenticate(&self, _: &Head<'_>) -> Result<Caller, Reason> {
        Ok(Caller::anonymous())
    }

    fn check_body(&self, _: &Head<'_>, _: &[u8]) -> Result<(), Reason> {
        Ok(())
    }
}
