//! The handles, one plain struct for each part of the daemon.

use std::fmt;
use std::sync::OnceLock;

use crate::catalogue as spec;
use crate::handle::{Counter, Family, Gauge, Histogram, counter, gauge, histogram};
use crate::label::{
    AmqpLoss, AmqpRefusal, CallbackResult, Code, Cut, HandshakeFault, JournalFault, Label,
    Listener, Outcome, Permit, Place, Protocol, Reload, Removal, SignatureFault, State,
};

/// The daemon as a whole.
#[derive(Debug)]
pub struct GatewayMetrics {
    /// `opgate_ready`.
    pub ready: Gauge,
    /// `opgate_draining`.
    pub draining: Gauge,
    /// `opgate_config_reloads_total`.
    pub reloads: Family<Reload, Counter>,
}

impl GatewayMetrics {
    pub(crate) fn register() -> Self {
        // Every crate of the workspace carries the version of the binary.
        gauge(&spec::BUILD, &[env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            ready: gauge(&spec::READY, &[]),
            draining: gauge(&spec::DRAINING, &[]),
            reloads: Family::new(|result: Reload| counter(&spec::RELOADS, &[result.text()])),
        }
    }
}

/// Sockets and connections.
#[derive(Debug)]
pub struct EdgeMetrics {
    /// `opgate_connections`.
    pub connections: Family<Listener, Gauge>,
    /// `opgate_connections_max`.
    pub connections_max: Family<Listener, Gauge>,
    /// `opgate_connections_rejected_total`.
    pub rejected: Family<Listener, Counter>,
    /// `opgate_connections_cut_total`.
    pub cut: Family<Listener, Family<Cut, Counter>>,
    /// `opgate_accept_errors_total`.
    pub accept_errors: Family<Listener, Counter>,
    /// `opgate_tls_handshake_failures_total`.
    pub handshake_failures: Family<Listener, Family<HandshakeFault, Counter>>,
    /// `opgate_tls_certificate_expires_timestamp_seconds`.
    pub certificate_expires: Family<Listener, Gauge>,
    /// `opgate_panics_contained_total`.
    pub panics: Family<Place, Counter>,
}

impl EdgeMetrics {
    pub(crate) fn register() -> Self {
        Self {
            connections: Family::new(|listener: Listener| {
                gauge(&spec::CONNECTIONS, &[listener.text()])
            }),
            connections_max: Family::new(|listener: Listener| {
                gauge(&spec::CONNECTIONS_MAX, &[listener.text()])
            }),
            rejected: Family::new(|listener: Listener| {
                counter(&spec::CONNECTIONS_REJECTED, &[listener.text()])
            }),
            cut: Family::new(|listener: Listener| {
                Family::new(|cut: Cut| {
                    counter(&spec::CONNECTIONS_CUT, &[listener.text(), cut.text()])
                })
            }),
            accept_errors: Family::new(|listener: Listener| {
                counter(&spec::ACCEPT_ERRORS, &[listener.text()])
            }),
            handshake_failures: Family::new(|listener: Listener| {
                Family::new(|fault: HandshakeFault| {
                    counter(&spec::HANDSHAKE_FAILURES, &[listener.text(), fault.text()])
                })
            }),
            certificate_expires: Family::new(|listener: Listener| {
                gauge(&spec::CERTIFICATE_EXPIRES, &[listener.text()])
            }),
            panics: Family::new(|place: Place| counter(&spec::PANICS, &[place.text()])),
        }
    }
}

/// Operations as the bus sees them.
#[derive(Debug)]
pub struct BusMetrics {
    /// `opgate_operations`.
    pub operations: Family<State, Gauge>,
    /// `opgate_operations_oldest_unfinished_timestamp_seconds`.
    pub oldest_unfinished: Gauge,
    /// `opgate_operations_unfinished_max`.
    pub unfinished_max: Gauge,
    /// What goes from which protocol to which backend.
    pub translations: Translations,
    /// `opgate_operation_duration_seconds`.
    pub operation_duration: Family<Outcome, Histogram>,
    /// `opgate_operations_removed_total`.
    pub removed: Family<Removal, Counter>,
    /// `opgate_terminals_refused_total`.
    pub terminals_refused: Counter,
    /// `opgate_watchers`.
    pub watchers: Family<Protocol, Gauge>,
    /// `opgate_permits`.
    pub permits: Family<Permit, Gauge>,
    /// `opgate_permits_max`.
    pub permits_max: Family<Permit, Gauge>,
    /// `opgate_submit_duration_seconds`.
    pub submit_duration: Histogram,
}

impl BusMetrics {
    pub(crate) fn register(backends: &[&str]) -> Self {
        Self {
            operations: Family::new(|state: State| gauge(&spec::OPERATIONS, &[state.text()])),
            oldest_unfinished: gauge(&spec::OPERATIONS_OLDEST, &[]),
            unfinished_max: gauge(&spec::OPERATIONS_UNFINISHED_MAX, &[]),
            translations: Translations::register(backends),
            operation_duration: Family::new(|outcome: Outcome| {
                histogram(&spec::OPERATION_DURATION, &[outcome.text()])
            }),
            removed: Family::new(|reason: Removal| {
                counter(&spec::OPERATIONS_REMOVED, &[reason.text()])
            }),
            terminals_refused: counter(&spec::TERMINALS_REFUSED, &[]),
            watchers: Family::new(|protocol: Protocol| gauge(&spec::WATCHERS, &[protocol.text()])),
            permits: Family::new(|what: Permit| gauge(&spec::PERMITS, &[what.text()])),
            permits_max: Family::new(|what: Permit| gauge(&spec::PERMITS_MAX, &[what.text()])),
            submit_duration: histogram(&spec::SUBMIT_DURATION, &[]),
        }
    }
}

/// How many backends may come later than the first ones.
const LATER: usize = 256;

/// Handles by the name of a backend: of those there were at the start, and of those that came later.
#[derive(Debug)]
struct Named<H>(Box<[Slot<H>]>);

/// The handles of one backend, with its name; empty where there is none yet.
type Slot<H> = OnceLock<(Box<str>, H)>;

impl<H: fmt::Debug> Named<H> {
    fn new(backends: &[&str], make: impl Fn(&str) -> H) -> Self {
        let there = backends.iter().map(|&name| OnceLock::from((Box::from(name), make(name))));
        Self(there.chain(std::iter::repeat_with(OnceLock::new).take(LATER)).collect())
    }

    fn get(&self, name: &str) -> Option<&H> {
        let there = self.0.iter().map_while(OnceLock::get);
        { there }.find(|(known, _)| **known == *name).map(|(_, handles)| handles)
    }

    /// Makes room for one more, if it is one more; false where there is none.
    fn add(&self, name: &str, make: impl Fn(&str) -> H) -> bool {
        let free = || self.0.iter().find(|slot| slot.get().is_none());
        self.get(name).is_some()
            || free().is_some_and(|slot| slot.set((name.into(), make(name))).is_ok())
    }
}

/// What goes from which protocol to which backend.
#[derive(Debug)]
pub struct Translations {
    backends: Named<Translation>,
    gone: Translation,
}

impl Translations {
    /// Stands for the backends of operations that ended after their backend had left the settings. No backend can be
    /// called so.
    const GONE: &str = "_gone";

    fn register(backends: &[&str]) -> Self {
        let backends = Named::new(backends, Translation::register);
        Self { backends, gone: Translation::register(Self::GONE) }
    }

    pub(crate) fn add(&self, backend: &str) -> bool {
        self.backends.add(backend, Translation::register)
    }

    /// The handles of one backend, configured or not.
    pub fn to(&self, backend: &str) -> &Translation {
        self.backends.get(backend).unwrap_or(&self.gone)
    }
}

/// What goes to one backend, by the protocol that it came in.
#[derive(Debug)]
pub struct Translation {
    /// `opgate_operations_accepted_total`.
    pub accepted: Family<Protocol, Counter>,
    /// `opgate_operations_finished_total`.
    pub finished: Family<Protocol, Family<Outcome, Counter>>,
}

impl Translation {
    fn register(backend: &str) -> Self {
        Self {
            accepted: Family::new(|protocol: Protocol| {
                counter(&spec::OPERATIONS_ACCEPTED, &[protocol.text(), backend])
            }),
            finished: Family::new(|protocol: Protocol| {
                Family::new(|outcome: Outcome| {
                    counter(&spec::OPERATIONS_FINISHED, &[protocol.text(), backend, outcome.text()])
                })
            }),
        }
    }
}

/// The durable log.
#[derive(Debug)]
pub struct JournalMetrics {
    /// `opgate_journal_append_bytes_total`.
    pub append_bytes: Counter,
    /// `opgate_journal_fsync_duration_seconds`.
    pub fsync_duration: Histogram,
    /// `opgate_journal_batch_records`.
    pub batch_records: Histogram,
    /// `opgate_journal_queue`.
    pub queue: Gauge,
    /// `opgate_journal_queue_max`.
    pub queue_max: Gauge,
    /// `opgate_journal_free_bytes`.
    pub free_bytes: Gauge,
    /// `opgate_journal_size_bytes`.
    pub size_bytes: Gauge,
    /// `opgate_journal_wal_bytes`.
    pub wal_bytes: Gauge,
    /// `opgate_journal_errors_total`.
    pub errors: Family<JournalFault, Counter>,
    /// `opgate_journal_writable`.
    pub writable: Gauge,
}

impl JournalMetrics {
    pub(crate) fn register() -> Self {
        Self {
            append_bytes: counter(&spec::JOURNAL_APPEND, &[]),
            fsync_duration: histogram(&spec::JOURNAL_FSYNC, &[]),
            batch_records: histogram(&spec::JOURNAL_BATCH, &[]),
            queue: gauge(&spec::JOURNAL_QUEUE, &[]),
            queue_max: gauge(&spec::JOURNAL_QUEUE_MAX, &[]),
            free_bytes: gauge(&spec::JOURNAL_FREE, &[]),
            size_bytes: gauge(&spec::JOURNAL_SIZE, &[]),
            wal_bytes: gauge(&spec::JOURNAL_WAL, &[]),
            errors: Family::new(|fault: JournalFault| {
                counter(&spec::JOURNAL_ERRORS, &[fault.text()])
            }),
            writable: gauge(&spec::JOURNAL_WRITABLE, &[]),
        }
    }
}

/// What is held in memory, and the recovery that filled it.
#[derive(Debug)]
pub struct StoreMetrics {
    /// `opgate_operations_resident`.
    pub resident: Gauge,
    /// `opgate_operations_resident_bytes`.
    pub resident_bytes: Gauge,
    /// `opgate_recovery_duration_seconds`.
    pub recovery_duration: Gauge,
    /// `opgate_recovery_operations`.
    pub recovered: Gauge,
}

impl StoreMetrics {
    pub(crate) fn register() -> Self {
        Self {
            resident: gauge(&spec::OPERATIONS_RESIDENT, &[]),
            resident_bytes: gauge(&spec::OPERATIONS_RESIDENT_BYTES, &[]),
            recovery_duration: gauge(&spec::RECOVERY_DURATION, &[]),
            recovered: gauge(&spec::RECOVERY_OPERATIONS, &[]),
        }
    }
}

/// Leases and calls to backends.
#[derive(Debug)]
pub struct DispatchMetrics {
    backends: Named<BackendMetrics>,
}

impl DispatchMetrics {
    pub(crate) fn register(backends: &[&str]) -> Self {
        Self { backends: Named::new(backends, BackendMetrics::register) }
    }

    pub(crate) fn add(&self, backend: &str) -> bool {
        self.backends.add(backend, BackendMetrics::register)
    }

    /// The handles of one configured backend. Searches the list: for wiring, not for each call.
    pub fn backend(&self, name: &str) -> Option<&BackendMetrics> {
        self.backends.get(name)
    }
}

/// Callbacks and their delivery.
#[derive(Debug)]
pub struct CallbackMetrics {
    /// `opgate_callbacks_owed`.
    pub owed: Gauge,
    /// `opgate_callbacks_owed_max`.
    pub owed_max: Gauge,
    /// `opgate_callbacks_oldest_owed_timestamp_seconds`.
    pub oldest_owed: Gauge,
    /// `opgate_callback_lag_seconds`.
    pub lag: Histogram,
    /// `opgate_callback_attempts_total`.
    pub attempts: Family<CallbackResult, Counter>,
    /// `opgate_callbacks_dead_total`.
    pub dead: Counter,
    /// `opgate_callback_attempt_duration_seconds`.
    pub attempt_duration: Histogram,
    /// `opgate_callback_breakers_open`.
    pub breakers_open: Gauge,
}

impl CallbackMetrics {
    pub(crate) fn register() -> Self {
        Self {
            owed: gauge(&spec::CALLBACKS_OWED, &[]),
            owed_max: gauge(&spec::CALLBACKS_OWED_MAX, &[]),
            oldest_owed: gauge(&spec::CALLBACKS_OLDEST, &[]),
            lag: histogram(&spec::CALLBACK_LAG, &[]),
            attempts: Family::new(|result: CallbackResult| {
                counter(&spec::CALLBACK_ATTEMPTS, &[result.text()])
            }),
            dead: counter(&spec::CALLBACKS_DEAD, &[]),
            attempt_duration: histogram(&spec::CALLBACK_DURATION, &[]),
            breakers_open: gauge(&spec::CALLBACK_BREAKERS, &[]),
        }
    }
}

/// Signatures of requests.
#[derive(Debug)]
pub struct SignatureMetrics {
    /// `opgate_signatures_refused_total`.
    pub refused: Family<SignatureFault, Counter>,
}

impl SignatureMetrics {
    pub(crate) fn register() -> Self {
        let refused = |fault: SignatureFault| counter(&spec::SIGNATURES_REFUSED, &[fault.text()]);
        Self { refused: Family::new(refused) }
    }
}

/// AMQP, beside what is counted of every listener and request.
#[derive(Debug)]
pub struct AmqpMetrics {
    /// `opgate_amqp_refused_total`.
    pub refused: Family<AmqpRefusal, Counter>,
    /// `opgate_amqp_replies_lost_total`.
    pub replies_lost: Family<AmqpLoss, Counter>,
}

impl AmqpMetrics {
    pub(crate) fn register() -> Self {
        let refused = |what: AmqpRefusal| counter(&spec::AMQP_REFUSED, &[what.text()]);
        let lost = |reason: AmqpLoss| counter(&spec::AMQP_REPLIES_LOST, &[reason.text()]);
        Self { refused: Family::new(refused), replies_lost: Family::new(lost) }
    }
}

/// One backend.
#[derive(Debug)]
pub struct BackendMetrics {
    /// `opgate_leases`.
    pub leases: Gauge,
    /// `opgate_leases_max`.
    pub leases_max: Gauge,
    /// `opgate_leases_lost_total`.
    pub leases_lost: Counter,
    /// `opgate_leases_expired_total`.
    pub leases_expired: Counter,
    /// `opgate_backend_strays_total`.
    pub strays: Counter,
    /// `opgate_operations_queued`.
    pub queued: Gauge,
    /// `opgate_lease_asks`.
    pub asks: Gauge,
    /// `opgate_backend_requests_total`.
    pub requests: Family<Code, Counter>,
    /// `opgate_backend_request_duration_seconds`.
    pub request_duration: Histogram,
    /// `opgate_backend_breaker`.
    pub breaker: Gauge,
    /// `opgate_backend_breaker_opened_total`.
    pub breaker_opened: Counter,
    /// `opgate_backend_calls_waiting`.
    pub waiting: Gauge,
}

impl BackendMetrics {
    fn register(name: &str) -> Self {
        Self {
            leases: gauge(&spec::LEASES, &[name]),
            leases_max: gauge(&spec::LEASES_MAX, &[name]),
            leases_lost: counter(&spec::LEASES_LOST, &[name]),
            leases_expired: counter(&spec::LEASES_EXPIRED, &[name]),
            strays: counter(&spec::BACKEND_STRAYS, &[name]),
            queued: gauge(&spec::OPERATIONS_QUEUED, &[name]),
            asks: gauge(&spec::LEASE_ASKS, &[name]),
            requests: Family::new(|code: Code| {
                counter(&spec::BACKEND_REQUESTS, &[name, code.text()])
            }),
            request_duration: histogram(&spec::BACKEND_REQUEST_DURATION, &[name]),
            breaker: gauge(&spec::BACKEND_BREAKER, &[name]),
            breaker_opened: counter(&spec::BACKEND_BREAKER_OPENED, &[name]),
            waiting: gauge(&spec::BACKEND_WAITING, &[name]),
        }
    }
}
