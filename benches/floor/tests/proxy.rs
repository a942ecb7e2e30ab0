//! The runner's figures of the proxy come out, whatever they are: every kind of backend carries operations out for
//! the upstreams of the floor, and every direct call is answered as it is to be.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn the_proxy_is_measured_against_each_upstream() {
    let binaries = Path::new(env!("CARGO_BIN_EXE_floor")).parent().unwrap();
    let opgate = binaries.join("opgate");
    assert!(opgate.exists(), "{} is built by `cargo test --workspace`", opgate.display());
    let runner = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("compare.py");
    let dir = tempfile::tempdir().unwrap();
    let (data, results) = (dir.path(), dir.path().join("results.json"));
    let output = Command::new("python3")
        .arg(runner)
        .args(["--only", "proxy", "--rounds", "1", "--operations", "20"])
        .arg("--opgate")
        .arg(&opgate)
        .arg("--bin")
        .arg(binaries)
        .arg("--data-root")
        .arg(data)
        .arg("--json")
        .arg(&results)
        .output()
        .unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{said}");
    let results: Value = serde_json::from_slice(&std::fs::read(results).unwrap()).unwrap();
    let figure = |name: &str, variant: &str| {
        let value = &results["figures"][name][variant][0];
        value.as_f64().unwrap_or_else(|| panic!("{name} of {variant}: {said}"))
    };
    for hop in [
        "longrunning now",
        "longrunning later",
        "nexus now",
        "nexus later",
        "oci now",
        "oci later",
        "amqp now",
    ] {
        for variant in ["opgate", "direct"] {
            assert!(figure(&format!("{hop}: p50 us"), variant) > 0.0);
            assert!(figure(&format!("{hop}: CPU us/operation, 1 at once"), variant) > 0.0);
        }
    }
    // A hundred more who wait cost no look more; how many fit into a second is the machine's.
    for watching in [1, 100] {
        let looks = figure(&format!("looks upstream in 1 s, {watching} watching"), "opgate");
        assert!((2.0..=100.0).contains(&looks), "{looks} with {watching} watching");
    }
}
