//! Every file in `config/examples`, whichever there are: it is good, says how it is used, and a daemon starts
//! with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use opgate::settings::{Settings, Sources};
use serde_json::Value;

use crate::process::Launch;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    files
}

fn opgate(arguments: &[&str], example: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opgate"));
    let output = command.args(arguments).arg("--config").arg(example).env_clear().output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && complaint.is_empty(), "{}: {complaint}", example.display());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_daemon_starts_with_every_example() {
    let examples = examples();
    assert!(!examples.is_empty());
    for example in &examples {
        assert_eq!(opgate(&["check"], example), "");
        let dir = tempfile::tempdir().unwrap();
        let daemon = Launch::new(dir.path()).config_file(example).start();
        assert_eq!(daemon.probe("/readyz").0, 200, "{}", example.display());
        let ended = daemon.terminate();
        assert_eq!(ended.code(), Some(0), "{}: {}", example.display(), ended.log);
        // Nothing in it is found out to be doubtful only by running it.
        assert!(!ended.log.contains("WARN"), "{}: {}", example.display(), ended.log);
    }
}

#[test]
fn every_example_says_how_it_is_run() {
    for example in examples() {
        let name = example.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&example).unwrap();
        let line = format!("#   opgate --config config/examples/{name}");
        assert!(text.lines().any(|found| found == line), "{name} has no line {line}");
        assert!(text.starts_with("# "), "{name} does not say what it is for");
    }
}

#[test]
fn the_routes_of_every_example_are_shown_with_the_doors_it_gives_them() {
    for example in examples() {
        let sources = Sources { files: vec![example.clone()], ..Sources::default() };
        let (settings, _) = Settings::load(&sources).unwrap();
        let shown: Value = serde_json::from_str(&opgate(&["routes", "--json"], &example)).unwrap();
        let shown = shown.as_array().unwrap();
        assert_eq!(shown.len(), settings.routes.len(), "{}", example.display());
        for (name, route) in &settings.routes {
            let found = shown.iter().find(|shown| shown["route"] == **name).unwrap();
            let doors = found["doors"].as_array().unwrap();
            let given = [
                ("grpc", route.grpc.is_some()),
                ("rest", route.http.is_some()),
                ("oci", route.oci.is_some()),
                ("nexus", true),
                ("amqp", route.amqp.is_some()),
                ("native", true),
            ];
            for (door, _) in given.into_iter().filter(|(_, given)| *given) {
                let is_there = doors.iter().any(|shown| shown["door"] == door);
                assert!(is_there, "{}: {name} has no door {door}", example.display());
            }
        }
    }
}
