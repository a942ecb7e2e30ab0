//! How an upstream is called, of whatever kind it is: how often, whether it is left alone, and what is tried again.

use std::time::Duration;

use opgate_bus::{Backoff, Breaking, Gate, Rate};
use opgate_telemetry::BackendMetrics;

use super::section::Section;
use super::{HOUR, MS, Retry, narrow, units};

/// How often the upstream may fail in a row unless configured otherwise: as with receivers of callbacks.
const FAILURES: u32 = 5;
/// How long it is left alone at first unless configured otherwise.
const PAUSE: Duration = Duration::from_secs(1);
/// And at most.
const LONGEST: Duration = Duration::from_mins(1);

/// How an upstream is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// How often; none where that is not bounded.
    pub rate: Option<Rate>,
    /// When it is left alone; none where it never is.
    pub breaking: Option<Breaking>,
    /// When and how often what it could not do is tried again.
    pub retry: Retry,
}

/// The keys that backends have whose calls leave this process.
pub(super) const KEYS: [&str; 8] = [
    "rate",
    "burst",
    "breaker",
    "breaker_pause",
    "breaker_longest",
    "retry_first",
    "retry_longest",
    "retry_attempts",
];

/// Those of them that hold as soon as they were read again.
pub(super) const RELOADED: [&str; 5] =
    ["rate", "burst", "breaker", "breaker_pause", "breaker_longest"];

impl Manner {
    /// Reads those keys; what is not said of a retry is as it is `in_general`.
    pub(super) fn of(section: &Section<'_>, in_general: Retry) -> Self {
        Self { rate: rate(section), breaking: breaking(section), retry: retry(section, in_general) }
    }

    /// What the calls of a backend pass through.
    pub(crate) fn gate(&self, metrics: Option<&BackendMetrics>) -> Gate {
        Gate::new(self.rate, self.breaking, metrics)
    }

    pub(crate) const fn backoff(&self) -> Backoff {
        let Retry { first, longest, attempts } = self.retry;
        Backoff { first, longest, attempts }
    }
}

fn rate(section: &Section<'_>) -> Option<Rate> {
    let burst = section.optional("burst", |section, key| section.count(key, 1..=1_000_000));
    let Some(text) = section.optional("rate", Section::text) else {
        if burst.is_some() {
            section.refuse("burst", "has no effect: it is what may come at once of a rate");
        }
        return None;
    };
    let Some((calls, period)) = units::rate(&text) else {
        let allowed = "must be a whole number, at least 1, of calls in a second, a minute or an hour, such as \
                       \"100/s\", \"600/m\" or \"1000/h\"";
        section.refuse("rate", allowed);
        return None;
    };
    let burst = burst.map_or(calls, |burst| narrow(burst as u64));
    Some(Rate { calls, period, burst })
}

fn breaking(section: &Section<'_>) -> Option<Breaking> {
    let duration = |key, default| {
        section.optional(key, |section, key| section.duration(key, MS..=HOUR)).unwrap_or(default)
    };
    let failures = section.optional("breaker", |section, key| section.count(key, 0..=1_000_000));
    let failures = failures.map_or(FAILURES, |failures| narrow(failures as u64));
    let breaking = Breaking {
        failures,
        pause: duration("breaker_pause", PAUSE),
        longest: duration("breaker_longest", LONGEST),
    };
    if failures == 0 {
        for key in ["breaker_pause", "breaker_longest"] {
            if section.has(key) {
                section.refuse(key, "has no effect: with breaker = 0 it is never left alone");
            }
        }
        return None;
    }
    if breaking.pause > breaking.longest {
        section.refuse(
            "breaker_pause",
            "must be at most breaker_longest, which is 1m unless it is said",
        );
    }
    Some(breaking)
}

fn retry(section: &Section<'_>, in_general: Retry) -> Retry {
    let duration = |key, default| {
        section
            .optional(key, |section, key| section.duration(key, MS..=super::DAY))
            .unwrap_or(default)
    };
    let retry = Retry {
        first: duration("retry_first", in_general.first),
        longest: duration("retry_longest", in_general.longest),
        attempts: section
            .optional("retry_attempts", |section, key| section.count(key, 1..=1000))
            .map_or(in_general.attempts, |attempts| narrow(attempts as u64)),
    };
    let said = ["retry_first", "retry_longest"].into_iter().find(|key| section.has(key));
    if let Some(key) = said
        && retry.first > retry.longest
    {
        let text = "retry_first must be at most retry_longest; what is not said is as in [retry]";
        section.refuse(key, text);
    }
    retry
}
