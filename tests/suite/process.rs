//! The daemon as a process: how it starts, stops, and refuses to start.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longest time for a daemon to be ready or to end: far more than either takes, so that only a
/// hang is cut short by it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Where nobody listens. A port that was free a moment ago may be another test's by now.
pub(crate) const NOBODY: &str = "127.0.0.1:1";

/// A route without a door: only opgate's own API starts it. And a queue that no worker serves.
pub(crate) const UNSERVED: &str = r#"
[backends.nobody]
kind = "worker"
concurrency = 10
[routes.unserved]
service = "unserved"
operation = "run"
backend = "nobody"
"#;
/// The log line that says the ready file is there.
const READY: &str = "ready";

/// How to start a daemon. Listens on free loopback ports, and logs JSON, unless told otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    dir: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Launch {
    /// A daemon whose data, ready file and configuration lie in `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        let launch = Self { dir: dir.to_owned(), arguments: Vec::new(), environment: Vec::new() };
        let data = dir.join("data");
        launch
            .set("http.listen=127.0.0.1:0")
            .set("admin.listen=127.0.0.1:0")
            .set("amqp.listen=127.0.0.1:0")
            .set("log.format=json")
            .set(&format!("data.dir={}", data.display()))
    }

    /// Sets a key, with `--set`.
    pub(crate) fn set(mut self, assignment: &str) -> Self {
        self.arguments.extend(["--set".to_owned(), assignment.to_owned()]);
        self
    }

    /// Sets an environment variable; there are no others.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Reads settings from a file with this text.
    pub(crate) fn config(self, text: &str) -> Self {
        let file = self.dir.join(format!("{}.toml", self.arguments.len()));
        std::fs::write(&file, text).unwrap();
        self.config_file(&file)
    }

    /// Reads settings from a file that is there, and may change.
    pub(crate) fn config_file(mut self, file: &Path) -> Self {
        self.arguments.extend(["--config".to_owned(), file.display().to_string()]);
        self
    }

    fn ready_file(&self) -> PathBuf {
        self.dir.join("ready.json")
    }

    /// Starts the process, and follows its standard error.
    fn process(&self) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_opgate"))
            .args(&self.arguments)
            .arg("--ready-file")
            .arg(self.ready_file())
            .env_clear()
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let (sender, lines) = channel();
        let reader = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in stderr.lines() {
                    let line = line.unwrap();
                    log.lock().unwrap().push(line.clone());
                    // Once the daemon is ready, nobody may be listening any more.
                    sender.send(line).unwrap_or_default();
                }
            }
        });
        Process { child, log, lines, reader: Some(reader) }
    }

    /// Starts a daemon and waits until it is ready.
    pub(crate) fn start(&self) -> Daemon {
        let process = self.process();
        process.await_line(|line| line["message"] == READY);
        let ready: Value =
            serde_json::from_slice(&std::fs::read(self.ready_file()).unwrap()).unwrap();
        let address = |listener: &str| ready[listener].as_str().unwrap().parse().unwrap();
        assert_eq!(ready["pid"], process.child.id());
        Daemon {
            http: address("http"),
            amqp: address("amqp"),
            admin: address("admin"),
            launch: self.clone(),
            process,
        }
    }

    /// Starts a daemon that is expected to end by itself.
    pub(crate) fn fail(&self) -> Ended {
        self.process().wait()
    }
}

/// A process, its standard error so far, and what is still to come.
#[derive(Debug)]
struct Process {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Reads standard error up to a line that is as wanted.
    fn await_line(&self, wanted: impl Fn(&Value) -> bool) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if serde_json::from_str(&line).is_ok_and(|line| wanted(&line)) => return,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    panic!("nothing for {PATIENCE:?}: {}", self.log())
                }
                Err(RecvTimeoutError::Disconnected) => panic!("it ended: {}", self.log()),
            }
        }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Sends a signal by its name.
    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for the end.
    fn wait(mut self) -> Ended {
        // Standard error ends with the process, so its end is what a bounded wait can watch.
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    panic!("nothing for {PATIENCE:?}: {}", self.log())
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.reader.take().unwrap().join().unwrap();
        Ended { status: self.child.wait().unwrap(), log: self.log() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, and both then fail.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// How a daemon ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit status.
    pub(crate) status: ExitStatus,
    /// All of its standard error.
    pub(crate) log: String,
}

impl Ended {
    /// The exit code; none if a signal killed it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// A daemon that serves. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// Where gRPC and REST are.
    pub(crate) http: SocketAddr,
    /// Where AMQP is.
    pub(crate) amqp: SocketAddr,
    /// Where metrics and health are.
    pub(crate) admin: SocketAddr,
    launch: Launch,
    process: Process,
}

impl Daemon {
    /// Its standard error so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until its log has this.
    pub(crate) fn await_logged(&self, text: &str) {
        let ends = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < ends, "{text} within {PATIENCE:?}: {}", self.log());
            std::thread::yield_now();
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// What the admin listener answers to a GET: the status, and the answer as it came.
    pub(crate) fn probe(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: opgate\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }

    /// Reads the metrics until they have this line.
    pub(crate) fn await_metric(&self, line: &str) {
        let ends = Instant::now() + PATIENCE;
        while !self.probe("/metrics").1.lines().any(|found| found == line) {
            assert!(Instant::now() < ends, "{line} within {PATIENCE:?}");
            std::thread::yield_now();
        }
    }

    /// Reads the metrics until all series of this name make so much together.
    pub(crate) fn await_sum(&self, name: &str, sum: usize) {
        let ends = Instant::now() + PATIENCE;
        loop {
            let metrics = self.probe("/metrics").1;
            let series =
                metrics.lines().filter_map(|line| line.strip_prefix(name)?.split_once("} "));
            let found: usize = series.map(|(_, value)| value.parse::<usize>().unwrap()).sum();
            if found == sum {
                return;
            }
            assert!(Instant::now() < ends, "{name} is {found} after {PATIENCE:?}, not {sum}");
            std::thread::yield_now();
        }
    }

    /// Reads standard error up to the log line with this message.
    pub(crate) fn await_message(&self, message: &str) {
        self.process.await_line(|line| line["message"] == message);
    }

    /// Sends a signal, such as `TERM`, `INT` or `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for the end.
    pub(crate) fn wait(self) -> Ended {
        self.process.wait()
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn terminate(self) -> Ended {
        self.signal("TERM");
        self.wait()
    }

    /// SIGKILL: no chance to finish anything. The data directory stays.
    pub(crate) fn kill(self) -> Ended {
        self.signal("KILL");
        self.wait()
    }

    /// Kills it and starts another on the same data directory.
    pub(crate) fn crash(self) -> Self {
        let launch = self.launch.clone();
        self.kill();
        launch.start()
    }
}

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn sigterm_and_sigint_stop_it_in_order() {
    for signal in ["TERM", "INT"] {
        let dir = dir();
        let launch = Launch::new(dir.path());
        let daemon = launch.start();
        assert!(
            TcpStream::connect(daemon.http).is_ok() && TcpStream::connect(daemon.admin).is_ok()
        );
        daemon.signal(signal);
        let ended = daemon.wait();
        assert_eq!(ended.code(), Some(0), "{}", ended.log);
        assert!(!launch.ready_file().exists(), "the ready file outlived the daemon");
    }
}

#[test]
fn it_starts_again_after_it_was_killed() {
    let dir = dir();
    let daemon = Launch::new(dir.path()).start().crash();
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn it_logs_each_address_it_listens_on() {
    let dir = dir();
    let daemon = Launch::new(dir.path()).start();
    for address in [daemon.http, daemon.admin] {
        assert!(daemon.log().contains(&format!("\"{address}\"")), "{address}: {}", daemon.log());
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = dir();
    let daemon = Launch::new(dir.path()).set("drain.notice=1h").start();
    daemon.signal("TERM");
    daemon.await_message("draining");
    daemon.signal("TERM");
    // As a shell reports a process that SIGTERM killed.
    assert_eq!(daemon.wait().code(), Some(128 + 15));
}

#[test]
fn why_it_ended_is_said_at_any_log_level() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for level in ["off", "off,opgate=off", "opgate_store=debug"] {
        let dir = dir();
        let listen = format!("http.listen={address}");
        let launch = Launch::new(dir.path()).set(&listen).set(&format!("log.level={level}"));
        let ended = launch.fail();
        assert_eq!(ended.code(), Some(71), "{}", ended.log);
        assert!(ended.log.contains(&address.to_string()), "{level}: {:?}", ended.log);
    }
}

#[test]
fn a_data_directory_has_one_daemon() {
    let dir = dir();
    let first = Launch::new(dir.path()).start();
    let other = self::dir();
    let data = dir.path().join("data");
    let ended = Launch::new(other.path()).set(&format!("data.dir={}", data.display())).fail();
    assert_eq!(ended.code(), Some(73), "{}", ended.log);
    assert!(ended.log.contains("in use by another opgate"), "{}", ended.log);
    // The first one did not notice.
    assert_eq!(first.terminate().code(), Some(0));
}

#[test]
fn a_directory_that_cannot_be_made_or_written_is_73() {
    let dir = dir();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    // Nobody can write into the second one, whatever the user the test runs as.
    for path in [file.join("data"), PathBuf::from("/proc/self/fd")] {
        let ended = Launch::new(dir.path()).set(&format!("data.dir={}", path.display())).fail();
        assert_eq!(ended.code(), Some(73), "{}: {}", path.display(), ended.log);
        assert!(ended.log.contains(path.to_str().unwrap()), "{}", ended.log);
    }
}

#[test]
fn a_damaged_journal_is_74() {
    let dir = dir();
    Launch::new(dir.path()).start().terminate();
    let data = dir.path().join("data");
    let mut overwritten = 0;
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        if std::fs::read(&path).unwrap().starts_with(b"SQLite format 3\0") {
            std::fs::write(&path, "no longer a database, and long enough to be looked at").unwrap();
            overwritten += 1;
        }
    }
    assert_eq!(overwritten, 1, "{}", data.display());
    let ended = Launch::new(dir.path()).fail();
    assert_eq!(ended.code(), Some(74), "{}", ended.log);
}

#[test]
fn a_port_in_use_is_71_and_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for listener in ["http", "admin", "amqp"] {
        let dir = dir();
        let ended = Launch::new(dir.path()).set(&format!("{listener}.listen={address}")).fail();
        assert_eq!(ended.code(), Some(71), "{}", ended.log);
        assert!(ended.log.contains(&format!("{listener}.listen")), "{}", ended.log);
        assert!(ended.log.contains(&address.to_string()), "{}", ended.log);
    }
}

#[test]
fn a_wrong_configuration_is_78_before_anything_is_touched() {
    let dir = dir();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let launch = Launch::new(dir.path())
        .set(&format!("http.listen={}", taken.local_addr().unwrap()))
        .config("[wait]\nmaxx = \"1s\"\n");
    let ended = launch.fail();
    // Neither the port, which would be 71, nor the directory was tried.
    assert_eq!(ended.code(), Some(78), "{}", ended.log);
    assert!(!dir.path().join("data").exists());
    assert!(ended.log.contains("wait.maxx") && ended.log.contains("wait.max?"), "{}", ended.log);
}

#[test]
fn a_type_nobody_described_is_78_and_named() {
    let dir = dir();
    let key = "routes.create-workflow.grpc.response_type";
    let ended = Launch::new(dir.path()).set(&format!("{key}=acme.v1.Nothing")).fail();
    assert_eq!(ended.code(), Some(78), "{}", ended.log);
    assert!(ended.log.contains("acme.v1.Nothing"), "{}", ended.log);
    assert!(!dir.path().join("data").exists(), "the journal was opened");
}
