//! What of a look at a work request has not been told before.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use opgate_core::{LogEntry, Operation, Progress, Report, Resource, Timestamp, limits};

use super::read::phase::Phase;
use super::read::{Line, WorkRequest};

/// Which lines of a work request's errors and logs are in its operation already. Lists only grow, so
/// it holds what the last look found, and at the beginning of a lease what the operation's log has:
/// nothing is told twice after a restart.
#[derive(Debug)]
pub(super) struct Lines {
    hasher: RandomState,
    told: HashSet<u64>,
    /// The operation's log lost lines from before then: what is older was told.
    floor: Option<Timestamp>,
}

impl Lines {
    /// What an operation's log has.
    pub(super) fn of(operation: &Operation) -> Self {
        let mut known = Self { hasher: RandomState::new(), told: HashSet::new(), floor: None };
        for entry in &operation.log {
            let (code, message) = (&*entry.code, &*entry.message);
            // A line without a time got that of its arrival.
            for at in [Some(entry.at), None] {
                known.told.insert(known.hasher.hash_one((at, entry.error, code, message)));
            }
        }
        let lost = operation.log_dropped > 0;
        known.floor = operation.log.iter().map(|entry| entry.at).min().filter(|_| lost);
        known
    }

    /// The entries for those lines that are new, oldest first; of more than one report holds, the
    /// newest. `complete`: these are all that there are now.
    pub(super) fn fresh(
        &mut self,
        lines: &[Line],
        complete: bool,
        now: Timestamp,
    ) -> Vec<LogEntry> {
        let mut seen = HashSet::with_capacity(lines.len());
        let mut fresh = Vec::new();
        for line in lines {
            let Line { at, error, code, message } = line;
            let key = self.hasher.hash_one((at, error, code.as_str(), message.as_str()));
            let first = seen.insert(key);
            let old = line.at.is_some_and(|at| self.floor.is_some_and(|floor| at < floor));
            if first && !old && !self.told.contains(&key) {
                fresh.push(line);
            }
        }
        if complete {
            self.told = seen;
        } else {
            self.told.extend(seen);
        }
        // Those without a time come last, in the order they stand in.
        fresh.sort_by_key(|line| (line.at.is_none(), line.at));
        let over = fresh.len().saturating_sub(limits::LOG_ENTRIES);
        let entry = |line: &Line| LogEntry {
            at: line.at.unwrap_or(now),
            error: line.error,
            code: line.code.as_str().into(),
            message: line.message.as_str().into(),
        };
        fresh.into_iter().skip(over).map(entry).collect()
    }
}

/// The work's own errors that an operation's log has: opgate's lines have no code.
pub(super) fn told(now: &Operation) -> impl Iterator<Item = Line> {
    let own = now.log.iter().filter(|entry| entry.error && !entry.code.is_empty());
    own.map(|entry| Line {
        at: Some(entry.at),
        error: true,
        code: entry.code.as_ref().to_owned(),
        message: entry.message.as_ref().to_owned(),
    })
}

/// What a look changes of an operation; nothing where it changes nothing.
pub(super) fn report(now: &Operation, seen: &WorkRequest, log: Vec<LogEntry>) -> Option<Report> {
    let waiting = if seen.phase == Phase::Waiting { &*seen.status } else { "" };
    let report = Report {
        progress: progress(now, seen),
        log,
        resources: resources(now, seen),
        native_state: (*now.native_state != *seen.status).then(|| seen.status.as_str().into()),
        waiting: (*now.waiting != *waiting).then(|| waiting.into()),
        ..Report::default()
    };
    (report != Report::default()).then_some(report)
}

/// What was said of the progress; what is not said stays as it was.
fn progress(now: &Operation, seen: &WorkRequest) -> Option<Progress> {
    let before = now.progress.as_deref().cloned().unwrap_or_default();
    let message = if seen.message.is_empty() { &*before.message } else { &*seen.message };
    let progress = Progress {
        percent: seen.percent.or(before.percent),
        message: message.into(),
        ..before.clone()
    };
    (progress != before).then_some(progress)
}

/// The resources that are new or have changed, as many as a record has room for. Of one that is
/// there more than once the last counts: else they would take turns, and each look be news.
fn resources(now: &Operation, seen: &WorkRequest) -> Vec<Resource> {
    let mut room = limits::RESOURCES.saturating_sub(now.resources.len());
    let mut changed: Vec<Resource> = Vec::new();
    let mut left = seen.resources.iter();
    while let Some(resource) = left.next() {
        let same = |other: &&Resource| {
            other.entity_type == resource.entity_type && other.identifier == resource.identifier
        };
        if left.clone().any(|later| same(&later)) {
            continue;
        }
        let known = now.resources.iter().find(same);
        if known.is_some_and(|known| known.action == resource.action && known.uri == resource.uri) {
            continue;
        }
        if known.is_none() {
            if room == 0 {
                continue;
            }
            room -= 1;
        }
        changed.push(resource.clone());
    }
    changed
}

#[cfg(test)]
mod tests;
