//! What is owed to callbacks is found again, whatever happened in between.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opgate_core::{
    Accept, Attempt, Attempted, Callback, Command, Error, Expects, Face, Finish, Kind, OperationId,
    Origin, Outcome, Parent, Payload, Routed, Seq, Submission, Tenant, Timestamp,
};
use opgate_store::{Clock, Durability, ManualClock, OpenError, Options, Receipt, Snapshot, Store};
use opgate_telemetry::Metrics;
use rusqlite::Connection;
use tempfile::TempDir;

const RETENTION: Duration = Duration::from_mins(1);

struct Bench {
    dir: TempDir,
    clock: ManualClock,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::at(Timestamp::from_nanos(1_800_000_000_000_000_000));
        Self { dir: tempfile::tempdir().unwrap(), clock }
    }

    /// With little memory, so that most of what has ended is on disk only.
    fn options(&self) -> Options {
        let mut options = Options::new(self.dir.path().join("data"));
        (options.durability, options.resident_operations) = (Durability::Memory, 4);
        (options.live_operations, options.body_bytes) = (4, 2000);
        options
    }

    fn try_open(&self) -> Result<Store, OpenError> {
        let clock = Clock::Manual(self.clock.clone());
        Ok(Store::open(&self.options(), clock, &Metrics::register(&[]))?.0)
    }

    fn open(&self) -> Store {
        self.try_open().expect("the store opens")
    }

    fn database(&self) -> Connection {
        Connection::open(self.options().dir.join("opgate.db")).unwrap()
    }
}

fn id(n: u128) -> OperationId {
    OperationId::from_bits(n + 1)
}

async fn send(store: &Store, target: OperationId, command: Command) -> Result<Receipt, Error> {
    let tenant = Tenant::anonymous();
    store.submit(Submission { tenant, target, expect: None, command }).await
}

/// An operation that ends with its start and owes `callbacks`.
async fn owe(store: &Store, n: u128, callbacks: usize) {
    begin(store, n, callbacks, Some(Outcome::Succeeded(None))).await;
}

async fn begin(store: &Store, n: u128, callbacks: usize, outcome: Option<Outcome>) {
    let callback = |at| Callback::new(format!("http://receiver/{n}/{at}"), Vec::new());
    let accept = Accept {
        parent: Parent::root(),
        kind: Kind::new("test", "run").unwrap(),
        origin: Origin {
            face: Face::Native,
            endpoint: "test".into(),
            principal: "anonymous".into(),
            request_id: None,
        },
        routed: Routed { route: "r".into(), backend: "b".into(), native_ref: Bytes::new() },
        expects: Expects::default(),
        input: Payload::json(vec![b'x'; 3000]),
        resources: Vec::new(),
        deadline: None,
        retention: RETENTION,
        links_in: Vec::new(),
        callbacks: (0..callbacks).map(callback).collect(),
        headers: Vec::new(),
        trace: None,
        dedupe: None,
        lost: opgate_core::Losses::NONE,
        share: None,
        share_key: None,
        outcome,
    };
    send(store, id(n), Command::Accept(Box::new(accept))).await.unwrap();
}

async fn attempt(store: &Store, n: u128, callback: usize, number: u32, result: Attempted) {
    let attempt = Box::new(Attempt { callback, number, result });
    send(store, id(n), Command::Attempt(attempt)).await.unwrap();
}

/// All that is owed, page by page: numbers of operations, and places of callbacks.
async fn owing(store: &Store, limit: usize) -> Vec<(u128, Vec<usize>)> {
    let (mut all, mut after) = (Vec::new(), Seq(0));
    loop {
        let page = store.owing(after, limit).await.unwrap();
        assert!(page.len() <= limit);
        for owing in &page {
            let places = owing.callbacks.iter().map(|(place, ..)| *place).collect();
            all.push((owing.id.to_bits() - 1, places));
            after = owing.seq;
        }
        if page.len() < limit {
            return all;
        }
    }
}

async fn tidied(store: &Store) {
    store.tidy();
    for _ in 0..4 {
        let unknown = Command::Remove { keep: Duration::ZERO };
        assert!(send(store, OperationId::from_bits(u128::MAX), unknown).await.is_err());
    }
}

async fn read(store: &Store, n: u128) -> Option<Arc<Snapshot>> {
    store.get(id(n)).await.unwrap()
}

#[tokio::test]
async fn only_what_has_ended_and_owes_is_found_and_counted() {
    let bench = Bench::new();
    let store = bench.open();
    begin(&store, 0, 2, None).await;
    owe(&store, 1, 0).await;
    owe(&store, 2, 2).await;
    assert_eq!((owing(&store, 10).await, store.owed()), (vec![(2, vec![0, 1])], 2));

    let end = Command::Finish(Box::new(Finish::new(Outcome::Canceled(None))));
    send(&store, id(0), end).await.unwrap();
    assert_eq!(store.owed(), 4);
    attempt(&store, 2, 0, 1, Attempted::Delivered).await;
    let next = bench.clock_now().plus(Duration::from_secs(1));
    attempt(&store, 0, 1, 1, Attempted::Again { next, problem: "busy".into() }).await;
    assert_eq!(owing(&store, 10).await, [(0, vec![0, 1]), (2, vec![1])]);
    attempt(&store, 2, 1, 1, Attempted::Dead { problem: "gone".into() }).await;
    assert_eq!((owing(&store, 10).await, store.owed()), (vec![(0, vec![0, 1])], 2));
    send(&store, id(2), Command::Redrive).await.unwrap();
    assert_eq!((owing(&store, 10).await, store.owed()), (vec![(0, vec![0, 1]), (2, vec![1])], 3));
}

#[tokio::test]
async fn a_walk_finds_all_of_it_whatever_memory_holds_also_after_a_restart() {
    let bench = Bench::new();
    let store = bench.open();
    for n in 0..40 {
        owe(&store, n, usize::from(n % 2 == 0)).await;
    }
    let expected: Vec<_> = (0..40).step_by(2).map(|n| (n, vec![0])).collect();
    for limit in [1, 7, 20, 100] {
        assert_eq!(owing(&store, limit).await, expected);
    }
    attempt(&store, 0, 0, 1, Attempted::Delivered).await;
    store.close().await;
    drop(store);

    let store = bench.open();
    assert_eq!((owing(&store, 3).await, store.owed()), (expected[1..].to_vec(), 19));
    attempt(&store, 2, 0, 1, Attempted::Delivered).await;
    let delivered = read(&store, 2).await.unwrap();
    assert_eq!((delivered.input.bytes.len(), store.owed()), (3000, 18));
}

#[tokio::test]
async fn a_damaged_record_keeps_nobody_else_from_being_found() {
    let bench = Bench::new();
    let store = bench.open();
    for n in 0..9 {
        owe(&store, n, 1).await;
    }
    store.close().await;
    drop(store);
    let database = bench.database();
    let damage = "UPDATE operations SET body = x'00' WHERE seq IN \
                  (SELECT seq FROM operations ORDER BY seq LIMIT 2 OFFSET 3)";
    assert_eq!(database.execute(damage, []).unwrap(), 2);
    database.close().unwrap();

    let store = bench.open();
    let expected: Vec<_> = [0, 1, 2, 5, 6, 7, 8].into_iter().map(|n| (n, vec![0])).collect();
    for limit in [1, 2, 4, 100] {
        assert_eq!(owing(&store, limit).await, expected, "{limit}");
    }
}

#[tokio::test]
async fn what_owes_stays_beyond_its_retention_and_goes_once_it_owes_nothing() {
    let bench = Bench::new();
    let store = bench.open();
    owe(&store, 0, 1).await;
    owe(&store, 1, 0).await;
    for n in 2..20 {
        owe(&store, n, 1).await;
    }
    bench.clock.advance(RETENTION * 2);
    tidied(&store).await;
    assert!(read(&store, 0).await.is_some());
    assert!(read(&store, 1).await.is_none());
    attempt(&store, 0, 0, 1, Attempted::Delivered).await;
    tidied(&store).await;
    assert!(read(&store, 0).await.is_none());
    assert_eq!(store.owed(), 18);
    assert_eq!(owing(&store, 100).await.len(), 18);
}

#[tokio::test]
async fn a_file_of_layout_1_is_brought_up_to_the_present_and_keeps_what_is_in_it() {
    let bench = Bench::new();
    let store = bench.open();
    begin(&store, 0, 1, None).await;
    for n in 1..1500 {
        owe(&store, n, usize::from(n % 100 == 0) * 2).await;
    }
    store.close().await;
    drop(store);
    let database = bench.database();
    // As the build before wrote it: nothing is known of what is owed, and all that has ended is to go.
    database
        .execute_batch(
            "DROP INDEX operations_owing;
             ALTER TABLE operations DROP COLUMN owed;
             UPDATE operations SET purge = changed WHERE state >= 2;
             PRAGMA user_version = 1;",
        )
        .unwrap();
    database.close().unwrap();

    let store = bench.open();
    let expected: Vec<_> = (1..15).map(|n| (n * 100, vec![0, 1])).collect();
    assert_eq!((owing(&store, 4).await, store.owed()), (expected, 28));
    assert_eq!(store.live(), [id(0)]);
    tidied(&store).await;
    assert!(read(&store, 101).await.is_none());
    assert!(read(&store, 100).await.is_some());
    store.close().await;
    drop(store);
    assert_eq!(bench.open().owed(), 28);
}

#[tokio::test]
async fn a_file_of_a_later_layout_is_refused_in_plain_words_and_left_alone() {
    let bench = Bench::new();
    bench.open().close().await;
    bench.database().pragma_update(None, "user_version", 3).unwrap();
    let error = bench.try_open().unwrap_err().to_string();
    assert!(error.contains("(layout 3; this one reads layouts 1 to 2)"), "{error}");
    let left: i32 =
        bench.database().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(left, 3);
}

impl Bench {
    fn clock_now(&self) -> Timestamp {
        Clock::Manual(self.clock.clone()).now()
    }
}

/// The walk reads the index, not every operation there is.
#[tokio::test]
async fn a_walk_reads_the_index_alone() {
    let bench = Bench::new();
    bench.open().close().await;
    let plan = plan(&bench.options().dir);
    assert!(
        plan.contains("USING COVERING INDEX operations_owing")
            || plan.contains("USING INDEX operations_owing"),
        "{plan}"
    );
    assert!(!plan.contains("TEMP B-TREE"), "{plan}");
}

fn plan(dir: &Path) -> String {
    let database = Connection::open(dir.join("opgate.db")).unwrap();
    let mut explained = database
        .prepare(
            "EXPLAIN QUERY PLAN SELECT seq, body FROM operations INDEXED BY operations_owing \
             WHERE owed IS NOT NULL AND seq > 5 ORDER BY seq",
        )
        .unwrap();
    let lines = explained.query_map([], |row| row.get::<_, String>(3)).unwrap();
    lines.map(Result::unwrap).collect::<Vec<_>>().join("\n")
}
