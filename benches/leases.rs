//! Leases and their ends, as a worker sees them, against the same two changes handed to the store
//! directly in the same run: what the queues and the tokens cost.
//!
//! `cargo bench --bench leases -- --operations 100000`; 20,000 without. How to read the figures is in
//! `benches/README.md`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures and stops at the first failure"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use opgate_bus::{Ask, Bus, Caller, Options as BusOptions, Pull, Route, Router, Start};
use opgate_core::{
    Command, Epoch, Expects, Face, Finish, Kind, OperationId, Outcome, Payload, Submission, Tenant,
};
use opgate_store::{Clock, Durability, Options, Store};
use opgate_telemetry::Metrics;
use tokio::task::JoinSet;

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--operations").skip(1);
    let operations = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for durability in [Durability::Fsync, Durability::Memory] {
        for workers in [1, 16, 256] {
            // One at a time takes as long as two syncs each.
            let count = if workers == 1 { operations / 20 } else { operations };
            let floor =
                runtime.block_on(async { Bench::open(durability).directly(count, workers).await });
            let leases =
                runtime.block_on(async { Bench::open(durability).by_lease(count, workers).await });
            println!(
                "{} x{workers}: {leases:.0} leases and ends a second, {:.2} of the bare changes ({floor:.0})",
                durability.name(),
                leases / floor
            );
        }
    }
}

struct Bench {
    store: Store,
    bus: Bus,
    dir: PathBuf,
}

impl Bench {
    fn open(durability: Durability) -> Self {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("leases-bench");
        drop(std::fs::remove_dir_all(&dir));
        let options = Options { durability, ..Options::new(&dir) };
        let metrics = Metrics::register(&["jobs"]);
        let (store, _) = Store::open(&options, Clock::System, &metrics).unwrap();
        let router = Router::builder()
            .worker("jobs", Pull { concurrency: 100_000, backlog: 1_000_000, ..Pull::default() })
            .route(Route {
                name: "job".into(),
                kind: Kind::new("bench", "job").unwrap(),
                backend: "jobs".into(),
                retention: Duration::from_hours(1),
                timeout: None,
                options: BTreeMap::new(),
                expects: Expects::default(),
                resources: Vec::new(),
            })
            .build()
            .unwrap();
        let bus = Bus::open(store.clone(), router, BusOptions::default(), metrics);
        Self { store, bus, dir }
    }

    /// Starts operations, which wait in their queue then.
    async fn fill(&self, count: usize) -> Vec<OperationId> {
        let mut starts = JoinSet::new();
        for _ in 0..count {
            let bus = self.bus.clone();
            starts.spawn(async move {
                let start = Start::new(Face::Native, "bench", "job", Payload::json("{}"));
                bus.start(&Caller::anonymous(), start).await.unwrap().snapshot.id
            });
            if starts.len() >= 4096 {
                drop(starts.join_next().await);
            }
        }
        drop(starts.join_all().await);
        self.store.live()
    }

    /// Leases and ends a second, by workers that take one operation at a time.
    async fn by_lease(self, count: usize, workers: usize) -> f64 {
        self.fill(count).await;
        let left = Arc::new(AtomicUsize::new(count));
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            let (bus, left) = (self.bus.clone(), Arc::clone(&left));
            tasks.spawn(async move {
                while take(&left).is_some() {
                    let leased = bus.lease(ask()).await.unwrap();
                    for lease in leased {
                        bus.complete(&lease.token, Outcome::Succeeded(None)).await.unwrap();
                    }
                }
            });
        }
        tasks.join_all().await;
        self.close(count, began).await
    }

    /// The same changes without queues, tokens and books.
    async fn directly(self, count: usize, workers: usize) -> f64 {
        let ids = Arc::new(self.fill(count).await);
        let left = Arc::new(AtomicUsize::new(count));
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            let (store, ids, left) = (self.store.clone(), Arc::clone(&ids), Arc::clone(&left));
            tasks.spawn(async move {
                while let Some(index) = take(&left) {
                    let target = ids[index];
                    let submit = |command| {
                        let tenant = Tenant::anonymous();
                        store.submit(Submission { tenant, target, expect: None, command })
                    };
                    submit(Command::Start { epoch: Epoch(1), backend: None }).await.unwrap();
                    let finish = Finish {
                        epoch: None,
                        by: None,
                        outcome: Outcome::Succeeded(None),
                        report: None,
                    };
                    submit(Command::Finish(Box::new(finish))).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        self.close(count, began).await
    }

    async fn close(self, count: usize, began: Instant) -> f64 {
        let took = began.elapsed();
        self.bus.drain().await;
        drop(std::fs::remove_dir_all(&self.dir));
        f64::from(u32::try_from(count).unwrap()) / took.as_secs_f64()
    }
}

fn ask() -> Ask {
    Ask {
        queue: "jobs".into(),
        max: 1,
        bytes: usize::MAX,
        least: 0,
        wait: Duration::from_secs(30),
        length: None,
        worker: "bench".into(),
    }
}

/// Takes one of what is left; how many there are then.
fn take(left: &AtomicUsize) -> Option<usize> {
    let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    taken.ok().map(|before| before - 1)
}
