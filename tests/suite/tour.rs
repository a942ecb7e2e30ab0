//! The tour on README's first page comes out as it stands there.

use std::path::Path;
use std::process::Command;

use crate::clients::{environment, run};
use crate::process::Launch;

/// Whatever differs but ids, tokens and times is in the message; `docs/tour.py --write` puts it right.
#[test]
fn the_tour_comes_out_as_the_readme_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let tour = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tour.py");
    let mut python = Command::new(environment("requirements-tour.txt").join("python"));
    python.arg(tour).args(["--http", &daemon.http.to_string(), "--amqp", &daemon.amqp.to_string()]);
    let said = run(python.env("PYTHONDONTWRITEBYTECODE", "1"));
    assert!(said.contains("Cancelled('the operation was canceled')"), "{said}");
    assert_eq!(daemon.terminate().code(), Some(0));
}
