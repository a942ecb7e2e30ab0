//! The lock-free view: what readers see. Written by the sequencer alone, after the journal.
//!
//! Resident are all operations that have not ended and, up to a number, the newest that have. A
//! resident operation's body (its snapshot) is resident too, up to a sum of bytes; without it the
//! entry still answers whether and where the operation is. Everything else is on disk.
//!
//! Lists cover every operation at or above the *floor*; older ones are listed from disk. The floor
//! is raised before anything below it is taken away, so a reader that misses an entry looks at the
//! floor once more and knows whether it was deleted or only moved to disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opgate_core::{OperationId, Seq, State, Version};

use crate::scopes::{ALL, ScopeId, Scopes};
use crate::snapshot::Snapshot;
use crate::timeline::{Descending, Timeline};

/// What the view holds of one operation.
#[derive(Clone, Debug)]
pub(crate) struct Resident {
    pub(crate) seq: Seq,
    pub(crate) version: Version,
    pub(crate) scope: ScopeId,
    pub(crate) state: State,
    pub(crate) body: Option<Arc<Snapshot>>,
}

/// What can be said of an operation without reading the disk.
#[derive(Debug)]
pub enum Peek {
    /// Here it is.
    Resident(Arc<Snapshot>),
    /// It may be on disk.
    OnDisk,
    /// There is none.
    Absent,
}

#[derive(Debug)]
pub(crate) struct View {
    operations: papaya::HashMap<OperationId, Resident>,
    timelines: papaya::HashMap<ScopeId, Timeline>,
    floor: AtomicU64,
    pub(crate) scopes: Scopes,
}

impl View {
    /// An empty view in which everything below `floor` is on disk.
    pub(crate) fn new(floor: Seq) -> Self {
        Self {
            operations: papaya::HashMap::new(),
            timelines: papaya::HashMap::new(),
            floor: AtomicU64::new(floor.0),
            scopes: Scopes::new(),
        }
    }

    /// Everything at or above this is in the lists.
    pub(crate) fn floor(&self) -> Seq {
        Seq(self.floor.load(Ordering::Acquire))
    }

    pub(crate) fn peek(&self, id: OperationId) -> Peek {
        match self.operations.pin().get(&id) {
            Some(Resident { body: Some(body), .. }) => Peek::Resident(Arc::clone(body)),
            // The first position is 1: nothing can lie below it.
            None if self.floor() <= Seq(1) => Peek::Absent,
            Some(Resident { body: None, .. }) | None => Peek::OnDisk,
        }
    }

    pub(crate) fn get(&self, id: OperationId) -> Option<Resident> {
        self.operations.pin().get(&id).cloned()
    }

    /// The operations that have not ended, oldest first.
    pub(crate) fn live(&self) -> Vec<OperationId> {
        let mut live: Vec<(Seq, OperationId)> = self
            .operations
            .pin()
            .iter()
            .filter(|(_, resident)| !resident.state.is_terminal())
            .map(|(id, resident)| (resident.seq, *id))
            .collect();
        live.sort_unstable();
        live.into_iter().map(|(_, id)| id).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.operations.len()
    }

    /// Shows a new version; hands the body of the one before back.
    pub(crate) fn publish(&self, scope: ScopeId, body: &Arc<Snapshot>) -> Option<Arc<Snapshot>> {
        let resident = Resident {
            seq: body.seq,
            version: body.version,
            scope,
            state: body.state,
            body: Some(Arc::clone(body)),
        };
        self.operations.pin().insert(body.id, resident)?.body.clone()
    }

    /// Lists a new operation in its parent's list and in the list of all.
    pub(crate) fn append(&self, scope: ScopeId, seq: Seq, id: OperationId) {
        let timelines = self.timelines.pin();
        for list in [scope, ALL] {
            let timeline = timelines.get(&list).cloned().unwrap_or_default();
            if let Some(longer) = timeline.push(seq, id) {
                timelines.insert(list, longer);
            }
        }
    }

    /// Keeps the entry but not the body, which is handed back; nothing happens when the body has
    /// gone or was replaced by another.
    pub(crate) fn drop_body(&self, id: OperationId, version: Version) -> Option<Arc<Snapshot>> {
        let operations = self.operations.pin();
        let resident = operations.get(&id).filter(|resident| resident.version == version)?;
        let body = resident.body.clone()?;
        operations.insert(id, Resident { body: None, ..resident.clone() });
        Some(body)
    }

    /// Takes an operation out of the view; hands its body back.
    pub(crate) fn remove(&self, id: OperationId) -> Option<Arc<Snapshot>> {
        self.operations.pin().remove(&id)?.body.clone()
    }

    /// Forgets a parent in which nothing is left.
    pub(crate) fn forget(&self, scope: ScopeId) {
        self.timelines.pin().remove(&scope);
        self.scopes.remove(scope);
    }

    /// Raises the floor. What lies below it may be taken away afterwards.
    pub(crate) fn raise_floor(&self, floor: Seq) {
        self.floor.store(floor.0, Ordering::Release);
    }

    /// Drops the parts of lists that lie below the floor.
    pub(crate) fn trim(&self, scope: ScopeId) {
        let timelines = self.timelines.pin();
        let Some(trimmed) = timelines.get(&scope).and_then(|line| line.trimmed(self.floor()))
        else {
            return;
        };
        if trimmed.is_empty() {
            timelines.remove(&scope);
        } else {
            timelines.insert(scope, trimmed);
        }
    }

    /// The listed operations of a scope below `before`, newest first. May run below the floor.
    pub(crate) fn below(&self, scope: ScopeId, before: Seq) -> Descending {
        self.timelines.pin().get(&scope).cloned().unwrap_or_default().below(before)
    }
}
