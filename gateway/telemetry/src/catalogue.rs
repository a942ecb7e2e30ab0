//! Every metric of the daemon, declared once: name, kind, unit, help, labels, buckets.
//!
//! The list feeds the exporter (help texts, buckets), the handles of this crate, and the tests that compare it with
//! what `/metrics` shows. Rules: names start with `opgate_` (`process_` for the process itself), counters end in
//! `_total`, a unit stands in the name, labels are closed sets: no tenant, identifier, path or error text.

/// What a metric is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts per bucket.
    Histogram,
}

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    None,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// The declaration of one metric.
#[derive(Debug)]
pub struct MetricSpec {
    /// Full name, with unit and `_total` where they belong.
    pub name: &'static str,
    /// What it is to Prometheus.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// One sentence for the operator.
    pub help: &'static str,
    /// Label names, in the order call sites give the values.
    pub labels: &'static [&'static str],
    /// Upper bounds of the buckets, ascending, without `+Inf`; empty unless a histogram.
    pub buckets: &'static [f64],
}

/// Requests: a memory read takes tens of microseconds, a submit one fsync, a wait up to a minute.
pub(crate) const REQUEST_SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0,
    60.0,
];

/// Operations: one second to seven days.
const OPERATION_SECONDS: &[f64] = &[
    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0, 604_800.0,
];

/// Disk: a fast flash fsync takes 20 us, a troubled disk seconds.
const DISK_SECONDS: &[f64] = &[
    0.000_02, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5,
    2.5,
];

/// From when a callback is owed to when it is taken: at once, up to days.
const LAG_SECONDS: &[f64] =
    &[0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 300.0, 1_800.0, 7_200.0, 36_000.0, 86_400.0, 259_200.0];

/// Calls to other systems.
const BACKEND_SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Records in one durable batch.
const BATCH_RECORDS: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 4_096.0];

macro_rules! catalogue {
    ($($constant:ident: $kind:ident $unit:ident $name:literal {$($label:literal),*} $([$buckets:ident])? $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $constant: MetricSpec = MetricSpec {
                name: $name,
                kind: Kind::$kind,
                unit: Unit::$unit,
                help: $help,
                labels: &[$($label),*],
                buckets: { let buckets: &[f64] = &[]; $(let _ = buckets; let buckets = $buckets;)? buckets },
            };
        )+

        /// Every metric the daemon exposes.
        pub const CATALOGUE: &[MetricSpec] = &[$($constant),+];
    };
}

catalogue! {
    BUILD: Gauge None "opgate_build_info" {"version"}
        "Always 1; the label carries the version of the running binary.";
    READY: Gauge None "opgate_ready" {}
        "1 when every readiness condition holds, as /readyz answers.";
    DRAINING: Gauge None "opgate_draining" {}
        "1 from the moment the daemon was told to stop.";

    REQUESTS: Counter None "opgate_requests_total" {"protocol", "method", "code"}
        "Requests answered or given up by their client, by google.rpc code.";
    REQUEST_DURATION: Histogram Seconds "opgate_request_duration_seconds" {"protocol", "method"} [REQUEST_SECONDS]
        "Time from the request head to the response head.";
    REQUESTS_IN_FLIGHT: Gauge None "opgate_requests_in_flight" {"protocol"}
        "Requests being worked on, waits included.";

    RELOADS: Counter None "opgate_config_reloads_total" {"result"}
        "Times the settings were read again, by what became of them.";
    CONNECTIONS: Gauge None "opgate_connections" {"listener"}
        "Open connections.";
    CONNECTIONS_MAX: Gauge None "opgate_connections_max" {"listener"}
        "Connections a listener keeps open at most; one more is closed at once.";
    CONNECTIONS_REJECTED: Counter None "opgate_connections_rejected_total" {"listener"}
        "Connections closed at once because the limit of the listener was reached.";
    CONNECTIONS_CUT: Counter None "opgate_connections_cut_total" {"listener", "reason"}
        "Connections the gateway ended although the peer kept them open.";
    ACCEPT_ERRORS: Counter None "opgate_accept_errors_total" {"listener"}
        "Failed attempts to accept a connection, mostly for want of file descriptors.";
    HANDSHAKE_FAILURES: Counter None "opgate_tls_handshake_failures_total" {"listener", "reason"}
        "Connections on which TLS did not come about, by what kept it from that.";
    CERTIFICATE_EXPIRES: Gauge Seconds "opgate_tls_certificate_expires_timestamp_seconds" {"listener"}
        "When the certificate of the listener ends, or one it is vouched for with, since the Unix epoch; 0 without TLS.";
    PANICS: Counter None "opgate_panics_contained_total" {"place"}
        "Panics caught before they could end the daemon; every one is a defect.";

    OPERATIONS: Gauge None "opgate_operations" {"state"}
        "Operations kept, by state.";
    OPERATIONS_OLDEST: Gauge Seconds "opgate_operations_oldest_unfinished_timestamp_seconds" {}
        "When the oldest operation that has not ended was accepted, since the Unix epoch; 0 where all have ended.";
    OPERATIONS_UNFINISHED_MAX: Gauge None "opgate_operations_unfinished_max" {}
        "Operations that have not ended, at most: a start beyond is refused.";
    OPERATIONS_ACCEPTED: Counter None "opgate_operations_accepted_total" {"protocol", "backend"}
        "Operations made durable, by the protocol they came in and the backend they are for.";
    OPERATIONS_FINISHED: Counter None "opgate_operations_finished_total" {"protocol", "backend", "outcome"}
        "Operations that reached their end, by the protocol they came in and the backend that had them last.";
    OPERATION_DURATION: Histogram Seconds "opgate_operation_duration_seconds" {"outcome"} [OPERATION_SECONDS]
        "Time from acceptance to the end of an operation.";
    OPERATIONS_REMOVED: Counter None "opgate_operations_removed_total" {"reason"}
        "Operations no longer kept.";
    TERMINALS_REFUSED: Counter None "opgate_terminals_refused_total" {}
        "Second, different outcomes reported for an operation that had ended, and refused.";
    WATCHERS: Gauge None "opgate_watchers" {"protocol"}
        "Requests waiting for an operation to change.";
    PERMITS: Gauge None "opgate_permits" {"what"}
        "Waits, watches, asks for work and live pages of the console under way.";
    PERMITS_MAX: Gauge None "opgate_permits_max" {"what"}
        "Waits, watches, asks for work and live pages of the console that may be under way; what is beyond is answered at once, or refused.";
    SUBMIT_DURATION: Histogram Seconds "opgate_submit_duration_seconds" {} [REQUEST_SECONDS]
        "Time from handing a command to the bus to its durable receipt.";

    JOURNAL_APPEND: Counter Bytes "opgate_journal_append_bytes_total" {}
        "Bytes of records appended to the journal.";
    JOURNAL_FSYNC: Histogram Seconds "opgate_journal_fsync_duration_seconds" {} [DISK_SECONDS]
        "Time to make one batch durable.";
    JOURNAL_BATCH: Histogram None "opgate_journal_batch_records" {} [BATCH_RECORDS]
        "Records made durable together.";
    JOURNAL_QUEUE: Gauge None "opgate_journal_queue" {}
        "Commands that waited to be written when the last batch had been.";
    JOURNAL_QUEUE_MAX: Gauge None "opgate_journal_queue_max" {}
        "Commands that may wait to be written: one more is refused.";
    JOURNAL_SIZE: Gauge Bytes "opgate_journal_size_bytes" {}
        "Size of the journal on disk, without its write-ahead log.";
    JOURNAL_WAL: Gauge Bytes "opgate_journal_wal_bytes" {}
        "Size of the journal's write-ahead log.";
    JOURNAL_FREE: Gauge Bytes "opgate_journal_free_bytes" {}
        "Room the journal may still take, on its file system and up to its largest size.";
    JOURNAL_ERRORS: Counter None "opgate_journal_errors_total" {"kind"}
        "Failures of the journal; any of them deserves a look.";
    JOURNAL_WRITABLE: Gauge None "opgate_journal_writable" {}
        "1 while the journal takes writes.";

    OPERATIONS_RESIDENT: Gauge None "opgate_operations_resident" {}
        "Operations held in memory.";
    OPERATIONS_RESIDENT_BYTES: Gauge Bytes "opgate_operations_resident_bytes" {}
        "Memory charged to the operations held in memory.";
    RECOVERY_DURATION: Gauge Seconds "opgate_recovery_duration_seconds" {}
        "Time the last start took to read the journal back.";
    RECOVERY_OPERATIONS: Gauge None "opgate_recovery_operations" {}
        "Operations the last start read back.";

    LEASES: Gauge None "opgate_leases" {"backend"}
        "Operations a backend is carrying out.";
    LEASES_MAX: Gauge None "opgate_leases_max" {"backend"}
        "Operations a backend carries out at a time, at most; others wait for room.";
    LEASES_LOST: Counter None "opgate_leases_lost_total" {"backend"}
        "Leases that ended under their holder: by hand, by a deadline or by another lease.";
    LEASES_EXPIRED: Counter None "opgate_leases_expired_total" {"backend"}
        "Leases of workers that ran out before their holder was heard of again.";
    BACKEND_STRAYS: Counter None "opgate_backend_strays_total" {"backend"}
        "Replies of an upstream that nobody waited for: late ones, and those to no request.";
    OPERATIONS_QUEUED: Gauge None "opgate_operations_queued" {"backend"}
        "Operations that wait for a worker, or for their backend to have room.";
    LEASE_ASKS: Gauge None "opgate_lease_asks" {"backend"}
        "Workers that wait for an operation.";
    BACKEND_REQUESTS: Counter None "opgate_backend_requests_total" {"backend", "code"}
        "Calls to a backend, by google.rpc code.";
    BACKEND_REQUEST_DURATION: Histogram Seconds "opgate_backend_request_duration_seconds" {"backend"} [BACKEND_SECONDS]
        "Time a call to a backend took.";
    BACKEND_BREAKER: Gauge None "opgate_backend_breaker" {"backend"}
        "0 while an upstream is called, 2 while it is left alone because it failed too often in a row, 1 while one call finds out whether it is back.";
    BACKEND_BREAKER_OPENED: Counter None "opgate_backend_breaker_opened_total" {"backend"}
        "Times an upstream was called until then and is left alone since.";
    BACKEND_WAITING: Gauge None "opgate_backend_calls_waiting" {"backend"}
        "Calls that wait for the rate of an upstream, or for it to be back.";

    CALLBACKS_OWED: Gauge None "opgate_callbacks_owed" {}
        "Callbacks of ended operations that were not delivered yet.";
    CALLBACKS_OWED_MAX: Gauge None "opgate_callbacks_owed_max" {}
        "Callbacks that may be owed: while there are as many, starts that bring callbacks are refused.";
    CALLBACKS_OLDEST: Gauge Seconds "opgate_callbacks_oldest_owed_timestamp_seconds" {}
        "Since when the callback is owed that is owed longest, since the Unix epoch; 0 where none is.";
    CALLBACK_LAG: Histogram Seconds "opgate_callback_lag_seconds" {} [LAG_SECONDS]
        "Time from when a callback was owed to when its receiver took it.";
    CALLBACK_ATTEMPTS: Counter None "opgate_callback_attempts_total" {"result"}
        "Attempts to deliver a callback, by what became of them.";
    CALLBACKS_DEAD: Counter None "opgate_callbacks_dead_total" {}
        "Callbacks given up or refused for good; each waits for somebody to redrive it.";
    CALLBACK_DURATION: Histogram Seconds "opgate_callback_attempt_duration_seconds" {} [BACKEND_SECONDS]
        "Time an attempt to deliver a callback took.";
    CALLBACK_BREAKERS: Gauge None "opgate_callback_breakers_open" {}
        "Destinations of callbacks that are left alone for a while, as they failed too often in a row.";

    SIGNATURES_REFUSED: Counter None "opgate_signatures_refused_total" {"reason"}
        "Requests of OCI clients refused for their signature, by what was wrong with it.";

    AMQP_REFUSED: Counter None "opgate_amqp_refused_total" {"what"}
        "What AMQP peers were refused: names and passwords, tokens, links, messages, bytes that are no frames.";
    AMQP_REPLIES_LOST: Counter None "opgate_amqp_replies_lost_total" {"reason"}
        "Replies that did not reach the AMQP client whose request was served.";

    PROCESS_CPU: Counter Seconds "process_cpu_seconds_total" {}
        "User and system CPU time spent.";
    PROCESS_RESIDENT: Gauge Bytes "process_resident_memory_bytes" {}
        "Resident memory size.";
    PROCESS_VIRTUAL: Gauge Bytes "process_virtual_memory_bytes" {}
        "Virtual memory size.";
    PROCESS_OPEN_FDS: Gauge None "process_open_fds" {}
        "Open file descriptors.";
    PROCESS_MAX_FDS: Gauge None "process_max_fds" {}
        "File descriptors the process may open.";
    PROCESS_THREADS: Gauge None "process_threads" {}
        "Operating system threads.";
    PROCESS_START: Gauge Seconds "process_start_time_seconds" {}
        "Start of the process since the Unix epoch.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The rules of `promtool check metrics`, and ours.
    #[test]
    fn names_follow_the_rules() {
        let mut seen = HashSet::new();
        for spec in CATALOGUE {
            let name = spec.name;
            assert!(seen.insert(name), "{name} is declared twice");
            assert!(name.starts_with("opgate_") || name.starts_with("process_"), "{name}: prefix");
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{name}: only a-z, 0-9 and _"
            );
            assert_eq!(
                name.ends_with("_total"),
                spec.kind == Kind::Counter,
                "{name}: _total is for counters"
            );
            let bare = name.trim_end_matches("_total");
            for suffix in ["_count", "_sum", "_bucket"] {
                assert!(!bare.ends_with(suffix), "{name}: {suffix} belongs to histograms");
            }
            for word in name.split('_') {
                assert!(
                    ![
                        "counter",
                        "gauge",
                        "histogram",
                        "summary",
                        "ms",
                        "milliseconds",
                        "kb",
                        "secs"
                    ]
                    .contains(&word),
                    "{name}: {word}"
                );
            }
            match spec.unit {
                Unit::Seconds => assert!(bare.ends_with("_seconds"), "{name}: seconds"),
                Unit::Bytes => assert!(bare.ends_with("_bytes"), "{name}: bytes"),
                Unit::None => assert!(
                    !bare.ends_with("_seconds") && !bare.ends_with("_bytes"),
                    "{name}: unit"
                ),
            }
            assert!(spec.help.ends_with('.') && spec.help.len() > 10, "{name}: help");
            assert!(
                !spec.labels.contains(&"le") && !spec.labels.contains(&"quantile"),
                "{name}: reserved label"
            );
        }
    }

    #[test]
    fn histograms_and_only_they_have_ascending_buckets() {
        for spec in CATALOGUE {
            assert_eq!(!spec.buckets.is_empty(), spec.kind == Kind::Histogram, "{}", spec.name);
            assert!(spec.buckets.is_sorted_by(|lower, upper| lower < upper), "{}", spec.name);
        }
    }
}
