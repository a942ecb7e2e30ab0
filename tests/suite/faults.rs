//! Disks that are full, fail, or were damaged: nothing is acknowledged that is not kept, and the
//! operator is told.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::{Code, Status};

use crate::grpc::{Client, ECHO, Operation, RUN, retryable};
use crate::process::{Daemon, Launch};

/// Far longer than a daemon takes to notice that the disk is well again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The library that makes the disk fail.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shim.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/shim.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&library)
            .args([source, "-ldl"])
            .status()
            .unwrap();
        assert!(compiled.success());
        library
    })
}

/// A daemon whose disk fails when it is told to.
struct Bench {
    dir: TempDir,
    runtime: Runtime,
    daemon: Daemon,
    client: Client,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let launch = Launch::new(dir.path())
            .env("LD_PRELOAD", &shim().display().to_string())
            .env("OPGATE_FAULT", &path("fault"))
            .env("OPGATE_FAULT_DIR", &path("data"));
        let daemon = launch.start();
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(Client::connect(daemon.http));
        Self { dir, runtime, daemon, client }
    }

    /// Makes the disk fail: `full`, `fsync`, or nothing.
    fn fault(&self, kind: &str) {
        let next = self.dir.path().join("next");
        std::fs::write(&next, kind).unwrap();
        std::fs::rename(next, self.dir.path().join("fault")).unwrap();
    }

    fn start(&self, key: &str) -> Result<Operation, Status> {
        self.runtime.block_on(self.client.start(ECHO, &json!({"key": key}), key))
    }

    fn start_held(&self, key: &str) -> Operation {
        self.runtime.block_on(self.client.start(RUN, &json!({"hold": true}), key)).unwrap()
    }

    fn get(&self, name: &str) -> Operation {
        self.runtime.block_on(self.client.get(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let all = self.runtime.block_on(self.client.list()).unwrap();
        all.into_iter().map(|operation| operation.name).collect()
    }

    /// A start is refused; whether it may be repeated.
    fn refused(&self, key: &str) -> String {
        let refused = self.start(key).unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        retryable(&refused)
    }

    /// What an operator sees while the journal takes no writes.
    fn shows_unwritable(&self) {
        let (status, text) =
            until(|| http(self.daemon.admin, "/readyz"), |(status, _)| *status != 200);
        assert_eq!(status, 503, "{text}");
        assert!(text.contains("journal"), "{text}");
        assert!(metric(self.daemon.admin, "opgate_journal_writable 0"));
        assert_eq!(http(self.daemon.admin, "/livez").0, 200);
    }

    /// The same data under a daemon whose disk is well.
    fn restart(mut self) -> Self {
        self.fault("");
        self.daemon = self.daemon.crash();
        self.client = self.runtime.block_on(Client::connect(self.daemon.http));
        self
    }
}

/// One plain HTTP request: the status, and all of the answer.
fn http(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: opgate\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text)
}

fn metric(address: SocketAddr, line: &str) -> bool {
    http(address, "/metrics").1.lines().any(|found| found == line)
}

/// Reads until what is read is good.
fn until<T: std::fmt::Debug>(mut read: impl FnMut() -> T, good: impl Fn(&T) -> bool) -> T {
    let ends = Instant::now() + PATIENCE;
    loop {
        let value = read();
        if good(&value) {
            return value;
        }
        assert!(Instant::now() < ends, "not within {PATIENCE:?}; last: {value:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_full_disk_refuses_starts_until_there_is_room_again() {
    let bench = Bench::new();
    let first = bench.start("first").unwrap();
    let held = bench.start_held("held");
    assert_eq!(http(bench.daemon.admin, "/readyz").0, 200);
    assert!(metric(bench.daemon.admin, "opgate_journal_writable 1"));

    bench.fault("full");
    for n in 0..5 {
        assert_eq!(bench.refused(&format!("refused-{n}")), "true");
    }
    bench.shows_unwritable();
    assert_eq!(bench.get(&first.name), first);
    assert!(!bench.get(&held.name).done);
    assert_eq!(bench.names(), [held.name.clone(), first.name.clone()]);
    let cancel = bench.runtime.block_on(bench.client.cancel(&held.name)).unwrap_err();
    assert_eq!(cancel.code(), Code::Unavailable, "{cancel}");
    assert!(!bench.get(&held.name).done);

    bench.fault("");
    let ready = || http(bench.daemon.admin, "/readyz").0;
    until(ready, |status| *status == 200);
    assert!(metric(bench.daemon.admin, "opgate_journal_writable 1"));
    let second = bench.start("second").unwrap();
    // What was refused was not kept: its key is free.
    let retried = bench.start("refused-0").unwrap();
    bench.runtime.block_on(bench.client.cancel(&held.name)).unwrap();
    let ended = bench.runtime.block_on(bench.client.wait(&held.name, PATIENCE)).unwrap();
    assert_eq!(ended.error.as_ref().unwrap().code, 1);
    let kept = [&retried, &second, &held, &first].map(|operation| operation.name.clone());
    assert_eq!(bench.names(), kept);

    let bench = bench.restart();
    assert_eq!(bench.names(), kept);
    assert_eq!(bench.get(&held.name), ended);
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_a_restart() {
    let bench = Bench::new();
    let acknowledged: Vec<Operation> =
        (0..20).map(|n| bench.start(&n.to_string()).unwrap()).collect();

    bench.fault("fsync");
    // Nobody knows what of it is on the disk, and that is what the caller is told.
    assert_eq!(bench.refused("unknown"), "with-the-same-request-id");
    bench.shows_unwritable();
    // The kernel may have dropped what it could not write and report it only once: that a later
    // sync succeeds proves nothing.
    bench.fault("");
    for n in 0..20 {
        assert_eq!(bench.refused(&format!("refused-{n}")), "true");
    }
    bench.shows_unwritable();
    for operation in &acknowledged {
        assert_eq!(bench.get(&operation.name), *operation);
    }

    let bench = bench.restart();
    for (n, operation) in acknowledged.iter().enumerate() {
        assert_eq!(bench.get(&operation.name), *operation);
        assert_eq!(bench.start(&n.to_string()).unwrap().name, operation.name);
    }
    assert_eq!(http(bench.daemon.admin, "/readyz").0, 200);
    // The same request under the same key is one operation, whether the first took effect or not;
    // those that were refused without effect had none.
    bench.start("unknown").unwrap();
    assert_eq!(bench.names().len(), acknowledged.len() + 1);
}

#[test]
fn a_database_of_the_largest_size_refuses_starts_and_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).set("data.max_size=16MiB").start();
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(Client::connect(daemon.http));
    let instruction = json!({"large": "x".repeat(1024 * 1024)});
    let mut acknowledged = Vec::new();
    let refused = loop {
        let key = acknowledged.len().to_string();
        match runtime.block_on(client.start(ECHO, &instruction, &key)) {
            Ok(operation) => acknowledged.push(operation),
            Err(status) => break status,
        }
        assert!(acknowledged.len() < 100, "it takes more than it may");
    };
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(!acknowledged.is_empty());
    for operation in &acknowledged {
        assert_eq!(runtime.block_on(client.get(&operation.name)).unwrap(), *operation);
    }
    // A change that needs no more room still succeeds, and then the journal counts as writable.
    let (status, text) = until(
        || {
            let again = runtime.block_on(client.start(ECHO, &instruction, "again"));
            assert_eq!(again.unwrap_err().code(), Code::Unavailable);
            http(daemon.admin, "/readyz")
        },
        |(status, _)| *status != 200,
    );
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("journal"), "{text}");

    // More room, and it goes on.
    drop(client);
    daemon.kill();
    let daemon = Launch::new(dir.path()).set("data.max_size=1GiB").start();
    let client = runtime.block_on(Client::connect(daemon.http));
    for (n, operation) in acknowledged.iter().enumerate() {
        let key = n.to_string();
        let again = client.start(ECHO, &instruction, &key);
        assert_eq!(runtime.block_on(again).unwrap(), *operation);
    }
    runtime.block_on(client.start(ECHO, &instruction, "more")).unwrap();
}

/// A directory with some thousand operations, and its one database file.
fn filled() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let client = Client::connect(daemon.http).await;
        let mut starts = tokio::task::JoinSet::new();
        for n in 0..2000 {
            let client = client.clone();
            starts.spawn(async move {
                let instruction = json!({"n": n, "text": "x".repeat(500)});
                client.start(ECHO, &instruction, &n.to_string()).await.unwrap()
            });
        }
        starts.join_all().await
    });
    assert_eq!(daemon.terminate().code(), Some(0));
    let database = database(&dir);
    (dir, database)
}

/// The one database file of a daemon that has ended.
fn database(dir: &TempDir) -> PathBuf {
    std::fs::read_dir(dir.path().join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| std::fs::read(path).unwrap().starts_with(b"SQLite format 3\0"))
        .unwrap()
}

fn is_refused_as_damaged(dir: &TempDir) {
    let ended = Launch::new(dir.path()).fail();
    assert_eq!(ended.code(), Some(74), "{}", ended.log);
    let said = ended.log.to_lowercase();
    assert!(said.contains("damaged") && said.contains("restore"), "{}", ended.log);
}

#[test]
fn a_database_overwritten_in_the_middle_is_refused() {
    let (dir, database) = filled();
    let length = std::fs::metadata(&database).unwrap().len();
    let file = OpenOptions::new().write(true).open(&database).unwrap();
    file.write_all_at(&vec![0xa5; 64 * 1024], length / 2).unwrap();
    is_refused_as_damaged(&dir);
}

#[test]
fn a_truncated_database_is_refused() {
    let (dir, database) = filled();
    let length = std::fs::metadata(&database).unwrap().len();
    for kept in [length / 2, 100, 0] {
        OpenOptions::new().write(true).open(&database).unwrap().set_len(kept).unwrap();
        is_refused_as_damaged(&dir);
    }
}

#[test]
fn a_flipped_bit_in_a_result_is_reported_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let (small, large) = runtime.block_on(async {
        let client = Client::connect(daemon.http).await;
        let large = json!({"text": "opgate".repeat(100_000)});
        let small = client.start(ECHO, &json!({"n": 1}), "small").await.unwrap();
        (small, client.start(ECHO, &large, "large").await.unwrap())
    });
    assert_eq!(daemon.terminate().code(), Some(0));
    let database = database(&dir);
    let mut bytes = std::fs::read(&database).unwrap();
    // Both copies of the text: the input, and the result in the middle of its pages.
    let text: Vec<usize> =
        (0..bytes.len() - 6).filter(|at| bytes[*at..].starts_with(b"opgate")).collect();
    for part in [1, 3] {
        bytes[text[text.len() * part / 4]] ^= 1;
    }
    std::fs::write(&database, bytes).unwrap();

    let daemon = Launch::new(dir.path()).start();
    runtime.block_on(async {
        let client = Client::connect(daemon.http).await;
        assert_eq!(client.get(&small.name).await.unwrap(), small);
        let refused = client.get(&large.name).await.unwrap_err();
        assert_eq!(refused.code(), Code::DataLoss, "{refused}");
    });
    assert_eq!(daemon.terminate().code(), Some(0));
}
