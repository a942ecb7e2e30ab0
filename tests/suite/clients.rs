//! The vendors' unmodified clients against the daemon: runs the tests in `tests/clients`.
//!
//! They need `python3` with its `venv` module, and the package index when the requirements have
//! changed. Without them this test fails: it is not skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::process::{Daemon, Launch};

pub(crate) const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
/// A place below `target/` that outlives the test, so that the packages are fetched once.
pub(crate) const KEPT: &str = env!("CARGO_TARGET_TMPDIR");

/// Routes to workers, beside those that are there by default.
const WORKERS: &str = include_str!("../../config/examples/worker.toml");

/// Runs a program to its end, which must be a success; its output.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    said
}

/// The `bin` directory of a virtual environment with exactly what `requirements` names. It is made
/// anew when those have changed, or when making it was interrupted.
pub(crate) fn environment(requirements: &str) -> PathBuf {
    environment_with(requirements, &[])
}

/// The same, with further options of `pip install`.
pub(crate) fn environment_with(requirements: &str, options: &[&str]) -> PathBuf {
    environment_of("python3", requirements, options)
}

/// The same, of this interpreter.
pub(crate) fn environment_of(python: &str, requirements: &str, options: &[&str]) -> PathBuf {
    // Tests that run at the same time share environments.
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock();
    let wanted = Path::new(SOURCES).join(requirements);
    let text = std::fs::read_to_string(&wanted).unwrap();
    let root = Path::new(KEPT).join(requirements.trim_end_matches(".txt"));
    let installed = root.join("installed.txt");
    // Its programs name the place they were installed in: one that was moved since is no environment any more.
    let what = format!("# {}\n{text}", root.display());
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == what) {
        return root.join("bin");
    }
    run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&root));
    run(Command::new(root.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(options)
        .arg("-r")
        .arg(&wanted));
    std::fs::write(&installed, what).unwrap();
    root.join("bin")
}

/// The directory of JavaScript modules with exactly what the lock file in `sources` names, kept under
/// a name. It is made anew when that has changed, or when making it was interrupted.
pub(crate) fn modules(sources: &Path, kept: &str) -> PathBuf {
    let root = Path::new(KEPT).join(kept);
    let lock = std::fs::read_to_string(sources.join("package-lock.json")).unwrap();
    let installed = root.join("installed.json");
    if !std::fs::read_to_string(&installed).is_ok_and(|installed| installed == lock) {
        std::fs::create_dir_all(&root).unwrap();
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(sources.join(file), root.join(file)).unwrap();
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&root);
        run(&mut npm);
        std::fs::write(&installed, lock).unwrap();
    }
    root.join("node_modules")
}

#[test]
#[expect(clippy::print_stdout, reason = "--nocapture shows which tests were skipped, and why")]
fn the_vendors_clients_find_what_they_expect() {
    let python = environment("requirements.txt").join("python");
    let bgd = environment("requirements-buildgrid.txt").join("bgd");
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(WORKERS).start();
    let grid_dir = tempfile::tempdir().unwrap();
    let grid = Launch::new(grid_dir.path())
        .config(include_str!("../../config/examples/buildgrid.toml"))
        .config(include_str!("../clients/buildgrid.toml"))
        .start();

    let front_dir = tempfile::tempdir().unwrap();
    let front = Launch::new(front_dir.path())
        .config(include_str!("../clients/upstream.toml"))
        .set(&format!("backends.up.endpoint=http://{}", daemon.http))
        .start();

    let output = Command::new(python)
        .args(["-m", "pytest", "-q", "--junit-xml"])
        .arg(Path::new(KEPT).join("clients.xml"))
        .current_dir(SOURCES)
        .env("OPGATE_HTTP", daemon.http.to_string())
        .env("OPGATE_ADMIN", daemon.admin.to_string())
        .env("OPGATE_BGD", bgd)
        .env("OPGATE_BUILDGRID", grid.http.to_string())
        .env("OPGATE_FRONT", front.http.to_string())
        // The clients would otherwise look for the daemon behind the proxy of the package index.
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();

    let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    println!("{said}");
    let logs = [&daemon, &grid, &front].map(Daemon::log).join("\n");
    assert!(output.status.success(), "{said}\n{logs}");
    assert_eq!(front.terminate().code(), Some(0));
    assert_eq!(grid.terminate().code(), Some(0));
    assert_eq!(daemon.terminate().code(), Some(0));
}
