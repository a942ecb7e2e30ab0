//! A batch in the making: what has been decided, and is not yet durable.

use std::collections::HashMap;
use std::sync::Arc;

use opgate_core::machine;
use opgate_core::{
    Change, Dedupe, DedupeKey, Error, ErrorKind, Event, Face, Operation, OperationId, Outcome,
    Parent, Seq, Tenant, Timestamp,
};
use opgate_telemetry::{Outcome as OutcomeLabel, Protocol};

use super::Reply;
use crate::Receipt;
use crate::journal::{Summary, Write};
use crate::scopes::ScopeId;
use crate::snapshot::Snapshot;

/// From which protocol to which backend an operation goes.
pub(super) struct Way {
    pub(super) from: Protocol,
    pub(super) to: Arc<str>,
}

impl Way {
    fn of(operation: &Operation) -> Self {
        Self { from: protocol(operation.origin.face), to: Arc::clone(&operation.routed.backend) }
    }
}

/// What one transaction will hold, and who waits for it.
pub(super) struct Batch {
    pub(super) now: Timestamp,
    pub(super) summary: Summary,
    pub(super) next_scope: ScopeId,
    /// The newest state of every operation this batch changes, in order of first change.
    pub(super) order: Vec<OperationId>,
    pub(super) changed: HashMap<OperationId, Touched>,
    pub(super) scopes: Vec<(ScopeId, Tenant, Parent)>,
    pub(super) keys: HashMap<DedupeKey, OperationId>,
    pub(super) forgotten_keys: Vec<Seq>,
    pub(super) purged: Vec<(Seq, OperationId)>,
    pub(super) emptied: Vec<ScopeId>,
    pub(super) replies: Vec<(Reply, Result<Receipt, Error>)>,
    pub(super) finished: Vec<(Way, OutcomeLabel, f64)>,
    pub(super) accepted: Vec<Way>,
    pub(super) deleted: u64,
    /// Callbacks that became owed.
    pub(super) owed: u64,
    /// Callbacks that are owed no more.
    pub(super) settled: u64,
    /// Bytes of payload that commands in it bring.
    pub(super) bytes: usize,
    /// Room that must be there for the batch to succeed, beyond what it needs itself.
    pub(super) room: Option<usize>,
}

impl Batch {
    pub(super) fn new(now: Timestamp, summary: Summary, next_scope: ScopeId) -> Self {
        Self {
            now,
            summary,
            next_scope,
            order: Vec::new(),
            changed: HashMap::new(),
            scopes: Vec::new(),
            keys: HashMap::new(),
            forgotten_keys: Vec::new(),
            purged: Vec::new(),
            emptied: Vec::new(),
            replies: Vec::new(),
            finished: Vec::new(),
            accepted: Vec::new(),
            deleted: 0,
            owed: 0,
            settled: 0,
            bytes: 0,
            room: None,
        }
    }

    /// Whether there is nothing to make durable.
    pub(super) fn is_empty(&self) -> bool {
        self.room.is_none()
            && self.order.is_empty()
            && self.purged.is_empty()
            && self.emptied.is_empty()
    }

    /// Everything there is to write. What makes room or frees a key comes first.
    pub(super) fn writes(&self) -> Vec<Write<'_>> {
        let purges = self.purged.iter().map(|(seq, _)| Write::Purge { seq: *seq });
        let forgets = self.forgotten_keys.iter().map(|seq| Write::ForgetKey { seq: *seq });
        let names = self.scopes.iter().map(|(scope, tenant, parent)| Write::Scope {
            scope: *scope,
            tenant,
            parent,
        });
        let puts = self.order.iter().filter_map(|id| self.changed.get(id)).map(|touched| {
            let operation = &**touched.snapshot;
            if touched.inserted {
                // Another may have taken its key over within the batch.
                let held = |dedupe: &Dedupe| self.keys.get(&dedupe.key) == Some(&operation.id);
                let keyed = operation.dedupe.as_deref().is_some_and(held);
                Write::Insert { operation, scope: touched.scope, keyed }
            } else {
                Write::Update { operation, with_output: touched.with_output }
            }
        });
        let emptied = self.emptied.iter().map(|scope| Write::ForgetScope { scope: *scope });
        let room = self.room.map(|bytes| Write::Room { bytes });
        purges.chain(forgets).chain(emptied).chain(names).chain(puts).chain(room).collect()
    }

    /// Counts a start that was accepted.
    pub(super) fn count_accepted(&mut self, operation: &Operation) {
        self.accepted.push(Way::of(operation));
    }

    /// Applies events as the next change.
    pub(super) fn apply(
        &mut self,
        current: Option<&Snapshot>,
        scope: ScopeId,
        events: Vec<Event>,
    ) -> Result<Arc<Snapshot>, Error> {
        let seq = Seq(self.summary.last.0 + 1);
        self.deleted += u64::from(matches!(events[..], [Event::Removed { .. }]));
        let change = Change { seq, at: self.now, events };
        let before = current.map(|snapshot| &**snapshot);
        let state = before.map(|operation| operation.state);
        let had_output = before.is_some_and(Operation::is_done);
        let operation = machine::apply(before.cloned(), &change)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a change of nothing"))?;
        self.owed += operation.owed().count() as u64;
        self.settled += before.map_or(0, |before| before.owed().count()) as u64;
        self.summary.last = seq;
        if let Some(state) = state {
            let count = &mut self.summary.counts[state as usize];
            *count = count.saturating_sub(1);
        }
        self.summary.counts[operation.state as usize] += 1;
        // Those who share a job are counted, as they were when they were accepted.
        if let (Some(outcome), false) = (&operation.outcome, had_output || operation.is_job()) {
            let ran = operation.times.updated.since(operation.times.accepted);
            self.finished.push((Way::of(&operation), outcome_label(outcome), ran.as_secs_f64()));
        }
        let id = operation.id;
        if let (None, Some(dedupe)) = (state, &operation.dedupe) {
            self.keys.insert(dedupe.key, id);
        }
        let ended_now = operation.is_done() && !had_output;
        let snapshot = Arc::new(Snapshot::new(operation));
        let entry = self.changed.entry(id).or_insert_with(|| {
            self.order.push(id);
            Touched {
                snapshot: Arc::clone(&snapshot),
                scope,
                inserted: state.is_none(),
                with_output: false,
            }
        });
        entry.snapshot = Arc::clone(&snapshot);
        entry.with_output |= ended_now;
        Ok(snapshot)
    }
}

/// One operation the batch changes.
pub(super) struct Touched {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) scope: ScopeId,
    pub(super) inserted: bool,
    pub(super) with_output: bool,
}

const fn outcome_label(outcome: &Outcome) -> OutcomeLabel {
    match outcome {
        Outcome::Succeeded(_) => OutcomeLabel::Succeeded,
        Outcome::Failed(_) => OutcomeLabel::Failed,
        Outcome::Canceled(_) => OutcomeLabel::Canceled,
    }
}

const fn protocol(face: Face) -> Protocol {
    match face {
        Face::Native => Protocol::Native,
        Face::Grpc => Protocol::Grpc,
        Face::Rest | Face::Oci => Protocol::Http,
        Face::Nexus => Protocol::Nexus,
        Face::Amqp => Protocol::Amqp,
    }
}
