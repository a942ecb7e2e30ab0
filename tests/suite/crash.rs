//! kill -9 under load, and then an audit: whatever was acknowledged is still so.
//!
//! Twenty cycles by default. The long form: `OPGATE_KILL_CYCLES=500 cargo test --test suite crash`.
//! A failure names the seed of its choices; `OPGATE_KILL_SEED` repeats them, though not the timing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::grpc::{Client, ECHO, FAIL, Operation, RUN};
use crate::process::Launch;

const WRITERS: u64 = 8;
/// Calls of one writer in one cycle.
const CALLS: usize = 400;
/// A cycle is cut short after so many milliseconds at the most.
const MILLISECONDS: u64 = 400;
/// Operations of earlier cycles that each cycle looks at again; the last looks at all.
const SAMPLE: usize = 200;
/// Far longer than any operation here runs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A small generator of choices: the same seed, the same choices.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn index(&mut self, length: usize) -> Option<usize> {
        let length = u64::try_from(length).unwrap();
        (length > 0).then(|| usize::try_from(self.below(length)).unwrap())
    }
}

/// A start that was sent.
#[derive(Clone, Debug)]
struct Sent {
    key: String,
    method: &'static str,
    instruction: Value,
}

/// An operation, and what of it was acknowledged.
#[derive(Clone, Debug)]
struct Known {
    sent: Sent,
    name: String,
    version: f64,
    ended: Option<Operation>,
    /// A cancel request was acknowledged.
    canceled: bool,
    /// A deletion was sent; perhaps it took effect.
    deleting: bool,
    /// A deletion was acknowledged.
    deleted: bool,
}

impl Known {
    fn new(sent: Sent, operation: Operation) -> Self {
        let name = operation.name.clone();
        let mut known = Self {
            sent,
            name,
            version: 0.0,
            ended: None,
            canceled: false,
            deleting: false,
            deleted: false,
        };
        known.observe(operation);
        known
    }

    /// Whether it runs until it is canceled.
    fn is_held(&self) -> bool {
        self.sent.instruction["hold"] == true
    }

    /// Takes a reading; it must not contradict an earlier one.
    fn observe(&mut self, now: Operation) {
        assert_eq!(now.name, self.name);
        let metadata = now.metadata();
        let version = metadata["version"].as_f64().unwrap();
        assert!(version >= self.version, "went back from version {}: {now:?}", self.version);
        self.version = version;
        if let Some(ended) = &self.ended {
            assert_eq!(&now, ended, "changed after its end");
        }
        let asked = metadata["cancelRequested"] == true;
        assert!(!self.canceled || asked || now.done, "the cancel request is lost: {now:?}");
        if now.done {
            let results = usize::from(now.error.is_some()) + usize::from(now.response.is_some());
            assert_eq!(results, 1, "{now:?}");
            self.ended = Some(now);
        }
    }

    /// Compares what a restarted daemon knows of it with what was acknowledged.
    async fn audit(&mut self, client: &Client) {
        match client.get(&self.name).await {
            Ok(_) if self.deleted => panic!("deleted, and back again: {self:?}"),
            Ok(now) => self.observe(now),
            Err(status) if status.code() == Code::NotFound && self.deleting => return,
            Err(status) => panic!("{status}: {self:?}"),
        }
        let Sent { key, method, instruction } = &self.sent;
        let again = client.start(method, instruction, key).await.unwrap();
        assert_eq!(again.name, self.name, "key {key} started a second operation");
    }
}

/// One of many that start, read, cancel, wait and delete at the same time.
struct Writer {
    client: Client,
    prefix: String,
    dice: Dice,
    known: Vec<Known>,
    /// A start whose answer never came.
    unanswered: Option<Sent>,
}

impl Writer {
    /// Works until a call fails. The failure is returned.
    async fn work(&mut self) -> Result<(), Status> {
        for call in 0..CALLS {
            match self.dice.below(12) {
                0..=3 => self.start(call, ECHO, json!({"n": call, "text": "said"})).await?,
                4..=6 => self.start_run(call).await?,
                7 => self.start(call, RUN, json!({"hold": true})).await?,
                8 => self.cancel().await?,
                9 => self.read().await?,
                10 => self.wait().await?,
                _ => self.delete().await?,
            }
        }
        Ok(())
    }

    async fn start(
        &mut self,
        call: usize,
        method: &'static str,
        instruction: Value,
    ) -> Result<(), Status> {
        let key = format!("{}-{call}", self.prefix);
        let sent = Sent { key, method, instruction };
        self.unanswered = Some(sent.clone());
        let started = self.client.start(method, &sent.instruction, &sent.key).await?;
        self.unanswered = None;
        self.known.push(Known::new(sent, started));
        Ok(())
    }

    async fn start_run(&mut self, call: usize) -> Result<(), Status> {
        let outcome = if self.dice.below(2) == 0 { "succeeded" } else { "failed" };
        let duration = format!("{}ms", self.dice.below(150));
        let instruction = json!({
            "duration": duration, "steps": 2, "outcome": outcome, "result": {"n": call},
        });
        self.start(call, RUN, instruction).await
    }

    fn any(&mut self, wanted: impl Fn(&Known) -> bool) -> Option<&mut Known> {
        let mut found: Vec<&mut Known> =
            self.known.iter_mut().filter(|known| !known.deleting && wanted(known)).collect();
        self.dice.index(found.len()).map(|index| found.swap_remove(index))
    }

    async fn cancel(&mut self) -> Result<(), Status> {
        let client = self.client.clone();
        let Some(known) = self.any(Known::is_held) else { return Ok(()) };
        client.cancel(&known.name).await?;
        known.canceled = true;
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Status> {
        let client = self.client.clone();
        let Some(known) = self.any(|_| true) else { return Ok(()) };
        known.observe(client.get(&known.name).await?);
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), Status> {
        let client = self.client.clone();
        let Some(known) = self.any(|_| true) else { return Ok(()) };
        known.observe(client.wait(&known.name, Duration::from_millis(20)).await?);
        Ok(())
    }

    async fn delete(&mut self) -> Result<(), Status> {
        let client = self.client.clone();
        let Some(known) = self.any(|_| true) else { return Ok(()) };
        known.deleting = true;
        client.delete(&known.name).await?;
        known.deleted = true;
        Ok(())
    }
}

/// Starts the writers; each ends with what it knows, and with the error that stopped it.
async fn writers(
    address: SocketAddr,
    cycle: u64,
    seed: u64,
    killed: &Arc<AtomicBool>,
) -> JoinSet<Writer> {
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let mut writer = Writer {
            client: Client::connect(address).await,
            prefix: format!("{seed}-{cycle}-{number}"),
            dice: Dice((seed ^ (cycle << 8) ^ (number << 4)).max(1)),
            known: Vec::new(),
            unanswered: None,
        };
        let killed = Arc::clone(killed);
        writers.spawn(async move {
            let stopped = writer.work().await;
            // Only a dead daemon may fail a call.
            assert!(stopped.is_ok() || killed.load(Ordering::SeqCst), "{stopped:?}");
            writer
        });
    }
    writers
}

/// Audits what one writer knew, and resolves the start whose answer never came.
async fn audit(address: SocketAddr, writers: Vec<Writer>) -> Vec<Known> {
    let mut audits = JoinSet::new();
    for mut writer in writers {
        writer.client = Client::connect(address).await;
        audits.spawn(async move {
            if let Some(sent) = writer.unanswered.take() {
                let start = || writer.client.start(sent.method, &sent.instruction, &sent.key);
                let (first, second) = (start().await.unwrap(), start().await.unwrap());
                assert_eq!(first.name, second.name);
                writer.known.push(Known::new(sent.clone(), first));
            }
            for known in &mut writer.known {
                known.audit(&writer.client).await;
            }
            writer.known
        });
    }
    audits.join_all().await.into_iter().flatten().collect()
}

#[test]
fn what_was_acknowledged_survives_kill_9_under_load() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let cycles = number("OPGATE_KILL_CYCLES").unwrap_or(20);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    let seed = number("OPGATE_KILL_SEED").unwrap_or_else(|| u64::try_from(now).unwrap());
    let outcome = std::panic::catch_unwind(|| cycle_and_audit(cycles, seed));
    assert!(outcome.is_ok(), "see above; OPGATE_KILL_SEED={seed}");
}

fn cycle_and_audit(cycles: u64, seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let mut daemon = Launch::new(dir.path()).start();
    let mut dice = Dice(seed | 1);
    let mut known: Vec<Known> = Vec::new();
    for cycle in 0..cycles {
        let killed = Arc::new(AtomicBool::new(false));
        let writers = runtime.block_on(writers(daemon.http, cycle, seed, &killed));
        // The moment of death, not a wait for something.
        std::thread::sleep(Duration::from_millis(dice.below(MILLISECONDS)));
        killed.store(true, Ordering::SeqCst);
        daemon = daemon.crash();
        let writers = runtime.block_on(writers.join_all());
        let audited = runtime.block_on(audit(daemon.http, writers));
        let again: Vec<usize> = (0..SAMPLE).filter_map(|_| dice.index(known.len())).collect();
        runtime.block_on(async {
            let client = Client::connect(daemon.http).await;
            for index in again {
                known[index].audit(&client).await;
            }
        });
        known.extend(audited);
    }
    assert!(known.len() > usize::try_from(cycles).unwrap(), "there was hardly any load");
    runtime.block_on(async {
        let client = Client::connect(daemon.http).await;
        for known in &mut known {
            known.audit(&client).await;
            // Nothing is stranded: what ends by itself, or was told to, has ended or does.
            if !known.deleting && (known.canceled || !known.is_held()) {
                known.observe(client.wait(&known.name, PATIENCE).await.unwrap());
                assert!(known.ended.is_some(), "stranded: {known:?}");
            }
        }
    });
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn results_and_failures_survive_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let details = json!([{"@type": "type.googleapis.com/acme.Why", "value": "AAECAw=="}]);
    let starts = [
        (ECHO, json!({"text": "\u{1f980}".repeat(1000), "nested": {"list": [1, null, "x"]}})),
        (ECHO, json!({"large": "x".repeat(2 * 1024 * 1024)})),
        (FAIL, json!({"code": "NOT_FOUND", "message": "gone", "details": details})),
        (RUN, json!({"duration": "10ms", "steps": 3, "result": {"id": "${id}"}})),
        (RUN, json!({"outcome": "canceled", "message": "by itself"})),
    ];
    let read = |address: SocketAddr, names: Vec<String>| {
        runtime.block_on(async {
            let client = Client::connect(address).await;
            let mut operations = Vec::new();
            for name in &names {
                operations.push(client.wait(name, PATIENCE).await.unwrap());
            }
            operations
        })
    };
    let names: Vec<String> = runtime.block_on(async {
        let client = Client::connect(daemon.http).await;
        let mut names = Vec::new();
        for (n, (method, instruction)) in starts.iter().enumerate() {
            names.push(client.start(method, instruction, &n.to_string()).await.unwrap().name);
        }
        names
    });
    let before = read(daemon.http, names.clone());
    assert!(before.iter().all(|operation| operation.done));
    let failure = before[2].error.as_ref().unwrap();
    assert_eq!((failure.code, failure.message.as_str()), (5, "gone"));
    assert_eq!(failure.details[0].value, [0, 1, 2, 3]);

    let daemon = daemon.crash();
    assert_eq!(read(daemon.http, names.clone()), before);
    assert_eq!(daemon.terminate().code(), Some(0));
    let daemon = Launch::new(dir.path()).start();
    assert_eq!(read(daemon.http, names), before);
}
