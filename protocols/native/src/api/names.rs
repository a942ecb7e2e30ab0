//! The names operations have on other faces.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use opgate_bus::{Caller, Snapshot};
use opgate_core::{Losses, Operation, OperationId};

type Name = Arc<dyn Fn(&Operation) -> Option<String> + Send + Sync>;
type Lost = Arc<dyn Fn(&Snapshot) -> Losses + Send + Sync>;
type Read = Arc<dyn Fn(&Caller, &str) -> Option<OperationId> + Send + Sync>;

/// How each of the other faces names an operation. A protocol knows no other: who puts them together
/// tells.
#[derive(Clone, Default)]
pub struct Names {
    given: Vec<(&'static str, Name)>,
    lost: Vec<(&'static str, Lost)>,
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

    /// With what one more face cannot show of an operation.
    #[must_use]
    pub fn losing(
        mut self,
        face: &'static str,
        lost: impl Fn(&Snapshot) -> Losses + Send + Sync + 'static,
    ) -> Self {
        self.lost.push((face, Arc::new(lost)));
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

    /// What each face cannot show of an operation that has a name there, beside what was lost before.
    pub fn lost(&self, operation: &Snapshot) -> HashMap<String, String> {
        let named = |face: &str| {
            let given = self.given.iter().find(|(known, _)| *known == face);
            given.is_none_or(|(_, name)| name(operation).is_some())
        };
        let lost = |(face, lost): &(&'static str, Lost)| {
            let lost = Some(lost(operation)).filter(|lost| !lost.is_empty() && named(face))?;
            Some(((*face).into(), lost.to_string()))
        };
        self.lost.iter().filter_map(lost).collect()
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
