//! Compartments: what a `compartmentId` stands for, and which one an operation is shown in.
//!
//! A compartment is a parent: the one that is configured for its OCID, or else the parent that is
//! called so itself. A tenancy is the root: everything of the tenant.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use opgate_core::{Operation, Parent, Tenant};

use super::authenticate::Caller;
use super::settings::{Compartment, Tenancy};
use crate::wire::error::Refusal;
use crate::wire::ocid;

/// What is configured of compartments and tenancies.
#[derive(Debug)]
pub(super) struct Compartments {
    /// Replaced as a whole.
    tenancies: RwLock<Arc<[Tenancy]>>,
    /// Whether they are others than at the start.
    replaced: AtomicBool,
    /// The most specific parents first, so that the first that holds an operation is the nearest.
    named: Vec<Compartment>,
    /// What stands for the tenancy of a tenant that has none.
    nobody: String,
}

impl Compartments {
    pub(super) fn new(tenancies: Vec<Tenancy>, mut named: Vec<Compartment>, realm: &str) -> Self {
        named.sort_by_key(|known| Reverse(known.parent.as_str().len()));
        let tenancies = RwLock::new(tenancies.into());
        let nobody = format!("ocid1.tenancy.{realm}..opgate");
        Self { tenancies, replaced: AtomicBool::new(false), named, nobody }
    }

    /// Other tenancies from now on.
    pub(super) fn replace(&self, tenancies: Vec<Tenancy>) {
        let mut known = self.tenancies.write().unwrap_or_else(PoisonError::into_inner);
        if **known != *tenancies {
            *known = tenancies.into();
            self.replaced.store(true, Ordering::Relaxed);
        }
    }

    /// Whether an operation is shown in the same compartment for as long as the process lives.
    pub(super) fn is_settled(&self, operation: &Operation) -> bool {
        !operation.parent.as_str().is_empty() || !self.replaced.load(Ordering::Relaxed)
    }

    fn tenancies(&self) -> Arc<[Tenancy]> {
        Arc::clone(&self.tenancies.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The scope of a compartment for a caller; none where it is another tenant's tenancy.
    pub(super) fn scope(
        &self,
        caller: &Caller,
        compartment: &str,
    ) -> Result<Option<Parent>, Refusal> {
        if ocid::is_tenancy(compartment) {
            let (tenant, tenancies) = (&caller.caller.tenant, self.tenancies());
            let own = caller.tenancy.as_deref().or_else(|| {
                let known = tenancies.iter().find(|known| known.tenant == *tenant);
                known.map(|known| &*known.id)
            });
            let is_own = |known: &Tenancy| known.id == compartment && known.tenant == *tenant;
            // Where no tenancy of the caller's is known, any may be it.
            let visible = own.is_none_or(|own| own == compartment) || tenancies.iter().any(is_own);
            return Ok(visible.then(Parent::root));
        }
        if let Some(known) = self.named.iter().find(|known| known.id == compartment) {
            return Ok(Some(known.parent.clone()));
        }
        let parent = Parent::new(compartment);
        parent.map(Some).map_err(|error| Refusal::invalid("compartmentId", &error.problem))
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
            None if parent.is_empty() => self.of_tenant(&operation.tenant),
            None => parent.to_owned(),
        }
    }

    fn of_tenant(&self, tenant: &Tenant) -> String {
        let tenancies = self.tenancies();
        let known = tenancies.iter().find(|known| known.tenant == *tenant);
        known.map_or_else(|| self.nobody.clone(), |known| known.id.clone())
    }
}
