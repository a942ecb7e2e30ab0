//! What holds as soon as it was read again, and what takes a restart: the code, and docs/operations.md.

use std::collections::BTreeSet;
use std::path::Path;

use opgate::settings::{Effective, InForce, Settings};

use super::{file, load};

fn effective(text: &str) -> Effective {
    let (_file, sources) = file(text);
    load(&sources).1
}

/// The names in backticks of a section of docs/operations.md.
fn named(heading: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once(&format!("### {heading}\n")).unwrap();
    let section = section.split("\n#").next().unwrap();
    section.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_key_is_where_the_manual_has_it() {
    let (now, later) =
        (named("What holds as soon as it was read again"), named("What takes a restart"));
    let has = |names: &BTreeSet<String>, key: &str| {
        names.iter().any(|name| {
            let rest = key.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let all = Settings::keys();
    let is_section = |key: &&String| {
        let of = format!("{key}.");
        all.range(of.clone()..).next().is_some_and(|next| next.starts_with(&of))
    };
    let keys: Vec<&String> = all.iter().filter(|key| !is_section(key)).collect();
    assert!(keys.len() > 100, "{keys:?}");
    // A backend's keys are told of without its name.
    for key in keys.iter().filter(|key| !key.starts_with("backends.")) {
        let reloaded = Settings::is_reloaded(key);
        assert_eq!((has(&now, key), has(&later, key)), (reloaded, !reloaded), "{key}");
    }
    for own in ["concurrency", "backlog", "lease", "attempts", "rate", "burst", "breaker"] {
        assert!(now.contains(own) && Settings::is_reloaded(&format!("backends.a.{own}")), "{own}");
    }
    assert!(!Settings::is_reloaded("backends.a.endpoint"));
}

#[test]
fn what_was_taken_over_is_what_the_next_reading_is_compared_with() {
    const CREW: &str = "[backends.crew]\nkind = \"worker\"\nconcurrency = 1\n";
    let mut in_force = InForce::new(&effective(""));
    let none = [""; 0];
    // A backend that is new holds with all it has; from then on it is there.
    assert_eq!(in_force.take(&effective(CREW), &[]), none);
    assert_eq!(in_force.take(&effective(&format!("{CREW}lease = \"7s\"\n")), &[]), none);
    let other = CREW.replace("worker", "showcase");
    assert_eq!(
        in_force.take(&effective(&other), &[]),
        ["backends.crew.kind", "backends.crew.lease"]
    );
    let expected = ["concurrency", "kind", "lease"].map(|key| format!("backends.crew.{key}"));
    assert_eq!(in_force.take(&effective(""), &[]), expected);
    // What waits for a restart is told of as long as it does, and no longer than that.
    assert_eq!(in_force.take(&effective(&format!("{CREW}lease = \"7s\"\n")), &[]), none);
    let queue = format!("{CREW}lease = \"7s\"\n[data]\nqueue = 7\n");
    for _ in 0..2 {
        assert_eq!(in_force.take(&effective(&queue), &[]), ["data.queue"]);
    }
    // What waits as a whole is told of by whoever knows.
    let route = "[routes.a]\nservice = \"s\"\noperation = \"o\"\nbackend = \"showcase\"\n";
    let waiting = ["routes.a".to_owned()];
    let mut in_force = InForce::new(&effective(""));
    assert_eq!(in_force.take(&effective(route), &waiting), none);
    assert_eq!(in_force.take(&effective(route), &[]), none);
}
