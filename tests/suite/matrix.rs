//! Every face in front of every backend, by real clients and real upstreams: what is started in one protocol and
//! carried out in another is the same operation. Runs the programs in `tests/clients/matrix`.
//!
//! What each of them is asked is in `features.rs`, what it has no words for in `reasons.rs`, and what was found in
//! `tests/COVERAGE.md`.

mod cast;
mod config;
mod coverage;
mod driver;
mod features;
mod reasons;

use std::cell::Cell as StdCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use cast::{BACKENDS, Backend, FRONTS, Front, Program};
use coverage::Found;
use driver::Driver;
use features::{FEATURES, Feature, Look};
use reasons::{FAILING, NOT_APPLICABLE};

use crate::process::{Daemon, Launch, PATIENCE};

/// The clients in front of a daemon and the upstream behind it.
struct Stage {
    backend: &'static Backend,
    upstream: Driver,
    clients: Vec<(Program, Driver)>,
    keys: AtomicU64,
    found: Mutex<Vec<(&'static str, &'static str, Found)>>,
    /// Cells that are not as they should be.
    problems: Mutex<Vec<String>>,
}

impl Stage {
    fn of(backend: &'static Backend) -> Self {
        let mut clients: Vec<(Program, Vec<&str>)> = Vec::new();
        for front in &FRONTS {
            match clients.iter_mut().find(|(program, _)| *program == front.program) {
                Some((_, faces)) => faces.push(front.name),
                None => clients.push((front.program, vec![front.name])),
            }
        }
        let clients = clients.into_iter().map(|(program, faces)| (program, program.fronts(&faces)));
        let (upstream, clients) = (backend.program.upstream(backend.name), clients.collect());
        Self {
            backend,
            upstream,
            clients,
            keys: AtomicU64::new(1),
            found: Mutex::default(),
            problems: Mutex::default(),
        }
    }

    /// A daemon that everybody knows, with its data in a directory.
    fn launch(&self, dir: &Path) -> Daemon {
        let upstream = self.upstream.tell("address", json!({}));
        let config = config::of(self.backend, upstream.as_str().unwrap_or_default());
        let daemon = Launch::new(dir).config(&config).start();
        self.connect(&daemon);
        daemon
    }

    /// Tells everybody where the daemon is.
    fn connect(&self, daemon: &Daemon) {
        let addresses = json!({"http": daemon.http.to_string(), "amqp": daemon.amqp.to_string()});
        for (_, program) in &self.clients {
            program.tell("connect", addresses.clone());
        }
        self.upstream.tell("connect", addresses);
    }

    fn cell(&self, front: &'static Front) -> Cell<'_> {
        let (_, client) =
            self.clients.iter().find(|(program, _)| *program == front.program).unwrap();
        Cell { stage: self, front, client, is_wrong: StdCell::new(false) }
    }
}

/// How long something is waited for that is known not to come.
const BRIEF: Duration = Duration::from_secs(3);

/// One face in front of one backend.
struct Cell<'a> {
    stage: &'a Stage,
    front: &'static Front,
    client: &'a Driver,
    /// Whether what is tried is known not to be there.
    is_wrong: StdCell<bool>,
}

/// An operation that was started.
struct Started {
    /// By what the upstream knows it.
    key: String,
    /// What it was told.
    input: Value,
    /// By what its client knows it.
    name: Value,
    /// What the client showed of it.
    shown: Value,
    /// What its client said of the trace that it is of.
    trace: Value,
}

/// The trace of the start under a key, as the headers of W3C Trace Context say it.
fn trace(key: &str) -> Value {
    let hash = |part: &str| {
        let mut hasher = DefaultHasher::new();
        (key, part).hash(&mut hasher);
        hasher.finish()
    };
    let (high, low, parent) = (hash("high"), hash("low"), hash("parent"));
    json!({
        "traceparent": format!("00-{high:016x}{low:016x}-{parent:016x}-01"),
        "tracestate": format!("vendor@matrix= {key},other=a/b"),
    })
}

impl Cell<'_> {
    fn key(&self) -> String {
        let number = self.stage.keys.fetch_add(1, Ordering::Relaxed);
        format!("{}-{}-{number}", self.front.name, self.stage.backend.name)
    }

    fn front(&self, what: &str, mut command: Value) -> Value {
        command["face"] = json!(self.front.name);
        self.client.tell(what, command)
    }

    /// Starts an operation of a route that is told this.
    fn start(&self, kind: &str, told: &Value) -> Started {
        let key = self.key();
        let mut input = told.clone();
        input["key"] = json!(key);
        self.start_as(kind, &key, input)
    }

    /// Starts it under a key, or again.
    fn start_as(&self, kind: &str, key: &str, input: Value) -> Started {
        let trace = trace(key);
        let asked = json!({"kind": kind, "input": input, "key": key, "trace": trace});
        let shown = self.front("start", asked);
        Started { key: key.to_owned(), input, name: shown["name"].clone(), shown, trace }
    }

    fn read(&self, started: &Started) -> Value {
        self.front("read", json!({"name": started.name}))
    }

    fn wait(&self, started: &Started) -> Value {
        self.front("wait", json!({"name": started.name}))
    }

    fn cancel(&self, started: &Started) {
        self.front("cancel", json!({"name": started.name}));
    }

    /// Reads until it is as wanted.
    fn until(&self, started: &Started, wanted: impl Fn(&Value) -> bool) -> Value {
        let ends = Instant::now() + if self.is_wrong.get() { BRIEF } else { PATIENCE };
        loop {
            let shown = self.read(started);
            if wanted(&shown) {
                return shown;
            }
            assert!(Instant::now() < ends, "it stays {shown}");
            // Only so that looking leaves time for what is looked for.
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets one go on that is held.
    fn release(&self, key: &str) {
        self.stage.upstream.tell("release", json!({"key": key}));
    }

    /// What the upstream was asked of an operation.
    fn asked(&self, key: &str) -> Value {
        self.stage.upstream.tell("asked", json!({"key": key}))
    }

    /// The same, once something was asked so many times.
    fn awaits(&self, key: &str, what: &str, least: u64) -> Value {
        self.stage.upstream.tell("await", json!({"key": key, "what": what, "least": least}))
    }

    /// Tries to look at a feature; what that gives, if the feature is there.
    fn try_to<T>(&self, feature: &Feature, look: impl FnOnce() -> T) -> (Option<Found>, Option<T>) {
        let (front, backend) = (self.front.name, self.stage.backend.name);
        if let Some(reason) = reasons::of(NOT_APPLICABLE, feature.name, front, backend) {
            return (Some(Found::NotApplicable(reason)), None);
        }
        let known = reasons::of(FAILING, feature.name, front, backend);
        self.is_wrong.set(known.is_some());
        match (catch_unwind(AssertUnwindSafe(look)), known) {
            (Ok(looked), None) => (Some(Found::Passed), Some(looked)),
            (Err(_), Some(reason)) => (Some(Found::Fails(reason)), None),
            (Ok(_), Some(reason)) => {
                self.wrong(feature, &format!("this was mended: {}", FAILING[reason].why));
                (None, None)
            }
            (Err(panic), None) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                self.wrong(feature, text.unwrap_or("it panicked"));
                (None, None)
            }
        }
    }

    fn wrong(&self, feature: &Feature, problem: &str) {
        let (front, backend) = (self.front.name, self.stage.backend.name);
        let problem = format!("{} of {front} in front of {backend}: {problem}", feature.name);
        self.stage.problems.lock().unwrap().push(problem);
    }

    fn found(&self, feature: &Feature, found: Option<Found>) {
        let found = found.map(|found| (feature.name, self.front.name, found));
        self.stage.found.lock().unwrap().extend(found);
    }
}

/// Does something for each face, at the same time.
fn each<T: Send>(stage: &Stage, of: impl Fn(Cell<'_>) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let of = &of;
        let threads = FRONTS.iter().map(|front| scope.spawn(move || of(stage.cell(front))));
        let threads: Vec<ScopedJoinHandle<'_, T>> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Tries all that there is of a backend.
fn try_all(backend: &str) {
    let backend = BACKENDS.iter().find(|known| known.name == backend).unwrap();
    let (stage, dir) = (Stage::of(backend), tempfile::tempdir().unwrap());
    let mut daemon = stage.launch(dir.path());
    each(&stage, |cell| {
        for feature in &FEATURES {
            if let Look::Once(look) = feature.look {
                let (found, _) = cell.try_to(feature, || look(&cell));
                cell.found(feature, found);
            }
        }
    });
    for feature in &FEATURES {
        let Look::Across(before, after) = feature.look else { continue };
        let started = each(&stage, |cell| cell.try_to(feature, || before(&cell)));
        daemon = daemon.crash();
        stage.connect(&daemon);
        let started: HashMap<&str, _> =
            FRONTS.iter().map(|front| front.name).zip(started).collect();
        each(&stage, |cell| match &started[cell.front.name] {
            (_, Some(started)) => {
                let (found, _) = cell.try_to(feature, || after(&cell, started));
                cell.found(feature, found);
            }
            (found, None) => cell.found(feature, *found),
        });
    }
    let problems = stage.problems.lock().unwrap();
    assert!(problems.is_empty(), "{}\n{}", problems.join("\n\n"), daemon.log());
    assert_eq!(daemon.terminate().code(), Some(0));
    coverage::check(backend.name, &stage.found.lock().unwrap());
}

#[test]
fn a_service_of_long_running_operations() {
    try_all("longrunning");
}

#[test]
fn an_api_of_ocis_kind() {
    try_all("oci");
}

#[test]
fn a_handler_of_nexus() {
    try_all("nexus");
}

#[test]
fn a_management_node() {
    try_all("amqp");
}

#[test]
fn workers_over_the_native_api() {
    try_all("worker");
}

#[test]
fn workers_over_amqp() {
    try_all("queue");
}
