//! Which work requests a list has.

use std::collections::BTreeSet;

use opgate_core::filter::Predicate;
use opgate_core::{Operation, OperationId};

use super::path::Collection;
use crate::wire::{ocid, state};

/// The operations of identity that work on its tags, as its clients know them.
const OF_TAGS: [&str; 5] = [
    "DELETE_TAG_DEFINITION",
    "DELETE_NON_EMPTY_TAG_NAMESPACE",
    "BULK_DELETE_TAG_DEFINITION",
    "BULK_EDIT_OF_TAGS",
    "IMPORT_STANDARD_TAGS",
];
/// Those that work on its domains.
const OF_DOMAINS: [&str; 8] = [
    "CREATE_DOMAIN",
    "REPLICATE_DOMAIN_TO_REGION",
    "UPDATE_DOMAIN",
    "ACTIVATE_DOMAIN",
    "DEACTIVATE_DOMAIN",
    "DELETE_DOMAIN",
    "CHANGE_COMPARTMENT_FOR_DOMAIN",
    "CHANGE_LICENSE_TYPE_FOR_DOMAIN",
];

/// Which work requests a list has.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) collection: Collection,
    /// The services of their kinds; none is all.
    pub(super) shows: Option<BTreeSet<String>>,
    /// What they all work on.
    pub(super) resources: Vec<String>,
    /// A type of what they work on, in lower case.
    pub(super) resource_type: Option<&'static str>,
    /// The states they may have; none is all.
    pub(super) states: BTreeSet<&'static str>,
}

impl Filter {
    pub(super) fn lets(&self, operation: &Operation) -> bool {
        let kind = &operation.kind;
        let of_collection = match self.collection {
            Collection::All | Collection::LoadBalancer => true,
            Collection::Tagging => OF_TAGS.contains(&kind.operation()),
            Collection::Domains => OF_DOMAINS.contains(&kind.operation()),
        };
        of_collection
            && self.shows.as_ref().is_none_or(|shows| shows.contains(kind.service()))
            && (self.states.is_empty() || self.states.contains(state::of(operation)))
            && self.resources.iter().all(|identifier| works_on(operation, identifier))
            && self.resource_type.is_none_or(|kind| works_on_a(operation, kind))
    }

    /// A text that differs for different filters. What is configured does not change between pages.
    pub(super) fn text(&self) -> String {
        let Self { collection, shows: _, resources, resource_type, states } = self;
        format!("{}{resources:?}{resource_type:?}{states:?}", collection.name())
    }
}

fn works_on(operation: &Operation, identifier: &str) -> bool {
    let known = &operation.resources;
    known.iter().any(|resource| *resource.identifier == *identifier)
        // Where nobody has said what it works on, it is shown to work on itself.
        || known.is_empty() && is(operation.id, identifier)
}

fn is(id: OperationId, ocid: &str) -> bool {
    ocid::read(ocid) == Some(id)
}

/// Whether a type of resource is this one, however its words are joined.
fn works_on_a(operation: &Operation, kind: &str) -> bool {
    let plain = |name: &str| name.replace(['_', '-', ' '], "").eq_ignore_ascii_case(kind);
    operation.resources.iter().any(|resource| plain(&resource.entity_type))
}

impl Predicate for Filter {
    fn early(&self, without_payloads: &Operation) -> Option<bool> {
        Some(self.lets(without_payloads))
    }

    fn passes(&self, operation: &Operation) -> bool {
        self.lets(operation)
    }
}
