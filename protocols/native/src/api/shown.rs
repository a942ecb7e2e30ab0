//! Operations as the JSON of this API, where no gateway runs: of a journal that is read as it lies.

use opgate_bus::Snapshot;
use opgate_core::Error;

use super::Names;
use super::http::Paths;
use super::map::{self, View};

/// Writes operations as the API's JSON has them, without their names on other faces.
#[derive(Debug)]
pub struct Shown(Paths);

impl Shown {
    /// A writer; making one takes as long as reading the API's own description.
    ///
    /// # Errors
    /// A defect of opgate: what its own descriptors say cannot be served.
    pub fn new() -> Result<Self, String> {
        Paths::new().map(Self)
    }

    /// The JSON of one, in one line; `full`: with log, input and result.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn one(&self, snapshot: &Snapshot, full: bool) -> Result<Vec<u8>, Error> {
        let view = if full { View::Full } else { View::Basic };
        self.0.event(map::operation(snapshot, view, &Names::default()))
    }
}
