//! The structure, as rules: which crate may name which, and what lies at the top.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What each crate may depend on, of ours. A protocol may add nothing: neither the store nor
/// another protocol is in reach.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("opgate-core", &[]),
    ("opgate-telemetry", &[]),
    ("opgate-store", &["opgate-core", "opgate-telemetry"]),
    ("opgate-template", &["opgate-core"]),
    ("opgate-bus", &["opgate-core", "opgate-telemetry", "opgate-store", "opgate-template"]),
    ("opgate-edge", &["opgate-core", "opgate-telemetry"]),
    ("opgate-egress", &["opgate-core", "opgate-telemetry"]),
    ("opgate-rpc", &["opgate-core", "opgate-telemetry", "opgate-bus", "opgate-edge"]),
    (
        "a protocol",
        &[
            "opgate-core",
            "opgate-telemetry",
            "opgate-bus",
            "opgate-edge",
            "opgate-egress",
            "opgate-rpc",
            "opgate-template",
        ],
    ),
];

/// Crates that make time, chance or input and output: the core has none.
const IMPURE: [&str; 7] = ["tokio", "hyper", "rusqlite", "tracing", "metrics", "getrandom", "rand"];

/// Everything that may lie at the top of the repository.
const TOP: [&str; 25] = [
    ".cargo",
    ".ci",
    ".git",
    ".github",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "benches",
    "clippy.toml",
    "config",
    "deny.toml",
    "deploy",
    "docs",
    "gateway",
    "justfile",
    "protocols",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "tests",
];

/// A member of the workspace: its folder, and its dependencies by kind (`normal`, `dev`, `build`).
struct Member {
    folder: String,
    dependencies: Vec<(String, String)>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn members() -> BTreeMap<String, Member> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let dependency = |value: &Value| {
        (text(&value["name"]), value["kind"].as_str().unwrap_or("normal").to_owned())
    };
    let member = |package: &Value| {
        let manifest = text(&package["manifest_path"]);
        let folder = Path::new(&manifest).parent().unwrap().strip_prefix(root()).unwrap();
        let dependencies = package["dependencies"].as_array().unwrap();
        let member = Member {
            folder: folder.to_str().unwrap().to_owned(),
            dependencies: dependencies.iter().map(dependency).collect(),
        };
        (text(&package["name"]), member)
    };
    metadata["packages"].as_array().unwrap().iter().map(member).collect()
}

#[test]
fn dependencies_point_one_way() {
    let members = members();
    let mut checked = BTreeSet::new();
    for (name, member) in &members {
        let role = if member.folder.starts_with("protocols/") { "a protocol" } else { name };
        // The root package knows every part; the floor that opgate is measured against shares its
        // sockets.
        let allowed: &[&str] = match ALLOWED.iter().find(|(known, _)| *known == role) {
            Some((_, allowed)) => allowed,
            None if name == "opgate" => continue,
            None if member.folder.starts_with("benches/") => &["opgate-edge", "opgate-telemetry"],
            None => panic!("{name} in {} has no rule", member.folder),
        };
        for (dependency, kind) in &member.dependencies {
            // A crate names itself to test with features of its own.
            let ours = members.contains_key(dependency) && dependency != name;
            // A protocol may bring up a real bus in its tests, and that needs a store.
            let for_tests = kind == "dev" && role == "a protocol" && dependency == "opgate-store";
            assert!(
                !ours || for_tests || allowed.contains(&dependency.as_str()),
                "{name} must not depend on {dependency}: {role} may depend on {allowed:?}"
            );
        }
        checked.insert(role);
    }
    for (role, _) in ALLOWED {
        assert!(checked.contains(role), "{role} is nowhere");
    }
}

#[test]
fn the_core_is_pure() {
    let core = &members()["opgate-core"];
    for (dependency, kind) in &core.dependencies {
        assert!(kind == "dev" || !IMPURE.contains(&dependency.as_str()), "{dependency}");
    }
}

#[test]
fn only_the_edge_listens() {
    let mut seen = 0;
    for folder in ["gateway", "protocols"] {
        for file in sources(&root().join(folder)) {
            let path = file.strip_prefix(root()).unwrap();
            let text = std::fs::read_to_string(&file).unwrap();
            // What follows is tests, which may play the other side.
            let code = text.split("#[cfg(test)]").next().unwrap();
            let listens = code.contains("TcpListener") || code.contains("UnixListener");
            let edge = path.starts_with("gateway/edge");
            assert!(edge || !listens, "{} opens a listener", path.display());
            seen += usize::from(edge && listens);
        }
    }
    assert!(seen > 0, "the edge listens");
}

/// The Rust files beneath the `src` folders of a folder, and beside them.
fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().unwrap() != "tests" {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The arguments of every line that is logged in a source.
fn logged(source: &str) -> Vec<&str> {
    let levels = ["error!(", "warn!(", "info!(", "debug!(", "trace!("];
    let begins = levels.iter().flat_map(|level| source.split(level).skip(1));
    begins.map(|rest| rest.split_once(");").map_or(rest, |(arguments, _)| arguments)).collect()
}

#[test]
fn a_line_about_an_operation_that_is_at_hand_says_its_trace() {
    let mut lines = 0;
    for folder in ["gateway", "protocols"] {
        for path in sources(&root().join(folder)) {
            let source = std::fs::read_to_string(&path).unwrap();
            for arguments in logged(&source) {
                let is_at_hand = arguments.contains("operation = %") && arguments.contains(".id");
                if is_at_hand && !arguments.contains("operation = %key.id") {
                    assert!(arguments.contains("trace_id"), "{}: {arguments}", path.display());
                    lines += 1;
                }
            }
        }
    }
    assert!(lines > 10, "{lines}");
}

#[test]
fn nothing_unexpected_lies_at_the_top() {
    let ignored = std::fs::read_to_string(root().join(".gitignore")).unwrap();
    let ignored: BTreeSet<&str> =
        ignored.lines().filter_map(|line| line.strip_prefix('/')).collect();
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let expected = TOP.contains(&name.as_str()) || ignored.contains(name.as_str());
        assert!(expected, "{name} does not belong at the top");
    }
}
