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
    /// How many lie beneath, the own included.
    count: usize,
    /// Which; `None` once there were more than [`MERGED`], until there are none.
    beneath: Option<Arc<[ScopeId]>>,
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
        for key in ancestors(tenant, parent) {
            let mut node = nodes.get(&key).cloned().unwrap_or_default();
            if key.1 == *parent {
                node.own = Some(scope);
            }
            let known = if node.count == 0 { Some(Arc::default()) } else { node.beneath };
            node.count += 1;
            node.beneath = known
                .filter(|_| node.count <= MERGED)
                .map(|known| known.iter().copied().chain([scope]).collect());
            nodes.insert(key, node);
        }
        self.keys.pin().insert(scope, Arc::new((tenant.clone(), parent.clone())));
    }

    /// Forgets a parent.
    pub(crate) fn remove(&self, scope: ScopeId) {
        let keys = self.keys.pin();
        let Some(key) = keys.remove(&scope) else { return };
        let nodes = self.nodes.pin();
        for ancestor in ancestors(&key.0, &key.1) {
            let Some(mut node) = nodes.get(&ancestor).cloned() else { continue };
            node.count -= 1;
            if node.count == 0 {
                nodes.remove(&ancestor);
                continue;
            }
            node.own = node.own.filter(|own| *own != scope);
            node.beneath =
                node.beneath.map(|known| known.iter().copied().filter(|of| *of != scope).collect());
            nodes.insert(ancestor, node);
        }
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
            Some(Node { beneath: Some(beneath), .. }) => Plan::Merge(Arc::clone(beneath)),
            Some(Node { beneath: None, .. }) => Plan::Scan,
        }
    }
}

/// A parent and all above it but the root, which is not listed by name.
fn ancestors(tenant: &Tenant, parent: &Parent) -> impl Iterator<Item = Key> {
    let text = parent.as_str();
    let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]);
    ends.filter_map(move |end| Some((tenant.clone(), Parent::new(text.get(..end)?).ok()?)))
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
    fn a_forgotten_parent_leaves_nothing_behind() {
        let (scopes, tenant) = (Scopes::new(), Tenant::anonymous());
        scopes.insert(&tenant, &parent("a/b"), 1);
        scopes.insert(&tenant, &parent("a/c"), 2);
        scopes.remove(1);
        assert_eq!(scopes.plan(&tenant, &parent("a/b")), Plan::Nothing);
        assert_eq!(scopes.plan(&tenant, &parent("a")), Plan::Merge([2].into()));
        scopes.remove(2);
        assert_eq!((scopes.len(), scopes.nodes.len()), (0, 0));
    }

    #[test]
    fn a_parent_of_very_many_is_scanned() {
        let (scopes, tenant) = (Scopes::new(), Tenant::anonymous());
        for n in 0..=u32::try_from(MERGED).unwrap() {
            scopes.insert(&tenant, &parent(&format!("projects/{n}")), n + 1);
        }
        assert_eq!(scopes.plan(&tenant, &parent("projects")), Plan::Scan);
        // Which ones are left is no longer known: it stays a scan until none is.
        scopes.remove(1);
        assert_eq!(scopes.plan(&tenant, &parent("projects")), Plan::Scan);
        assert!(scopes.belongs(3, &tenant, &parent("projects")));
        assert!(!scopes.belongs(3, &tenant, &parent("projects/3")));
    }
}
