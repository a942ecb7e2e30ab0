//! The systemd unit, by systemd's own tool where the machine has it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{complaints, shipped};

const UNIT: &str = "deploy/systemd/opgate.service";
/// How exposed the unit may be, of 10, as systemd judges.
const EXPOSED: f64 = 2.0;

/// The values of a key, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let assigned = unit.lines().filter_map(|line| line.split_once('='));
    assigned.filter(|(known, _)| *known == key).map(|(_, value)| value).collect()
}

/// A time in systemd's words, in seconds.
fn seconds(text: &str) -> u64 {
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap());
    let number: u64 = number.parse().unwrap();
    match unit {
        "s" => number,
        "min" => number * 60,
        _ => panic!("{text}"),
    }
}

/// `systemd-analyze`, on the unit with this machine's daemon and no others; none without systemd.
fn analyze(dir: &Path, arguments: &[&str]) -> Option<Output> {
    let unit = shipped(UNIT).replace("/usr/bin/opgate", env!("CARGO_BIN_EXE_opgate"));
    let file = dir.join("opgate.service");
    std::fs::write(&file, unit).unwrap();
    Command::new("systemd-analyze").args(arguments).arg(&file).env("LC_ALL", "C").output().ok()
}

#[test]
fn the_unit_fits_the_daemon() {
    let unit = shipped(UNIT);
    assert_eq!(values(&unit, "Type"), ["notify"]);
    assert_eq!(values(&unit, "ExecStartPre"), ["/usr/bin/opgate check"]);
    assert_eq!(values(&unit, "ExecStart"), ["/usr/bin/opgate run"]);
    // `sysexits.h`: usage and configuration.
    assert_eq!(values(&unit, "RestartPreventExitStatus"), ["64 78"]);
    assert_eq!(
        values(&unit, "Environment"),
        ["OPGATE_CONFIG=/etc/opgate/opgate.toml", "OPGATE__DATA__DIR=/var/lib/opgate"]
    );
    let defaults = shipped("config/opgate.toml");
    let drain = defaults.split("[drain]").nth(1).unwrap();
    let timeout = drain.lines().find_map(|line| line.strip_prefix("timeout = \"")).unwrap();
    let stop = values(&unit, "TimeoutStopSec")[0];
    assert!(seconds(stop) >= 2 * seconds(timeout.trim_end_matches('"')), "{stop}, {timeout}");
    // `/livez`, and so the watchdog's sign, allows the journal 30 s.
    assert!(seconds(values(&unit, "WatchdogSec")[0]) >= 60);
    let settings = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/opgate.toml");
    assert_eq!(complaints(&settings), None);
}

#[test]
#[expect(clippy::print_stdout, reason = "--nocapture shows what was not checked")]
fn systemd_understands_it_and_finds_it_hardened() {
    let dir = tempfile::tempdir().unwrap();
    let Some(verified) = analyze(dir.path(), &["verify", "--man=no"]) else {
        println!("there is no systemd-analyze here: the unit was not checked by it");
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("opgate.service")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");
    let judged = analyze(dir.path(), &["security", "--offline=true", "--no-pager"]).unwrap();
    let said = String::from_utf8_lossy(&judged.stdout);
    let level = said.split("Overall exposure level for opgate.service: ").nth(1).unwrap();
    let level: f64 = level.split(' ').next().unwrap().parse().unwrap();
    assert!(level <= EXPOSED, "{said}");
}
