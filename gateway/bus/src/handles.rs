//! Handles for those who are made before the bus is.

use std::fmt;
use std::sync::Arc;

use opgate_core::{Error, OperationId};

use crate::token::Sealer;

/// Makes the texts by which others know operations, as [`Bus::handle`](crate::Bus::handle) does.
/// Clones are cheap.
#[derive(Clone)]
pub struct Handles(Arc<Sealer>);

impl Handles {
    /// Handles that a bus over a store of this secret opens.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(Arc::new(Sealer::new(secret)))
    }

    /// The handle of an operation, good for `purpose` and `bound` only.
    ///
    /// # Errors
    /// `Internal` when it cannot be made.
    pub fn make(&self, purpose: &str, bound: &[&str], id: OperationId) -> Result<String, Error> {
        self.0.seal_handle(purpose, bound, id)
    }
}

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handles")
    }
}
