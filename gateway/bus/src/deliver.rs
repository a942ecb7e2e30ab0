//! Tells the receivers of callbacks that their operations have ended: durably, and at least once.
//!
//! One loop owns the table of what is owed. It learns of that from the store's feed and, at start
//! and whenever the feed ran ahead of it or the table was full, from the store's index. What became
//! of an attempt is durable before anything follows from it; an attempt whose record was lost is
//! made again under its number.

mod attempt;
mod schedule;
mod table;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use opgate_core::{Callback, Error, OperationId, Seq, Timestamp};
use opgate_store::Owing;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep};

pub(crate) use attempt::Courier;
use attempt::Done;
pub use schedule::Callbacks;
use table::{Job, Key, Table, Went};

use crate::carry::contained;

/// Operations read from the index at a time.
const PAGE: usize = 256;
/// How long to wait before the index is read again after that failed.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest sleep of the loop.
const STRIDE: Duration = Duration::from_mins(1);

/// Delivers until the drain. What a defect makes of one loop ends with it: its attempts are made
/// again by the next one, which takes up all that is owed anew.
pub(crate) async fn deliver(courier: Arc<Courier>) {
    let mut panics = 0_u32;
    while contained(Delivery::new(Arc::clone(&courier)).run()).await.is_err() {
        panics = panics.saturating_add(1);
        tracing::error!(panics, "the delivery of callbacks panicked, another takes over");
        tokio::select! {
            () = sleep(courier.backoff.after(panics)) => {}
            () = courier.drain.cancelled() => return,
        }
    }
}

/// How a spawned future ended.
enum Ended {
    Job(Job, Done),
    Page(Result<Vec<Owing>, Error>),
}

/// How far the walk through the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    /// Not under way.
    Over,
    /// Under way, and to begin anew after that where something was missed meanwhile.
    Under { anew: bool },
}

struct Delivery {
    courier: Arc<Courier>,
    table: Table,
    spawned: JoinSet<Ended>,
    walk: Walk,
}

impl Delivery {
    fn new(courier: Arc<Courier>) -> Self {
        let table = Table::new(courier.callbacks);
        Self { courier, table, spawned: JoinSet::new(), walk: Walk::Over }
    }

    /// Runs until the drain, then until every attempt has ended or was cut short.
    async fn run(mut self) {
        let courier = Arc::clone(&self.courier);
        // Followed before the first look, so that nothing falls between the two.
        let mut feed = courier.store.feed();
        let mut health = courier.store.health();
        self.walk();
        let mut timer = Box::pin(sleep(STRIDE));
        while !courier.drain.is_cancelled() {
            // Without the journal no result can be kept: nothing is attempted until it is back.
            let writable = health.borrow_and_update().unwritable.is_none();
            if writable {
                self.begin();
            }
            if self.table.take_behind() {
                self.walk();
            }
            courier.metrics.callbacks.breakers_open.set(self.table.open() as u64);
            courier
                .metrics
                .callbacks
                .oldest_owed
                .set_time(self.table.oldest().map(Timestamp::nanos));
            self.arm(timer.as_mut(), writable);
            tokio::select! {
                () = courier.drain.cancelled() => break,
                Some(ended) = self.spawned.join_next() => match ended {
                    Ok(ended) => self.ended(ended).await,
                    // Everything spawned is contained; a second panic while the first unwound is not.
                    Err(error) => tracing::error!(%error, "an attempt was lost to a defect"),
                },
                changed = feed.next() => match changed {
                    Some(Ok(changed)) if changed.owing => self.learn(changed.id).await,
                    Some(Ok(_)) => {}
                    Some(Err(_)) => self.walk(),
                    None => break,
                },
                Ok(()) = health.changed() => {}
                () = timer.as_mut() => {}
            }
        }
        courier.drain.cancel();
        while self.spawned.join_next().await.is_some() {}
    }

    /// Begins whatever there is room for.
    fn begin(&mut self) {
        while let Some(job) = self.table.next(Instant::now()) {
            let courier = Arc::clone(&self.courier);
            self.spawned.spawn(async move {
                let done = contained(courier.work(job)).await.unwrap_or_else(|_| {
                    tracing::error!(?job, "an attempt panicked");
                    Done { went: Went::Failed, again: Some(courier.later(job)) }
                });
                Ended::Job(job, done)
            });
        }
    }

    async fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Job(job, Done { went, again }) => {
                // What was redriven before this was heard of was taken for known.
                if self.table.ended(job, went, again, Instant::now()) {
                    self.learn(job.key().id).await;
                }
            }
            Ended::Page(page) => self.turn(page),
        }
    }

    /// Takes up what an operation owes.
    async fn learn(&mut self, id: OperationId) {
        match self.courier.store.get(id).await {
            Ok(Some(snapshot)) => {
                for (at, callback) in snapshot.owed() {
                    let since = snapshot.owed_since(callback).unwrap_or(snapshot.times.updated);
                    self.take(Key { id, callback: at }, callback, since);
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, operation = %id, "what is owed cannot be read");
                self.walk();
            }
        }
    }

    fn take(&mut self, key: Key, callback: &Callback, since: Timestamp) {
        if !self.table.touch(key) {
            let destination = self.courier.destination(callback);
            let term = self.courier.term_of(callback, since);
            self.table.learn(key, &destination, term, Instant::now());
        }
    }

    /// Has the index walked from its beginning.
    fn walk(&mut self) {
        match &mut self.walk {
            Walk::Under { anew } => *anew = true,
            Walk::Over => {
                self.walk = Walk::Under { anew: false };
                self.read(Seq(0), None);
            }
        }
    }

    fn read(&mut self, after: Seq, pause: Option<Duration>) {
        let courier = Arc::clone(&self.courier);
        self.spawned.spawn(async move {
            if let Some(pause) = pause {
                tokio::select! {
                    () = sleep(pause) => {}
                    () = courier.drain.cancelled() => return Ended::Page(Ok(Vec::new())),
                }
            }
            Ended::Page(courier.store.owing(after, PAGE).await)
        });
    }

    /// Takes a page of the index up, and turns to the next.
    fn turn(&mut self, page: Result<Vec<Owing>, Error>) {
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "what is owed cannot be read");
                return self.read(Seq(0), Some(AGAIN));
            }
        };
        for owing in &page {
            for (at, callback, since) in &owing.callbacks {
                self.take(Key { id: owing.id, callback: *at }, callback, *since);
            }
        }
        match page.last() {
            Some(last) if page.len() >= PAGE => self.read(last.seq, None),
            Some(_) | None => {
                let anew = self.walk == (Walk::Under { anew: true });
                self.walk = Walk::Over;
                if anew {
                    self.walk();
                }
            }
        }
    }

    /// Sets the timer for what is due next.
    fn arm(&self, timer: Pin<&mut Sleep>, writable: bool) {
        let now = Instant::now();
        let looks = self.table.looks(now).filter(|_| writable);
        timer.reset(looks.unwrap_or(now + STRIDE).min(now + STRIDE));
    }
}
