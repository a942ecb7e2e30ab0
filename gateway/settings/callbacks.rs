//! `[callbacks]` and `[egress]`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use opgate_egress::{Client, IpNet, Pattern, Settings as Egress};
use opgate_nexus::callback::{Receiver, Secret};

use super::nexus::{credentials, from_file};
use super::section::Section;
use super::{DAY, Delivery, HOUR, MS, RETENTION_MAX, SECOND, narrow};

/// `[callbacks]`.
#[derive(Clone, Debug)]
pub struct Callbacks {
    /// When and how often, and how many.
    pub delivery: Delivery,
    /// Where they may go; nowhere if empty.
    pub allow: Vec<Pattern>,
    /// Whether they may go there without TLS.
    pub plaintext: bool,
    /// Addresses beyond the public internet that they may go to.
    pub networks: Vec<IpNet>,
    /// Time for one attempt.
    pub timeout: Duration,
    /// Receivers that get more than others, by name.
    pub receivers: Vec<Receiver>,
}

pub(super) fn callbacks(section: &Section<'_>) -> Callbacks {
    let delivery = Delivery {
        first: section.duration("first", 10 * MS..=HOUR),
        longest: section.duration("longest", 10 * MS..=DAY),
        give_up: section.duration("give_up", SECOND..=RETENTION_MAX),
        concurrency: section.count("concurrency", 1..=100_000),
        per_destination: section.count("per_destination", 1..=100_000),
        failures: narrow(section.count("failures", 1..=1_000_000) as u64),
        pause: section.duration("pause", 10 * MS..=HOUR),
        owed: section.count("owed", 1..=10_000_000),
    };
    let callbacks = Callbacks {
        delivery,
        allow: hosts(section, "allow"),
        plaintext: section.flag("plaintext"),
        networks: each(section, "networks", |text| {
            let problem = |_| format!("{text:?} must be a network such as \"10.1.0.0/16\"");
            IpNet::from_str(text).map(|network| network.trunc()).map_err(problem)
        }),
        timeout: section.duration("timeout", 10 * MS..=HOUR),
        receivers: section.named("receivers").values().map(receiver).collect(),
    };
    section.finish();
    if delivery.first > delivery.longest {
        section.refuse("first", "must be at most callbacks.longest");
    }
    callbacks
}

fn receiver(section: &Section<'_>) -> Receiver {
    let secrets = section.optional("secret_files", |section, key| {
        each(section, key, |path| {
            let secret = from_file(path)?.parse::<Secret>();
            secret.map_err(|problem| format!("{path}: {problem}"))
        })
    });
    let receiver = Receiver {
        hosts: hosts(section, "hosts"),
        credentials: credentials(section, opgate_nexus::backend::is_ours),
        secrets: secrets.unwrap_or_default(),
    };
    section.finish();
    if receiver.hosts.is_empty() && !section.is_refused("hosts") {
        section.refuse("hosts", "is empty: which receivers are these?");
    }
    receiver
}

fn hosts(section: &Section<'_>, key: &'static str) -> Vec<Pattern> {
    each(section, key, |text| {
        let form = "host, host:port, *.domain, *.domain:port or *";
        text.parse().map_err(|problem| format!("{problem}; {form} is expected"))
    })
}

/// A list of texts, each read; the first that cannot be is noted.
fn each<T>(
    section: &Section<'_>,
    key: &'static str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let read: Result<_, String> = section.texts(key).iter().map(|text| read(text)).collect();
    read.unwrap_or_else(|problem| {
        section.refuse(key, problem);
        Vec::new()
    })
}

pub(super) fn egress(section: &Section<'_>) -> Egress {
    let authorities = section.optional("ca_file", |section, key| PathBuf::from(section.text(key)));
    section.finish();
    let egress = Egress { authorities, ..Egress::default() };
    if egress.authorities.is_some()
        && !section.is_refused("ca_file")
        && let Err(problem) = Client::new(&egress)
    {
        section.refuse("ca_file", problem.to_string());
    }
    egress
}
