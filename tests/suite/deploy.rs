//! What an operator is given beside the daemon, as it is shipped: the dashboard, rules and alerts, and the packages.

mod alerts;
mod container;
mod dashboard;
mod debian;
mod kubernetes;
mod load;
mod prometheus;
mod supervisor;
mod systemd;
mod watched;

use std::path::Path;
use std::process::Command;

/// A file of the repository.
fn shipped(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Has the daemon check settings that are shipped; what it complains of.
fn complaints(settings: &Path) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_opgate"))
        .args(["check", "--config"])
        .arg(settings)
        .env_clear()
        .output()
        .unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    (!output.status.success()).then_some(said)
}
