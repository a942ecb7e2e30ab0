//! Workers as processes, and what becomes of their operations when they or the daemon are killed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use opgate_native::client::operations_client::OperationsClient;
use opgate_native::client::workers_client::WorkersClient;
use opgate_native::client::{
    FinishLeaseRequest, GetOperationRequest, LeaseOperationsRequest, Operation, Outcome, Payload,
    Progress, ReportLeaseRequest, StartOperationRequest, State, WaitOperationRequest, outcome,
    payload,
};
use tokio::runtime::Runtime;
use tonic::transport::Channel;

use crate::process::{Launch, PATIENCE};

const CONFIG: &str = include_str!("../../config/examples/worker.toml");
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/worker.py");

/// A worker's process, and the lines it prints. Killed when dropped.
struct Worker {
    child: Child,
    lines: Receiver<String>,
}

impl Worker {
    fn start(daemon: SocketAddr, name: &str, more: &[&str]) -> Self {
        let mut child = Command::new("python3")
            .args([PROGRAM, &daemon.to_string(), "render", name])
            .args(more)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The test may have seen enough.
                sender.send(line).unwrap_or_default();
            }
        });
        Self { child, lines }
    }

    /// The id in the next line, which must begin with this word.
    fn next(&self, word: &str) -> String {
        let line = self.lines.recv_timeout(PATIENCE).unwrap();
        line.strip_prefix(word).unwrap_or_else(|| panic!("{line}")).trim().to_owned()
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already, and both then fail.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// A client of both services.
struct Client {
    operations: OperationsClient<Channel>,
    workers: WorkersClient<Channel>,
}

impl Client {
    async fn connect(daemon: SocketAddr) -> Self {
        let channel = Channel::from_shared(format!("http://{daemon}")).unwrap();
        let channel = channel.connect().await.unwrap();
        let workers = WorkersClient::new(channel.clone());
        Self { operations: OperationsClient::new(channel), workers }
    }

    async fn start(&mut self) -> String {
        let request = StartOperationRequest {
            route: "render".to_owned(),
            input: Some(text("intro")),
            ..StartOperationRequest::default()
        };
        self.operations.start_operation(request).await.unwrap().into_inner().id
    }

    async fn get(&mut self, name: &str) -> Operation {
        let request = GetOperationRequest { name: name.to_owned() };
        self.operations.get_operation(request).await.unwrap().into_inner()
    }

    async fn ended(&mut self, name: &str) -> Operation {
        loop {
            let request = WaitOperationRequest { name: name.to_owned(), ..Default::default() };
            let answer = self.operations.wait_operation(request).await.unwrap().into_inner();
            if answer.done {
                return answer;
            }
        }
    }
}

fn text(text: &str) -> Payload {
    let body = Some(payload::Body::Text(text.to_owned()));
    Payload { body, ..Payload::default() }
}

#[test]
fn what_killed_workers_held_is_finished_by_another_once() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(CONFIG).start();
    let runtime = Runtime::new().unwrap();
    let mut client = runtime.block_on(Client::connect(daemon.http));

    let mut ids: Vec<String> = Vec::new();
    for _ in 0..6 {
        ids.push(runtime.block_on(client.start()));
    }
    // Two workers take what they can hold, and are killed while they hold it.
    let holding = ["one", "two"].map(|name| Worker::start(daemon.http, name, &["--hold"]));
    let mut held: BTreeMap<String, usize> = BTreeMap::new();
    for worker in &holding {
        for _ in 0..2 {
            *held.entry(worker.next("leased")).or_default() += 1;
        }
    }
    assert!(held.values().all(|times| *times == 1), "leased to two at once: {held:?}");
    holding.into_iter().for_each(Worker::kill);

    let third = Worker::start(daemon.http, "three", &[]);
    let mut finished: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..ids.len() {
        third.next("leased");
        *finished.entry(third.next("finished")).or_default() += 1;
    }
    let expected: BTreeMap<String, usize> = ids.iter().map(|id| (id.clone(), 1)).collect();
    assert_eq!(finished, expected, "none lost, none twice");
    for id in &ids {
        let ended = runtime.block_on(client.ended(id));
        assert_eq!(ended.state(), State::Succeeded, "{ended:?}");
        assert!(ended.conflicts.is_empty(), "{ended:?}");
        let epochs = if held.contains_key(id) { 2 } else { 1 };
        assert!(ended.epoch >= epochs, "{ended:?}");
    }
    drop((third, client, runtime));
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn a_worker_goes_on_with_its_lease_after_the_daemon_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(CONFIG).start();
    let runtime = Runtime::new().unwrap();
    let lease = runtime.block_on(async {
        let mut client = Client::connect(daemon.http).await;
        client.start().await;
        let ask = LeaseOperationsRequest { queue: "render".to_owned(), ..Default::default() };
        loop {
            let answer = client.workers.lease_operations(ask.clone()).await.unwrap().into_inner();
            if let Some(lease) = answer.leases.into_iter().next() {
                return lease;
            }
        }
    });
    let operation = lease.operation.unwrap();

    let daemon = daemon.crash();
    runtime.block_on(async {
        let mut client = Client::connect(daemon.http).await;
        let found = client.get(&operation.id).await;
        assert_eq!((found.state(), found.epoch), (State::Running, operation.epoch));
        let progress = Some(Progress { percent: Some(50.0), ..Progress::default() });
        let report =
            ReportLeaseRequest { lease: lease.lease.clone(), progress, ..Default::default() };
        let held = client.workers.report_lease(report).await.unwrap().into_inner();
        assert_eq!(held.version, operation.version + 1);
        let outcome = Some(Outcome { outcome: Some(outcome::Outcome::Succeeded(text("done"))) });
        let finish = FinishLeaseRequest { lease: lease.lease, outcome };
        let ended = client.workers.finish_lease(finish).await.unwrap().into_inner();
        assert_eq!((ended.state(), ended.epoch), (State::Succeeded, operation.epoch));
    });
    drop(runtime);
    assert_eq!(daemon.terminate().code(), Some(0));
}
