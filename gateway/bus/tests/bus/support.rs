//! A bus to test, and the backend behind it.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opgate_bus::core::{
    CancelDelivery, Error, ErrorKind, Expects, Face, Kind, OperationId, Outcome, Payload, Report,
    Retry, State, Tenant, Timestamp, Version,
};
use opgate_bus::{
    Admission, Backend, Backoff, Bus, Caller, Durability, Gate, Lease, Notifier, Offer, Options,
    Route, Router, Snapshot, Start, Until, WorksOn,
};
use opgate_store::{Clock, ManualClock, Store};
use opgate_telemetry::Metrics;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Longer than anything here takes; reached only by a test that fails.
pub(crate) const LONG: Duration = Duration::from_secs(30);
pub(crate) const RETENTION: Duration = Duration::from_hours(1);

/// Carries out what the input's text says:
/// `done` is done at once, `refuse` is refused, `quick` succeeds, `hold` succeeds when the gate
/// opens or is canceled, `grip` when it opens and holds its lease until then, `stubborn` refuses to be canceled, `flaky N` fails N times first, `never`
/// fails for good, `panic` panics, `huge` has an outcome that cannot be kept, `leak` hands its
/// lease to the test and fails once, `lend` hands each to the test, the first until the gate opens, `large` holds and has a large outcome, `tell` holds and tells
/// what a report told it, `later` asks for an endless rest, `contrary` fails when it is canceled and
/// cancels when it is tried again.
#[derive(Debug)]
pub(crate) struct Script {
    gate: watch::Sender<bool>,
    running: watch::Sender<usize>,
    pub(crate) most: AtomicUsize,
    tries: Mutex<HashMap<OperationId, u32>>,
    leaks: mpsc::Sender<Lease>,
    abandoned: watch::Sender<Vec<OperationId>>,
}

/// Counts a run for as long as its future lives.
struct Running(Arc<Script>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

impl Script {
    pub(crate) fn new() -> (Arc<Self>, mpsc::Receiver<Lease>) {
        let (leaks, leaked) = mpsc::channel(8);
        let script = Self {
            gate: watch::channel(false).0,
            running: watch::channel(0).0,
            most: AtomicUsize::new(0),
            tries: Mutex::default(),
            leaks,
            abandoned: watch::channel(Vec::new()).0,
        };
        (Arc::new(script), leaked)
    }

    pub(crate) fn open_gate(&self) {
        self.gate.send_replace(true);
    }

    /// Resolves once exactly so many runs are in progress.
    pub(crate) async fn running(&self, count: usize) {
        let mut running = self.running.subscribe();
        let reached = running.wait_for(|running| *running == count);
        tokio::time::timeout(LONG, reached).await.expect("as many runs as expected").unwrap();
    }

    /// What it was told to leave off, in order, once it was told that often.
    pub(crate) async fn abandoned(&self, times: usize) -> Vec<OperationId> {
        let mut abandoned = self.abandoned.subscribe();
        let told = abandoned.wait_for(|told| told.len() >= times);
        tokio::time::timeout(LONG, told).await.expect("told often enough").unwrap().clone()
    }

    /// How often an operation was run.
    pub(crate) fn tries(&self, id: OperationId) -> u32 {
        self.tries.lock().unwrap().get(&id).copied().unwrap_or(0)
    }

    async fn play(self: Arc<Self>, lease: Lease) -> Result<Outcome, Error> {
        let now = {
            let mut now = 0;
            self.running.send_modify(|running| {
                *running += 1;
                now = *running;
            });
            now
        };
        self.most.fetch_max(now, Ordering::Relaxed);
        let _running = Running(Arc::clone(&self));
        let id = lease.operation().id;
        let tried = {
            let mut tries = self.tries.lock().unwrap();
            let tries = tries.entry(id).or_default();
            *tries += 1;
            *tries
        };
        let input = lease.operation().input.bytes.clone();
        let text = std::str::from_utf8(&input).unwrap();
        let unavailable = || Error::new(ErrorKind::Unavailable, "not now");
        match text.split_once(' ').unwrap_or((text, "")) {
            ("quick", _) => Ok(succeeded("quick")),
            ("hold", _) => {
                tokio::select! {
                    () = self.opened() => Ok(succeeded("held")),
                    () = lease.canceled() => Ok(Outcome::Canceled(None)),
                }
            }
            ("large", _) => {
                self.opened().await;
                Ok(Outcome::Succeeded(Some(Payload::new("text/plain", vec![b'x'; 100_000]))))
            }
            ("stubborn", _) => {
                lease.canceled().await;
                let cancel = Some(CancelDelivery::Refused.into());
                let refused = Report { cancel, ..Report::default() };
                assert!(lease.report(refused).await?.is_canceling());
                self.opened().await;
                Ok(succeeded("stubborn"))
            }
            ("tell", _) => {
                self.opened().await;
                let now = lease.report(Report::default()).await?;
                Ok(succeeded(if now.removed.is_some() { "removed" } else { "visible" }))
            }
            ("contrary", _) if tried > 1 => Ok(Outcome::Canceled(None)),
            ("contrary", _) => {
                lease.canceled().await;
                Err(unavailable())
            }
            ("flaky", times) if tried > times.parse().unwrap() => Ok(succeeded("flaky")),
            ("flaky" | "later", _) if lease.operation().is_canceling() => {
                Ok(Outcome::Canceled(None))
            }
            ("flaky", _) => Err(unavailable()),
            ("later", _) => Err(unavailable().with_retry(Retry::After(Duration::MAX))),
            ("never", _) => Err(Error::new(ErrorKind::PermissionDenied, "not for you")),
            ("panic", _) => panic!("as told"),
            ("huge", _) => {
                Ok(Outcome::Succeeded(Some(Payload::new("text/plain", vec![0; 5 * 1024 * 1024]))))
            }
            ("grip", _) => {
                let _hold = lease.hold();
                self.opened().await;
                Ok(succeeded("gripped"))
            }
            ("lend", _) => {
                self.leaks.send(lease).await.unwrap();
                if tried > 1 {
                    std::future::pending::<()>().await;
                }
                self.opened().await;
                Err(unavailable())
            }
            ("leak", _) if tried == 1 => {
                self.leaks.send(lease).await.unwrap();
                Err(unavailable())
            }
            ("leak", _) => {
                self.opened().await;
                Ok(succeeded("leak"))
            }
            (other, _) => panic!("unknown instruction {other}"),
        }
    }

    async fn opened(&self) {
        self.gate.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

pub(crate) fn succeeded(text: &'static str) -> Outcome {
    Outcome::Succeeded(Some(Payload::new("text/plain", text)))
}

/// The backend's handle on its script: a run outlives the call that made it.
#[derive(Debug)]
struct Player(Arc<Script>, Gate);

impl Backend for Player {
    fn admit(&self, offer: &Offer<'_>) -> Result<Admission, Error> {
        match &*offer.start.input.bytes {
            b"done" => Ok(Admission::Done(succeeded("done"))),
            b"refuse" => Err(Error::new(ErrorKind::QuotaExceeded, "none left")),
            _ => Ok(Admission::Accept),
        }
    }

    fn run(&self, lease: Lease) -> Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>> {
        Box::pin(Arc::clone(&self.0).play(lease))
    }

    fn gate(&self) -> Option<&Gate> {
        Some(&self.1)
    }

    fn abandon(
        &self,
        _route: &Route,
        operation: Arc<Snapshot>,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        self.0.abandoned.send_modify(|told| told.push(operation.id));
        match &*operation.native_state {
            "panic at once" => panic!("as told"),
            "panic" => Some(Box::pin(async { panic!("as told") })),
            "stuck" => Some(Box::pin(std::future::pending())),
            _ => None,
        }
    }
}

/// What a bus is built with.
pub(crate) struct Setup {
    pub(crate) store: opgate_store::Options,
    pub(crate) clock: Clock,
    pub(crate) options: Options,
    pub(crate) concurrency: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) route: &'static str,
    /// The name of the backend.
    pub(crate) backend: &'static str,
    pub(crate) notifier: Option<Arc<dyn Notifier>>,
    pub(crate) gate: Gate,
}

impl Setup {
    /// In a directory that exists; fast, for nothing is synced.
    pub(crate) fn at(dir: &TempDir) -> Self {
        let mut store = opgate_store::Options::new(dir.path().join("data"));
        store.durability = Durability::Memory;
        Self {
            store,
            clock: Clock::System,
            options: Options {
                backoff: Backoff {
                    first: Duration::from_millis(2),
                    longest: Duration::from_millis(8),
                    attempts: 3,
                },
                ..Options::default()
            },
            concurrency: 64,
            timeout: None,
            route: "route",
            backend: "script",
            notifier: None,
            gate: Gate::default(),
        }
    }

    pub(crate) fn open(self) -> Bench {
        let (script, leaked) = Script::new();
        let metrics = Metrics::register(&[self.backend]);
        let (store, _) = Store::open(&self.store, self.clock, &metrics).unwrap();
        let mut router = Router::builder();
        if let Some(notifier) = self.notifier {
            router = router.notifier(notifier);
        }
        let router = router
            .backend(
                self.backend,
                Arc::new(Player(Arc::clone(&script), self.gate)),
                self.concurrency,
            )
            .route(Route { timeout: self.timeout, ..route(self.route, self.backend) })
            .build()
            .unwrap();
        let bus = Bus::open(store.clone(), router, self.options, metrics);
        Bench { bus, store, script, leaked, caller: Caller::anonymous() }
    }
}

/// A route to a backend.
pub(crate) fn route(name: &str, backend: &str) -> Route {
    Route {
        name: name.into(),
        kind: Kind::new("test", "script").unwrap(),
        backend: backend.into(),
        retention: RETENTION,
        timeout: None,
        options: BTreeMap::new(),
        expects: Expects { response_type: Some("of.the.Route".into()), metadata_type: None },
        resources: Vec::new(),
    }
}

/// A backend that plays a script.
pub(crate) fn player(script: &Arc<Script>) -> Arc<dyn Backend> {
    Arc::new(Player(Arc::clone(script), Gate::default()))
}

/// A bus under test.
pub(crate) struct Bench {
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    pub(crate) script: Arc<Script>,
    pub(crate) leaked: mpsc::Receiver<Lease>,
    pub(crate) caller: Caller,
}

impl Bench {
    pub(crate) async fn start(&self, instruction: &str) -> OperationId {
        self.bus.start(&self.caller, start(instruction)).await.unwrap().snapshot.id
    }

    /// The operation once it has ended.
    pub(crate) async fn ended(&self, id: OperationId) -> Arc<Snapshot> {
        let snapshot = self.bus.wait(&self.caller, id, Until::Done, LONG).await.unwrap();
        assert!(snapshot.is_done(), "{snapshot:?}");
        snapshot
    }

    /// The operation once `holds` is true of it.
    pub(crate) async fn until(
        &self,
        id: OperationId,
        holds: impl Fn(&Snapshot) -> bool,
    ) -> Arc<Snapshot> {
        let mut version = Version(0);
        loop {
            let until = Until::Newer(version);
            let snapshot = self.bus.wait(&self.caller, id, until, LONG).await.unwrap();
            if holds(&snapshot) {
                return snapshot;
            }
            assert!(snapshot.version > version && !snapshot.is_done(), "{snapshot:?}");
            version = snapshot.version;
        }
    }

    pub(crate) async fn started(&self, id: OperationId) -> Arc<Snapshot> {
        self.until(id, |snapshot| snapshot.state == State::Running).await
    }
}

pub(crate) fn start(instruction: &str) -> Start {
    Start::new(Face::Native, "test", "route", Payload::new("text/plain", instruction.to_owned()))
}

pub(crate) fn stranger() -> Caller {
    Caller {
        tenant: Tenant::new("stranger").unwrap(),
        principal: "stranger".into(),
        works_on: WorksOn::nothing(),
    }
}

pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind
}

/// A clock that stands still until a test moves it.
pub(crate) fn stopped_clock() -> ManualClock {
    ManualClock::at(Timestamp::from_nanos(1_700_000_000_000_000_000))
}

/// Panics in place of the first event of one part on this thread.
pub(crate) struct PanicsOnce {
    part: &'static str,
    panicked: AtomicBool,
}

impl PanicsOnce {
    /// In the module whose path ends so.
    pub(crate) const fn of(part: &'static str) -> Self {
        Self { part, panicked: AtomicBool::new(false) }
    }

    pub(crate) fn panicked(&self) -> bool {
        self.panicked.load(Ordering::Relaxed)
    }
}

impl Subscriber for PanicsOnce {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let hit = event.metadata().target().ends_with(self.part);
        assert!(!hit || self.panicked.swap(true, Ordering::Relaxed), "a defect");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
