//! Oracle's unmodified clients against the daemon: its SDK for Python, its command line, its SDK for
//! TypeScript. Runs the tests in `tests/clients/oci`.
//!
//! They need `python3` with its `venv` module and `node` with `npm`, and the package indexes when the
//! requirements have changed. Without them these tests fail: they are not skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::clients::{KEPT, SOURCES, environment_with, modules, run};
use crate::process::{Daemon, Launch};

const CONFIG: &str = include_str!("../clients/oci/opgate.toml");

/// Python with the SDK and the command line. The SDK has a client for each of 150 services: compiling
/// all of them takes longer than the tests, which use six.
pub(crate) static PYTHON: LazyLock<PathBuf> =
    LazyLock::new(|| environment_with("requirements-oci.txt", &["--no-compile"]).join("python"));

/// Two daemons, one that asks for signatures and one that does not, and the keys of their callers.
struct Gateways {
    keys: TempDir,
    open: Daemon,
    signed: Daemon,
    _dirs: [TempDir; 2],
}

impl Gateways {
    /// Starts them when `make` has filled the directory that it is given with keys.
    fn start(make: impl FnOnce(&Path) -> Command) -> Self {
        let keys = tempfile::tempdir().unwrap();
        run(&mut make(keys.path()));
        let config = CONFIG.replace("KEYS", keys.path().to_str().unwrap());
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let launch = |dir: &TempDir, signatures: &str| {
            let launch = Launch::new(dir.path()).config(&config);
            launch.set(&format!("oci.signatures={signatures}")).start()
        };
        let (open, signed) = (launch(&dirs[0], "off"), launch(&dirs[1], "required"));
        Self { keys, open, signed, _dirs: dirs }
    }

    /// Runs tests, which must succeed.
    fn check(self, tests: &mut Command) {
        let output = tests
            .env("OPGATE_OPEN", self.open.http.to_string())
            .env("OPGATE_SIGNED", self.signed.http.to_string())
            .env("OPGATE_SIGNED_PID", self.signed.pid().to_string())
            .env("OPGATE_KEYS", self.keys.path())
            // The clients would otherwise look for the daemon behind the proxy of the package index.
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .output()
            .unwrap();
        let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
        let logs = [self.open.log(), self.signed.log()].join("\n");
        assert!(output.status.success(), "{said}\n{logs}");
        for daemon in [self.open, self.signed] {
            assert_eq!(daemon.terminate().code(), Some(0));
        }
    }
}

/// A command of that Python, in the directory of its tests. What it compiles is kept apart from them.
fn python() -> Command {
    let mut python = Command::new(&*PYTHON);
    python
        .current_dir(Path::new(SOURCES).join("oci/python"))
        .env_remove("PYTHONDONTWRITEBYTECODE")
        .env("PYTHONPYCACHEPREFIX", Path::new(KEPT).join("oci-bytecode"));
    python
}

/// Runs these tests, as pytest names them.
fn check(tests: &[&str]) {
    let gateways = Gateways::start(|keys| {
        let mut make = python();
        make.arg("keys.py").arg(keys);
        make
    });
    gateways.check(python().args(["-m", "pytest", "-q"]).args(tests));
}

#[test]
fn the_python_sdk_finds_what_it_expects() {
    check(&["--ignore", "test_cli.py"]);
}

#[test]
fn the_command_line_finds_what_it_expects() {
    check(&["test_cli.py"]);
}

#[test]
fn the_typescript_sdk_finds_what_it_expects() {
    let sources = Path::new(SOURCES).join("oci/typescript");
    let modules = modules(&sources, "oci-typescript");
    let node = || {
        let mut node = Command::new("node");
        node.current_dir(&sources).env("NODE_PATH", &modules);
        node
    };
    let gateways = Gateways::start(|keys| {
        let mut make = node();
        make.arg("keys.js").arg(keys);
        make
    });
    gateways.check(node().args(["--test", "identity.test.js"]));
}
