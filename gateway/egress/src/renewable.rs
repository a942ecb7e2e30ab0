//! What opgate proves itself with to an upstream, which may be something else from one call to the next.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// A value that can be renewed. Clones are of the same: who was given one sees the new value at the next look.
pub struct Renewable<T>(Arc<RwLock<Arc<T>>>);

impl<T> Renewable<T> {
    /// With this value so far.
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// The value of now.
    pub fn now(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has the value of another one from now on.
    pub fn renew(&self, other: &Self) {
        let value = other.now();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

impl<T> Clone for Renewable<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Default> Default for Renewable<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Renewable<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// As the value is shown.
impl<T: fmt::Debug> fmt::Debug for Renewable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.now().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clones_have_the_new_value_and_the_other_one_is_left_alone() {
        let (first, other) = (Renewable::new(1), Renewable::new(2));
        let clone = first.clone();
        let before = clone.now();
        first.renew(&other);
        assert_eq!((*before, *clone.now(), *other.now()), (1, 2, 2));
        // A value renewed by itself is the same, and nobody waits for anybody.
        first.renew(&clone);
        assert_eq!(format!("{first:?}"), "2");
        other.renew(&Renewable::new(3));
        assert_eq!(*first.now(), 2);
    }
}
