//! Following changes.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::bus::Bus;
use crate::list::Filter;
use crate::room::Place;
use crate::start::Caller;
use opgate_core::{Error, ErrorKind, OperationId, Parent, Seq, Version};
use opgate_store::{Changed, Feed, Snapshot};
use opgate_telemetry::{Held, Permit};

/// Operations read at a time while catching up; the only ones a watch holds.
const CATCH_UP: usize = 256;
/// What they may weigh in memory; one is read whatever it weighs.
const CATCH_UP_BYTES: usize = 4 * 1024 * 1024;

/// What to follow.
#[derive(Clone, Debug)]
pub enum Watch {
    /// One operation, from its first version later than `after`.
    Operation {
        /// Which.
        id: OperationId,
        /// The last version known; 0 for none.
        after: Version,
    },
    /// Every operation of a scope, from the first change later than `after`.
    Scope {
        /// The scope; the root follows everything of the tenant.
        scope: Parent,
        /// The `changed` of the last operation seen; 0 for all there are.
        after: Seq,
        /// Which of them; `None` for all. Its text plays no part here.
        filter: Option<Filter>,
    },
}

/// A watch in progress.
///
/// Each operation's versions come in order and none comes twice; versions in between may be left
/// out, the latest never is. A watch of a scope comes in the order of `changed`, and the `changed`
/// of the last operation seen is where a later watch goes on.
#[derive(Debug)]
pub struct Watching {
    bus: Bus,
    caller: Caller,
    follow: Follow,
    _place: Place,
    _counted: Held,
}

#[derive(Debug)]
enum Follow {
    One { id: OperationId, after: Version },
    Many(Scope),
    Ended,
}

#[derive(Debug)]
struct Scope {
    parent: Parent,
    filter: Option<Filter>,
    feed: Feed,
    /// Everything up to here was seen.
    seen: Seq,
    /// Whether there may be more to catch up with.
    behind: bool,
    ready: VecDeque<Arc<Snapshot>>,
    /// A change that was told of and whose operation is not read yet.
    told: Option<Changed>,
}

impl Bus {
    /// Follows one operation or a scope.
    ///
    /// # Errors
    /// `TooManyRequests` when there are as many watches as allowed
    /// ([`Options::watches`](crate::Options::watches)).
    pub fn watch(&self, caller: &Caller, watch: Watch) -> Result<Watching, Error> {
        let (place, counted) = self.watch_place()?;
        let follow = match watch {
            Watch::Operation { id, after } => Follow::One { id, after },
            Watch::Scope { scope, after, filter } => Follow::Many(Scope {
                parent: scope,
                filter,
                // Followed before catching up, so that nothing falls between the two.
                feed: self.door().store.feed(),
                seen: after,
                behind: true,
                ready: VecDeque::new(),
                told: None,
            }),
        };
        Ok(Watching {
            bus: self.clone(),
            caller: caller.clone(),
            follow,
            _place: place,
            _counted: counted,
        })
    }

    /// The place of one watch.
    pub(crate) fn watch_place(&self) -> Result<(Place, Held), Error> {
        let too_many = || Error::new(ErrorKind::TooManyRequests, "too many watches");
        let place = self.door().watches.take().ok_or_else(too_many)?;
        Ok((place, self.door().metrics.bus.permits.of(Permit::Watch).hold()))
    }
}

impl Watching {
    /// The next change; `None` after the last one: the watched operation's end, or the drain.
    ///
    /// A removed operation is shown once more, with `removed` set, in a watch of its scope; a watch
    /// of itself ends with `NotFound`. After an error there is nothing more.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Arc<Snapshot>, Error>> {
        let drain = self.bus.door().drain.clone();
        let found = tokio::select! {
            found = self.advance() => found,
            () = drain.cancelled() => None,
        };
        if !matches!(found, Some(Ok(_))) {
            self.follow = Follow::Ended;
        }
        found
    }

    async fn advance(&mut self) -> Option<Result<Arc<Snapshot>, Error>> {
        match &mut self.follow {
            Follow::One { id, after } => {
                let (id, seen) = (*id, *after);
                let waiter = self.bus.door().store.newer(id);
                loop {
                    let changed = waiter.changed();
                    let current = match self.bus.get(&self.caller, id).await {
                        Ok(current) => current,
                        Err(error) => return Some(Err(error)),
                    };
                    if current.version > seen {
                        *after = current.version;
                        return Some(Ok(current));
                    }
                    if current.is_done() {
                        return None;
                    }
                    drop(current);
                    changed.await;
                }
            }
            Follow::Many(scope) => scope.advance(&self.bus, &self.caller).await.transpose(),
            Follow::Ended => None,
        }
    }
}

impl Scope {
    fn belongs(&self, caller: &Caller, snapshot: &Snapshot) -> bool {
        snapshot.tenant == caller.tenant
            && !snapshot.is_job()
            && self.parent.contains(snapshot.parent.as_str())
            && self.filter.as_ref().is_none_or(|filter| filter.passes.passes(snapshot))
    }

    async fn advance(
        &mut self,
        bus: &Bus,
        caller: &Caller,
    ) -> Result<Option<Arc<Snapshot>>, Error> {
        let store = &bus.door().store;
        loop {
            if let Some(snapshot) = self.ready.pop_front() {
                return Ok(Some(snapshot));
            }
            if self.behind {
                let found = store.changed_since(self.seen, CATCH_UP, CATCH_UP_BYTES).await?;
                // What came after the last page is in the feed.
                self.behind = found.more;
                let found = found.items;
                self.seen = found.last().map_or(self.seen, |last| last.changed);
                let now = store.clock().now();
                let shown = |snapshot: &Arc<Snapshot>| {
                    self.belongs(caller, snapshot)
                        && (snapshot.removed.is_some() || snapshot.is_visible(now))
                };
                self.ready = found.into_iter().filter(shown).collect();
                continue;
            }
            if let Some(told) = self.told {
                let found = store.get(told.id).await?;
                self.told = None;
                self.seen = told.seq;
                // One that has changed again comes with that change.
                if let Some(snapshot) = found
                    && snapshot.changed == told.seq
                    && self.belongs(caller, &snapshot)
                {
                    return Ok(Some(snapshot));
                }
            }
            match self.feed.next().await {
                Some(Ok(changed)) => self.told = (changed.seq > self.seen).then_some(changed),
                Some(Err(_)) => self.behind = true,
                None => return Ok(None),
            }
        }
    }
}
