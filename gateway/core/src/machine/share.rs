//! Interests in a job: who may join it, and what follows when one leaves.

use super::Decision;
use crate::command::Event;
use crate::error::{Error, ErrorKind};
use crate::id::OperationId;
use crate::limits;
use crate::operation::Operation;

/// Decides whether one more operation shares a job. `None` where it has ended or its cancellation is asked for: the
/// start is then another job's.
pub fn join(job: &Operation, interest: OperationId) -> Option<Decision> {
    if job.is_done() || job.cancel.is_some() {
        return None;
    }
    if job.interests().len() >= limits::INTERESTS {
        let text = "as many operations as allowed share this work";
        return Some(Error::new(ErrorKind::TooManyRequests, text).into());
    }
    Some(Decision::Change(vec![Event::Joined { interest }]))
}

/// What follows for a job when an operation that shares it has ended, or nobody can see it any more; nothing where it
/// had left before. The last one who leaves has the job canceled, unless it has ended.
pub fn leave(job: &Operation, gone: &Operation) -> Vec<Event> {
    if !job.interests().contains(&gone.id) {
        return Vec::new();
    }
    let mut events = vec![Event::Left { interest: gone.id }];
    if job.interests().len() == 1 && !job.is_done() && job.cancel.is_none() {
        let cancel = gone.cancel.as_deref();
        let by = cancel.map_or("opgate", |cancel| &cancel.by);
        let reason = match cancel.map_or("", |cancel| &cancel.reason) {
            "" => "nobody waits for it any more",
            reason => reason,
        };
        events.extend(super::canceled(job, by, reason));
    }
    events
}

pub(super) fn joined(job: &mut Operation, interest: OperationId) {
    if let Some(interests) = job.interests_mut() {
        interests.push(interest);
    }
}

pub(super) fn left(job: &mut Operation, interest: OperationId) {
    if let Some(interests) = job.interests_mut() {
        interests.retain(|known| *known != interest);
    }
}
