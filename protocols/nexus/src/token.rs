//! Operation tokens: what Nexus callers know an operation by.
//!
//! A token is sealed for its tenant and says which operation it is, so no table of tokens is needed,
//! it is the same each time, and it outlives a restart. Service and operation are looked at in the
//! operation that it leads to: who has but a token can then be told what it is of.

use opgate_bus::{Bus, Caller};
use opgate_core::{Error, Operation, OperationId, Tenant};

/// What the handles are sealed for.
pub const PURPOSE: &str = "nexus operation";

/// What the token of an operation of this tenant is bound to.
pub fn bound(tenant: &Tenant) -> [&str; 1] {
    [tenant.as_str()]
}

/// The token of an operation, whichever face started it.
///
/// # Errors
/// `Internal` when it cannot be made.
pub fn of(bus: &Bus, operation: &Operation) -> Result<String, Error> {
    bus.handle(PURPOSE, &bound(&operation.tenant), operation.id)
}

/// The operation that a token of the caller's tenant is of.
///
/// # Errors
/// `NotFound` when it is none.
pub fn open(bus: &Bus, caller: &Caller, token: &str) -> Result<OperationId, Error> {
    bus.open_handle(PURPOSE, &bound(&caller.tenant), token)
}
