//! The store against its floors: a raw preallocated log, its own size, and its own idle state.
//!
//! `cargo bench --bench store` runs the quick form; `-- --operations 10000000` fills the store to
//! that number and compares with a tenth of it. Every ratio is of two figures of the same run.
//! How to read them is in `benches/README.md`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints its figures and stops at the first failure"
)]

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use opgate_core::{
    Accept, Command, Expects, Face, Finish, Kind, OperationId, Origin, Outcome, Parent, Payload,
    Routed, Seq, Submission, Tenant, Timestamp,
};
use opgate_store::{Clock, Options, Page, Peek, Recovery, Store};
use opgate_telemetry::Metrics;

/// Bytes of one record of the raw log: what a small operation takes in the journal.
const RECORD: usize = 400;
const ROUND: Duration = Duration::from_secs(2);

fn main() {
    let operations = argument("--operations").unwrap_or(200_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("store-bench");
    clear(&dir);
    println!("## durable starts against a raw preallocated log, same disk, same batch size");
    let mut single = 0.0;
    for in_flight in [1, 16, 64, 1024] {
        let raw = raw_log(&dir, in_flight);
        let store = open(&dir.join("starts"), |options| options).0;
        let (rate, mut acks) = runtime.block_on(starts(&store, in_flight));
        runtime.block_on(store.close());
        clear(&dir.join("starts"));
        if in_flight == 1 {
            single = rate;
        }
        acks.sort_unstable();
        println!(
            "{in_flight:5} in flight: {rate:9.0}/s, raw {raw:9.0}/s, ratio {:.2}, x{:.1} of one in flight; ack p50 {:?} p99 {:?} p99.9 {:?} max {:?}",
            rate / raw,
            rate / single,
            quantile(&acks, 0.5),
            quantile(&acks, 0.99),
            quantile(&acks, 0.999),
            quantile(&acks, 1.0),
        );
    }
    println!("## reads, idle and beside a saturated writer");
    runtime.block_on(reads(&dir.join("reads")));
    println!("## waiters");
    runtime.block_on(waiters(&dir.join("waiters"), 10_000));
    println!(
        "## growth: the same figures at a tenth of {operations} operations and at all of them"
    );
    runtime.block_on(growth(&dir.join("growth"), operations));
    clear(&dir);
}

fn argument(name: &str) -> Option<u64> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next()?.parse().ok()
}

fn clear(dir: &Path) {
    drop(fs::remove_dir_all(dir));
    fs::create_dir_all(dir).unwrap();
}

fn open(dir: &Path, with: impl FnOnce(Options) -> Options) -> (Store, Recovery) {
    let options = with(Options { live_operations: 20_000_000, ..Options::new(dir) });
    Store::open(&options, Clock::System, &Metrics::register(&[])).expect("the store opens")
}

fn quantile(sorted: &[Duration], q: f64) -> Duration {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let at = ((sorted.len() - 1) as f64 * q) as usize;
    sorted[at]
}

fn accept(outcome: Option<Outcome>) -> Accept {
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
        input: Payload::json(vec![b'x'; 100]),
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
        outcome,
    }
}

fn done() -> Outcome {
    Outcome::Succeeded(Some(Payload::json(vec![b'y'; 100])))
}

fn fresh() -> OperationId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let now = Clock::System.now().millis();
    OperationId::new(now.unsigned_abs(), NEXT.fetch_add(1, Ordering::Relaxed).into())
}

async fn begin(store: &Store, outcome: Option<Outcome>) -> OperationId {
    let (tenant, target) = (Tenant::anonymous(), fresh());
    let command = Command::Accept(Box::new(accept(outcome)));
    store.submit(Submission { tenant, target, expect: None, command }).await.unwrap();
    target
}

/// Records a second that a preallocated file takes in batches of this many, each made durable.
fn raw_log(dir: &Path, batch: usize) -> f64 {
    let path = dir.join("raw.log");
    let size = 256 * 1024 * 1024_u64;
    let file: File =
        OpenOptions::new().create(true).truncate(true).write(true).read(true).open(&path).unwrap();
    let zeros = vec![0; 1024 * 1024];
    for at in 0..size / zeros.len() as u64 {
        file.write_all_at(&zeros, at * zeros.len() as u64).unwrap();
    }
    file.sync_all().unwrap();
    let records = vec![7_u8; RECORD * batch];
    let (began, mut at, mut written) = (Instant::now(), 0, 0);
    while began.elapsed() < ROUND {
        if at + records.len() as u64 > size {
            at = 0;
        }
        file.write_all_at(&records, at).unwrap();
        file.sync_data().unwrap();
        at += records.len() as u64;
        written += batch;
    }
    let rate = written as f64 / began.elapsed().as_secs_f64();
    fs::remove_file(path).unwrap();
    rate
}

/// Starts with this many in flight: how many a second, and how long each took to be durable.
async fn starts(store: &Store, in_flight: usize) -> (f64, Vec<Duration>) {
    let began = Instant::now();
    let starters: Vec<_> = (0..in_flight)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut acks = Vec::new();
                while began.elapsed() < ROUND {
                    let sent = Instant::now();
                    black_box(begin(&store, None).await);
                    acks.push(sent.elapsed());
                }
                acks
            })
        })
        .collect();
    let mut acks = Vec::new();
    for starter in starters {
        acks.extend(starter.await.unwrap());
    }
    (acks.len() as f64 / began.elapsed().as_secs_f64(), acks)
}

async fn reads(dir: &Path) {
    let store = open(dir, |options| options).0;
    let mut ids = Vec::new();
    for _ in 0..100 {
        let begun: Vec<_> = (0..100)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { begin(&store, Some(done())).await })
            })
            .collect();
        for id in begun {
            ids.push(id.await.unwrap());
        }
    }
    let began = Instant::now();
    let rounds = 100;
    for id in ids.iter().cycle().take(ids.len() * rounds) {
        assert!(matches!(black_box(store.peek(*id)), Peek::Resident(_)));
    }
    let each = began.elapsed() / u32::try_from(ids.len() * rounds).unwrap();
    let idle = sampled(&store, &ids);
    let (stop, writer) = (Arc::new(AtomicBool::new(false)), store.clone());
    let writers: Vec<_> = (0..256)
        .map(|_| {
            let (stop, store) = (Arc::clone(&stop), writer.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    black_box(begin(&store, None).await);
                }
            })
        })
        .collect();
    let sampler = store.clone();
    let busy = tokio::task::spawn_blocking(move || sampled(&sampler, &ids)).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    println!(
        "get {each:?} each; p99 idle {:?}, beside a saturated writer {:?}, ratio {:.2}; longest {:?}",
        quantile(&idle, 0.99),
        quantile(&busy, 0.99),
        quantile(&busy, 0.99).as_secs_f64() / quantile(&idle, 0.99).as_secs_f64(),
        quantile(&busy, 1.0),
    );
    store.close().await;
}

/// How long single reads take, for about a second.
fn sampled(store: &Store, ids: &[OperationId]) -> Vec<Duration> {
    let began = Instant::now();
    let mut took = Vec::new();
    for id in ids.iter().cycle() {
        if began.elapsed() > ROUND / 2 {
            break;
        }
        let sent = Instant::now();
        black_box(store.peek(*id));
        took.push(sent.elapsed());
    }
    took.sort_unstable();
    took
}

async fn waiters(dir: &Path, count: usize) {
    let store = open(dir, |options| options).0;
    let id = begin(&store, None).await;
    let before = resident();
    let waiting: Vec<_> = (0..count)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let waiter = store.newer(id);
                loop {
                    let changed = waiter.changed();
                    let found = store.get(id).await.unwrap().unwrap();
                    if found.is_done() {
                        return;
                    }
                    changed.await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let each = resident().saturating_sub(before) / count as u64;
    let finish = Finish { epoch: None, by: None, outcome: Outcome::Succeeded(None), report: None };
    let began = Instant::now();
    let tenant = Tenant::anonymous();
    let command = Command::Finish(Box::new(finish));
    store.submit(Submission { tenant, target: id, expect: None, command }).await.unwrap();
    for waiter in waiting {
        waiter.await.unwrap();
    }
    println!(
        "{count} waiters: {each} bytes each, all awake {:?} after the finish was sent",
        began.elapsed()
    );
    store.close().await;
}

struct Grown {
    page: Duration,
    cold_page: Duration,
    reopen: Duration,
    memory: u64,
}

async fn growth(dir: &Path, operations: u64) {
    let mut stored = 0;
    let mut grown = Vec::new();
    // Bounded residency, so that memory must stay flat.
    let bounded = |options: Options| Options {
        resident_operations: 100_000,
        body_bytes: 16 * 1024 * 1024,
        ..options
    };
    for goal in [operations / 10, operations] {
        let store = open(dir, bounded).0;
        let began = Instant::now();
        let filled = fill(&store, goal - stored).await;
        stored = goal;
        let page = pages(&store, None).await;
        let cold_page = pages(&store, Some(Seq(goal / 2))).await;
        let memory = resident();
        store.close().await;
        let (store, recovery) = open(dir, bounded);
        store.close().await;
        println!(
            "{goal:9} stored at {:.0}/s: page of 50 {page:?} newest, {cold_page:?} from disk; reopened in {:?}; {} MiB resident; {} bytes on disk each",
            filled as f64 / began.elapsed().as_secs_f64(),
            recovery.took,
            memory / 1_048_576,
            fs::metadata(dir.join("opgate.db")).unwrap().len() / goal,
        );
        grown.push(Grown { page, cold_page, reopen: recovery.took, memory });
    }
    let ratio = |of: fn(&Grown) -> f64| of(&grown[1]) / of(&grown[0]);
    println!(
        "ratios: page {:.2}, page from disk {:.2}, reopen {:.2}, memory {:.2}",
        ratio(|grown| grown.page.as_secs_f64()),
        ratio(|grown| grown.cold_page.as_secs_f64()),
        ratio(|grown| grown.reopen.as_secs_f64()),
        ratio(|grown| grown.memory as f64),
    );
    clear(dir);
    // Resident entries without bodies: what each costs.
    let count = operations.min(1_000_000);
    let store =
        open(dir, |options| Options { body_bytes: 0, resident_operations: 2_000_000, ..options }).0;
    let before = resident();
    fill(&store, count).await;
    println!(
        "{count} resident operations without bodies: {} bytes each",
        resident().saturating_sub(before) / count
    );
    let listed = pages(&store, None).await;
    println!("page of 50 of them: {listed:?}");
    store.close().await;
}

/// Starts and ends this many operations.
async fn fill(store: &Store, count: u64) -> u64 {
    let left = Arc::new(AtomicU64::new(count));
    let fillers: Vec<_> = (0..2048)
        .map(|_| {
            let (store, left) = (store.clone(), Arc::clone(&left));
            tokio::spawn(async move {
                let one_less = |left: u64| left.checked_sub(1);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
                    begin(&store, Some(done())).await;
                }
            })
        })
        .collect();
    for filler in fillers {
        filler.await.unwrap();
    }
    count
}

/// The median time of a page of 50 below a position.
async fn pages(store: &Store, before: Option<Seq>) -> Duration {
    let mut took = Vec::new();
    for _ in 0..501 {
        let page = Page {
            tenant: Tenant::anonymous(),
            scope: Parent::new("projects/p/locations/l").unwrap(),
            before,
            limit: 50,
            scan: 5000,
            now: Timestamp::from_nanos(0),
        };
        let sent = Instant::now();
        let listed = store.page(page, None).await.unwrap();
        took.push(sent.elapsed());
        assert_eq!(listed.items.len(), 50);
    }
    took.sort_unstable();
    quantile(&took, 0.5)
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
