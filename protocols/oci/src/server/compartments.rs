//! Compartments: which one an operation is shown in.
//!
//! A compartment is a parent: the one that is configured for its OCID, or else the parent that is
//! called so itself. A tenancy is the root: everything of the tenant.

use std::cmp::Reverse;

use opgate_core::{Operation, Parent, Tenant};

use super::settings::{Compartment, Tenancy};

/// What is configured of compartments and tenancies.
#[derive(Debug)]
pub(super) struct Compartments {
    tenancies: Vec<Tenancy>,
    /// The most specific parents first, so that the first that holds an operation is the nearest.
    named: Vec<Compartment>,
    /// What stands for the tenancy of a tenant that has none.
    nobody: String,
}

impl Compartments {
    pub(super) fn new(tenancies: Vec<Tenancy>, mut named: Vec<Compartment>, realm: &str) -> Self {
        named.sort_by_key(|known| Reverse(known.parent.as_str().len()));
        Self { tenancies, named, nobody: format!("ocid1.tenancy.{realm}..opgate") }
    }

    /// The compartment that an operation is shown in.
    pub(super) fn of(&self, operation: &Operation) -> String {
        let parent = operation.parent.as_str();
        // Everything lies beneath the root, and is not shown in its compartment for that.
        let holds = |known: &Parent| {
            known.contains(parent) && known.as_str().is_empty() == parent.is_empty()
        };
        let known = self.named.iter().find(|known| holds(&known.parent));
        match known {
            Some(known) => known.id.clone(),
            None if parent.is_empty() => self.of_tenant(&operation.tenant).to_owned(),
            None => parent.to_owned(),
        }
    }

    fn of_tenant(&self, tenant: &Tenant) -> &str {
        let known = self.tenancies.iter().find(|known| known.tenant == *tenant);
        known.map_or(&*self.nobody, |known| &known.id)
    }
}
