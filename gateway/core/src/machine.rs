//! The state machine: pure, total, and the only place that knows which change may follow which.
//!
//! | state | Start | Report, Resume | Cancel | Finish | Attempt, Redrive | Remove |
//! |---|---|---|---|---|---|---|
//! | (none) | not found | not found | not found | not found | not found | not found |
//! | Accepted | Running | refused | Canceled | ends | refused | hidden |
//! | Running | next lease | recorded | recorded once | ends | refused | hidden |
//! | terminal | refused | refused | acknowledged | same: acknowledged, other: refused | recorded | hidden |
//!
//! An operation that no backend has seen is canceled at once; one that a backend has is canceled
//! only when that backend says so. One that shares a job with others is canceled at once, too, and the job when the
//! last of them has left it.

use std::sync::Arc;
use std::time::Duration;

mod check;
mod delivery;
mod share;

pub use share::{join, leave};

use crate::command::{Accept, Change, Command, Event, Finish, Report, Submission};
use crate::dedupe::Dedupe;
use crate::error::{Error, ErrorKind, Retry};
use crate::limits;
use crate::operation::{
    Cancel, CancelDelivery, Conflict, Epoch, FAILED, LogEntry, ORPHANED, Operation, Outcome,
    Removed, Resource, Seq, State, Times, Version,
};
use crate::share::Share;
use crate::time::Timestamp;

/// How long a job is kept after its end, for what its upstream still says of it.
const JOB_KEPT: Duration = Duration::from_hours(1);

/// What became of a command.
#[derive(Debug)]
pub enum Decision {
    /// It takes effect by these events, at least one.
    Change(Vec<Event>),
    /// It had taken effect before: acknowledged, and nothing changes.
    Same,
    /// It is refused. `record` is a fact worth keeping all the same.
    Refused {
        /// For the caller.
        error: Error,
        /// For the journal.
        record: Option<Event>,
    },
}

impl From<Error> for Decision {
    fn from(error: Error) -> Self {
        Self::Refused { error, record: None }
    }
}

/// Decides a command against the operation as it is.
pub fn decide(current: Option<&Operation>, submission: Submission) -> Decision {
    let Submission { tenant, target, expect, command } = submission;
    let Some(operation) = current else {
        return match command {
            Command::Accept(_) if expect.is_some() => {
                Error::new(ErrorKind::Conflict, "this is not a repeat of an earlier start").into()
            }
            Command::Accept(accept) => match check::accept(&accept) {
                Ok(()) => accepted(target, tenant, accept),
                Err(error) => error.into(),
            },
            Command::Start { .. }
            | Command::Report(_)
            | Command::Cancel { .. }
            | Command::Finish(_)
            | Command::Attempt(_)
            | Command::Redrive
            | Command::Resume { .. }
            | Command::Remove { .. } => Error::not_found().into(),
        };
    };
    if operation.tenant != tenant {
        return Error::not_found().into();
    }
    if expect.is_some_and(|version| version != operation.version) {
        let mut error = Error::new(ErrorKind::Conflict, "the operation has another version");
        error.current = Some(operation.version);
        return error.into();
    }
    match command {
        Command::Accept(_) => {
            Error::new(ErrorKind::Conflict, "an operation with this id exists").into()
        }
        Command::Start { epoch, backend } => start(operation, epoch, backend),
        Command::Report(report) => match reported(operation, &report) {
            Ok(()) => Decision::Change(vec![Event::Reported(report)]),
            Err(error) => error.into(),
        },
        Command::Cancel { by, reason } => cancel(operation, &by, &reason),
        Command::Finish(finish) => self::finish(operation, *finish),
        Command::Attempt(attempt) => delivery::attempt(operation, attempt),
        Command::Redrive => delivery::redrive(operation),
        Command::Resume { by } => resume(operation, &by),
        Command::Remove { keep } => match operation.removed {
            Some(_) => Error::not_found().into(),
            None => Decision::Change(vec![Event::Removed { keep }]),
        },
    }
}

/// Decides a start whose dedupe key is already taken by `existing`.
///
/// `None` when the key is no longer honoured: the start is then a new operation.
pub fn repeat(existing: &Operation, wanted: &Dedupe, now: Timestamp) -> Option<Decision> {
    let live = !existing.is_done() && existing.removed.is_none();
    let honoured = |first: &&Dedupe| now < first.until || (first.live && live);
    let first = existing.dedupe.as_deref().filter(honoured)?;
    if first.fingerprint == wanted.fingerprint {
        return Some(Decision::Same);
    }
    let error = Error::new(
        ErrorKind::AlreadyExists,
        "this request id was used before for a different request",
    );
    Some(error.into())
}

fn accepted(id: crate::OperationId, tenant: crate::Tenant, mut accept: Box<Accept>) -> Decision {
    let outcome = accept.outcome.take();
    let mut events = vec![Event::Accepted { id, tenant, accept }];
    events.extend(outcome.map(|outcome| ended_in(outcome, None)));
    Decision::Change(events)
}

fn ended(operation: &Operation) -> Error {
    let message = format!("the operation has ended: {}", operation.state.name());
    Error::new(ErrorKind::FailedPrecondition, message)
}

fn stale(operation: &Operation, epoch: Epoch) -> Error {
    let message =
        format!("lease {} is over: the operation is under lease {}", epoch.0, operation.epoch.0);
    Error::new(ErrorKind::Conflict, message)
}

fn start(operation: &Operation, epoch: Epoch, backend: Option<Arc<str>>) -> Decision {
    if operation.is_done() {
        return ended(operation).into();
    }
    if Some(epoch.0) != operation.epoch.0.checked_add(1) {
        return stale(operation, epoch).into();
    }
    Decision::Change(vec![Event::Started { epoch, backend }])
}

fn reported(operation: &Operation, report: &Report) -> Result<(), Error> {
    if operation.is_done() {
        return Err(ended(operation));
    }
    if operation.state == State::Accepted || report.epoch != operation.epoch {
        return Err(stale(operation, report.epoch));
    }
    check::report(operation, report)
}

fn cancel(operation: &Operation, by: &str, reason: &str) -> Decision {
    if operation.removed.is_some() {
        return Error::not_found().into();
    }
    if operation.is_done() || operation.cancel.is_some() {
        return Decision::Same;
    }
    Decision::Change(canceled(operation, by, reason))
}

/// What follows where cancellation is asked for the first time.
fn canceled(operation: &Operation, by: &str, reason: &str) -> Vec<Event> {
    let (by, reason) = (limits::clip(by).into(), limits::clip(reason).into());
    let mut events = vec![Event::CancelRequested { by, reason }];
    // What somebody shares goes on for the others: there is nothing to wait for.
    if operation.state == State::Accepted || operation.job().is_some() {
        events.push(ended_in(Outcome::Canceled(None), None));
    }
    events
}

fn resume(operation: &Operation, by: &str) -> Decision {
    if operation.removed.is_some() {
        return Error::not_found().into();
    }
    if operation.is_done() {
        return ended(operation).into();
    }
    if operation.state == State::Accepted {
        let text = "no backend has it yet: it waits for its turn";
        return Error::new(ErrorKind::FailedPrecondition, text).into();
    }
    Decision::Change(vec![Event::Resumed { by: limits::clip(by).into() }])
}

fn finish(operation: &Operation, finish: Finish) -> Decision {
    if let Err(error) = check::outcome(&finish.outcome) {
        return error.into();
    }
    if let Some(outcome) = &operation.outcome {
        if *outcome == finish.outcome {
            return Decision::Same;
        }
        let message = finish.outcome.failure().map_or("", |failure| &failure.message);
        let record = (operation.conflicts.len() < limits::CONFLICTS).then(|| Event::Contradicted {
            state: finish.outcome.state(),
            message: limits::clip(message).into(),
        });
        let error = Error::new(
            ErrorKind::Conflict,
            format!("the operation has ended otherwise: {}", operation.state.name()),
        );
        return Decision::Refused { error: error.with_retry(Retry::Never), record };
    }
    if let Some(epoch) = finish.epoch.filter(|epoch| *epoch != operation.epoch) {
        return stale(operation, epoch).into();
    }
    let mut events = Vec::with_capacity(2);
    if let Some(report) = finish.report {
        if let Err(error) = check::report(operation, &report) {
            return error.into();
        }
        events.push(Event::Reported(report));
    }
    events.push(ended_in(finish.outcome, finish.by));
    Decision::Change(events)
}

fn ended_in(outcome: Outcome, by: Option<Box<str>>) -> Event {
    Event::Finished { outcome: Box::new(outcome), by }
}

/// Applies one change. `None` only when the change speaks of an operation that never was.
///
/// An operation's times never go back, even where the clock was set back before the change.
pub fn apply(current: Option<Operation>, change: &Change) -> Option<Operation> {
    let before = current.as_ref().map_or(Version(0), |operation| operation.version);
    let at = current.as_ref().map_or(change.at, |operation| change.at.max(operation.times.updated));
    let step = |operation, event| step(operation, event, change.seq, at);
    let mut operation = change.events.iter().fold(current, step)?;
    operation.version = Version(before.0 + 1);
    operation.changed = change.seq;
    operation.times.updated = at;
    Some(operation)
}

fn step(current: Option<Operation>, event: &Event, seq: Seq, at: Timestamp) -> Option<Operation> {
    let Some(mut operation) = current else {
        return match event {
            Event::Accepted { id, tenant, accept } => Some(new(*id, tenant, accept, seq, at)),
            Event::Started { .. }
            | Event::Reported(_)
            | Event::CancelRequested { .. }
            | Event::Joined { .. }
            | Event::Left { .. }
            | Event::Finished { .. }
            | Event::Contradicted { .. }
            | Event::Attempted(_)
            | Event::Redriven
            | Event::Resumed { .. }
            | Event::Removed { .. } => None,
        };
    };
    match event {
        Event::Accepted { .. } => {}
        Event::Started { epoch, backend } => {
            operation.state = State::Running;
            operation.epoch = *epoch;
            if let Some(backend) = backend {
                operation.routed.backend = Arc::clone(backend);
            }
            operation.times.started.get_or_insert(at);
        }
        Event::Reported(report) => note(&mut operation, report, at),
        Event::CancelRequested { by, reason } => {
            operation.cancel = Some(Box::new(Cancel::new(at, by.clone(), reason.clone())));
        }
        Event::Joined { interest } => share::joined(&mut operation, *interest),
        Event::Left { interest } => share::left(&mut operation, *interest),
        Event::Finished { outcome, by } => {
            if let Some(by) = by {
                log(&mut operation, &[by_hand(outcome, by, at)]);
            }
            operation.state = outcome.state();
            operation.outcome = Some((**outcome).clone());
            operation.waiting = Box::default();
            settle(&mut operation);
            operation.times.closed = Some(at);
            operation.times.expires = Some(at.plus(operation.retention));
        }
        Event::Contradicted { state, message } => {
            operation.conflicts.push(Conflict { at, state: *state, message: message.clone() });
        }
        Event::Attempted(attempt) => delivery::attempted(&mut operation, attempt, at),
        Event::Redriven => delivery::redriven(&mut operation, at),
        Event::Resumed { by } => {
            // It is looked for as long again.
            if *operation.native_state == *ORPHANED {
                operation.native_state = Box::default();
            }
            let message = format!("put back to work by {}", limits::clip(by)).into();
            log(&mut operation, &[LogEntry { at, error: false, code: Box::default(), message }]);
        }
        Event::Removed { keep } => {
            operation.removed = Some(Removed { at, keep: *keep });
        }
    }
    Some(operation)
}

fn new(
    id: crate::OperationId,
    tenant: &crate::Tenant,
    accept: &Accept,
    seq: Seq,
    at: Timestamp,
) -> Operation {
    let accept = accept.clone();
    // Nobody sees a job: it is carried out for those who share it.
    let removed = matches!(accept.share.as_deref(), Some(Share::Job(_)));
    let removed = removed.then_some(Removed { at, keep: JOB_KEPT });
    Operation {
        id,
        seq,
        changed: seq,
        version: Version(0),
        tenant: tenant.clone(),
        parent: accept.parent,
        kind: accept.kind,
        origin: accept.origin,
        routed: accept.routed,
        expects: accept.expects,
        state: State::Accepted,
        native_state: Box::default(),
        waiting: Box::default(),
        cancel: None,
        times: Times { accepted: at, started: None, updated: at, closed: None, expires: None },
        deadline: accept.deadline,
        retention: accept.retention,
        epoch: Epoch(0),
        progress: None,
        log: Vec::new(),
        log_dropped: 0,
        resources: accept.resources,
        input: accept.input,
        outcome: None,
        links_in: accept.links_in,
        links_out: Vec::new(),
        callbacks: accept.callbacks,
        headers: accept.headers,
        trace: accept.trace,
        dedupe: accept.dedupe,
        conflicts: Vec::new(),
        removed,
        share: accept.share,
        lost: accept.lost,
    }
}

fn note(operation: &mut Operation, report: &Report, at: Timestamp) {
    operation.lost = operation.lost.without(report.kept) | report.lost;
    if let Some(progress) = &report.progress {
        let mut progress = progress.clone();
        progress.message = limits::clip(&progress.message).into();
        operation.progress = Some(Box::new(progress));
    }
    log(operation, &report.log);
    for resource in &report.resources {
        let same = operation.resources.iter_mut().find(|known| {
            known.entity_type == resource.entity_type && known.identifier == resource.identifier
        });
        match same {
            Some(known) => {
                // What it will have been is said once; later reports tell how it stands.
                let unsaid = resource.becomes.is_empty() && resource.action == known.action;
                let becomes = if unsaid { known.becomes.clone() } else { resource.becomes.clone() };
                *known = Resource { becomes, ..resource.clone() };
            }
            None => operation.resources.push(resource.clone()),
        }
    }
    for link in &report.links {
        // Every lease tells of the links it knows, the earlier ones' included.
        if !operation.links_out.contains(link) {
            operation.links_out.push(link.clone());
        }
    }
    if let Some(native_ref) = &report.native_ref {
        operation.routed.native_ref = native_ref.clone();
    }
    if let Some(native_state) = &report.native_state {
        operation.native_state = limits::clip(native_state).into();
    }
    if let Some(waiting) = &report.waiting {
        operation.waiting = limits::clip(waiting).into();
    }
    if let (Some(step), Some(cancel)) = (&report.cancel, operation.cancel.as_mut()) {
        if step.delivery == CancelDelivery::Sent {
            cancel.attempts = cancel.attempts.saturating_add(1);
        }
        (cancel.delivery, cancel.changed) = (step.delivery, at);
        cancel.problem = limits::clip(&step.problem).into();
    }
}

/// Says of the resources what has become of them with the end.
fn settle(operation: &mut Operation) {
    let succeeded = operation.state == State::Succeeded;
    let told = |resource: &&mut Resource| !resource.becomes.is_empty();
    for resource in operation.resources.iter_mut().filter(told) {
        resource.action =
            if succeeded { std::mem::take(&mut resource.becomes) } else { FAILED.into() };
    }
}

fn log(operation: &mut Operation, entries: &[LogEntry]) {
    for entry in entries {
        let mut entry = entry.clone();
        entry.message = limits::clip(&entry.message).into();
        entry.code = limits::clip(&entry.code).into();
        operation.log.push(entry);
    }
    let over = operation.log.len().saturating_sub(limits::LOG_ENTRIES);
    operation.log.drain(..over);
    operation.log_dropped =
        operation.log_dropped.saturating_add(u32::try_from(over).unwrap_or(u32::MAX));
}

/// The log line of an end that no backend told of.
fn by_hand(outcome: &Outcome, by: &str, at: Timestamp) -> LogEntry {
    let failure = outcome.failure();
    let (state, by) = (outcome.state().name(), limits::clip(by));
    let message = match failure.filter(|failure| !failure.message.is_empty()) {
        Some(failure) => format!("completed by hand as {state} by {by}: {}", failure.message),
        None => format!("completed by hand as {state} by {by}"),
    };
    LogEntry {
        at,
        error: outcome.state() == State::Failed,
        code: Box::default(),
        message: message.into(),
    }
}
