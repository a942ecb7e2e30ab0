//! Lists in memory: entries in journal order, appended by one writer, read without waiting.

use std::sync::Arc;

use opgate_core::{OperationId, Seq};

use crate::chunk::{Chunk, Entry};

const FIRST_CHUNK: usize = 8;
const LARGEST_CHUNK: usize = 512;

/// The chunks of one list, oldest first: an immutable value that is replaced when a chunk is added
/// or dropped. Only the chunks' insides grow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline(Arc<[Arc<Chunk>]>);

impl Timeline {
    /// Appends; returns the value that replaces this one when a chunk had to be added.
    pub(crate) fn push(&self, seq: Seq, id: OperationId) -> Option<Self> {
        let entry = Entry { seq: seq.0, id: id.to_bits() };
        if self.0.last().is_some_and(|chunk| chunk.push(entry)) {
            return None;
        }
        let last = self.0.last().map_or(0, |chunk| chunk.capacity());
        let chunk = Arc::new(Chunk::new((last * 2).clamp(FIRST_CHUNK, LARGEST_CHUNK)));
        let _fits_a_fresh_chunk = chunk.push(entry);
        Some(Self(self.0.iter().cloned().chain([chunk]).collect()))
    }

    /// Without the chunks whose entries all lie below `floor`; `None` when there are none such.
    pub(crate) fn trimmed(&self, floor: Seq) -> Option<Self> {
        let old = self.0.iter().take_while(|chunk| newest(chunk) < floor.0).count();
        (old > 0).then(|| Self(self.0.iter().skip(old).cloned().collect()))
    }

    /// Whether nothing is left in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries below `before`, newest first.
    pub(crate) fn below(self, before: Seq) -> Descending {
        let chunk = self.0.partition_point(|chunk| oldest(chunk) < before.0);
        let mut walk = Descending { chunks: self.0, chunk, index: 0 };
        walk.enter(before.0);
        walk
    }
}

fn oldest(chunk: &Chunk) -> u64 {
    chunk.get(0).map_or(0, |entry| entry.seq)
}

fn newest(chunk: &Chunk) -> u64 {
    chunk.len().checked_sub(1).and_then(|last| chunk.get(last)).map_or(0, |entry| entry.seq)
}

/// Walks from new to old.
#[derive(Debug)]
pub(crate) struct Descending {
    chunks: Arc<[Arc<Chunk>]>,
    /// One more than the chunk being walked.
    chunk: usize,
    /// How many entries of that chunk are left.
    index: usize,
}

impl Descending {
    /// Positions at the last entry below `before` within the current chunk.
    fn enter(&mut self, before: u64) {
        let Some(chunk) = self.chunk.checked_sub(1).and_then(|at| self.chunks.get(at)) else {
            return;
        };
        let (mut low, mut high) = (0, chunk.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if chunk.get(middle).is_some_and(|entry| entry.seq < before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.index = low;
    }
}

impl Iterator for Descending {
    type Item = (Seq, OperationId);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let chunk = self.chunks.get(self.chunk.checked_sub(1)?)?;
            if let Some(index) = self.index.checked_sub(1) {
                self.index = index;
                let entry = chunk.get(index)?;
                return Some((Seq(entry.seq), OperationId::from_bits(entry.id)));
            }
            self.chunk -= 1;
            self.enter(u64::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(count: u64) -> Timeline {
        (1..=count).fold(Timeline::default(), |line, n| {
            line.push(Seq(n * 2), OperationId::from_bits(n.into())).unwrap_or(line)
        })
    }

    proptest! {
        #[test]
        fn a_walk_is_every_entry_below_the_cursor_newest_first(count in 0_u64..3000, before in 0_u64..7000) {
            let walked: Vec<u64> = filled(count).below(Seq(before)).map(|(seq, _)| seq.0).collect();
            let expected: Vec<u64> = (1..=count).map(|n| n * 2).filter(|seq| *seq < before).rev().collect();
            prop_assert_eq!(walked, expected);
        }

        #[test]
        fn trimming_takes_nothing_at_or_above_the_floor(count in 0_u64..3000, floor in 0_u64..7000) {
            let line = filled(count);
            let trimmed = line.trimmed(Seq(floor)).unwrap_or(line);
            let kept = trimmed.below(Seq(u64::MAX)).filter(|(seq, _)| seq.0 >= floor).count() as u64;
            prop_assert_eq!(kept, (1..=count).filter(|n| n * 2 >= floor).count() as u64);
        }
    }
}
