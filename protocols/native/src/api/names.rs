//! The names operations have on other faces.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use opgate_core::Operation;

type Name = Arc<dyn Fn(&Operation) -> Option<String> + Send + Sync>;

/// How each of the other faces names an operation. A protocol knows no other: who puts them together
/// tells.
#[derive(Clone, Default)]
pub struct Names(Vec<(&'static str, Name)>);

impl Names {
    /// With the names on one more face; none for an operation that has none there.
    #[must_use]
    pub fn with(
        mut self,
        face: &'static str,
        name: impl Fn(&Operation) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.0.push((face, Arc::new(name)));
        self
    }

    /// The names of an operation, by face.
    pub(super) fn of(&self, operation: &Operation) -> HashMap<String, String> {
        let named = |(face, name): &(&'static str, Name)| Some(((*face).into(), name(operation)?));
        self.0.iter().filter_map(named).collect()
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(face, _)| face)).finish()
    }
}
