//! A receiver that answers as a test says, and a bus that tells it. Time passes only where a test
//! says so.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use opgate_bus::core::{
    Callback, Command, Delivery, DeliveryState, OperationId, Submission, Tenant, Timestamp,
};
use opgate_bus::{Callbacks, Notice, Notifier, Snapshot, Start, Told};
use opgate_store::{Clock, ManualClock};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

use crate::support::{Bench, LONG, Setup, start, stopped_clock};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Hands every attempt to the test.
struct Wire(mpsc::UnboundedSender<Call>);

/// One attempt, which waits for what the test has it come to. Dropped, the notifier panics.
pub(super) struct Call {
    pub(super) notice: Notice,
    reply: oneshot::Sender<Told>,
}

impl Call {
    pub(super) fn id(&self) -> OperationId {
        self.notice.operation.id
    }

    pub(super) fn url(&self) -> &str {
        &self.notice.target().unwrap().url
    }

    pub(super) fn comes_to(self, told: Told) {
        self.reply.send(told).unwrap();
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.reply.is_closed()
    }
}

impl Notifier for Wire {
    fn destination(&self, callback: &Callback) -> Arc<str> {
        let host = callback.url.split('/').nth(2).unwrap();
        assert_ne!(host, "panic", "as told");
        host.into()
    }

    fn notify(&self, notice: Notice) -> Pin<Box<dyn Future<Output = Told> + Send>> {
        let (reply, told) = oneshot::channel();
        self.0.send(Call { notice, reply }).unwrap();
        Box::pin(async move { told.await.expect("as told") })
    }
}

pub(super) fn later(problem: &str) -> Told {
    Told::Later { problem: problem.to_owned(), after: None }
}

/// A bus and its receiver.
pub(super) struct Post {
    pub(super) bench: Bench,
    pub(super) clock: ManualClock,
    calls: mpsc::UnboundedReceiver<Call>,
    _frozen: Frozen,
}

pub(super) fn callbacks() -> Callbacks {
    Callbacks {
        first: SECOND,
        longest: SECOND * 100,
        give_up: SECOND * 1000,
        ..Callbacks::default()
    }
}

impl Post {
    pub(super) fn open(dir: &TempDir, callbacks: Callbacks) -> Self {
        Self::at(Setup::at(dir), stopped_clock(), callbacks)
    }

    pub(super) fn at(mut setup: Setup, clock: ManualClock, callbacks: Callbacks) -> Self {
        let (wire, calls) = mpsc::unbounded_channel();
        setup.notifier = Some(Arc::new(Wire(wire)));
        setup.clock = Clock::Manual(clock.clone());
        setup.options.callbacks = callbacks;
        Self { bench: setup.open(), clock, calls, _frozen: Frozen::new() }
    }

    /// An operation that has ended and owes these.
    pub(super) async fn owe(&self, urls: &[&str]) -> OperationId {
        self.bench.bus.start(&self.bench.caller, owing(urls)).await.unwrap().snapshot.id
    }

    /// The next attempt.
    pub(super) async fn call(&mut self) -> Call {
        self.calls.recv().await.unwrap()
    }

    /// Attempts that are made without anything else happening.
    pub(super) async fn calls(&mut self) -> Vec<Call> {
        let mut calls = Vec::new();
        for _ in 0..200 {
            tokio::task::yield_now().await;
            calls.extend(std::iter::from_fn(|| self.calls.try_recv().ok()));
        }
        calls
    }

    pub(super) async fn nothing_happens(&mut self) {
        let urls: Vec<String> =
            self.calls().await.iter().map(|call| call.url().to_owned()).collect();
        assert!(urls.is_empty(), "{urls:?}");
    }

    /// Time passes, once the loop knows of everything that is on record.
    pub(super) async fn pass(&self, time: Duration) {
        // What is on record is seen before who recorded it hears of it. An answer to a later command
        // comes after that, and then the loop has its turns.
        let submission = Submission {
            tenant: Tenant::anonymous(),
            target: OperationId::from_bits(0),
            expect: None,
            command: Command::Redrive,
        };
        assert!(self.bench.store.submit(submission).await.is_err(), "there is no such operation");
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.clock.advance(time);
        tokio::time::advance(time).await;
    }

    pub(super) fn now(&self) -> Timestamp {
        self.bench.store.clock().now()
    }

    /// The delivery of an operation's callback, once `holds` is true of it.
    pub(super) async fn delivery(
        &self,
        id: OperationId,
        callback: usize,
        holds: impl Fn(&Delivery) -> bool,
    ) -> Delivery {
        let waiter = self.bench.store.newer(id);
        loop {
            let changed = waiter.changed();
            let now: Arc<Snapshot> = self.bench.store.get(id).await.unwrap().unwrap();
            let delivery = &now.callbacks[callback].delivery;
            if holds(delivery) {
                return delivery.clone();
            }
            changed.await;
        }
    }

    pub(super) async fn settled(&self, id: OperationId, state: DeliveryState) -> Delivery {
        self.delivery(id, 0, |delivery| delivery.state == state).await
    }

    /// Once so many attempts are on record; then how long the rest is.
    pub(super) async fn rest(&self, id: OperationId, attempts: u32) -> Duration {
        let made = |delivery: &Delivery| delivery.attempts == attempts;
        self.delivery(id, 0, made).await.next.unwrap().since(self.now())
    }
}

pub(super) fn owing(urls: &[&str]) -> Start {
    let callbacks = urls.iter().map(|url| Callback::new(*url, Vec::new())).collect();
    Start { callbacks, ..start("done") }
}

/// Keeps a stopped clock where it is: it does not run on to the next timer while it waits for the
/// journal's thread.
struct Frozen {
    _thaw: std::sync::mpsc::Sender<()>,
}

impl Frozen {
    fn new() -> Self {
        let (thaw, thawed) = std::sync::mpsc::channel();
        drop(tokio::task::spawn_blocking(move || {
            // Over when the test is, however long a busy machine takes over it; one that waits for nothing fails in the end.
            let _over: Result<(), _> = thawed.recv_timeout(10 * LONG);
        }));
        Self { _thaw: thaw }
    }
}
