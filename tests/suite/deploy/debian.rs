//! The Debian package: made by `cargo deb`, taken apart, and what is in it looked at. No machine has it installed here.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use super::shipped;
use crate::clients::{KEPT, SOURCES, run};

const VERSION: &str = "3.8.0";

/// `cargo-deb`, built the first time, which takes minutes of one core.
static CARGO_DEB: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = Path::new(KEPT).join(format!("cargo-deb-{VERSION}"));
    let program = root.join("bin/cargo-deb");
    if !program.exists() {
        let mut nice = Command::new("nice");
        nice.args(["-n", "19", env!("CARGO"), "install", "cargo-deb", "--locked"])
            .args(["--version", VERSION, "--no-default-features", "--root"])
            .arg(&root)
            .arg("--target-dir")
            .arg(root.join("target"));
        run(&mut nice);
    }
    program
});

/// What is in a package: its control fields, its scripts, and every file with its mode and text.
struct Package {
    control: BTreeMap<String, String>,
    members: BTreeMap<String, String>,
    files: BTreeMap<String, (u32, String)>,
}

fn package() -> Package {
    let dir = tempfile::tempdir().unwrap();
    let deb = dir.path().join("opgate.deb");
    // With the daemon that the tests run, where a release would lie.
    let target = dir.path().join("target");
    std::fs::create_dir_all(target.join("release")).unwrap();
    symlink(env!("CARGO_BIN_EXE_opgate"), target.join("release/opgate")).unwrap();
    run(Command::new(&*CARGO_DEB)
        .args(["deb", "--no-build", "--no-strip", "--fast", "--locked", "--output"])
        .arg(&deb)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO", env!("CARGO"))
        .env("CARGO_TARGET_DIR", target));
    let said = run(Command::new("python3").arg(Path::new(SOURCES).join("deb.py")).arg(&deb));
    let shown: Value = serde_json::from_str(&said).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let texts = |of: &Value| -> BTreeMap<String, String> {
        of.as_object().unwrap().iter().map(|(name, of)| (name.clone(), text(of))).collect()
    };
    let files = shown["files"].as_object().unwrap().iter().map(|(name, file)| {
        let mode = u32::try_from(file["mode"].as_u64().unwrap()).unwrap();
        (name.clone(), (mode, text(&file["text"])))
    });
    Package {
        control: texts(&shown["control"]),
        members: texts(&shown["members"]),
        files: files.collect(),
    }
}

#[test]
fn the_package_has_the_daemon_its_unit_and_its_settings() {
    let Package { control, members, files } = package();
    let manifest = shipped("Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = \"")).unwrap();
    assert_eq!(control["Package"], "opgate");
    assert!(control["Version"].starts_with(version.trim_end_matches('"')), "{control:?}");
    assert_eq!((&*control["Section"], &*control["Priority"]), ("net", "optional"));
    // What an administrator has changed is not overwritten.
    assert_eq!(members["conffiles"].trim(), "/etc/opgate/opgate.toml");
    assert!(members["postinst"].contains("opgate.service"), "{}", members["postinst"]);
    assert!(!members["postinst"].contains("deb-systemd-invoke start"), "it starts by itself");

    assert_eq!(files["usr/bin/opgate"].0, 0o755);
    let unit = files.keys().find(|name| name.ends_with("lib/systemd/system/opgate.service"));
    assert_eq!(files[unit.unwrap()].1, shipped("deploy/systemd/opgate.service"));
    for (installed, from) in [
        ("etc/opgate/opgate.toml", "deploy/systemd/opgate.toml"),
        ("usr/share/doc/opgate/opgate.toml", "config/opgate.toml"),
        ("usr/share/doc/opgate/grafana/opgate.json", "deploy/grafana/opgate.json"),
        ("usr/share/doc/opgate/prometheus/rules/alerts.yml", "deploy/prometheus/rules/alerts.yml"),
    ] {
        assert_eq!(files[installed].0, 0o644, "{installed}");
        let shipped = shipped(from);
        // Documents may be compressed, and are shown as they were.
        assert_eq!(files[installed].1, shipped, "{installed}");
    }
}
