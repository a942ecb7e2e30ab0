//! Which lists a listing reads: the parents beneath the one that was named.

use std::sync::Arc;

use opgate_core::{Parent, Tenant};

/// The number a (tenant, parent) pair goes by in the journal and the lists.
pub(crate) type ScopeId = u32;

/// The list every operation is in, whatever its tenant and parent.
pub(crate) const ALL: ScopeId = 0;
/// More parents than this beneath one are not merged but filtered out of the list of all.
pub(crate) const MERGED: usize = 32;
/// How many parents may have operations at a time.
pub(crate) const MOST: usize = 1_000_000;

type Key = (Tenant, Parent);

#[derive(Clone, Debug, Default)]
struct Node {
    own: Option<ScopeId>,
    /// All beneath and the own, up to one more than [`MERGED`].
    beneath: Arc<[ScopeId]>,
}

/// The parents, and for each of their ancestors which parents lie beneath it. One writer.
#[derive(Debug)]
pub(crate) struct Scopes {
    nodes: papaya::HashMap<Key, Node>,
    keys: papaya::HashMap<ScopeId, Arc<Key>>,
}

/// How to list a parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// There is nothing in it.
    Nothing,
    /// Merge these lists.
    Merge(Arc<[ScopeId]>),
    /// Read the list of all and leave out what does not belong.
    Scan,
}

impl Scopes {
    pub(crate) fn new() -> Self {
        Self { nodes: papaya::HashMap::new(), keys: papaya::HashMap::new() }
    }

    pub(crate) fn find(&self, tenant: &Tenant, parent: &Parent) -> Option<ScopeId> {
        self.nodes.pin().get(&(tenant.clone(), parent.clone()))?.own
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Makes a parent known under a number, to itself and all its ancestors.
    pub(crate) fn insert(&self, tenant: &Tenant, parent: &Parent, scope: ScopeId) {
        let nodes = self.nodes.pin();
        let text = parent.as_str();
        let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]);
        for end in ends {
            let Some(ancestor) = text.get(..end).and_then(|name| Parent::new(name).ok()) else {
                continue;
            };
            let key = (tenant.clone(), ancestor);
            let mut node = nodes.get(&key).cloned().unwrap_or_default();
            if end == text.len() {
                node.own = Some(scope);
            }
            if node.beneath.len() <= MERGED && !node.beneath.contains(&scope) {
                node.beneath = node.beneath.iter().copied().chain([scope]).collect();
            }
            nodes.insert(key, node);
        }
        self.keys.pin().insert(scope, Arc::new((tenant.clone(), parent.clone())));
    }

    /// Whether operations of `scope` belong into a listing of `parent` by `tenant`.
    pub(crate) fn belongs(&self, scope: ScopeId, tenant: &Tenant, parent: &Parent) -> bool {
        self.keys
            .pin()
            .get(&scope)
            .is_some_and(|key| key.0 == *tenant && parent.contains(key.1.as_str()))
    }

    pub(crate) fn plan(&self, tenant: &Tenant, parent: &Parent) -> Plan {
        if parent.as_str().is_empty() {
            return Plan::Scan;
        }
        match self.nodes.pin().get(&(tenant.clone(), parent.clone())) {
            None => Plan::Nothing,
            Some(node) if node.beneath.len() > MERGED => Plan::Scan,
            Some(node) => Plan::Merge(Arc::clone(&node.beneath)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(name: &str) -> Parent {
        Parent::new(name).unwrap()
    }

    #[test]
    fn a_parent_is_found_beneath_each_of_its_ancestors() {
        let (scopes, tenant) = (Scopes::new(), Tenant::anonymous());
        scopes.insert(&tenant, &parent("projects/p/locations/l"), 1);
        scopes.insert(&tenant, &parent("projects/p"), 2);
        scopes.insert(&tenant, &parent("projects/pq"), 3);
        let merged = |name: &str| match scopes.plan(&tenant, &parent(name)) {
            Plan::Merge(scopes) => scopes.to_vec(),
            other @ (Plan::Nothing | Plan::Scan) => panic!("{name}: {other:?}"),
        };
        assert_eq!(merged("projects/p"), [1, 2]);
        assert_eq!(merged("projects/p/locations/l"), [1]);
        assert_eq!(merged("projects"), [1, 2, 3]);
        assert_eq!(scopes.plan(&tenant, &parent("projects/q")), Plan::Nothing);
        assert_eq!(scopes.plan(&tenant, &Parent::root()), Plan::Scan);
        assert_eq!(
            scopes.plan(&Tenant::new("other").unwrap(), &parent("projects/p")),
            Plan::Nothing
        );
    }

    #[test]
    fn a_parent_of_very_many_is_scanned() {
        let (scopes, tenant) = (Scopes::new(), Tenant::anonymous());
        for n in 0..=u32::try_from(MERGED).unwrap() {
            scopes.insert(&tenant, &parent(&format!("projects/{n}")), n + 1);
        }
        assert_eq!(scopes.plan(&tenant, &parent("projects")), Plan::Scan);
        assert!(scopes.belongs(3, &tenant, &parent("projects")));
        assert!(!scopes.belongs(3, &tenant, &parent("projects/3")));
    }
}
