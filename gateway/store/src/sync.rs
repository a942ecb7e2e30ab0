//! What [`crate::chunk`] and [`crate::wake`] synchronise by. The model tests compile those files
//! against stand-ins of the same shape that the model checker can see into.

pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub(crate) use tokio::sync::Notify;
pub(crate) use tokio::sync::futures::Notified;

use opgate_core::OperationId;

/// A map of the operations somebody waits for. Every call is atomic for its key and takes no lock.
#[derive(Debug)]
pub(crate) struct Slots<V>(papaya::HashMap<OperationId, V>);

impl<V: Clone> Slots<V> {
    pub(crate) fn new() -> Self {
        Self(papaya::HashMap::new())
    }

    pub(crate) fn get(&self, id: OperationId) -> Option<V> {
        self.0.pin().get(&id).cloned()
    }

    /// Replaces the value of `id` by what `change` makes of it (`None`: no value), and returns the
    /// new value. `change` may run more than once and must not have effects.
    pub(crate) fn update(
        &self,
        id: OperationId,
        change: impl Fn(Option<&V>) -> Option<V>,
    ) -> Option<V> {
        let slots = self.0.pin();
        let done = slots.compute(id, |current| match change(current.map(|(_, value)| value)) {
            Some(value) => papaya::Operation::Insert(value),
            None if current.is_some() => papaya::Operation::Remove,
            None => papaya::Operation::Abort(()),
        });
        match done {
            papaya::Compute::Inserted(_, value)
            | papaya::Compute::Updated { new: (_, value), .. } => Some(value.clone()),
            papaya::Compute::Removed(..) | papaya::Compute::Aborted(()) => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
