//! The clients: python-qpid-proton, uamqp, Azure's SDKs for Python and JavaScript, rhea, `RabbitMQ`'s
//! libraries for Python and Go. Runs the tests in `tests/clients/amqp`.
//!
//! They need `python3` with its `venv` module, a compiler of C and the headers of OpenSSL (proton is built
//! when it is installed), `node` with `npm`, and Go or the package index; and the package indexes when the
//! requirements have changed. Without them these tests fail: they are not skipped.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use super::certificates;
use crate::clients::{SOURCES, environment_of, modules};
use crate::go::Module;
use crate::process::{Daemon, Launch};

const CONFIG: &str = include_str!("../../clients/amqp/opgate.toml");
const USERS: &str = include_str!("../../clients/amqp/users.toml");
const TLS: &str = include_str!("../../clients/amqp/tls.toml");

/// The releases of Python that the package index has a built uamqp for.
const BUILT: RangeInclusive<u32> = 10..=13;

/// Python with the clients. Where the machine's own is too new, another one that it has; where there is
/// none, pip builds uamqp, which takes `CMake`, a compiler of C and the headers of `OpenSSL`.
pub(crate) static PYTHON: LazyLock<PathBuf> = LazyLock::new(|| {
    let others = BUILT.rev().map(|minor| format!("python3.{minor}"));
    let fits = |python: &String| minor(python).is_some_and(|minor| BUILT.contains(&minor));
    let python = std::iter::once("python3".to_owned()).chain(others).find(fits);
    let python = python.as_deref().unwrap_or("python3");
    environment_of(python, "requirements-amqp.txt", &[]).join("python")
});

/// The modules of Node's.
static MODULES: LazyLock<PathBuf> =
    LazyLock::new(|| modules(&Path::new(SOURCES).join("amqp/javascript"), "amqp-javascript"));

/// The minor release of this interpreter, as in `3.11`; none if it does not run.
fn minor(python: &str) -> Option<u32> {
    let say = "import sys; print(sys.version_info.minor)";
    let output = Command::new(python).args(["-c", say]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Daemons: one that whoever is on this machine may use, and one with users; or one with users and TLS.
struct Gateways {
    daemons: Vec<(&'static str, Daemon)>,
    directory: TempDir,
    _dirs: Vec<TempDir>,
}

impl Gateways {
    fn start() -> Self {
        Self::of(&[("OPGATE_AMQP", &[]), ("OPGATE_SECURED", &[USERS])])
    }

    fn with_tls() -> Self {
        Self::of(&[("OPGATE_TLS", &[USERS, TLS])])
    }

    /// One for each variable, by these settings beside those that all have.
    fn of(all: &[(&'static str, &[&str])]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        certificates::make(directory.path());
        let within = directory.path().to_str().unwrap();
        let (daemons, dirs) = all
            .iter()
            .map(|(variable, settings)| {
                let dir = tempfile::tempdir().unwrap();
                let launch = settings
                    .iter()
                    .map(|settings| settings.replace("DIRECTORY", within))
                    .fold(Launch::new(dir.path()).config(CONFIG), |launch, text| {
                        launch.config(&text)
                    });
                ((*variable, launch.start()), dir)
            })
            .unzip();
        Self { daemons, directory, _dirs: dirs }
    }

    /// Runs tests, which must succeed.
    fn check(self, tests: &mut Command) {
        for (variable, daemon) in &self.daemons {
            tests.env(variable, daemon.amqp.to_string());
        }
        let output = tests
            .env("OPGATE_HTTP", self.daemons[0].1.http.to_string())
            .env("OPGATE_CERTIFICATES", self.directory.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // What looks for a proxy of the package index finds none for the daemon.
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .output()
            .unwrap();
        let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
        let logs =
            self.daemons.iter().map(|(variable, daemon)| format!("{variable}: {}\n", daemon.log()));
        // What the tests say stands last: a long log is cut at its beginning.
        assert!(output.status.success(), "{}{said}", logs.collect::<String>());
        for (_, daemon) in self.daemons {
            assert_eq!(daemon.terminate().code(), Some(0));
        }
    }
}

/// A command of Python's, in the directory of its tests.
fn python(tests: &[&str]) -> Command {
    let mut python = Command::new(&*PYTHON);
    python.current_dir(Path::new(SOURCES).join("amqp/python"));
    python.args(["-m", "pytest", "-q"]).args(tests);
    python
}

/// A command of Node's, in the directory of its tests.
fn node(tests: &[&str]) -> Command {
    let mut node = Command::new("node");
    node.env("NODE_PATH", &*MODULES).current_dir(Path::new(SOURCES).join("amqp/javascript"));
    node.arg("--test").args(tests);
    node
}

#[test]
fn proton_finds_what_it_expects() {
    let tests = ["test_management.py", "test_links.py", "test_users.py"];
    Gateways::start().check(&mut python(&tests));
}

#[test]
fn proton_and_uamqp_find_what_they_expect_over_tls() {
    // Only the first failure: where uamqp cannot connect, each of its tests takes all the time it has.
    Gateways::with_tls().check(&mut python(&["-x", "test_tls.py", "test_uamqp.py"]));
}

#[test]
fn azures_sdks_for_python_find_what_they_expect() {
    Gateways::start().check(&mut python(&["test_azure.py"]));
}

#[test]
fn rhea_and_azures_sdks_for_javascript_find_what_they_expect() {
    let tests = ["rhea.test.js", "promise.test.js", "azure.test.js"];
    Gateways::start().check(&mut node(&tests));
}

#[test]
fn proton_and_rhea_work_on_queues() {
    Gateways::start().check(&mut python(&["test_worker.py"]));
    Gateways::start().check(&mut node(&["worker.test.js"]));
}

#[test]
fn rabbits_library_for_python_finds_what_it_expects() {
    Gateways::start().check(&mut python(&["test_rabbitmq.py"]));
}

#[test]
fn rabbits_library_for_go_finds_what_it_expects() {
    let module = Module::of("amqp/rabbitmq");
    module.vet();
    Gateways::start().check(&mut module.test());
}
