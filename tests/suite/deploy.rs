//! What an operator is given beside the daemon, as it is shipped: the dashboard, rules and alerts.

mod alerts;
mod dashboard;
mod load;
mod prometheus;
mod watched;

use std::path::Path;

/// A file of the repository.
fn shipped(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
