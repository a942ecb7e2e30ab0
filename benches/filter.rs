//! Filtered lists of the store against unfiltered ones of the same run: one operation in a thousand
//! passes, in memory and mostly on disk.
//!
//! `cargo bench --bench filter -- --operations 1000000`; 100,000 without. Every ratio is of two
//! figures of the same run. How to read them is in `benches/README.md`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures and stops at the first failure"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use opgate_core::filter::{Canonical, Predicate, canonical};
use opgate_core::{
    Accept, Code, Command, Expects, Face, Failure, Kind, Operation, OperationId, Origin, Outcome,
    Parent, Payload, Routed, Submission, Tenant, Timestamp,
};
use opgate_store::{Clock, Options, Page, Store};
use opgate_telemetry::Metrics;

/// As the bus has it.
const SCAN: usize = 10_000;
const LIMIT: usize = 50;
/// One in so many passes.
const ONE_IN: u64 = 1000;
/// Stored beside the record.
const INPUT_BYTES: usize = 3000;

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--operations").skip(1);
    let operations = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("filter-bench");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for (place, input, resident, body_bytes) in [
        ("in memory", 100, 20_000_000, 16 << 30),
        ("mostly on disk", 100, 10_000, 4 << 20),
        // A tenth of them, with a payload each that no filter needs.
        ("mostly on disk, payloads beside", INPUT_BYTES, 1_000, 4 << 20),
    ] {
        let count = if input == INPUT_BYTES { operations / 10 } else { operations };
        drop(fs::remove_dir_all(&dir));
        let options = Options { resident_operations: resident, body_bytes, ..Options::new(&dir) };
        println!("## {count} operations {place}");
        runtime.block_on(measure(&dir, &options, count, input));
    }
    drop(fs::remove_dir_all(&dir));
}

async fn measure(dir: &Path, options: &Options, count: u64, input: usize) {
    fs::create_dir_all(dir).unwrap();
    let metrics = Metrics::register(&[]);
    let store = Store::open(options, Clock::System, &metrics).expect("the store opens").0;
    fill(&store, count, input).await;
    let all = walk(&store, None).await;
    println!("unfiltered: {} pages, {:?} each", all.pages, all.median);
    for text in ["error.code = NOT_FOUND", "done = true error.message : disk AND state = FAILED"] {
        let found = walk(&store, Some(Counted::new(text))).await;
        assert_eq!(found.items, usize::try_from(count / ONE_IN).unwrap());
        println!(
            "{text}: {} pages of {} looked at, {:?} each, {:.1} x an unfiltered page; {:?} for the walk, {:.2} x the unfiltered one",
            found.pages,
            found.looked / found.pages,
            found.median,
            found.median.as_secs_f64() / all.median.as_secs_f64(),
            found.took,
            found.took.as_secs_f64() / all.took.as_secs_f64(),
        );
    }
    store.close().await;
}

/// A filter that counts what it looks at.
struct Counted {
    filter: Canonical,
    looked: AtomicUsize,
}

impl Counted {
    fn new(text: &str) -> Arc<Self> {
        Arc::new(Self { filter: canonical(text).unwrap(), looked: AtomicUsize::new(0) })
    }
}

impl Predicate for Counted {
    fn early(&self, without_payloads: &Operation) -> Option<bool> {
        self.looked.fetch_add(1, Ordering::Relaxed);
        self.filter.early(without_payloads)
    }

    fn passes(&self, operation: &Operation) -> bool {
        self.filter.passes(operation)
    }
}

struct Walked {
    pages: usize,
    items: usize,
    looked: usize,
    median: Duration,
    took: Duration,
}

/// Every page from the newest to the oldest.
async fn walk(store: &Store, filter: Option<Arc<Counted>>) -> Walked {
    let (mut took, mut items, mut before) = (Vec::new(), 0, None);
    let began = Instant::now();
    loop {
        let page = Page {
            tenant: Tenant::anonymous(),
            scope: Parent::new("projects/p/locations/l").unwrap(),
            before,
            limit: LIMIT,
            scan: SCAN,
            now: Timestamp::from_nanos(0),
        };
        let passes = filter.clone().map(|filter| -> opgate_store::Filter { filter });
        let sent = Instant::now();
        let listed = store.page(page, passes).await.unwrap();
        took.push(sent.elapsed());
        items += listed.items.len();
        before = listed.next;
        if before.is_none() {
            break;
        }
    }
    let all = began.elapsed();
    took.sort_unstable();
    Walked {
        pages: took.len(),
        items,
        looked: filter.map_or(0, |filter| filter.looked.load(Ordering::Relaxed)),
        median: took[took.len() / 2],
        took: all,
    }
}

/// Starts this many operations that have ended, of which one in [`ONE_IN`] has failed.
async fn fill(store: &Store, count: u64, input: usize) {
    let next = Arc::new(AtomicU64::new(0));
    let input = Bytes::from(vec![b'x'; input]);
    let fillers: Vec<_> = (0..1024)
        .map(|_| {
            let (store, next, input) = (store.clone(), Arc::clone(&next), input.clone());
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    let target =
                        OperationId::new(Clock::System.now().millis().unsigned_abs(), n.into());
                    let command = Command::Accept(Box::new(accept(n, input.clone())));
                    let tenant = Tenant::anonymous();
                    let submission = Submission { tenant, target, expect: None, command };
                    store.submit(submission).await.unwrap();
                }
            })
        })
        .collect();
    for filler in fillers {
        filler.await.unwrap();
    }
}

fn accept(n: u64, input: Bytes) -> Accept {
    let outcome = if n.is_multiple_of(ONE_IN) {
        Outcome::Failed(Failure::new(Code::NotFound, "no such disk"))
    } else {
        Outcome::Succeeded(Some(Payload::json(vec![b'y'; 100])))
    };
    Accept {
        parent: Parent::new("projects/p/locations/l").unwrap(),
        kind: Kind::new("bench", "run").unwrap(),
        origin: Origin {
            face: Face::Grpc,
            endpoint: "bench.v1.Bench/Run".into(),
            principal: "anonymous".into(),
            request_id: None,
        },
        routed: Routed { route: "bench".into(), backend: "b".into(), native_ref: Bytes::new() },
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
        outcome: Some(outcome),
    }
}
