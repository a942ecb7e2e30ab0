//! What the families of OCI services differ in, as far as their callers must know.

use crate::wire::dialect::Dialect;

/// How the errors and logs of a work request are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lists {
    /// They are in the work request itself.
    Inside,
    /// Page by page.
    Paged,
    /// With the compartment's OCID, and all at once.
    OfCompartment,
}

impl Lists {
    pub(super) const fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Identity | Dialect::LoadBalancer => Self::Inside,
            // Identity's tags are of these.
            Dialect::WorkRequests | Dialect::Modern => Self::Paged,
            Dialect::ContainerEngine => Self::OfCompartment,
        }
    }
}

/// The last part of the path of a dialect's work requests.
pub(super) const fn collection(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Identity | Dialect::WorkRequests | Dialect::ContainerEngine | Dialect::Modern => {
            "workRequests"
        }
        Dialect::LoadBalancer => "loadBalancerWorkRequests",
    }
}
