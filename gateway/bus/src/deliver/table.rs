//! What is owed, and when it may be attempted: pure, and told the time.
//!
//! Every destination has a turn, whatever another one has waiting, and room for so many attempts at
//! a time. One that fails too often in a row is left alone for a while; then a single attempt tells
//! whether it is back. The table is bounded: what does not fit is left to the store's index, and of
//! a full table the destination with the most makes room for the others.

mod destination;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use opgate_core::{OperationId, Timestamp};
use tokio::time::Instant;

use super::Callbacks;
use destination::{Breaker, Destination, Stand};

/// One callback of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) id: OperationId,
    pub(super) callback: usize,
}

/// When a callback is due, and until when it is attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    /// The attempts that were recorded when this was so.
    pub(super) attempts: u32,
    /// Since when it is owed, as clocks tell.
    pub(super) since: Timestamp,
    pub(super) due: Instant,
    pub(super) until: Instant,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Attempt it, unless more attempts were recorded than these.
    Attempt(Key, u32),
    /// Give it up: its time was over while its destination was left alone.
    GiveUp(Key),
}

impl Job {
    pub(super) const fn key(self) -> Key {
        let (Self::Attempt(key, _) | Self::GiveUp(key)) = self;
        key
    }
}

/// How an attempt went, as far as its destination is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// The destination answered.
    Answered,
    /// It did not, or not now.
    Failed,
    /// There was no attempt.
    Unmade,
}

#[derive(Debug)]
struct Entry {
    destination: Arc<str>,
    term: Term,
    /// Whether it waits with its destination; else it is a job, or about to be.
    waiting: bool,
    /// Whether something was heard of it since it does not.
    touched: bool,
}

#[derive(Debug)]
pub(super) struct Table {
    limits: Callbacks,
    entries: HashMap<Key, Entry>,
    /// Callbacks by how long they are owed.
    ages: BTreeSet<(Timestamp, Key)>,
    destinations: HashMap<Arc<str>, Destination>,
    /// Destinations that may be attempted from an instant on.
    agenda: BTreeSet<(Instant, Arc<str>)>,
    /// Destinations that may be attempted now, in turn.
    turns: BTreeMap<u64, Arc<str>>,
    next_turn: u64,
    /// Destinations by how many callbacks they have here.
    sizes: BTreeSet<(usize, Arc<str>)>,
    /// What is to be given up.
    doomed: VecDeque<Key>,
    running: usize,
    /// Destinations that are left alone.
    open: usize,
    /// Whether something was left to the index for want of room.
    behind: bool,
}

impl Table {
    pub(super) fn new(limits: Callbacks) -> Self {
        Self {
            limits,
            entries: HashMap::new(),
            ages: BTreeSet::new(),
            destinations: HashMap::new(),
            agenda: BTreeSet::new(),
            turns: BTreeMap::new(),
            next_turn: 0,
            sizes: BTreeSet::new(),
            doomed: VecDeque::new(),
            running: 0,
            open: 0,
            behind: false,
        }
    }

    /// How many destinations are left alone.
    pub(super) const fn open(&self) -> usize {
        self.open
    }

    /// Since when the one is owed that is owed longest, of those that are known.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.ages.first().map(|(since, _)| *since)
    }

    /// Whether it is known. Of what is under way it is noted that there is something new.
    pub(super) fn touch(&mut self, key: Key) -> bool {
        let Some(entry) = self.entries.get_mut(&key) else { return false };
        entry.touched = !entry.waiting;
        true
    }

    /// Whether something was left to the index, and there is room for a good part of it now. The
    /// question is its own answer: what is left out from then on is a new matter.
    pub(super) fn take_behind(&mut self) -> bool {
        let room = self.limits.owed - self.entries.len().min(self.limits.owed);
        self.behind && room > self.limits.owed / 4 && std::mem::take(&mut self.behind)
    }

    /// Takes a callback up, unless it is known or there is no room.
    pub(super) fn learn(&mut self, key: Key, destination: &Arc<str>, term: Term, now: Instant) {
        if self.entries.contains_key(&key) {
            return;
        }
        if self.entries.len() >= self.limits.owed {
            self.behind = true;
            if !self.make_room(destination, now) {
                return;
            }
        }
        let known = self.destinations.get_key_value(destination);
        let name = known.map_or_else(|| Arc::clone(destination), |(name, _)| Arc::clone(name));
        let entry = Entry { destination: Arc::clone(&name), term, waiting: true, touched: false };
        self.entries.insert(key, entry);
        self.ages.insert((term.since, key));
        self.resize(&name, |held| held + 1);
        if let Some(destination) = self.destinations.get_mut(&name) {
            destination.waiting.insert((term.due, key));
        }
        self.place(&name, now);
    }

    /// What to do next; nothing where all that is due is under way, or would be too much at a time.
    pub(super) fn next(&mut self, now: Instant) -> Option<Job> {
        while self.agenda.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, name)) = self.agenda.pop_first()
        {
            self.turn(name);
        }
        if self.running >= self.limits.concurrency {
            return None;
        }
        if let Some(key) = self.doomed.pop_front() {
            self.running += 1;
            return Some(Job::GiveUp(key));
        }
        let (_, name) = self.turns.pop_first()?;
        let destination = self.destinations.get_mut(&name)?;
        destination.stand = Stand::Idle;
        let (_, key) = destination.waiting.pop_first()?;
        destination.running += 1;
        if destination.breaker != Breaker::Closed {
            destination.breaker = Breaker::Probing;
        }
        let entry = self.entries.get_mut(&key)?;
        entry.waiting = false;
        let job = Job::Attempt(key, entry.term.attempts);
        self.running += 1;
        self.place(&name, now);
        Some(job)
    }

    /// A job is done; with the term of the callback where it is still owed. True when something new
    /// was heard of what is not.
    pub(super) fn ended(
        &mut self,
        job: Job,
        went: Went,
        again: Option<Term>,
        now: Instant,
    ) -> bool {
        let key = job.key();
        let Some(entry) = self.entries.get_mut(&key) else { return false };
        let touched = std::mem::take(&mut entry.touched);
        self.running -= 1;
        let name = Arc::clone(&entry.destination);
        let Some(destination) = self.destinations.get_mut(&name) else { return false };
        let mut failed = false;
        if let Job::Attempt(..) = job {
            destination.running -= 1;
            let was = destination.is_open();
            failed = destination.heard(went, self.limits, now);
            self.open = self.open + usize::from(destination.is_open()) - usize::from(was);
        }
        self.ages.remove(&(entry.term.since, key));
        if let Some(term) = again {
            self.ages.insert((term.since, key));
            (entry.term, entry.waiting) = (term, true);
            destination.waiting.insert((term.due, key));
        } else {
            self.entries.remove(&key);
        }
        if failed {
            self.doom(&name, now);
        }
        if again.is_none() {
            self.resize(&name, |held| held.saturating_sub(1));
        }
        self.place(&name, now);
        touched && again.is_none()
    }

    /// When there may be something to do; none where only the end of a job can tell.
    pub(super) fn looks(&self, now: Instant) -> Option<Instant> {
        if self.running >= self.limits.concurrency {
            return None;
        }
        if !self.turns.is_empty() || !self.doomed.is_empty() {
            return Some(now);
        }
        self.agenda.first().map(|(at, _)| *at)
    }

    /// What waits for a destination that is left alone is not attempted, but its time may be over.
    fn doom(&mut self, name: &Arc<str>, now: Instant) {
        let Some(destination) = self.destinations.get_mut(name) else { return };
        let over = |key: &Key| self.entries.get(key).is_some_and(|entry| entry.term.until <= now);
        let waiting = std::mem::take(&mut destination.waiting);
        let (over, waiting): (BTreeSet<_>, BTreeSet<_>) =
            waiting.into_iter().partition(|(due, key)| *due <= now && over(key));
        destination.waiting = waiting;
        for (_, key) in over {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.waiting = false;
            }
            self.doomed.push_back(key);
        }
    }

    /// Leaves one callback of the destination that has the most to the index, in favour of one that
    /// has less.
    fn make_room(&mut self, newcomer: &Arc<str>, now: Instant) -> bool {
        let held = self.destinations.get(newcomer).map_or(0, |destination| destination.held);
        let Some((most, name)) = self.sizes.last().cloned() else { return false };
        if most <= held + 1 {
            return false;
        }
        let last = self.destinations.get_mut(&name).and_then(|most| most.waiting.pop_last());
        let Some((_, key)) = last else { return false };
        if let Some(entry) = self.entries.remove(&key) {
            self.ages.remove(&(entry.term.since, key));
        }
        self.resize(&name, |held| held.saturating_sub(1));
        self.place(&name, now);
        true
    }

    /// Changes how many callbacks a destination has; one without any is forgotten.
    fn resize(&mut self, name: &Arc<str>, change: impl FnOnce(usize) -> usize) {
        let destination = self.destinations.entry(Arc::clone(name)).or_default();
        self.sizes.remove(&(destination.held, Arc::clone(name)));
        destination.held = change(destination.held);
        if destination.held > 0 {
            self.sizes.insert((destination.held, Arc::clone(name)));
            return;
        }
        let (stand, open) = (destination.stand, destination.is_open());
        self.leave(name, stand);
        self.open -= usize::from(open);
        self.destinations.remove(name);
    }

    fn leave(&mut self, name: &Arc<str>, stand: Stand) {
        match stand {
            Stand::Idle => {}
            Stand::At(at) => {
                self.agenda.remove(&(at, Arc::clone(name)));
            }
            Stand::Turn(turn) => {
                self.turns.remove(&turn);
            }
        }
    }

    fn turn(&mut self, name: Arc<str>) {
        let Some(destination) = self.destinations.get_mut(&name) else { return };
        destination.stand = Stand::Turn(self.next_turn);
        self.turns.insert(self.next_turn, name);
        self.next_turn += 1;
    }

    /// Puts a destination where it belongs after it changed; one whose turn it was keeps it.
    fn place(&mut self, name: &Arc<str>, now: Instant) {
        let Some(destination) = self.destinations.get_mut(name) else { return };
        let opens = destination.opens(self.limits.per_destination);
        let stand = destination.stand;
        if let (Some(at), Stand::Turn(_)) = (opens, stand)
            && at <= now
        {
            return;
        }
        destination.stand = opens.map_or(Stand::Idle, Stand::At);
        self.leave(name, stand);
        match opens {
            None => {}
            Some(at) if at <= now => self.turn(Arc::clone(name)),
            Some(at) => {
                self.agenda.insert((at, Arc::clone(name)));
            }
        }
    }
}
