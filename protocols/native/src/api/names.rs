//! The names operations have on other faces.

use std::fmt;
use std::sync::Arc;

use opgate_bus::Caller;
use opgate_core::{Operation, OperationId};

type Name = Arc<dyn Fn(&Operation) -> Option<String> + Send + Sync>;
type Read = Arc<dyn Fn(&Caller, &str) -> Option<OperationId> + Send + Sync>;

/// How each of the other faces names an operation. A protocol knows no other: who puts them together
/// tells.
#[derive(Clone, Default)]
pub struct Names {
    given: Vec<(&'static str, Name)>,
    read: Vec<Read>,
}

impl Names {
    /// With the names on one more face; none for an operation that has none there.
    #[must_use]
    pub fn with(
        mut self,
        face: &'static str,
        name: impl Fn(&Operation) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.given.push((face, Arc::new(name)));
        self
    }

    /// With a reader of names that do not end in the operation's id. It tells of a caller's own
    /// operations only.
    #[must_use]
    pub fn reading(
        mut self,
        read: impl Fn(&Caller, &str) -> Option<OperationId> + Send + Sync + 'static,
    ) -> Self {
        self.read.push(Arc::new(read));
        self
    }

    /// The operation of such a name.
    pub fn read(&self, caller: &Caller, name: &str) -> Option<OperationId> {
        self.read.iter().find_map(|read| read(caller, name))
    }

    /// The names of an operation, by face.
    pub fn of(&self, operation: &Operation) -> impl Iterator<Item = (&'static str, String)> {
        self.given.iter().filter_map(|(face, name)| Some((*face, name(operation)?)))
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.given.iter().map(|(face, _)| face)).finish()
    }
}
