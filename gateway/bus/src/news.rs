//! What of a look at an upstream has not been told before. Upstreams say all there is each time they are
//! looked at; an operation is to hold each thing once.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use opgate_core::{LogEntry, Operation, Resource, Timestamp, limits};

/// One error, or one line of the log, of an operation upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    /// When, where it says so.
    pub at: Option<Timestamp>,
    /// Whether it is an error.
    pub error: bool,
    /// The error's code; empty where there is none.
    pub code: String,
    /// The text.
    pub message: String,
}

/// Which lines of an upstream's errors and logs are in their operation already. Lists only grow, so
/// it holds what the last look found, and at the beginning of a lease what the operation's log has:
/// nothing is told twice after a restart.
#[derive(Debug)]
pub struct Lines {
    hasher: RandomState,
    told: HashSet<u64>,
    /// The operation's log lost lines from before then: what is older was told.
    floor: Option<Timestamp>,
}

impl Lines {
    /// What an operation's log has.
    pub fn of(operation: &Operation) -> Self {
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
    pub fn fresh(&mut self, lines: &[Line], complete: bool, now: Timestamp) -> Vec<LogEntry> {
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

/// The resources that are new or have changed, as many as a record has room for. Of one that is
/// there more than once the last counts: else they would take turns, and each look be news.
pub fn changed_resources(now: &Operation, seen: &[Resource]) -> Vec<Resource> {
    let mut room = limits::RESOURCES.saturating_sub(now.resources.len());
    let mut changed: Vec<Resource> = Vec::new();
    let mut left = seen.iter();
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
