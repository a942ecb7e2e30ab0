//! Requests that wait until one before them is answered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::incoming::Incoming;
use super::weight;

/// What the requests of one connection may weigh that wait, in bytes of memory. One may, whatever it weighs.
const LIMIT: usize = 16 << 20;

/// What the waiting requests of a connection weigh, of all its links. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits(Arc<AtomicUsize>);

/// Requests of one link that wait, the oldest first.
#[derive(Debug)]
pub(super) struct Waiting {
    requests: VecDeque<(usize, Arc<str>, Incoming)>,
    all: Waits,
}

impl Waits {
    fn add(&self, weight: usize) -> bool {
        let before = self.0.fetch_add(weight, Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(weight) <= LIMIT;
        if !fits {
            self.remove(weight);
        }
        fits
    }

    fn remove(&self, weight: usize) {
        self.0.fetch_sub(weight, Ordering::Relaxed);
    }
}

impl Waiting {
    pub(super) fn new(all: Waits) -> Self {
        Self { requests: VecDeque::new(), all }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Has a request for a node wait; gives it back where as much waits as may.
    pub(super) fn push(&mut self, node: Arc<str>, request: Incoming) -> Option<Incoming> {
        let weight = weight::of_message(&request.message, weight::of_encoded);
        if !self.all.add(weight) {
            return Some(request);
        }
        self.requests.push_back((weight, node, request));
        None
    }

    pub(super) fn pop(&mut self) -> Option<(Arc<str>, Incoming)> {
        let (weight, node, request) = self.requests.pop_front()?;
        self.all.remove(weight);
        Some((node, request))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let left = self.requests.iter().map(|(weight, ..)| weight).sum();
        self.all.remove(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_may_wait_whatever_it_weighs_and_more_as_long_as_they_are_light() {
        let all = Waits::default();
        assert!(all.add(2 * LIMIT));
        assert!(!all.clone().add(1));
        all.remove(2 * LIMIT);
        assert!(all.add(LIMIT - 1));
        assert!(all.add(1));
        assert!(!all.add(1));
    }
}
