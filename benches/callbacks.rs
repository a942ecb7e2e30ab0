//! Completions delivered a second to a receiver on this machine, against the same client sending as
//! many requests without a journal; and what a callback that is owed takes in memory.
//!
//! `cargo bench --bench callbacks -- --operations 100000`; 20,000 without. How to read the figures is
//! in `benches/README.md`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures and stops at the first failure"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opgate_bus::{
    Admission, Backend, Bus, Callbacks as Schedule, Caller, Lease, Offer, Options as BusOptions,
    Route, Router, Start,
};
use opgate_core::{Callback, Error, Expects, Face, Kind, Outcome, Payload};
use opgate_egress::{Client, Guard, Limits, Settings as ClientSettings, Trust};
use opgate_nexus::callback::{Callbacks, Settings as CallbackSettings};
use opgate_store::{Clock, Durability, Options, Store};
use opgate_telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// What every operation results in.
const RESULT: &str = r#"{"scene": "the garden", "frames": 240, "where": "s3://films/garden"}"#;

fn main() {
    let argument = |name: &str| {
        std::env::args().skip_while(|argument| argument != name).nth(1).filter(|it| !it.is_empty())
    };
    let operations = argument("--operations").map_or(20_000, |count| count.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Some(what) = argument("--resident") {
        println!("{}", runtime.block_on(resident(operations, what == "owed")));
        return;
    }
    for durability in [Durability::Fsync, Durability::Memory] {
        for at_once in [32, 256] {
            let receiver = Receiver::start();
            let floor = runtime.block_on(receiver.bare(operations, at_once));
            let told = runtime.block_on(receiver.told(operations, at_once, durability));
            println!(
                "{} x{at_once}: {told:.0} completions a second, {:.2} of the bare requests ({floor:.0})",
                durability.name(),
                told / floor
            );
        }
    }
    // Each in a process of its own, for an allocator keeps what it was given.
    let [owed, ended] = ["owed", "ended"].map(|what| {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--resident", what, "--operations", &operations.to_string()]);
        let output = again.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let line = String::from_utf8(output.stdout).unwrap();
        line.trim().parse::<f64>().unwrap()
    });
    println!("{:.0} bytes for each callback that is owed", owed - ended);
}

/// Counts what it is sent, on a thread of its own.
struct Receiver {
    address: SocketAddr,
    received: Arc<AtomicUsize>,
    came: Arc<Notify>,
}

impl Receiver {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (received, came) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
        let counted = (Arc::clone(&received), Arc::clone(&came));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(serve(listener, counted));
        });
        Self { address, received, came }
    }

    fn url(&self) -> String {
        format!("http://{}/done", self.address)
    }

    async fn reached(&self, count: usize) {
        loop {
            let came = self.came.notified();
            if self.received.load(Ordering::Relaxed) >= count {
                return;
            }
            came.await;
        }
    }

    /// Requests a second, by the client alone.
    async fn bare(&self, count: usize, at_once: usize) -> f64 {
        let (client, guard, left) = (client(), guard(), Arc::new(AtomicUsize::new(count)));
        let began = Instant::now();
        let mut senders = JoinSet::new();
        for _ in 0..at_once {
            let (client, guard, left) = (client.clone(), guard.clone(), Arc::clone(&left));
            let url = self.url();
            senders.spawn(async move {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok()
                {
                    let request = Request::post(&*url).body(Bytes::from_static(RESULT.as_bytes()));
                    let limits = Limits {
                        connect: Duration::from_secs(10),
                        total: Duration::from_secs(10),
                        reply_bytes: 1024,
                    };
                    let sent = client.send(Trust::Guarded(&guard), request.unwrap(), limits).await;
                    assert!(sent.unwrap().status().is_success());
                }
            });
        }
        senders.join_all().await;
        let took = began.elapsed().as_secs_f64();
        self.received.store(0, Ordering::Relaxed);
        float(count) / took
    }

    /// Completions a second that are taken and recorded, of operations that had ended before.
    async fn told(&self, count: usize, at_once: usize, durability: Durability) -> f64 {
        let dir = directory();
        let idle = Gateway::open(&dir, durability, None);
        idle.fill(count, Some(&self.url())).await;
        idle.bus.drain().await;
        let began = Instant::now();
        let gateway = Gateway::open(&dir, durability, Some(at_once));
        self.reached(count).await;
        // The last are recorded behind what is asked for now.
        while gateway.store.owed() > 0 {
            tokio::task::yield_now().await;
        }
        let took = began.elapsed().as_secs_f64();
        gateway.bus.drain().await;
        self.received.store(0, Ordering::Relaxed);
        drop(std::fs::remove_dir_all(dir));
        float(count) / took
    }
}

/// Bytes of resident memory that each of so many ended operations takes, with a callback that is
/// owed or without one.
async fn resident(count: usize, owed: bool) -> f64 {
    let dir = directory();
    let gateway = Gateway::open(&dir, Durability::Memory, Some(32));
    // Nobody listens there: the breaker opens after the first attempts.
    let nobody = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/done", nobody.local_addr().unwrap());
    drop(nobody);
    gateway.fill(1_000, None).await;
    let before = memory();
    gateway.fill(count, owed.then_some(&*url)).await;
    let grown = float(memory().saturating_sub(before));
    gateway.bus.drain().await;
    drop(std::fs::remove_dir_all(dir));
    grown / float(count)
}

struct Gateway {
    store: Store,
    bus: Bus,
}

impl Gateway {
    /// With the notifier where it may make so many attempts at once.
    fn open(dir: &Path, durability: Durability, at_once: Option<usize>) -> Self {
        let options = Options { durability, ..Options::new(dir) };
        let metrics = Metrics::register(&["done"]);
        let (store, _) = Store::open(&options, Clock::System, &metrics).unwrap();
        let mut router = Router::builder().backend("done", Arc::new(AtOnce), 1).route(Route {
            name: "done".into(),
            kind: Kind::new("bench", "done").unwrap(),
            backend: "done".into(),
            retention: Duration::from_hours(1),
            timeout: None,
            options: BTreeMap::new(),
            expects: Expects::default(),
            resources: Vec::new(),
        });
        if at_once.is_some() {
            let settings = CallbackSettings {
                guard: guard(),
                timeout: Duration::from_secs(10),
                receivers: Vec::new(),
            };
            router = router.notifier(Arc::new(Callbacks::new(client(), settings)));
        }
        let at_once = at_once.unwrap_or(1);
        let callbacks = Schedule {
            concurrency: at_once,
            per_destination: at_once,
            owed: 10_000_000,
            ..Schedule::default()
        };
        let options = BusOptions { callbacks, ..BusOptions::default() };
        let bus = Bus::open(store.clone(), router.build().unwrap(), options, metrics);
        Self { store, bus }
    }

    /// Starts operations, which end at once.
    async fn fill(&self, count: usize, callback: Option<&str>) {
        let mut starts = JoinSet::new();
        for _ in 0..count {
            let mut start = Start::new(Face::Native, "bench", "done", Payload::json("{}"));
            // As opgate's own API has it: a Nexus caller that is told at once is not told again.
            start.callbacks =
                callback.map(|url| Callback::new(url, Vec::new())).into_iter().collect();
            let bus = self.bus.clone();
            starts
                .spawn(async move { drop(bus.start(&Caller::anonymous(), start).await.unwrap()) });
            if starts.len() >= 4096 {
                starts.join_next().await.unwrap().unwrap();
            }
        }
        starts.join_all().await;
    }
}

/// Is done with everything when it is asked.
struct AtOnce;

impl Backend for AtOnce {
    fn admit(&self, _offer: &Offer<'_>) -> Result<Admission, Error> {
        Ok(Admission::Done(Outcome::Succeeded(Some(Payload::json(RESULT)))))
    }

    fn run(&self, _lease: Lease) -> Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>> {
        Box::pin(std::future::pending())
    }
}

async fn serve(listener: std::net::TcpListener, counted: (Arc<AtomicUsize>, Arc<Notify>)) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let counted = counted.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (received, came) = counted.clone();
            async move {
                drop(request.into_body().collect().await);
                received.fetch_add(1, Ordering::Relaxed);
                came.notify_waiters();
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        // A broken connection shows as a request that is not answered.
        drop(tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        ));
    }
}

fn client() -> Client {
    Client::new(&ClientSettings { idle_each: 512, idle_all: 512, ..ClientSettings::default() })
        .unwrap()
}

fn guard() -> Guard {
    Guard::new(vec!["*".parse().unwrap()], true, vec!["127.0.0.0/8".parse().unwrap()])
}

fn directory() -> PathBuf {
    let name = format!("callbacks-bench-{}", std::process::id());
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(std::fs::remove_dir_all(&dir));
    dir
}

/// Resident bytes of this process.
fn memory() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
const fn float(count: usize) -> f64 {
    count as f64
}
