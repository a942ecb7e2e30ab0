//! What a change of an operation that shares a job means for that job: it is decided, written and shown with it.

use std::sync::Arc;

use opgate_core::machine::{self, Decision};
use opgate_core::{Accept, Error, Event, OperationId, Share, Tenant};

use super::Sequencer;
use super::batch::Batch;
use crate::journal::Journal;
use crate::scopes::ScopeId;
use crate::snapshot::Snapshot;

/// What becomes of the job that a new operation shares.
pub(super) enum Seat {
    /// There is one, and this happens to it.
    Known(Arc<Snapshot>, ScopeId, Vec<Event>),
    /// It is begun with it, by this.
    New(Event),
}

impl Seat {
    /// Makes it so, with the operation that lies in this scope.
    pub(super) fn taken(self, batch: &mut Batch, scope: ScopeId) -> Result<(), Error> {
        match self {
            Self::Known(job, scope, events) => batch.apply(Some(&job), scope, events),
            Self::New(accepted) => batch.apply(None, scope, vec![accepted]),
        }
        .map(drop)
    }
}

impl<J: Journal> Sequencer<J> {
    /// Finds the job that a new operation shares, or makes one; none where it is carried out for itself.
    pub(super) fn seat(
        &mut self,
        batch: &mut Batch,
        tenant: &Tenant,
        id: OperationId,
        accept: &mut Accept,
    ) -> Result<Option<Seat>, Error> {
        let (Some(key), Some(share)) = (accept.share_key.take(), accept.share.take()) else {
            return Ok(None);
        };
        let Share::Interest(fresh) = *share else { return Ok(None) };
        let holder = self.holder(batch, key.key)?.map(|job| job.id);
        let holder = holder.map(|job| self.current(batch, job)).transpose()?.flatten();
        if let Some((job, scope)) = holder {
            match machine::join(&job, id) {
                Some(Decision::Change(events)) => {
                    accept.share = Some(Box::new(Share::Interest(job.id)));
                    // What it works on is what the job does, whatever the input of this one says.
                    accept.resources.clone_from(&job.resources);
                    return Ok(Some(Seat::Known(job, scope, events)));
                }
                Some(Decision::Refused { error, .. }) => return Err(error),
                Some(Decision::Same) | None => batch.forgotten_keys.push(job.seq),
            }
        }
        accept.share = Some(Box::new(Share::Interest(fresh)));
        let job = Accept {
            share: Some(Box::new(Share::Job(vec![id]))),
            dedupe: Some(key),
            deadline: None,
            callbacks: Vec::new(),
            ..accept.clone()
        };
        let (tenant, accept) = (tenant.clone(), Box::new(job));
        Ok(Some(Seat::New(Event::Accepted { id: fresh, tenant, accept })))
    }
}

/// Has an operation leave its job where nobody waits for it any more.
pub(super) fn left(
    batch: &mut Batch,
    (job, scope): (Arc<Snapshot>, ScopeId),
    now: &Snapshot,
) -> Result<(), Error> {
    if now.is_done() || now.removed.is_some() {
        let events = machine::leave(&job, now);
        if !events.is_empty() {
            batch.apply(Some(&job), scope, events)?;
        }
    }
    Ok(())
}
