//! The store: a durable journal, and a lock-free view of it.
//!
//! One thread, the sequencer, is the only writer. It decides commands in the order they come,
//! makes each batch durable with one sync, and only then shows it to readers and answers. Readers
//! take no lock and copy no payload: they clone an `Arc`. What memory does not hold is read from
//! disk. The one entry point is [`Store`].
//!
//! The store knows operations, not protocols; it knows no backend, no route and no socket.

mod chunk;
mod clock;
mod feed;
mod guard;
mod journal;
mod list;
mod owing;
mod readers;
mod record;
mod records;
mod scopes;
mod sequencer;
mod snapshot;
mod sqlite;
mod sync;
mod timeline;
mod view;
mod wake;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use opgate_core::{Error, ErrorKind, OperationId, Retry, Seq, Submission};
use opgate_telemetry::Metrics;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};

pub use crate::clock::{Clock, ManualClock};
pub use crate::feed::{Changed, FEED_CAPACITY, Feed, Lagged};
pub use crate::list::{Changes, Filter, Listed, Page};
pub use crate::owing::Owing;
pub use crate::records::{CopyError, Found, LAYOUT, Live, Records, Stats, Tell, Verified};
pub use crate::snapshot::{Rendered, Rendering, Snapshot};
pub use crate::view::Peek;
pub use crate::wake::Waiter;

use crate::guard::{Guard, GuardError};
use crate::readers::Readers;
use crate::sequencer::{Bounds, Queue, Request, Sequencer, Shared};
use crate::sqlite::{Reader, Sqlite, SqliteOpenError};
use crate::view::View;
use crate::wake::Wakers;

/// Payloads that may wait for the sequencer, in KiB: 256 MiB.
const QUEUE_KIB: usize = 256 * 1024;

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk: synced before it was acknowledged.
    Fsync,
    /// Handed to the operating system: survives the process, not the machine.
    Memory,
}

impl Durability {
    /// The word for it in replies and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Memory => "memory",
        }
    }
}

/// Where the store lives and how much it may hold.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory; made when it is not there.
    pub dir: PathBuf,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// Largest size of the database in bytes; `None`: as large as the disk allows.
    pub max_bytes: Option<u64>,
    /// Operations held in memory, the ones that have not ended included.
    pub resident_operations: usize,
    /// Bytes of operations' bodies held in memory.
    pub body_bytes: usize,
    /// Operations that have not ended; a start beyond is refused.
    pub live_operations: usize,
    /// Commands that may wait for the sequencer; one beyond is refused.
    pub queue: usize,
}

impl Options {
    /// The usual bounds for a directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            durability: Durability::Fsync,
            max_bytes: None,
            resident_operations: 1_000_000,
            body_bytes: 256 * 1024 * 1024,
            live_operations: 1_000_000,
            queue: 65_536,
        }
    }
}

/// Proof that a command was taken: durable as `durability` says.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The operation after the command.
    pub snapshot: Arc<Snapshot>,
    /// What the acknowledgement promises.
    pub durability: Durability,
    /// Whether the command had taken effect before, and nothing changed.
    pub repeated: bool,
}

/// A command on its way to the journal.
#[derive(Debug)]
pub struct Posted(oneshot::Receiver<Result<Receipt, Error>>);

impl Posted {
    /// Waits until the command is durable or refused.
    pub async fn durable(self) -> Result<Receipt, Error> {
        // Without an answer the batch may or may not be durable.
        self.0.await.unwrap_or_else(|_| Err(closed().with_retry(Retry::Unknown)))
    }
}

/// Whether the journal takes writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why it does not, when it does not.
    pub unwritable: Option<String>,
}

/// What opening found.
#[derive(Clone, Copy, Debug)]
pub struct Recovery {
    /// Operations that have not ended and were read into memory.
    pub live: u64,
    /// Operations stored, ended ones included.
    pub stored: u64,
    /// How long it took.
    pub took: Duration,
}

/// How far the reading of what has not ended is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovering {
    /// Operations that were read.
    pub read: u64,
    /// Operations that there are to read.
    pub all: u64,
}

/// After how many operations it is shown how far it is: a few milliseconds' worth.
const SHOWN: u64 = 1000;

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the directory.
    #[error(
        "the data directory {0} is in use by another opgate: stop it, or give this one a directory of its own"
    )]
    InUse(PathBuf),
    /// The directory or a file in it cannot be made, read or written.
    #[error("cannot use the data directory {dir}: {source}")]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The journal cannot be read or written.
    #[error("cannot open the journal in {dir}: {source}")]
    Journal {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A later opgate has written the journal.
    #[error(
        "the journal in {dir} was written by a later opgate (layout {layout}; this one reads layouts 1 to {known}). Nothing was changed. Start that version, or a later one, or give this one another directory"
    )]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// The layout it has.
        layout: i32,
        /// The latest that is known here.
        known: i32,
    },
    /// The journal is damaged.
    #[error(
        "the journal in {dir} is damaged: {problem}. Nothing was changed. Move the directory away and restore a copy of it, or start with an empty directory; sqlite3's `.recover` may save records from the damaged file"
    )]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What was found.
        problem: String,
    },
}

/// The store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    readers: Readers,
    queue: mpsc::Sender<Request>,
    /// Room for payloads in the queue.
    queue_kib: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
    secret: [u8; 32],
    durability: Durability,
    clock: Clock,
}

impl Store {
    /// Opens the directory, reads what has not ended, and starts the sequencer. Blocks; takes as
    /// long as reading the operations that have not ended, whatever else is stored.
    pub fn open(
        options: &Options,
        clock: Clock,
        metrics: &Arc<Metrics>,
    ) -> Result<(Self, Recovery), OpenError> {
        Self::open_showing(options, clock, metrics, |_| {})
    }

    /// The same, and shows how far it is: before the first operation that has not ended, and now and then.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_showing(
        options: &Options,
        clock: Clock,
        metrics: &Arc<Metrics>,
        mut show: impl FnMut(Recovering),
    ) -> Result<(Self, Recovery), OpenError> {
        let began = Instant::now();
        let dir = &options.dir;
        let io = |source| OpenError::Directory { dir: dir.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let guard = Guard::acquire(dir).map_err(|error| match error {
            GuardError::InUse => OpenError::InUse(dir.clone()),
            GuardError::Io(source) => io(source),
        })?;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| io(error.into()))?;
        let (journal, stored) = Sqlite::open(dir, options.durability, options.max_bytes, secret)
            .map_err(|error| open_error(dir, error))?;
        let (summary, mark) = (stored.summary, guard.mark());
        // Without syncing, a crash of the machine may lose what the mark has seen: that was the deal.
        if mark > summary.last && options.durability == Durability::Fsync {
            return Err(OpenError::Damaged {
                dir: dir.clone(),
                problem: format!(
                    "it ends at position {}, but position {} was acknowledged (if you restored an older copy on purpose, delete opgate.mark)",
                    summary.last.0, mark.0
                ),
            });
        }
        let stored_operations = summary.counts.iter().sum();
        let floor = if stored_operations == 0 { Seq(1) } else { Seq(summary.last.0 + 1) };
        let shared = Arc::new(Shared {
            view: View::new(floor),
            wakers: Arc::new(Wakers::new()),
            feed: broadcast::channel(FEED_CAPACITY).0,
            health: watch::channel(Health::default()).0,
            last_beat: AtomicU64::new(0),
            owed: AtomicU64::new(stored.owed),
            began,
        });
        let newest_scope = stored.scopes.iter().map(|(scope, ..)| *scope).max();
        for (scope, tenant, parent) in &stored.scopes {
            shared.view.scopes.insert(tenant, parent, *scope);
        }
        let bounds = Bounds {
            resident: options.resident_operations,
            body_bytes: options.body_bytes,
            live: options.live_operations,
        };
        let mut sequencer = Sequencer::new(
            journal,
            Arc::clone(&shared),
            bounds,
            clock.clone(),
            options.durability,
            Arc::clone(metrics),
            Box::new(move |seq| guard.note(seq)),
            summary,
            newest_scope.map_or(scopes::ALL, |scope| scope) + 1,
        );
        let reader = Reader::open(dir).map_err(|error| open_error(dir, error.into()))?;
        // One at a time, within the budget of bodies: what was accepted must never be too much to
        // start with.
        let all = summary.counts[0] + summary.counts[1];
        let mut read = 0;
        if all > 0 {
            show(Recovering { read, all });
        }
        let live = reader
            .live(|scope, operation| {
                sequencer.recover(scope, operation);
                read += 1;
                if read % SHOWN == 0 {
                    show(Recovering { read, all });
                }
            })
            .map_err(|error| OpenError::Damaged { dir: dir.clone(), problem: error.to_string() })?;
        drop(reader);
        // An index that hides an operation would strand it: what was counted must be found.
        if live != summary.counts[0] + summary.counts[1] {
            return Err(OpenError::Damaged {
                dir: dir.clone(),
                problem: format!(
                    "{live} operations that have not ended were found, not as many as were counted"
                ),
            });
        }
        let (queue, requests) = mpsc::channel(options.queue.max(1));
        let thread = std::thread::Builder::new()
            .name("sequencer".to_owned())
            .spawn(move || sequencer.run(&mut Requests(requests)))
            .map_err(io)?;
        let recovery = Recovery { live, stored: stored_operations, took: began.elapsed() };
        metrics.store.recovery_duration.set_duration(recovery.took);
        metrics.store.recovered.set(live);
        metrics.journal.writable.set_condition(true);
        metrics.journal.queue_max.set(options.queue as u64);
        metrics.bus.unfinished_max.set(options.live_operations as u64);
        let inner = Inner {
            shared,
            readers: Readers::new(dir.clone()),
            queue,
            queue_kib: Arc::new(Semaphore::new(QUEUE_KIB)),
            thread: Mutex::new(Some(thread)),
            secret: stored.secret,
            durability: options.durability,
            clock,
        };
        Ok((Self(Arc::new(inner)), recovery))
    }

    /// Hands a command to the sequencer and waits until it is durable or refused. Once this was
    /// polled, the command is carried out even if the future is dropped.
    pub async fn submit(&self, submission: Submission) -> Result<Receipt, Error> {
        self.post(submission)?.durable().await
    }

    /// Hands a command to the sequencer, without waiting. It is carried out whether or not anybody
    /// waits for the answer, and after everything that was handed over before it.
    ///
    /// # Errors
    /// `TooManyRequests` when too many commands are queued, `Unavailable` when the store is closed.
    pub fn post(&self, submission: Submission) -> Result<Posted, Error> {
        let (reply, answer) = oneshot::channel();
        let kib = u32::try_from(sequencer::weight(&submission.command) / 1024).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.0.queue_kib).try_acquire_many_owned(kib).map_err(|_| {
            Error::new(ErrorKind::TooManyRequests, "too much is waiting to be written")
        })?;
        let reply = Box::new(move |result| {
            drop(room);
            // A caller that has gone does not want its answer.
            let _gone = reply.send(result);
        });
        self.0.queue.try_send(Request::Submit(submission, reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                Error::new(ErrorKind::TooManyRequests, "too many commands are waiting")
            }
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        Ok(Posted(answer))
    }

    /// Looks an operation up without waiting: no lock, no disk, no copy.
    pub fn peek(&self, id: OperationId) -> Peek {
        self.0.shared.view.peek(id)
    }

    /// Looks an operation up, on disk where memory does not hold it. Whether the caller may see it
    /// is the caller's business.
    pub async fn get(&self, id: OperationId) -> Result<Option<Arc<Snapshot>>, Error> {
        list::get(self, id).await
    }

    /// Registers for the changes of one operation. First register, then take
    /// [`Waiter::changed`], then read the operation, then await.
    pub fn newer(&self, id: OperationId) -> Waiter {
        self.0.shared.wakers.register(id)
    }

    /// How many operations somebody waits for.
    pub fn awaited(&self) -> usize {
        self.0.shared.wakers.operations()
    }

    /// Follows every change from now on.
    pub fn feed(&self) -> Feed {
        Feed(self.0.shared.feed.subscribe())
    }

    /// The operations that have not ended, oldest first.
    pub fn live(&self) -> Vec<OperationId> {
        self.0.shared.view.live()
    }

    /// Whether the journal takes writes, and every change of that.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.0.shared.health.subscribe()
    }

    /// Whether the sequencer took up work within `limit`. It does so at least once for every
    /// [`Store::tidy`].
    pub fn beats_within(&self, limit: Duration) -> bool {
        let beat = Duration::from_millis(self.0.shared.last_beat.load(Ordering::Relaxed));
        self.0.shared.began.elapsed().saturating_sub(beat) <= limit
    }

    /// Forgets what is due, and gives room back. To be called about once a second.
    pub fn tidy(&self) {
        // A full queue means that the sequencer is busy; the next call will find it less so.
        let _busy = self.0.queue.try_send(Request::Tidy);
    }

    /// 32 random bytes of this data directory, for sealing what is handed to clients.
    pub fn secret(&self) -> [u8; 32] {
        self.0.secret
    }

    /// What an acknowledgement promises.
    pub fn durability(&self) -> Durability {
        self.0.durability
    }

    /// The clock operations are stamped by.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Ends reading from disk, answers what is queued, syncs, and lets go of the directory. Nothing is
    /// left in the write-ahead log then.
    pub async fn close(&self) {
        self.0.readers.close().await;
        // A closed queue means that the sequencer has ended already.
        let _ended = self.0.queue.send(Request::Close).await;
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the sequencer did not end well");
            }
        }
    }

    fn shared(&self) -> &Shared {
        &self.0.shared
    }

    fn readers(&self) -> &Readers {
        &self.0.readers
    }
}

struct Requests(mpsc::Receiver<Request>);

impl Queue for Requests {
    fn next(&mut self) -> Option<Request> {
        self.0.blocking_recv()
    }

    fn ready(&mut self) -> Option<Request> {
        self.0.try_recv().ok()
    }

    fn waiting(&self) -> usize {
        self.0.len()
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "opgate is shutting down")
}

fn open_error(dir: &Path, error: SqliteOpenError) -> OpenError {
    let dir = dir.to_owned();
    match error {
        SqliteOpenError::Damaged(problem) => OpenError::Damaged { dir, problem },
        SqliteOpenError::Newer(layout) => OpenError::Newer { dir, layout, known: LAYOUT },
        SqliteOpenError::Sqlite(error) => match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                OpenError::Damaged { dir, problem: error.to_string() }
            }
            _ => OpenError::Journal { dir, source: Box::new(error) },
        },
    }
}
