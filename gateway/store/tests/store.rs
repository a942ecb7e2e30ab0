//! The store through its public face, on real directories.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opgate_core::arbitrary::submission;
use opgate_core::filter::{Predicate, canonical};
use opgate_core::limits::PAYLOAD_BYTES;
use opgate_core::machine::{self, Decision};
use opgate_core::{
    Accept, Change, Command, Dedupe, DedupeKey, Epoch, Error, ErrorKind, Expects, Face,
    Fingerprint, Finish, KeySpace, Kind, Operation, OperationId, Origin, Outcome, Parent, Payload,
    Routed, Seq, State, Submission, Tenant, Timestamp,
};
use opgate_store::{
    Clock, Durability, Filter, Listed, ManualClock, OpenError, Options, Page, Peek, Receipt,
    Snapshot, Store,
};
use opgate_telemetry::Metrics;
use proptest::collection::vec;
use proptest::prelude::*;

fn clock() -> (Clock, ManualClock) {
    let manual = ManualClock::at(Timestamp::from_nanos(1_800_000_000_000_000_000));
    (Clock::Manual(manual.clone()), manual)
}

fn open(options: &Options, clock: &Clock) -> Store {
    Store::open(options, clock.clone(), &Metrics::register(&[])).expect("the store opens").0
}

fn small(dir: &Path) -> Options {
    Options { resident_operations: 8, body_bytes: 2000, ..Options::new(dir) }
}

fn accept(parent: &str, input: impl Into<Bytes>) -> Accept {
    Accept {
        parent: Parent::new(parent).unwrap(),
        kind: Kind::new("test", "run").unwrap(),
        origin: Origin {
            face: Face::Grpc,
            endpoint: "test".into(),
            principal: "anonymous".into(),
            request_id: None,
        },
        routed: Routed { route: "r".into(), backend: "b".into(), native_ref: Bytes::new() },
        expects: Expects::default(),
        input: Payload::json(input),
        resources: Vec::new(),
        deadline: None,
        retention: Duration::from_hours(1),
        links_in: Vec::new(),
        callbacks: Vec::new(),
        headers: Vec::new(),
        trace: None,
        dedupe: None,
        lost: opgate_core::Losses::NONE,
        share: None,
        share_key: None,
        outcome: None,
    }
}

fn id(n: u64) -> OperationId {
    OperationId::new(1_800_000_000_000, n.into())
}

async fn send(store: &Store, target: OperationId, command: Command) -> Result<Receipt, Error> {
    let tenant = Tenant::anonymous();
    store.submit(Submission { tenant, target, expect: None, command }).await
}

async fn begin(store: &Store, n: u64, accept: Accept) -> Result<Receipt, Error> {
    send(store, id(n), Command::Accept(Box::new(accept))).await
}

fn succeed(output: &'static str) -> Command {
    Command::Finish(Box::new(Finish {
        epoch: None,
        by: None,
        outcome: Outcome::Succeeded(Some(Payload::json(output))),
        report: None,
    }))
}

/// Asks for a [`Store::tidy`] and lets it come to its end: a slice of it follows every batch, so
/// after as many batches as there can be slices it is over.
async fn tidied(store: &Store) {
    store.tidy();
    for _ in 0..8 {
        let unknown = send(store, id(u64::MAX), Command::Remove { keep: Duration::ZERO }).await;
        assert_eq!(unknown.unwrap_err().kind, ErrorKind::NotFound);
    }
}

async fn list(store: &Store, scope: &str, limit: usize) -> Vec<Arc<Snapshot>> {
    let mut page = Page {
        tenant: Tenant::anonymous(),
        scope: Parent::new(scope).unwrap(),
        before: None,
        limit,
        scan: 5000,
        now: store.clock().now(),
    };
    let mut all = Vec::new();
    loop {
        let listed = store.page(page.clone(), None).await.unwrap();
        assert!(listed.items.len() <= limit);
        all.extend(listed.items);
        match listed.next {
            Some(next) => page.before = Some(next),
            None => return all,
        }
    }
}

/// What the journal should hold: the core's own decisions, applied in memory.
#[derive(Default)]
struct Model {
    operations: BTreeMap<OperationId, Operation>,
    seq: u64,
}

impl Model {
    fn submit(&mut self, submission: Submission, now: Timestamp) -> bool {
        let id = submission.target;
        if let Command::Accept(accept) = &submission.command
            && let Some(dedupe) = &accept.dedupe
        {
            let holder = self
                .operations
                .values()
                .find(|operation| operation.dedupe.as_ref().is_some_and(|of| of.key == dedupe.key));
            match holder.and_then(|holder| machine::repeat(holder, dedupe, now)) {
                Some(Decision::Same) => return true,
                Some(_) => return false,
                None => {}
            }
        }
        let current = self.operations.get(&id).cloned();
        let (events, ok) = match machine::decide(current.as_ref(), submission) {
            Decision::Change(events) => (events, true),
            Decision::Same => return true,
            Decision::Refused { record: Some(event), .. } => (vec![event], false),
            Decision::Refused { record: None, .. } => return false,
        };
        self.seq += 1;
        let change = Change { seq: Seq(self.seq), at: now, events };
        self.operations.insert(id, machine::apply(current, &change).unwrap());
        ok
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The same commands give the same operations in the store as in the model: resident, evicted,
    /// and read back by a new process.
    #[test]
    fn the_store_holds_what_the_state_machine_says(
        rounds in vec(vec(submission(12), 1..25), 1..4), tight: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let options = if tight { small(dir.path()) } else { Options::new(dir.path()) };
            let (clock, _) = clock();
            let mut model = Model::default();
            for round in rounds {
                let store = open(&options, &clock);
                for submission in round {
                    // Keys that never end: expiry has a test of its own.
                    let submission = lasting(submission);
                    let expected = model.submit(submission.clone(), clock.now());
                    let receipt = store.submit(submission).await;
                    assert_eq!(receipt.is_ok(), expected, "{receipt:?}");
                }
                for operation in model.operations.values() {
                    let found = store.get(operation.id).await.unwrap().expect("it is stored");
                    assert_eq!(&**found, operation);
                }
                let live: BTreeSet<_> = store.live().into_iter().collect();
                let expected = model.operations.values().filter(|o| !o.is_done()).map(|o| o.id);
                assert_eq!(live, expected.collect());
                let mut listed: Vec<_> = list(&store, "", 3).await.iter().map(|s| s.id).collect();
                let mut shown: Vec<_> = model
                    .operations
                    .values()
                    .filter(|o| o.tenant == Tenant::anonymous() && o.is_visible(clock.now()))
                    .collect();
                shown.sort_by_key(|operation| std::cmp::Reverse(operation.seq));
                assert_eq!(listed.split_off(0), shown.iter().map(|o| o.id).collect::<Vec<_>>());
                store.close().await;
            }
        });
    }
}

fn lasting(mut submission: Submission) -> Submission {
    if let Command::Accept(accept) = &mut submission.command
        && let Some(dedupe) = &mut accept.dedupe
    {
        dedupe.until = Timestamp::from_nanos(i64::MAX);
    }
    submission
}

#[tokio::test]
async fn a_walk_is_complete_and_without_repeats_while_operations_arrive() {
    for resident in [4, 100_000] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            resident_operations: resident,
            body_bytes: 50_000,
            ..Options::new(dir.path())
        };
        let (clock, _) = clock();
        let store = open(&options, &clock);
        for n in 0..500 {
            begin(&store, n, accept("a/b", "{}")).await.unwrap();
            send(&store, id(n), succeed("1")).await.unwrap();
        }
        let mut seen = Vec::new();
        let mut before = None;
        for more in 500.. {
            begin(&store, more, accept("a/b", "{}")).await.unwrap();
            let page = Page {
                tenant: Tenant::anonymous(),
                scope: Parent::new("a").unwrap(),
                before,
                limit: 7,
                scan: 5000,
                now: clock.now(),
            };
            let listed = store.page(page, None).await.unwrap();
            seen.extend(listed.items.iter().map(|snapshot| snapshot.id));
            before = listed.next;
            if before.is_none() {
                break;
            }
        }
        let expected: Vec<_> = (0..=500).rev().map(id).collect();
        assert_eq!(seen, expected, "with {resident} resident");
    }
}

#[tokio::test]
async fn a_listing_of_a_parent_holds_what_lies_beneath_it() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    for options in [Options::new(dir.path().join("large")), small(&dir.path().join("small"))] {
        let store = open(&options, &clock);
        // More parents than are merged, so that the scan is walked as well.
        for n in 0..100 {
            let parent = format!("projects/{}/locations/{}", n % 2, n);
            begin(&store, n, accept(&parent, "{}")).await.unwrap();
            send(&store, id(n), succeed("1")).await.unwrap();
        }
        assert_eq!(list(&store, "projects", 9).await.len(), 100);
        assert_eq!(list(&store, "projects/0", 9).await.len(), 50);
        assert_eq!(list(&store, "projects/0/locations/4", 9).await.len(), 1);
        assert_eq!(list(&store, "projects/0/locations/5", 9).await.len(), 0);
        assert_eq!(list(&store, "project", 9).await.len(), 0);
        store.close().await;
    }
}

#[tokio::test]
async fn a_page_looks_at_no_more_than_it_may_however_little_passes() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(&small(dir.path()), &clock);
    for n in 0..100 {
        begin(&store, n, accept("", "{}")).await.unwrap();
    }
    let page = Page {
        tenant: Tenant::anonymous(),
        scope: Parent::root(),
        before: None,
        limit: 50,
        scan: 10,
        now: clock.now(),
    };
    let oldest = id(0);
    let filter: Filter = Arc::new(move |operation: &Operation| operation.id == oldest);
    let listed = store.page(page, Some(filter)).await.unwrap();
    assert!(listed.items.is_empty());
    assert_eq!(listed.next, Some(Seq(91)), "short, with a way on");
}

#[tokio::test]
async fn what_has_not_ended_is_listed_without_a_look_at_what_has() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(&small(dir.path()), &clock);
    // The oldest go on: one nobody has taken up, one that runs, one of another parent.
    for n in 0..100 {
        begin(&store, n, accept(if n == 2 { "b" } else { "a" }, "{}")).await.unwrap();
        if n > 2 {
            send(&store, id(n), succeed("1")).await.unwrap();
        }
    }
    send(&store, id(1), Command::Start { epoch: Epoch(1), backend: None }).await.unwrap();
    let page = |scope: &str, before, limit, filter: &str| {
        let page = Page {
            tenant: Tenant::anonymous(),
            scope: Parent::new(scope).unwrap(),
            before,
            limit,
            scan: 5,
            now: clock.now(),
        };
        store.page(page, Some(Arc::new(canonical(filter).unwrap())))
    };
    let ids = |listed: &Listed| listed.items.iter().map(|found| found.id).collect::<Vec<_>>();
    for (scope, filter, expected) in [
        ("", "done = false", &[2, 1, 0][..]),
        ("a", "NOT done = true AND service = test", &[1, 0]),
        ("", "state = RUNNING", &[1]),
        ("", "state = RUNNING OR state = ACCEPTED", &[2, 1, 0]),
        ("", "canceling = true", &[]),
        ("c", "done = false", &[]),
    ] {
        let listed = page(scope, None, 50, filter).await.unwrap();
        let expected: Vec<OperationId> = expected.iter().copied().map(id).collect();
        assert_eq!((ids(&listed), listed.next), (expected, None), "{scope} {filter}");
    }
    // A page at a time.
    let first = page("", None, 2, "done = false").await.unwrap();
    assert_eq!(ids(&first), [id(2), id(1)]);
    let second = page("", first.next, 2, "done = false").await.unwrap();
    assert_eq!((ids(&second), second.next), (vec![id(0)], None));
    // What may have ended is looked for as far as a page goes.
    for filter in ["state != SUCCEEDED", "NOT state = SUCCEEDED", "done = false OR epoch = 1"] {
        let listed = page("", None, 50, filter).await.unwrap();
        assert!(listed.items.is_empty() && listed.next.is_some(), "{filter}");
    }
    store.close().await;
}

/// Lets one operation through, and says so early or only with its payloads.
struct Only {
    id: OperationId,
    early: bool,
}

impl Predicate for Only {
    fn early(&self, without_payloads: &Operation) -> Option<bool> {
        self.early.then_some(without_payloads.id == self.id)
    }

    fn passes(&self, operation: &Operation) -> bool {
        assert_eq!(operation.input.bytes.len(), LARGE, "a whole operation");
        operation.id == self.id
    }
}

const LARGE: usize = 10_000;

#[tokio::test]
async fn a_filter_that_can_tell_early_leaves_payloads_on_disk_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(&small(dir.path()), &clock);
    for n in 0..20 {
        begin(&store, n, accept("", vec![b'x'; LARGE])).await.unwrap();
        send(&store, id(n), succeed("1")).await.unwrap();
    }
    let wanted = store.get(id(3)).await.unwrap().unwrap();
    let page = |id, early| {
        let page = Page {
            tenant: Tenant::anonymous(),
            scope: Parent::root(),
            before: None,
            limit: 50,
            scan: 100,
            now: clock.now(),
        };
        store.page(page, Some(Arc::new(Only { id, early })))
    };
    for early in [true, false] {
        let listed = page(id(3), early).await.unwrap();
        assert_eq!(listed.items.len(), 1);
        assert_eq!(**listed.items[0], **wanted, "with its payload");
    }
    // Every payload but one is gone from the disk: who reads another notices.
    let disk = rusqlite::Connection::open(dir.path().join("opgate.db")).unwrap();
    let kept = i64::try_from(wanted.seq.0).unwrap() * 2;
    disk.execute("DELETE FROM payloads WHERE key != ?1", [kept]).unwrap();
    assert_eq!(page(id(3), true).await.unwrap().items.len(), 1);
    assert_eq!(page(id(3), false).await.unwrap_err().kind, ErrorKind::DataLoss);
    assert_eq!(page(id(4), true).await.unwrap_err().kind, ErrorKind::DataLoss);
}

#[tokio::test]
async fn a_page_reads_a_bounded_number_of_bytes_for_what_it_drops() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(&Options::new(dir.path()), &clock);
    let large = Bytes::from(vec![b'x'; 4_000_000]);
    for n in 0..20 {
        begin(&store, n, accept("", large.clone())).await.unwrap();
    }
    let mut page = Page {
        tenant: Tenant::anonymous(),
        scope: Parent::root(),
        before: None,
        limit: 50,
        scan: 5000,
        now: clock.now(),
    };
    // A function may look at payloads, so every operation counts with all it holds.
    let filter: Filter = Arc::new(|operation: &Operation| operation.input.bytes.is_empty());
    let listed = store.page(page.clone(), Some(Arc::clone(&filter))).await.unwrap();
    let next = listed.next.unwrap();
    assert!(listed.items.is_empty() && (3..8).contains(&next.0), "{next:?}");
    page.before = Some(next);
    let rest = store.page(page, Some(filter)).await.unwrap();
    assert!(rest.items.is_empty() && rest.next.is_none());
}

#[tokio::test]
async fn a_filtered_walk_finds_what_passes_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    for (resident, limit) in [(1_000_000, 5), (8, 5), (150, 5), (150, 1)] {
        let dir = dir.path().join(format!("{resident}-{limit}"));
        let options = Options { resident_operations: resident, ..Options::new(dir) };
        let store = open(&options, &clock);
        for n in 0..600 {
            begin(&store, n, accept("a", "{}")).await.unwrap();
            send(&store, id(n), succeed("1")).await.unwrap();
        }
        let expected: Vec<_> = (0..600).rev().filter(|n| n % 97 < 2).map(id).collect();
        let passing = expected.clone();
        let filter: Filter = Arc::new(move |operation: &Operation| passing.contains(&operation.id));
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = Page {
                tenant: Tenant::anonymous(),
                scope: Parent::new("a").unwrap(),
                before,
                limit,
                scan: 250,
                now: clock.now(),
            };
            let listed = store.page(page, Some(Arc::clone(&filter))).await.unwrap();
            assert!(listed.items.len() <= limit);
            seen.extend(listed.items.iter().map(|snapshot| snapshot.id));
            before = listed.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected, "{resident} resident, {limit} a page");
    }
}

fn keyed(key: u128, print: u8, until: Timestamp) -> Accept {
    Accept {
        dedupe: Some(Box::new(Dedupe {
            space: KeySpace::new("test"),
            key: DedupeKey(key),
            fingerprint: Fingerprint([print; 32]),
            until,
            live: false,
        })),
        ..accept("", "{}")
    }
}

#[tokio::test]
async fn a_key_means_one_operation_until_its_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = clock();
    let until = clock.now().plus(Duration::from_hours(24));
    let store = open(&Options::new(dir.path()), &clock);
    let first = begin(&store, 1, keyed(7, 1, until)).await.unwrap();
    assert!(!first.repeated);
    // Many at a time, as retries come.
    let storm: Vec<_> = (2..50).map(|n| begin(&store, n, keyed(7, 1, until))).collect();
    for repeat in storm {
        let receipt = repeat.await.unwrap();
        assert!(receipt.repeated);
        assert_eq!(receipt.snapshot.id, id(1));
    }
    let other = begin(&store, 60, keyed(7, 2, until)).await.unwrap_err();
    assert_eq!(other.kind, ErrorKind::AlreadyExists);
    // The key outlives the operation's own retention, its deletion, and the process.
    send(&store, id(1), succeed("1")).await.unwrap();
    send(&store, id(1), Command::Remove { keep: Duration::ZERO }).await.unwrap();
    hand.advance(Duration::from_hours(2));
    tidied(&store).await;
    store.close().await;
    let store = open(&Options::new(dir.path()), &clock);
    let repeat = begin(&store, 61, keyed(7, 1, until)).await.unwrap();
    assert_eq!((repeat.repeated, repeat.snapshot.id), (true, id(1)));
    hand.advance(Duration::from_hours(24));
    let fresh = begin(&store, 62, keyed(7, 1, until.plus(Duration::from_hours(24)))).await;
    assert_eq!(fresh.unwrap().snapshot.id, id(62));
}

#[tokio::test]
async fn a_key_that_is_free_again_is_the_next_ones_within_one_batch_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _hand) = clock();
    let store = open(&Options::new(dir.path()), &clock);
    let at_once = || {
        let mut accept = keyed(7, 1, clock.now());
        accept.dedupe.as_mut().unwrap().live = true;
        Accept { outcome: Some(Outcome::Succeeded(None)), ..accept }
    };
    // All are there before the first is written.
    let posted: Vec<_> = (1..50)
        .map(|n| {
            let command = Command::Accept(Box::new(at_once()));
            let tenant = Tenant::anonymous();
            store.post(Submission { tenant, target: id(n), expect: None, command }).unwrap()
        })
        .collect();
    for posted in posted {
        assert!(!posted.durable().await.unwrap().repeated);
    }
    store.close().await;
    let store = open(&Options::new(dir.path()), &clock);
    assert!(!begin(&store, 60, at_once()).await.unwrap().repeated);
}

#[tokio::test]
async fn an_ended_operation_is_forgotten_after_its_retention_and_a_running_one_never() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = clock();
    let store = open(&Options::new(dir.path()), &clock);
    begin(&store, 1, accept("", "{}")).await.unwrap();
    begin(&store, 2, accept("", vec![b'x'; 100_000])).await.unwrap();
    send(&store, id(2), succeed("1")).await.unwrap();
    hand.advance(Duration::from_secs(3599));
    tidied(&store).await;
    assert!(store.get(id(2)).await.unwrap().is_some());
    hand.advance(Duration::from_secs(1));
    assert!(list(&store, "", 10).await.iter().all(|snapshot| snapshot.id == id(1)));
    tidied(&store).await;
    assert!(store.get(id(2)).await.unwrap().is_none());
    hand.advance(Duration::from_secs(1_000_000));
    tidied(&store).await;
    assert!(store.get(id(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn more_is_forgotten_than_fits_one_batch() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = clock();
    let store = open(&small(dir.path()), &clock);
    let starts: Vec<_> = (0..3000)
        .map(|n| {
            let outcome = Some(Outcome::Succeeded(None));
            let store = store.clone();
            tokio::spawn(async move {
                begin(&store, n, Accept { outcome, ..accept("", "{}") }).await.unwrap();
            })
        })
        .collect();
    for start in starts {
        start.await.unwrap();
    }
    hand.advance(Duration::from_hours(1));
    tidied(&store).await;
    for n in [0, 1500, 2999] {
        assert!(store.get(id(n)).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn payloads_come_back_as_they_went_in_whatever_their_size() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let sizes = [0, 1, 2048, 2049, 1_000_000, PAYLOAD_BYTES];
    let body = |size: usize| Bytes::from((0..=250).cycle().take(size).collect::<Vec<_>>());
    let store = open(&Options::new(dir.path()), &clock);
    for (n, size) in (0..).zip(sizes) {
        begin(&store, n, accept("", body(size))).await.unwrap();
        let outcome = Outcome::Succeeded(Some(Payload::new("x/y", body(size))));
        let finish =
            Command::Finish(Box::new(Finish { epoch: None, by: None, outcome, report: None }));
        send(&store, id(n), finish).await.unwrap();
    }
    store.close().await;
    let store = open(&Options::new(dir.path()), &clock);
    for (n, size) in (0..).zip(sizes) {
        let found = store.get(id(n)).await.unwrap().unwrap();
        assert_eq!(found.input.bytes, body(size));
        assert_eq!(found.outcome, Some(Outcome::Succeeded(Some(Payload::new("x/y", body(size))))));
    }
    let large = begin(&store, 99, accept("", body(PAYLOAD_BYTES + 1))).await.unwrap_err();
    assert_eq!(large.kind, ErrorKind::PayloadTooLarge);
}

#[tokio::test]
async fn a_full_database_refuses_writes_serves_reads_and_recovers_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = clock();
    let options = Options { max_bytes: Some(2 * 1024 * 1024), ..Options::new(dir.path()) };
    let store = open(&options, &clock);
    let mut stored = 0;
    let refused = loop {
        let outcome = Some(Outcome::Succeeded(None));
        match begin(&store, stored, Accept { outcome, ..accept("", vec![b'x'; 50_000]) }).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 1000, "the bound holds");
    };
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert!(store.health().borrow().unwritable.is_some());
    assert!(store.get(id(stored)).await.unwrap().is_none(), "what was refused is not there");
    for n in 0..stored {
        assert_eq!(store.get(id(n)).await.unwrap().unwrap().state, State::Succeeded);
    }
    hand.advance(Duration::from_hours(1));
    tidied(&store).await;
    assert_eq!(store.health().borrow().unwritable, None);
    begin(&store, 5000, accept("", "{}")).await.unwrap();
}

#[tokio::test]
async fn one_directory_serves_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let options = Options::new(dir.path());
    let store = open(&options, &clock);
    let second = Store::open(&options, clock.clone(), &Metrics::register(&[]));
    assert!(matches!(second, Err(OpenError::InUse(_))));
    store.close().await;
    open(&options, &clock).close().await;
}

/// Opens a directory after `damage` was done to the copy of a live one.
async fn reopened(damage: impl FnOnce(&Path)) -> Result<(), OpenError> {
    let (live, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (clock, _) = clock();
    let store = open(&Options::new(live.path()), &clock);
    // Few enough that all of it is still in the log.
    for n in 0..50 {
        begin(&store, n, accept("a", vec![b'x'; 1000])).await.unwrap();
    }
    // As a kill leaves it: the log is not yet part of the database file.
    for file in std::fs::read_dir(live.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    damage(copy.path());
    let opened = Store::open(&Options::new(copy.path()), clock, &Metrics::register(&[]));
    if let Ok((store, recovery)) = &opened {
        assert_eq!(recovery.live, 50);
        store.close().await;
    }
    store.close().await;
    opened.map(|_| ())
}

fn overwrite(path: &Path, at: u64, length: usize) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0xa5; length], at).unwrap();
}

#[tokio::test]
async fn a_copy_as_a_kill_leaves_it_opens() {
    reopened(|_| {}).await.unwrap();
}

#[tokio::test]
async fn a_log_that_lost_acknowledged_records_is_refused() {
    let cut = reopened(|dir| {
        let wal = dir.join("opgate.db-wal");
        let length = wal.metadata().unwrap().len();
        OpenOptions::new().write(true).open(wal).unwrap().set_len(length / 2).unwrap();
    });
    assert!(matches!(cut.await, Err(OpenError::Damaged { .. })));
    let flipped = reopened(|dir| {
        let wal = dir.join("opgate.db-wal");
        overwrite(&wal, wal.metadata().unwrap().len() / 2, 1);
    });
    assert!(matches!(flipped.await, Err(OpenError::Damaged { .. })));
}

/// A closed store's only file is the database; it is damaged page by page.
#[tokio::test]
async fn a_damaged_database_is_refused_or_refuses_the_damaged_record_and_never_lies() {
    let (live, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (clock, _) = clock();
    let store = open(&Options::new(live.path()), &clock);
    let mut stored = BTreeMap::new();
    for n in 0..60 {
        begin(&store, n, accept("a", vec![b'x'; 500])).await.unwrap();
        if n % 2 == 0 {
            send(&store, id(n), succeed("1")).await.unwrap();
        }
        stored.insert(n, store.get(id(n)).await.unwrap().unwrap());
    }
    store.close().await;
    let database = live.path().join("opgate.db");
    let (mut refused, mut detected) = (0, 0);
    for at in (0..database.metadata().unwrap().len()).step_by(1777) {
        for file in std::fs::read_dir(live.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        overwrite(&copy.path().join("opgate.db"), at, 3);
        match Store::open(&Options::new(copy.path()), clock.clone(), &Metrics::register(&[])) {
            Err(OpenError::Damaged { .. } | OpenError::Journal { .. }) => refused += 1,
            Err(other) => panic!("at {at}: {other}"),
            Ok((store, _)) => {
                for (n, expected) in &stored {
                    match store.get(id(*n)).await {
                        Ok(Some(found)) => assert_eq!(**found, ***expected, "at {at}"),
                        Ok(None) => panic!("at {at}: operation {n} vanished"),
                        Err(error) => {
                            assert_eq!(error.kind, ErrorKind::DataLoss, "at {at}: {error}");
                            detected += 1;
                        }
                    }
                }
                store.close().await;
            }
        }
        for file in ["opgate.db-wal", "opgate.db-shm"] {
            drop(std::fs::remove_file(copy.path().join(file)));
        }
    }
    assert!(refused > 0 && detected > 0, "{refused} refused, {detected} detected");
}

#[tokio::test]
async fn a_waiter_is_woken_by_its_own_operation_only() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(&Options::new(dir.path()), &clock);
    begin(&store, 1, accept("", "{}")).await.unwrap();
    begin(&store, 2, accept("", "{}")).await.unwrap();
    let (mine, other) = (store.newer(id(1)), store.newer(id(2)));
    let (mine, other) = (mine.changed(), other.changed());
    send(&store, id(1), Command::Start { epoch: Epoch(1), backend: None }).await.unwrap();
    mine.await;
    let mut other = std::pin::pin!(other);
    assert!(futures_poll(other.as_mut()).is_pending());
    assert_eq!(store.awaited(), 2);
}

fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[tokio::test]
async fn a_follower_that_comes_late_catches_up_from_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(&Options::new(dir.path()), &clock);
    for n in 0..20 {
        begin(&store, n, accept("", "{}")).await.unwrap();
    }
    let mut feed = store.feed();
    send(&store, id(3), Command::Start { epoch: Epoch(1), backend: None }).await.unwrap();
    send(&store, id(5), Command::Remove { keep: Duration::from_mins(1) }).await.unwrap();
    let changed: Vec<_> = store
        .changed_since(Seq(15), 100, usize::MAX)
        .await
        .unwrap()
        .items
        .iter()
        .map(|s| s.id)
        .collect();
    assert_eq!(changed, [15, 16, 17, 18, 19, 3, 5].map(id));
    // By number or by weight, whichever is reached first; one is there whatever it weighs.
    for (limit, bytes, found, more) in
        [(2, usize::MAX, 2, true), (7, usize::MAX, 7, false), (100, 1, 1, true)]
    {
        let changes = store.changed_since(Seq(15), limit, bytes).await.unwrap();
        assert_eq!((changes.items.len(), changes.more), (found, more));
    }
    let (first, second) =
        (feed.next().await.unwrap().unwrap(), feed.next().await.unwrap().unwrap());
    assert_eq!((first.id, first.seq, first.state), (id(3), Seq(21), State::Running));
    assert_eq!((second.id, second.seq), (id(5), Seq(22)));
}

#[tokio::test]
async fn what_memory_gave_up_is_read_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(&small(dir.path()), &clock);
    for n in 0..50 {
        begin(&store, n, accept("", "{}")).await.unwrap();
        send(&store, id(n), succeed("1")).await.unwrap();
    }
    assert!(matches!(store.peek(id(0)), Peek::OnDisk));
    assert_eq!(store.get(id(0)).await.unwrap().unwrap().state, State::Succeeded);
    // A command finds it there as well.
    let again = send(&store, id(0), succeed("1")).await.unwrap();
    assert!(again.repeated);
    let other = send(&store, id(0), succeed("2")).await.unwrap_err();
    assert_eq!(other.kind, ErrorKind::Conflict);
    assert_eq!(store.get(id(0)).await.unwrap().unwrap().conflicts.len(), 1);
    send(&store, id(0), Command::Remove { keep: Duration::from_mins(1) }).await.unwrap();
    assert!(list(&store, "", 100).await.iter().all(|snapshot| snapshot.id != id(0)));
    assert_eq!(list(&store, "", 100).await.len(), 49);
}

#[tokio::test]
async fn an_unended_operation_is_always_resident_and_counted_against_its_own_bound() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let options = Options { live_operations: 20, ..small(dir.path()) };
    let store = open(&options, &clock);
    for n in 0..20 {
        begin(&store, n, accept("", "{}")).await.unwrap();
    }
    let refused = begin(&store, 20, accept("", "{}")).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::TooManyRequests);
    assert_eq!(store.live(), (0..20).map(id).collect::<Vec<_>>());
    send(&store, id(0), succeed("1")).await.unwrap();
    begin(&store, 20, accept("", "{}")).await.unwrap();
    assert_eq!(list(&store, "", 4).await.len(), 21);
}

#[tokio::test]
async fn the_receipt_says_which_durability_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let options = Options { durability: Durability::Memory, ..Options::new(dir.path()) };
    let store = open(&options, &clock);
    let receipt = begin(&store, 1, accept("", "{}")).await.unwrap();
    assert_eq!(receipt.durability.name(), "memory");
}

#[tokio::test]
async fn large_operations_make_short_pages_and_a_walk_of_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    for options in [Options::new(dir.path().join("large")), small(&dir.path().join("small"))] {
        let store = open(&options, &clock);
        for n in 0..12 {
            begin(&store, n, accept("a", vec![b'x'; 1_000_000])).await.unwrap();
        }
        let page = Page {
            tenant: Tenant::anonymous(),
            scope: Parent::new("a").unwrap(),
            before: None,
            limit: 100,
            scan: 5000,
            now: clock.now(),
        };
        let first = store.page(page, None).await.unwrap();
        assert!(first.items.len() < 6 && first.next.is_some(), "{} at once", first.items.len());
        let walked: Vec<_> = list(&store, "a", 100).await.iter().map(|s| s.id).collect();
        assert_eq!(walked, (0..12).rev().map(id).collect::<Vec<_>>());
        store.close().await;
        let store = open(&options, &clock);
        let walked: Vec<_> = list(&store, "", 100).await.iter().map(|s| s.id).collect();
        assert_eq!(walked, (0..12).rev().map(id).collect::<Vec<_>>());
        store.close().await;
    }
}

#[tokio::test]
async fn a_parent_is_forgotten_with_its_last_operation_and_can_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = clock();
    let store = open(&Options::new(dir.path()), &clock);
    begin(&store, 1, accept("a/b", "{}")).await.unwrap();
    begin(&store, 2, accept("a/c", "{}")).await.unwrap();
    send(&store, id(1), succeed("1")).await.unwrap();
    hand.advance(Duration::from_hours(1));
    tidied(&store).await;
    assert_eq!(list(&store, "a/b", 9).await.len(), 0);
    assert_eq!(list(&store, "a", 9).await.len(), 1);
    begin(&store, 3, accept("a/b", "{}")).await.unwrap();
    assert_eq!(list(&store, "a", 9).await.len(), 2);
    store.close().await;
    let store = open(&Options::new(dir.path()), &clock);
    assert_eq!(list(&store, "a/b", 9).await[0].id, id(3));
}

#[tokio::test]
async fn an_operation_that_ends_after_a_restart_stays_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(&Options::new(dir.path()), &clock);
    begin(&store, 1, accept("", "{}")).await.unwrap();
    store.close().await;
    let store = open(&Options::new(dir.path()), &clock);
    send(&store, id(1), succeed("1")).await.unwrap();
    assert!(matches!(store.peek(id(1)), Peek::Resident(_)));
    assert_eq!(list(&store, "", 9).await.len(), 1);
}

#[tokio::test]
async fn another_program_that_locks_the_database_holds_writes_up_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(&Options::new(dir.path()), &clock);
    let other = rusqlite::Connection::open(dir.path().join("opgate.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = begin(&store, 1, accept("", "{}")).await.unwrap_err();
    assert_eq!(
        (refused.kind, refused.retry),
        (ErrorKind::Unavailable, opgate_core::Retry::SameRequest)
    );
    other.execute_batch("ROLLBACK").unwrap();
    begin(&store, 1, accept("", "{}")).await.unwrap();
    assert_eq!(store.health().borrow().unwritable, None);
}
