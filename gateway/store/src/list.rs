//! Listing: newest first, by journal position, a page at a time.
//!
//! The part of a list at or above the floor is walked in memory, the part below it on disk; both
//! are in the same order, so the one is continued by the other. A page looks at a bounded number
//! of operations, reads a bounded number of bytes and holds a bounded number of them, whatever is
//! stored and however little the filter lets through.
//!
//! A filter that lets nothing through that has ended is not held against what has: the operations
//! that have not ended are found by an index of their own.
//!
//! On disk the filter decides on the record first: payloads stored beside it are read for what
//! passes, and where the filter cannot tell without them.

use std::sync::Arc;

use opgate_core::filter::Predicate;
use opgate_core::{Error, Operation, OperationId, Parent, Seq, Tenant, Timestamp};

use crate::scopes::{ALL, Plan, ScopeId};
use crate::snapshot::Snapshot;
use crate::sqlite::{Looked, Reader};
use crate::timeline::Descending;
use crate::view::Peek;
use crate::{Store, journal::JournalError};

/// How many entries are looked at between two looks at the disk.
const WINDOW: usize = 128;
/// Bytes of operations after which a page, or one look at the disk, is long enough.
const BYTES: usize = 4 * 1024 * 1024;

/// Bytes a page reads from disk or has the filter look into, at most; the page may then be short.
const READ: usize = 64 * 1024 * 1024;

/// Which operations to list.
#[derive(Clone, Debug)]
pub struct Page {
    /// Of this tenant.
    pub tenant: Tenant,
    /// Of this parent and those beneath it.
    pub scope: Parent,
    /// Older than this; `None` begins at the newest.
    pub before: Option<Seq>,
    /// At most this many, at least 1.
    pub limit: usize,
    /// Look at no more than this many; the page may then be short.
    pub scan: usize,
    /// What has expired by this instant is left out.
    pub now: Timestamp,
}

/// A page.
#[derive(Debug)]
pub struct Listed {
    /// The operations, newest first.
    pub items: Vec<Arc<Snapshot>>,
    /// Where the next page begins; `None` when there is none.
    pub next: Option<Seq>,
}

/// Which operations a listing lets through.
pub type Filter = Arc<dyn Predicate>;

impl Store {
    /// Lists a page. Deleted and expired operations are left out.
    pub async fn page(&self, page: Page, filter: Option<Filter>) -> Result<Listed, Error> {
        let mut walk = Walk {
            store: self,
            plan: self.shared().view.scopes.plan(&page.tenant, &page.scope),
            cursor: page.before.unwrap_or(Seq(u64::MAX)),
            items: Vec::with_capacity(page.limit.min(WINDOW) + 1),
            looked: 0,
            bytes: 0,
            read: 0,
            wanted: Arc::new(Wanted {
                tenant: page.tenant.clone(),
                scope: page.scope.clone(),
                now: page.now,
                filter,
            }),
            page,
        };
        if walk.wanted.only_live() {
            walk.live().await?;
            return Ok(walk.finish());
        }
        let floor = walk.in_memory().await?;
        if !walk.is_full() && floor > Seq(1) {
            walk.cursor = walk.cursor.min(floor);
            walk.on_disk().await?;
        }
        Ok(walk.finish())
    }

    /// Operations whose last change came after `after`, in the order of those changes: at most
    /// `limit`, and no more once they weigh `bytes` in memory, but one at least. Deleted ones are
    /// included, so that a follower learns of the deletion.
    pub async fn changed_since(
        &self,
        after: Seq,
        limit: usize,
        bytes: usize,
    ) -> Result<Changes, Error> {
        self.readers().read(move |reader| reader.changed_since(after, limit, bytes)).await
    }
}

/// What changed after a position.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The operations, in the order of their last changes.
    pub items: Vec<Arc<Snapshot>>,
    /// Whether there may be more after them.
    pub more: bool,
}

struct Walk<'a> {
    store: &'a Store,
    plan: Plan,
    page: Page,
    wanted: Arc<Wanted>,
    cursor: Seq,
    /// One more than the limit means that there is a next page.
    items: Vec<Arc<Snapshot>>,
    looked: usize,
    /// What the items weigh.
    bytes: usize,
    /// What was read or looked into for them and for what did not pass.
    read: usize,
}

/// What belongs on the page: of the tenant and the scope, visible, and let through.
struct Wanted {
    tenant: Tenant,
    scope: Parent,
    now: Timestamp,
    filter: Option<Filter>,
}

impl Wanted {
    fn belongs(&self, operation: &Operation) -> bool {
        operation.tenant == self.tenant
            && self.scope.contains(operation.parent.as_str())
            && operation.is_visible(self.now)
    }
}

impl Predicate for Wanted {
    fn early(&self, without_payloads: &Operation) -> Option<bool> {
        if !self.belongs(without_payloads) {
            return Some(false);
        }
        self.filter.as_ref().map_or(Some(true), |filter| filter.early(without_payloads))
    }

    fn passes(&self, operation: &Operation) -> bool {
        self.belongs(operation)
            && self.filter.as_ref().is_none_or(|filter| filter.passes(operation))
    }

    fn only_live(&self) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.only_live())
    }
}

/// What a look at an operation gave.
#[derive(Debug, Default)]
struct Look {
    /// The operation, if it is wanted.
    snapshot: Option<Arc<Snapshot>>,
    /// Bytes read or looked into.
    read: usize,
}

impl Look {
    /// A look at an operation in memory.
    fn at(snapshot: Arc<Snapshot>, wanted: &Wanted) -> Self {
        let (passes, read) = match wanted.early(&snapshot) {
            Some(passes) => (passes, 0),
            None => (wanted.passes(&snapshot), snapshot.cost()),
        };
        Self { snapshot: passes.then_some(snapshot), read }
    }
}

impl From<Looked> for Look {
    fn from(looked: Looked) -> Self {
        let snapshot = looked.operation.map(|operation| Arc::new(Snapshot::new(operation)));
        Self { snapshot, read: looked.read }
    }
}

impl Walk<'_> {
    fn is_full(&self) -> bool {
        self.items.len() > self.page.limit
            || self.looked >= self.page.scan
            || self.bytes >= BYTES
            || self.read >= READ
    }

    /// How many to look at next: what the page lacks, and more once little has passed.
    fn window(&self) -> usize {
        let lacking = (self.page.limit + 1).saturating_sub(self.items.len());
        lacking.max(self.looked).min(self.page.scan - self.looked).min(WINDOW)
    }

    /// Walks what memory lists; returns the floor the walk went down to.
    async fn in_memory(&mut self) -> Result<Seq, Error> {
        let view = &self.store.shared().view;
        let mut entries = Merged(match &self.plan {
            Plan::Nothing => Vec::new(),
            Plan::Merge(scopes) => {
                scopes.iter().map(|scope| view.below(*scope, self.cursor).peekable()).collect()
            }
            Plan::Scan => vec![view.below(ALL, self.cursor).peekable()],
        });
        // After the lists were taken: what has left them by then lies below this floor.
        let floor = view.floor();
        let mut window = Vec::new();
        while !self.is_full() {
            let more = self.window().saturating_sub(window.len());
            window.extend(entries.by_ref().take_while(|(seq, _)| *seq >= floor).take(more));
            if window.is_empty() {
                break;
            }
            let found = self.resolve(&window).await?;
            let seen = found.len();
            for ((seq, _), look) in window.drain(..seen).zip(found) {
                self.add(seq, look);
                if self.is_full() {
                    return Ok(floor);
                }
            }
            // A filter may look at many before it lets enough through; others have their turn.
            tokio::task::yield_now().await;
        }
        Ok(floor)
    }

    /// Walks what has not ended. Where it is said by the disk, how it is by memory: nothing is shown
    /// before everybody sees it.
    async fn live(&mut self) -> Result<(), Error> {
        if self.plan == Plan::Nothing {
            return Ok(());
        }
        self.plan = Plan::Scan;
        while !self.is_full() {
            let (cursor, window) = (self.cursor, self.window());
            let read = move |reader: &Reader| reader.live_below(cursor, window);
            let entries = self.store.readers().read(read).await?;
            let mut left = entries.as_slice();
            while !left.is_empty() {
                let found = self.resolve(left).await?;
                let (seen, rest) = left.split_at(found.len());
                for ((seq, _), look) in seen.iter().zip(found) {
                    self.add(*seq, look);
                    if self.is_full() {
                        return Ok(());
                    }
                }
                left = rest;
            }
            if entries.len() < window {
                break;
            }
        }
        Ok(())
    }

    /// A look at each of a window's entries.
    async fn resolve(&self, window: &[(Seq, OperationId)]) -> Result<Vec<Look>, Error> {
        let view = &self.store.shared().view;
        let mut found = Vec::with_capacity(window.len());
        let mut missing = Vec::new();
        for (index, (seq, id)) in window.iter().enumerate() {
            let resident = view.get(*id);
            let belongs = match (&self.plan, &resident) {
                (Plan::Scan, Some(resident)) => {
                    view.scopes.belongs(resident.scope, &self.page.tenant, &self.page.scope)
                }
                (Plan::Scan | Plan::Nothing | Plan::Merge(_), _) => true,
            };
            // Not in the view and not below the floor: deleted. Below it: moved to disk meanwhile.
            let on_disk = match &resident {
                Some(resident) => resident.body.is_none(),
                None => *seq < view.floor(),
            };
            if belongs && on_disk {
                missing.push((index, *id));
            }
            let body = resident.and_then(|resident| resident.body).filter(|_| belongs);
            found.push(body.map(|body| Look::at(body, &self.wanted)).unwrap_or_default());
        }
        if !missing.is_empty() {
            let ids = missing.iter().map(|(_, id)| *id).collect();
            let wanted = Arc::clone(&self.wanted);
            let read = move |reader: &Reader| read_all(reader, ids, &wanted);
            let read = self.store.readers().read(read).await?;
            // What was not read any more belongs to the next window.
            if let Some((index, _)) = missing.get(read.len()) {
                found.truncate(*index);
            }
            for ((index, _), look) in missing.into_iter().zip(read) {
                found[index] = look;
            }
        }
        Ok(found)
    }

    async fn on_disk(&mut self) -> Result<(), Error> {
        let scopes: Vec<Option<ScopeId>> = match &self.plan {
            Plan::Nothing => return Ok(()),
            Plan::Merge(scopes) => scopes.iter().copied().map(Some).collect(),
            Plan::Scan => vec![None],
        };
        while !self.is_full() {
            let (scopes, wanted) = (scopes.clone(), Arc::clone(&self.wanted));
            let (cursor, window) = (self.cursor, self.window());
            let read = move |reader: &Reader| below(reader, &scopes, cursor, window, &wanted);
            let (rows, last) = self.store.readers().read(read).await?;
            for (seq, look) in rows {
                self.add(seq, look);
                if self.is_full() {
                    return Ok(());
                }
            }
            if last {
                return Ok(());
            }
        }
        Ok(())
    }

    fn add(&mut self, seq: Seq, look: Look) {
        self.cursor = seq;
        self.looked += 1;
        self.read += look.read;
        if let Some(snapshot) = look.snapshot {
            self.bytes += snapshot.cost();
            self.items.push(snapshot);
        }
    }

    fn finish(mut self) -> Listed {
        let next = if self.items.len() > self.page.limit {
            self.items.truncate(self.page.limit);
            self.items.last().map(|last| last.seq)
        } else if self.is_full() {
            Some(self.cursor)
        } else {
            None
        };
        Listed { items: self.items, next }
    }
}

/// Reads until there are enough bytes; at least one.
fn read_all(
    reader: &Reader,
    ids: Vec<OperationId>,
    wanted: &Wanted,
) -> Result<Vec<Look>, JournalError> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for id in ids {
        let look = Look::from(reader.read_if(id, wanted)?);
        bytes += look.read;
        found.push(look);
        if bytes >= BYTES {
            break;
        }
    }
    Ok(found)
}

/// A look at the newest operations of several scopes, until there are enough of them or enough
/// bytes; and whether they are the last.
fn below(
    reader: &Reader,
    scopes: &[Option<ScopeId>],
    before: Seq,
    limit: usize,
    wanted: &Wanted,
) -> Result<(Vec<(Seq, Look)>, bool), JournalError> {
    let mut positions = Vec::new();
    for scope in scopes {
        positions.extend(reader.below(*scope, before, limit)?);
    }
    positions.sort_unstable_by(|a, b| b.cmp(a));
    positions.truncate(limit);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for seq in &positions {
        // One that is gone since was forgotten, and is passed over.
        let look = Look::from(reader.at_if(*seq, wanted)?);
        bytes += look.read;
        rows.push((*seq, look));
        if bytes >= BYTES {
            break;
        }
    }
    let last = positions.len() < limit && rows.len() == positions.len();
    Ok((rows, last))
}

/// Several lists as one, newest first.
struct Merged(Vec<std::iter::Peekable<Descending>>);

impl Iterator for Merged {
    type Item = (Seq, OperationId);

    fn next(&mut self) -> Option<Self::Item> {
        let newest = self
            .0
            .iter_mut()
            .enumerate()
            .filter_map(|(at, list)| Some((list.peek()?.0, at)))
            .max()?;
        self.0.get_mut(newest.1)?.next()
    }
}

/// Used by the crate's own read of one operation.
pub(crate) async fn get(store: &Store, id: OperationId) -> Result<Option<Arc<Snapshot>>, Error> {
    match store.peek(id) {
        Peek::Resident(snapshot) => Ok(Some(snapshot)),
        Peek::Absent => Ok(None),
        Peek::OnDisk => {
            let found = store.readers().read(move |reader| reader.read(id)).await?;
            Ok(found.map(|operation| Arc::new(Snapshot::new(operation))))
        }
    }
}
