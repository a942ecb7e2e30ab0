//! Which operations are let through.

use crate::operation::Operation;

/// Lets operations through or not.
pub trait Predicate: Send + Sync {
    /// Decides on an operation of which the bytes of payloads may be missing: they are empty then,
    /// everything else is there. None where it cannot be told without them. What is decided here is
    /// what [`passes`](Self::passes) would decide.
    fn early(&self, without_payloads: &Operation) -> Option<bool>;

    /// Decides on a whole operation.
    fn passes(&self, operation: &Operation) -> bool;

    /// Whether nothing passes that has ended: a list then looks at nothing else. False where that is
    /// not known.
    fn only_live(&self) -> bool {
        false
    }
}

/// A function may look at everything.
impl<F: Fn(&Operation) -> bool + Send + Sync> Predicate for F {
    fn early(&self, _: &Operation) -> Option<bool> {
        None
    }

    fn passes(&self, operation: &Operation) -> bool {
        self(operation)
    }
}
