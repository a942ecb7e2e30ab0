//! The only writer: takes commands in the order they come, decides them against what is durable
//! and what this batch has decided, commits the batch, and only then shows it and answers.
//!
//! So journal order and visible order are the same, no reader sees what a crash could take back,
//! and no answer leaves before its batch is on disk. Many commands share one sync: while one batch
//! is being written, the next one gathers in the queue.

mod batch;
mod share;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use opgate_core::machine::{self, Decision};
use opgate_core::{
    Command, DedupeKey, Error, ErrorKind, Operation, OperationId, Outcome, Retry, Seq, State,
    Submission, Tenant, Timestamp, Version,
};
use opgate_telemetry::{JournalFault, Metrics, Removal, State as StateLabel};
use tokio::sync::{broadcast, watch};

use self::batch::{Batch, Touched, Way};
use crate::feed::Changed;
use crate::journal::{Journal, JournalError, Summary};
use crate::scopes::{self, ScopeId};
use crate::snapshot::Snapshot;
use crate::view::View;
use crate::wake::Wakers;
use crate::{Clock, Durability, Health, Receipt};

/// Most commands in one batch.
pub(crate) const BATCH: usize = 4096;
/// Most payload bytes in one batch; the command that reaches it is the last.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// What the records of a batch may take beside its payloads, for judging whether there is room.
const ROOM: usize = 64 * 1024;
/// Most operations forgotten in one batch.
const PURGE: usize = 1024;

/// How an answer goes back.
pub(crate) type Reply = Box<dyn FnOnce(Result<Receipt, Error>) + Send>;

/// What the queue carries.
pub(crate) enum Request {
    Submit(Submission, Reply),
    /// Forget what is due, give pages back, refresh the gauges.
    Tidy,
    /// Answer what is queued before this, then end.
    Close,
}

/// Where requests come from.
pub(crate) trait Queue {
    /// The next request; `None` once nobody can send any more.
    fn next(&mut self) -> Option<Request>;
    /// One that is there already.
    fn ready(&mut self) -> Option<Request>;
    /// How many are there already.
    fn waiting(&self) -> usize;
}

/// What the sequencer shares with readers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) view: View,
    pub(crate) wakers: Arc<Wakers>,
    pub(crate) feed: broadcast::Sender<Changed>,
    pub(crate) health: watch::Sender<Health>,
    /// When the sequencer last took up a batch, in milliseconds after `began`.
    pub(crate) last_beat: AtomicU64,
    /// Callbacks that operations owe, as of the last durable batch.
    pub(crate) owed: AtomicU64,
    pub(crate) began: Instant,
}

impl Shared {
    fn beat(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_beat.store(millis, Ordering::Relaxed);
    }
}

/// How much may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Resident operations, the ones that have not ended included.
    pub(crate) resident: usize,
    /// Bytes of resident bodies.
    pub(crate) body_bytes: usize,
    /// Operations that have not ended; more are refused.
    pub(crate) live: usize,
}

pub(crate) struct Sequencer<J> {
    journal: J,
    shared: Arc<Shared>,
    bounds: Bounds,
    clock: Clock,
    durability: Durability,
    metrics: Arc<Metrics>,
    /// Called with the last durable position after each batch.
    note: Box<dyn Fn(Seq) -> std::io::Result<()> + Send>,
    summary: Summary,
    next_scope: ScopeId,
    /// Resident bodies, oldest first; some have been replaced since.
    bodies: VecDeque<(OperationId, Version)>,
    body_bytes: usize,
    /// When each operation that has not ended was accepted.
    unfinished: BTreeMap<Seq, Timestamp>,
    /// What lists hold in memory, oldest first; some of it was forgotten since.
    listed: VecDeque<(Seq, OperationId, ScopeId)>,
    /// Operations that ended when lists had already moved on: resident, but in no list.
    unlisted: VecDeque<OperationId>,
    /// What the last refused batch wanted room for.
    refused_bytes: usize,
    /// How many operations the next slice forgets: fewer after one for which there was no room.
    slice: usize,
    /// Why no batch may follow; reads go on.
    broken: Option<String>,
}

impl<J: Journal> Sequencer<J> {
    #[expect(
        clippy::too_many_arguments,
        reason = "built in one place, from parts that have no other common home"
    )]
    pub(crate) fn new(
        journal: J,
        shared: Arc<Shared>,
        bounds: Bounds,
        clock: Clock,
        durability: Durability,
        metrics: Arc<Metrics>,
        note: Box<dyn Fn(Seq) -> std::io::Result<()> + Send>,
        summary: Summary,
        next_scope: ScopeId,
    ) -> Self {
        Self {
            journal,
            shared,
            bounds,
            clock,
            durability,
            metrics,
            note,
            summary,
            next_scope,
            bodies: VecDeque::new(),
            body_bytes: 0,
            unfinished: BTreeMap::new(),
            listed: VecDeque::new(),
            unlisted: VecDeque::new(),
            refused_bytes: ROOM,
            slice: PURGE,
            broken: None,
        }
    }

    /// Shows an operation that was read back at start.
    pub(crate) fn recover(&mut self, scope: ScopeId, operation: Operation) {
        self.unfinished.insert(operation.seq, operation.times.accepted);
        self.show(scope, &Arc::new(Snapshot::new(operation)));
        self.evict_bodies();
    }

    /// Serves the queue until it is closed.
    pub(crate) fn run(mut self, queue: &mut impl Queue) {
        self.gauge();
        let (mut open, mut due) = (true, false);
        while open {
            // While operations are due to be forgotten, a slice of them follows every batch.
            let mut next = if due { queue.ready() } else { queue.next() };
            if next.is_none() && !due {
                break;
            }
            self.shared.beat();
            let mut batch = self.batch();
            while let Some(request) = next {
                match request {
                    Request::Submit(submission, reply) => {
                        batch.bytes += weight(&submission.command);
                        self.take(&mut batch, submission, reply);
                    }
                    Request::Tidy => due = true,
                    Request::Close => open = false,
                }
                let more = open && batch.replies.len() < BATCH && batch.bytes < BATCH_BYTES;
                next = more.then(|| queue.ready()).flatten();
            }
            self.commit(batch);
            self.metrics.journal.queue.set(queue.waiting() as u64);
            due = due && self.tidy();
        }
        // Whoever is still queued gets an answer rather than silence.
        while let Some(request) = queue.ready() {
            if let Request::Submit(_, reply) = request {
                reply(Err(Error::new(ErrorKind::Unavailable, "opgate is shutting down")));
            }
        }
    }

    fn batch(&self) -> Batch {
        Batch::new(self.clock.now(), self.summary, self.next_scope)
    }

    /// Decides one command into the batch.
    fn take(&mut self, batch: &mut Batch, submission: Submission, reply: Reply) {
        let result = match &self.broken {
            Some(reason) => Err(unavailable(reason)),
            None => self.decide(batch, submission),
        };
        batch.replies.push((reply, result));
    }

    fn decide(&mut self, batch: &mut Batch, submission: Submission) -> Result<Receipt, Error> {
        // A start that is refused must leave nothing: a parent nothing lies in is never forgotten.
        let (scopes, next_scope) = (batch.scopes.len(), batch.next_scope);
        let keys = batch.forgotten_keys.len();
        let decided = self.decided(batch, submission);
        if decided.is_err() {
            batch.scopes.truncate(scopes);
            batch.next_scope = next_scope;
            batch.forgotten_keys.truncate(keys);
        }
        decided
    }

    fn decided(&mut self, batch: &mut Batch, mut submission: Submission) -> Result<Receipt, Error> {
        if let Command::Accept(accept) = &submission.command {
            if let Some(dedupe) = accept.dedupe.as_deref()
                && let Some(holder) = self.holder(batch, dedupe.key)?
            {
                match machine::repeat(&holder, dedupe, batch.now) {
                    Some(Decision::Same | Decision::Change(_)) => {
                        return Ok(self.receipt(holder, true));
                    }
                    Some(Decision::Refused { error, .. }) => return Err(error),
                    None => batch.forgotten_keys.push(holder.seq),
                }
            }
            let live = batch.summary.counts[State::Accepted as usize]
                + batch.summary.counts[State::Running as usize];
            if usize::try_from(live).unwrap_or(usize::MAX) >= self.bounds.live {
                return Err(Error::new(
                    ErrorKind::TooManyRequests,
                    "as many operations as allowed have not ended yet",
                ));
            }
        }
        let id = submission.target;
        let current = self.current(batch, id)?;
        let is_accept = matches!(submission.command, Command::Accept(_));
        let scope = match (&current, &submission.command) {
            (Some((_, scope)), _) => *scope,
            (None, Command::Accept(accept)) => {
                self.scope(batch, &submission.tenant, &accept.parent)?
            }
            (None, _) => scopes::ALL,
        };
        // What is shared changes with it: all that may be refused of that is looked at before anything changes.
        let seat = if let (None, Command::Accept(accept)) = (&current, &mut submission.command) {
            self.seat(batch, &submission.tenant, id, accept)?
        } else {
            None
        };
        let shared = match current.as_ref().and_then(|(snapshot, _)| snapshot.job()) {
            Some(job) => self.current(batch, job)?,
            None => None,
        };
        let before = current.as_ref().map(|(snapshot, _)| snapshot);
        match machine::decide(before.map(|snapshot| &***snapshot), submission) {
            Decision::Same => match current {
                Some((snapshot, _)) => Ok(self.receipt(snapshot, true)),
                None => Err(Error::new(ErrorKind::Internal, "acknowledged without an operation")),
            },
            Decision::Refused { error, record } => {
                if let (Some(event), Some((snapshot, scope))) = (record, current) {
                    self.metrics.bus.terminals_refused.increment(1);
                    batch.apply(Some(&snapshot), scope, vec![event])?;
                }
                Err(error)
            }
            Decision::Change(events) => {
                let current = current.as_ref().map(|(snapshot, _)| &**snapshot);
                if let Some(seat) = seat {
                    seat.taken(batch, scope)?;
                }
                let snapshot = batch.apply(current, scope, events)?;
                if let Some(job) = shared {
                    share::left(batch, job, &snapshot)?;
                }
                if is_accept {
                    batch.count_accepted(&snapshot);
                }
                Ok(self.receipt(snapshot, false))
            }
        }
    }

    fn receipt(&self, snapshot: Arc<Snapshot>, repeated: bool) -> Receipt {
        Receipt { snapshot, durability: self.durability, repeated }
    }

    /// The operation as it is after what this batch has decided so far.
    fn current(
        &mut self,
        batch: &Batch,
        id: OperationId,
    ) -> Result<Option<(Arc<Snapshot>, ScopeId)>, Error> {
        if let Some(touched) = batch.changed.get(&id) {
            return Ok(Some((Arc::clone(&touched.snapshot), touched.scope)));
        }
        let resident = self.shared.view.get(id);
        if let Some((body, scope)) =
            resident.as_ref().and_then(|resident| Some((resident.body.clone()?, resident.scope)))
        {
            return Ok(Some((body, scope)));
        }
        if resident.is_none() && self.shared.view.floor() <= Seq(1) {
            return Ok(None);
        }
        let Some(operation) = self.journal.read(id).map_err(read_error)? else { return Ok(None) };
        let scope = self.shared.view.scopes.find(&operation.tenant, &operation.parent);
        Ok(Some((Arc::new(Snapshot::new(operation)), scope.unwrap_or(scopes::ALL))))
    }

    fn holder(&mut self, batch: &Batch, key: DedupeKey) -> Result<Option<Arc<Snapshot>>, Error> {
        let id = match batch.keys.get(&key) {
            Some(id) => Some(*id),
            None => self.journal.holder(key).map_err(read_error)?,
        };
        let Some(id) = id else { return Ok(None) };
        Ok(self.current(batch, id)?.map(|(snapshot, _)| snapshot))
    }

    fn scope(
        &mut self,
        batch: &mut Batch,
        tenant: &Tenant,
        parent: &opgate_core::Parent,
    ) -> Result<ScopeId, Error> {
        if let Some(scope) = self.shared.view.scopes.find(tenant, parent) {
            return Ok(scope);
        }
        let known = batch.scopes.iter().find(|(_, of, name)| of == tenant && name == parent);
        if let Some((scope, _, _)) = known {
            return Ok(*scope);
        }
        if self.shared.view.scopes.len() + batch.scopes.len() >= scopes::MOST {
            return Err(Error::new(ErrorKind::QuotaExceeded, "too many different parents"));
        }
        let scope = batch.next_scope;
        batch.next_scope += 1;
        batch.scopes.push((scope, tenant.clone(), parent.clone()));
        Ok(scope)
    }

    /// Forgets a slice of what is due, in a batch of its own: on a full disk that is what makes
    /// room, so it must not share the fate of commands that need some. True when more may be due.
    ///
    /// While the journal has no room, this is also the probe that finds out that it has again: as
    /// much as the last batch it refused wanted.
    fn tidy(&mut self) -> bool {
        self.gauge();
        if self.broken.is_some() {
            return false;
        }
        let (mut batch, mut scopes) = (self.batch(), Vec::new());
        match self.journal.expired(batch.now, self.slice) {
            Ok(expired) => {
                for due in expired {
                    if let Some(count) = batch.summary.counts.get_mut(usize::from(due.state)) {
                        *count = count.saturating_sub(1);
                    }
                    batch.purged.push((due.seq, due.id));
                    scopes.push(due.scope);
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot look for expired operations");
                self.metrics.journal.errors.of(fault(&error)).increment(1);
                return false;
            }
        }
        if !batch.purged.is_empty() {
            let forgotten = self.commit(batch);
            self.slice = if forgotten { PURGE } else { (self.slice / 2).max(1) };
            return forgotten && self.forget_emptied(scopes);
        }
        if self.shared.health.borrow().unwritable.is_none() {
            if let Err(error) = self.journal.shrink() {
                self.fail(&error);
            }
        } else {
            batch.room = Some(self.refused_bytes);
            self.commit(batch);
        }
        false
    }

    /// Forgets the scopes in which nothing is left, so that only those in use count.
    fn forget_emptied(&mut self, mut scopes: Vec<ScopeId>) -> bool {
        scopes.sort_unstable();
        scopes.dedup();
        let mut batch = self.batch();
        for scope in scopes {
            match self.journal.is_empty(scope) {
                Ok(true) => batch.emptied.push(scope),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "cannot look for empty parents"),
            }
        }
        batch.emptied.is_empty() || self.commit(batch)
    }

    /// Makes the batch durable, then shows it, then answers. Or refuses all of it, and is false.
    fn commit(&mut self, mut batch: Batch) -> bool {
        if !batch.is_empty() {
            let log = batch.writes();
            let began = Instant::now();
            let appended = self.journal.append(&log, batch.summary);
            self.metrics.journal.fsync_duration.record(began.elapsed());
            #[expect(clippy::cast_precision_loss, reason = "at most a few thousand")]
            self.metrics.journal.batch_records.record(log.len() as f64);
            drop(log);
            match appended {
                Ok(bytes) => {
                    self.metrics.journal.append_bytes.increment(bytes);
                    // The batch is durable; only the mark that would tell of a later loss is behind.
                    if let Err(error) = (self.note)(batch.summary.last) {
                        tracing::warn!(%error, "cannot note the high-water mark");
                    }
                    // Only a batch as large as the one that was refused says that there is room.
                    if batch.room.is_some() || batch.bytes + ROOM >= self.refused_bytes {
                        self.writable();
                    }
                }
                Err(error) => {
                    let reason = self.fail(&error);
                    if !batch.replies.is_empty() {
                        self.refused_bytes = batch.bytes + ROOM;
                    }
                    for (reply, _) in batch.replies {
                        reply(Err(undone(&error, &reason)));
                    }
                    return false;
                }
            }
            self.summary = batch.summary;
            self.shared.owed.fetch_add(batch.owed, Ordering::Relaxed);
            self.shared.owed.fetch_sub(batch.settled, Ordering::Relaxed);
            self.next_scope = batch.next_scope;
        }
        for (scope, tenant, parent) in &batch.scopes {
            self.shared.view.scopes.insert(tenant, parent, *scope);
        }
        for scope in &batch.emptied {
            self.shared.view.forget(*scope);
        }
        for (_, id) in &batch.purged {
            let body = self.shared.view.remove(*id);
            self.release(body);
            self.metrics.bus.removed.of(Removal::Expired).increment(1);
        }
        // Whoever is told of an end finds it counted.
        let translations = &self.metrics.bus.translations;
        for Way { from, to } in batch.accepted {
            translations.to(&to).accepted.of(from).increment(1);
        }
        for (Way { from, to }, outcome, seconds) in batch.finished {
            translations.to(&to).finished.of(from).of(outcome).increment(1);
            self.metrics.bus.operation_duration.of(outcome).record(seconds);
        }
        let shown = batch.order.iter().filter_map(|id| batch.changed.remove(id));
        let mut told: Vec<Changed> = shown.map(|touched| self.publish(touched)).collect();
        // One that changed twice in the batch is told of once, at its last position: whoever goes on
        // from a position must have been told of everything before it.
        told.sort_unstable_by_key(|changed| changed.seq);
        for changed in told {
            // Without a follower nobody is told, which is no failure.
            let _followers = self.shared.feed.send(changed);
            self.shared.wakers.wake(changed.id);
        }
        self.evict();
        self.metrics.bus.removed.of(Removal::Deleted).increment(batch.deleted);
        for (reply, result) in batch.replies {
            reply(result);
        }
        true
    }

    /// Shows one operation, and returns what followers are to be told of it.
    fn publish(&mut self, touched: Touched) -> Changed {
        let Touched { snapshot, scope, inserted, .. } = touched;
        let (id, seq) = (snapshot.id, snapshot.seq);
        let changed = Changed {
            seq: snapshot.changed,
            id,
            version: snapshot.version,
            state: snapshot.state,
            canceling: snapshot.is_canceling(),
            owing: snapshot.owes_callbacks(),
        };
        self.show(scope, &snapshot);
        if snapshot.is_done() && !inserted && seq < self.shared.view.floor() {
            self.unlisted.push_back(id);
        }
        if snapshot.is_done() {
            self.unfinished.remove(&seq);
        } else if inserted {
            self.unfinished.insert(seq, snapshot.times.accepted);
        }
        if inserted {
            self.shared.view.append(scope, seq, id);
            self.listed.push_back((seq, id, scope));
        }
        changed
    }

    fn show(&mut self, scope: ScopeId, snapshot: &Arc<Snapshot>) {
        if tracing::enabled!(tracing::Level::DEBUG) {
            self.log(snapshot);
        }
        let replaced = self.shared.view.publish(scope, snapshot);
        self.release(replaced);
        self.body_bytes += snapshot.cost();
        self.bodies.push_back((snapshot.id, snapshot.version));
    }

    /// Logs a change of state, of whether it is to be canceled, and that it was deleted.
    fn log(&self, now: &Snapshot) {
        let said = |snapshot: &Snapshot| (snapshot.is_canceling(), snapshot.removed.is_some());
        let same = self.shared.view.get(now.id).is_some_and(|before| {
            before.state == now.state && before.body.is_none_or(|body| said(&body) == said(now))
        });
        if !same {
            let (canceling, deleted) = said(now);
            tracing::debug!(
                operation = %now.id,
                state = now.state.name(),
                canceling,
                deleted,
                version = now.version.0,
                route = &*now.routed.route,
                backend = &*now.routed.backend,
                trace_id = now.trace_id(),
                "state changed"
            );
        }
    }

    /// Takes a body that is no longer resident off the account.
    fn release(&mut self, body: Option<Arc<Snapshot>>) {
        let cost = body.map_or(0, |body| body.cost());
        self.body_bytes = self.body_bytes.saturating_sub(cost);
    }

    fn evict(&mut self) {
        self.evict_bodies();
        let mut looked = 0;
        // A bounded number of steps: operations that have not ended stay, and are only passed over.
        // Lists shrink with what was forgotten, too, not only when memory is short.
        while looked < 2 * BATCH {
            let resident = self.shared.view.len();
            let (short, stale) = (resident > self.bounds.resident, 2 * resident + BATCH);
            looked += 1;
            if (short || self.unlisted.len() > stale)
                && let Some(id) = self.unlisted.pop_front()
            {
                let body = self.shared.view.remove(id);
                self.release(body);
                continue;
            }
            if !short && self.listed.len() <= stale {
                break;
            }
            let Some((seq, id, scope)) = self.listed.pop_front() else { break };
            self.shared.view.raise_floor(Seq(seq.0 + 1));
            if self.shared.view.get(id).is_some_and(|resident| resident.state.is_terminal()) {
                let body = self.shared.view.remove(id);
                self.release(body);
            }
            self.shared.view.trim(scope);
            self.shared.view.trim(scopes::ALL);
        }
    }

    fn evict_bodies(&mut self) {
        while self.body_bytes > self.bounds.body_bytes {
            let Some((id, version)) = self.bodies.pop_front() else { break };
            let body = self.shared.view.drop_body(id, version);
            self.release(body);
        }
        // Entries of versions that were replaced hold no memory but their place in the queue.
        let view = &self.shared.view;
        if self.bodies.len() > 2 * view.len() + BATCH {
            self.bodies.retain(|(id, version)| {
                view.get(*id).is_some_and(|resident| resident.version == *version)
            });
        }
    }

    /// Notes a failed batch and returns the reason callers are given.
    fn fail(&mut self, error: &JournalError) -> String {
        let reason = match error {
            JournalError::Full(_) => "the journal has no room",
            JournalError::Busy(_) => "the journal is locked by another program",
            JournalError::Failed(_) | JournalError::Damaged(_) => {
                "the journal cannot be written until opgate is restarted"
            }
        };
        self.metrics.journal.errors.of(fault(error)).increment(1);
        self.metrics.journal.writable.set_condition(false);
        let reason = reason.to_owned();
        if !matches!(error, JournalError::Full(_) | JournalError::Busy(_)) {
            // After a failed sync nobody knows what is on disk: never sync again, let a new process
            // read the truth.
            self.broken = Some(reason.clone());
        }
        let was = self.shared.health.send_replace(Health { unwritable: Some(reason.clone()) });
        if was.unwritable.is_none() {
            tracing::error!(%error, "{reason}: writes are refused, reads go on");
        }
        reason
    }

    fn writable(&self) {
        if self.shared.health.borrow().unwritable.is_some() {
            tracing::info!("the journal can be written again");
            self.metrics.journal.writable.set_condition(true);
            self.shared.health.send_replace(Health { unwritable: None });
        }
    }

    fn gauge(&self) {
        let metrics = &self.metrics;
        let states = [
            StateLabel::Accepted,
            StateLabel::Running,
            StateLabel::Succeeded,
            StateLabel::Failed,
            StateLabel::Canceled,
        ];
        for (label, count) in states.into_iter().zip(self.summary.counts) {
            metrics.bus.operations.of(label).set(count);
        }
        let oldest = self.unfinished.first_key_value().map(|(_, accepted)| accepted.nanos());
        metrics.bus.oldest_unfinished.set_time(oldest);
        let size = self.journal.size();
        metrics.journal.size_bytes.set(size.database);
        metrics.journal.wal_bytes.set(size.wal);
        metrics.journal.free_bytes.set(size.free);
        metrics.callbacks.owed.set(self.shared.owed.load(Ordering::Relaxed));
        metrics.store.resident.set(self.shared.view.len() as u64);
        metrics.store.resident_bytes.set(self.body_bytes as u64);
    }
}

/// Bytes of payload that a command brings.
pub(crate) fn weight(command: &Command) -> usize {
    match command {
        Command::Accept(accept) => accept.input.weight(),
        Command::Finish(finish) => match &finish.outcome {
            Outcome::Succeeded(Some(payload)) => payload.weight(),
            Outcome::Succeeded(None) | Outcome::Failed(_) | Outcome::Canceled(_) => 0,
        },
        Command::Start { .. }
        | Command::Report(_)
        | Command::Cancel { .. }
        | Command::Attempt(_)
        | Command::Redrive
        | Command::Resume { .. }
        | Command::Remove { .. } => 0,
    }
}

const fn fault(error: &JournalError) -> JournalFault {
    match error {
        JournalError::Full(_) => JournalFault::Full,
        JournalError::Busy(_) => JournalFault::Busy,
        JournalError::Failed(_) => JournalFault::Io,
        JournalError::Damaged(_) => JournalFault::Corrupt,
    }
}

/// What the callers of a batch that failed are told. Without room nothing was written. When a sync
/// fails, what was written before it may or may not be there when the journal is read again.
fn undone(error: &JournalError, reason: &str) -> Error {
    match error {
        JournalError::Full(_) | JournalError::Busy(_) => unavailable(reason),
        JournalError::Failed(_) | JournalError::Damaged(_) => {
            let advice =
                format!("{reason}; this may have taken effect: repeat it with the same request id");
            Error::new(ErrorKind::Unavailable, advice).with_retry(Retry::Unknown)
        }
    }
}

fn unavailable(reason: &str) -> Error {
    Error::new(ErrorKind::Unavailable, reason.to_owned())
}

/// A read that a decision needs failed: nothing was done.
fn read_error(error: JournalError) -> Error {
    match error {
        JournalError::Damaged(_) => {
            Error::new(ErrorKind::DataLoss, "the stored operation is damaged").with_source(error)
        }
        JournalError::Full(_) | JournalError::Busy(_) | JournalError::Failed(_) => {
            Error::new(ErrorKind::Unavailable, "the journal cannot be read")
                .with_retry(Retry::SameRequest)
                .with_source(error)
        }
    }
}
