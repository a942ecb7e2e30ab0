//! The sequencer's answers and its crash paths, under thousands of schedules.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use opgate_core::{
    Accept, Command, DedupeKey, ErrorKind, Expects, Face, Kind, Operation, OperationId, Origin,
    Parent, Payload, Routed, Seq, Submission, Tenant, Timestamp,
};
use opgate_telemetry::Metrics;
use shuttle::scheduler::RandomScheduler;
use shuttle::sync::mpsc;
use shuttle::thread;
use tokio::sync::{broadcast, watch};

use super::*;
use crate::journal::{Expired, Size, Write};

type Failure = fn() -> JournalError;
type Disk = Arc<Mutex<HashMap<OperationId, Operation>>>;

/// A journal that fails when told to, and checks that nothing shows before it is durable.
struct Unreliable {
    disk: Disk,
    shared: Arc<Shared>,
    /// What the nth batch fails with.
    failures: HashMap<usize, Failure>,
    batches: usize,
}

fn sqlite(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
}

fn full() -> JournalError {
    JournalError::Full(sqlite(rusqlite::ffi::SQLITE_FULL))
}

fn io() -> JournalError {
    JournalError::Failed(sqlite(rusqlite::ffi::SQLITE_IOERR))
}

impl Journal for Unreliable {
    fn append(&mut self, batch: &[Write<'_>], _: Summary) -> Result<u64, JournalError> {
        self.batches += 1;
        thread::yield_now();
        if let Some(failure) = self.failures.get(&self.batches) {
            return Err(failure());
        }
        for write in batch {
            if let Write::Insert { operation, .. } | Write::Update { operation, .. } = write {
                let shown = self.shared.view.get(operation.id);
                assert!(
                    shown.is_none_or(|shown| shown.version < operation.version),
                    "shown before it was durable"
                );
                let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
                disk.insert(operation.id, (*operation).clone());
            }
        }
        thread::yield_now();
        Ok(0)
    }

    fn read(&mut self, id: OperationId) -> Result<Option<Operation>, JournalError> {
        Ok(self.disk.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned())
    }

    fn holder(&mut self, _: DedupeKey) -> Result<Option<OperationId>, JournalError> {
        Ok(None)
    }

    fn expired(&mut self, _: Timestamp, _: usize) -> Result<Vec<Expired>, JournalError> {
        Ok(Vec::new())
    }

    fn size(&self) -> Size {
        Size::default()
    }

    fn shrink(&mut self) -> Result<(), JournalError> {
        Ok(())
    }

    fn is_empty(&mut self, _: ScopeId) -> Result<bool, JournalError> {
        Ok(false)
    }
}

struct Channel(mpsc::Receiver<Request>);

impl Queue for Channel {
    fn next(&mut self) -> Option<Request> {
        self.0.recv().ok()
    }

    fn ready(&mut self) -> Option<Request> {
        self.0.try_recv().ok()
    }

    fn waiting(&self) -> usize {
        0
    }
}

fn accept() -> Command {
    let name = |text: &str| text.into();
    Command::Accept(Box::new(Accept {
        parent: Parent::root(),
        kind: Kind::new("test", "run").unwrap(),
        origin: Origin {
            face: Face::Grpc,
            endpoint: name("test"),
            principal: name("anonymous"),
            request_id: None,
        },
        routed: Routed { route: name("r"), backend: name("b"), native_ref: bytes::Bytes::new() },
        expects: Expects::default(),
        input: Payload::json("{}"),
        resources: Vec::new(),
        deadline: None,
        retention: std::time::Duration::from_mins(1),
        links_in: Vec::new(),
        callbacks: Vec::new(),
        headers: Vec::new(),
        trace: None,
        dedupe: None,
        lost: opgate_core::Losses::NONE,
        share: None,
        share_key: None,
        outcome: None,
    }))
}

/// A sequencer over a journal whose nth batches fail as told.
fn sequencer(disk: &Disk, failures: &[(usize, Failure)]) -> (Sequencer<Unreliable>, Arc<Shared>) {
    let shared = Arc::new(Shared {
        view: View::new(Seq(1)),
        wakers: Arc::new(Wakers::new()),
        feed: broadcast::channel(64).0,
        health: watch::channel(Health::default()).0,
        last_beat: AtomicU64::new(0),
        owed: AtomicU64::new(0),
        began: Instant::now(),
    });
    let journal = Unreliable {
        disk: Arc::clone(disk),
        shared: Arc::clone(&shared),
        failures: failures.iter().copied().collect(),
        batches: 0,
    };
    let sequencer = Sequencer::new(
        journal,
        Arc::clone(&shared),
        Bounds { resident: 1000, body_bytes: 1 << 20, live: 1000 },
        Clock::System,
        Durability::Fsync,
        Metrics::register(&[]),
        Box::new(|_| Ok(())),
        Summary::default(),
        1,
    );
    (sequencer, shared)
}

#[test]
fn a_start_that_is_refused_leaves_no_parent() {
    let (mut sequencer, _) = sequencer(&Disk::default(), &[]);
    let mut batch = sequencer.batch();
    let mut start = |n: u128, parent: &str, expect| {
        let Command::Accept(mut accept) = accept() else { panic!("a start") };
        accept.parent = Parent::new(parent).unwrap();
        let (tenant, target) = (Tenant::anonymous(), OperationId::from_bits(n));
        let submission = Submission { tenant, target, expect, command: Command::Accept(accept) };
        let decided = sequencer.decide(&mut batch, submission);
        let parents: Vec<_> =
            batch.scopes.iter().map(|(_, _, name)| name.as_str().to_owned()).collect();
        (decided.is_ok(), parents, batch.next_scope)
    };
    assert_eq!(start(1, "a", Some(Version(0))), (false, vec![], 1));
    assert_eq!(start(2, "b", None), (true, vec!["b".to_owned()], 2));
    assert_eq!(start(3, "c", Some(Version(0))), (false, vec!["b".to_owned()], 2));
}

/// Three clients start two operations each and ask for their cancellation, while batches fail as
/// told. Whatever happens, everybody is answered, and what was acknowledged is on disk.
fn clients_and_failures(failures: &[(usize, Failure)]) {
    let disk = Disk::default();
    let (sequencer, shared) = sequencer(&disk, failures);
    let (queue, requests) = mpsc::channel();
    let thread = thread::spawn(move || sequencer.run(&mut Channel(requests)));
    let clients: Vec<_> = (0..3_u128)
        .map(|client| {
            let queue = queue.clone();
            thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for n in 0..2 {
                    let target = OperationId::from_bits(client * 2 + n);
                    let cancel = Command::Cancel { by: "a".into(), reason: "b".into() };
                    for command in [accept(), cancel] {
                        let tenant = Tenant::anonymous();
                        let submission = Submission { tenant, target, expect: None, command };
                        let (reply, answer) = mpsc::channel();
                        let reply = Box::new(move |result| reply.send(result).unwrap());
                        queue.send(Request::Submit(submission, reply)).unwrap();
                        match answer.recv().expect("everybody is answered") {
                            Ok(receipt) => acknowledged.push(receipt.snapshot),
                            Err(error) => assert!(
                                matches!(error.kind, ErrorKind::Unavailable | ErrorKind::NotFound),
                                "{error:?}"
                            ),
                        }
                    }
                }
                acknowledged
            })
        })
        .collect();
    let acknowledged: Vec<_> =
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    queue.send(Request::Close).unwrap();
    thread.join().unwrap();
    let disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
    for snapshot in &acknowledged {
        let stored = disk.get(&snapshot.id).expect("what was acknowledged is on disk");
        assert!(stored.version >= snapshot.version);
        let shown = shared.view.get(snapshot.id).expect("and is shown");
        assert_eq!(shown.version, stored.version);
    }
    let listed: HashSet<_> =
        shared.view.below(scopes::ALL, Seq(u64::MAX)).map(|(_, id)| id).collect();
    assert_eq!(listed, disk.keys().copied().collect(), "listed is what is on disk");
}

/// Runs it in a thousand orders of what the threads do.
fn at_random(run: impl Fn() + Send + Sync + 'static) {
    let mut config = shuttle::Config::new();
    // The metrics of a debug build are made on the stack.
    config.stack_size = 1 << 20;
    shuttle::Runner::new(RandomScheduler::new(1000), config).run(run);
}

#[test]
fn everybody_is_answered_and_what_was_acknowledged_is_durable() {
    at_random(|| clients_and_failures(&[]));
}

#[test]
fn a_full_disk_refuses_its_batch_and_later_ones_go_on() {
    at_random(|| clients_and_failures(&[(1, full), (3, full)]));
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_any_more() {
    at_random(|| clients_and_failures(&[(2, io)]));
}

async fn submit(store: &crate::Store, target: OperationId, command: Command) {
    let tenant = Tenant::anonymous();
    // Only that it was decided matters here.
    drop(store.submit(Submission { tenant, target, expect: None, command }).await);
}

fn finish() -> Command {
    let outcome = Outcome::Succeeded(None);
    Command::Finish(Box::new(opgate_core::Finish { epoch: None, by: None, outcome, report: None }))
}

#[tokio::test]
async fn lists_shrink_with_what_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let clock = crate::ManualClock::at(Timestamp::from_nanos(1_800_000_000_000_000_000));
    let store = crate::Store::open(
        &crate::Options::new(dir.path()),
        Clock::Manual(clock.clone()),
        &Metrics::register(&[]),
    );
    let store = store.unwrap().0;
    for round in 0..12_u128 {
        let begun: Vec<_> = (0..1000)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move {
                    let id = OperationId::from_bits(round * 1000 + n);
                    submit(&store, id, accept()).await;
                    submit(&store, id, finish()).await;
                })
            })
            .collect();
        for one in begun {
            one.await.unwrap();
        }
        clock.advance(std::time::Duration::from_secs(61));
        store.tidy();
        for _ in 0..4 {
            submit(&store, OperationId::from_bits(u128::MAX), finish()).await;
        }
    }
    let view = &store.shared().view;
    assert_eq!(view.len(), 0);
    let listed = view.below(scopes::ALL, Seq(u64::MAX)).count();
    assert!(listed < 2 * BATCH, "{listed} entries for nothing");
}

#[tokio::test]
async fn a_start_reads_what_has_not_ended_within_the_budget_of_bodies() {
    let dir = tempfile::tempdir().unwrap();
    let options = crate::Options { body_bytes: 20_000, ..crate::Options::new(dir.path()) };
    let open = || crate::Store::open(&options, Clock::System, &Metrics::register(&[])).unwrap();
    let store = open().0;
    for n in 0..200 {
        submit(&store, OperationId::from_bits(n), accept()).await;
    }
    store.close().await;
    let (store, recovery) = open();
    assert_eq!((recovery.live, store.live().len()), (200, 200));
    let with_bodies = (0..200)
        .filter(|n| matches!(store.peek(OperationId::from_bits(*n)), crate::Peek::Resident(_)))
        .count();
    assert!((1..50).contains(&with_bodies), "{with_bodies} bodies in memory");
}
