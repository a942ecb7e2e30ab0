//! A fixed run of list entries: appended to by one writer, read by any number without waiting.

use super::sync::{AtomicU64, AtomicUsize, Ordering};

/// One list entry: the position that orders it, and the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) id: u128,
}

/// Entries in ascending `seq`. An entry is complete before the length that includes it is
/// published, so a reader sees whole entries only.
#[derive(Debug)]
pub(crate) struct Chunk {
    len: AtomicUsize,
    slots: Box<[[AtomicU64; 3]]>,
}

impl Chunk {
    pub(crate) fn new(capacity: usize) -> Self {
        let slot = || [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)];
        Self { len: AtomicUsize::new(0), slots: (0..capacity).map(|_| slot()).collect() }
    }

    /// Appends; only the one writer may call it. False when the chunk is full.
    pub(crate) fn push(&self, entry: Entry) -> bool {
        let len = self.len.load(Ordering::Relaxed);
        let Some([seq, high, low]) = self.slots.get(len) else { return false };
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of the id")]
        let halves = ((entry.id >> 64) as u64, entry.id as u64);
        seq.store(entry.seq, Ordering::Relaxed);
        high.store(halves.0, Ordering::Relaxed);
        low.store(halves.1, Ordering::Relaxed);
        self.len.store(len + 1, Ordering::Release);
        true
    }

    /// How many entries are published.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// The entry at `index`, which must be below a length that was read before.
    pub(crate) fn get(&self, index: usize) -> Option<Entry> {
        let [seq, high, low] = self.slots.get(index)?;
        Some(Entry {
            seq: seq.load(Ordering::Relaxed),
            id: (u128::from(high.load(Ordering::Relaxed)) << 64)
                | u128::from(low.load(Ordering::Relaxed)),
        })
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }
}
