//! How upstreams are called: the keys that all kinds of them have.

use std::time::Duration;

use opgate::settings::Manner;

use super::{file, load, problem};

fn up(kind: &str, keys: &str) -> String {
    let call = match kind {
        "amqp" => "sasl = \"anonymous\"\nendpoint = \"amqp://127.0.0.1\"",
        "oci" => "signing = \"none\"\nendpoint = \"http://h\"",
        "worker" | "showcase" => "",
        _ => "endpoint = \"http://h\"",
    };
    format!("[backends.up]\nkind = \"{kind}\"\nconcurrency = 1\n{call}\n{keys}\n")
}

fn manner(kind: &str, keys: &str) -> Manner {
    let (_file, sources) = file(&up(kind, keys));
    load(&sources).0.backends["up"].manner
}

const KINDS: [&str; 4] = ["longrunning", "nexus", "oci", "amqp"];

#[test]
fn what_is_left_out_is_as_documented_for_every_kind() {
    for kind in KINDS {
        let manner = manner(kind, "");
        assert_eq!(manner.rate, None);
        let breaking = manner.breaking.unwrap();
        assert_eq!(breaking.failures, 5);
        assert_eq!(
            (breaking.pause, breaking.longest),
            (Duration::from_secs(1), Duration::from_mins(1))
        );
        assert_eq!((manner.retry.first, manner.retry.attempts), (Duration::from_millis(500), 8));
    }
}

#[test]
fn all_of_it_can_be_said() {
    for kind in KINDS {
        let keys = "rate = \"600/m\"\nburst = 7\nbreaker = 2\nbreaker_pause = \"3s\"\nbreaker_longest = \"4s\"\n\
                    retry_first = \"1s\"\nretry_longest = \"2s\"\nretry_attempts = 3";
        let manner = manner(kind, keys);
        let rate = manner.rate.unwrap();
        assert_eq!((rate.calls, rate.period, rate.burst), (600, Duration::from_mins(1), 7));
        let breaking = manner.breaking.unwrap();
        assert_eq!((breaking.failures, breaking.longest), (2, Duration::from_secs(4)));
        assert_eq!((manner.retry.longest, manner.retry.attempts), (Duration::from_secs(2), 3));
    }
    assert_eq!(manner("oci", "rate = \"5/h\"").rate.unwrap().burst, 5);
    assert_eq!(manner("oci", "breaker = 0").breaking, None);
}

#[test]
fn what_is_wrong_is_told_with_what_is_allowed() {
    for (keys, key, reason) in [
        ("rate = \"100\"", "rate", "such as \"100/s\""),
        ("rate = \"0/s\"", "rate", "at least 1"),
        ("burst = 3", "burst", "has no effect"),
        ("rate = \"1/s\"\nburst = 0", "burst", "1"),
        ("breaker = 0\nbreaker_pause = \"1s\"", "breaker_pause", "has no effect"),
        ("breaker_pause = \"2m\"", "breaker_pause", "at most breaker_longest"),
        ("retry_first = \"2m\"", "retry_first", "at most retry_longest"),
        ("retry_longest = \"10ms\"", "retry_longest", "at most retry_longest"),
        ("retry_attempts = 0", "retry_attempts", "1"),
    ] {
        let (_file, sources) = file(&up("nexus", keys));
        let told = problem(&sources);
        assert_eq!(told.key, format!("backends.up.{key}"), "{told}");
        assert!(told.reason.contains(reason), "{told}");
    }
}

#[test]
fn what_stays_within_the_daemon_has_no_upstream_to_be_gentle_with() {
    for kind in ["worker", "showcase"] {
        let (_file, sources) = file(&up(kind, "rate = \"1/s\""));
        let told = problem(&sources);
        assert_eq!(told.key, "backends.up.rate");
        assert!(told.reason.contains("kind = \"nexus\" or"), "{told}");
    }
}
