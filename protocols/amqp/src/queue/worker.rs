//! A worker's link: operations go over it as its credit allows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fe2o3_amqp::Sender;
use fe2o3_amqp::link::SendError;
use fe2o3_amqp::link::delivery::Sendable;
use opgate_bus::{Ask, LEASES, Leased};
use opgate_core::{Error, LogEntry, Report, limits};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::delivery::{Delivery, Unwanted};
use super::message::{self, pace};
use super::open::key;
use super::ordered::Inbound;
use super::{Settings, Shared};
use crate::fence::LinkWatch;
use crate::node::{ConnectionId, WorkerLink};

/// How long one ask waits; the next one follows at once.
const WAIT: Duration = Duration::from_hours(1);
/// Pause after an ask that could not be served.
const PAUSE: Duration = Duration::from_secs(1);
/// Time for the peer to take a delivery that it has given credit for.
const SEND: Duration = Duration::from_secs(30);
/// How long an operation rests that came to a link which does not want it: others may.
const REST: Duration = Duration::from_secs(1);

/// A link being served.
struct Link {
    shared: Arc<Shared>,
    /// As they were when it was attached.
    settings: Settings,
    connection: ConnectionId,
    queue: Arc<str>,
    worker: Box<str>,
    sender: Sender,
    watch: LinkWatch,
    inbound: Inbound,
    /// One for each delivery that may be open.
    places: Arc<Semaphore>,
    /// Bytes of the open ones.
    bytes: Arc<AtomicUsize>,
    /// Told when one of them is over.
    freed: Arc<Notify>,
    unwanted: Arc<Unwanted>,
    /// Deliveries that were begun, wrapping: the number of the next one.
    begun: u32,
    /// Deliveries that were begun, and those that a drain has passed over, wrapping: as the peer counts.
    sent: u32,
}

/// The place of an open delivery.
struct Place {
    bytes: usize,
    all: Arc<AtomicUsize>,
    freed: Arc<Notify>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
        drop(self.permit.take());
        self.freed.notify_one();
    }
}

/// What may be sent over a link now.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    deliveries: usize,
    /// What their inputs may weigh.
    bytes: usize,
    /// How many of them may weigh whatever they do: one, where nothing is open.
    least: usize,
}

/// The link has ended, or must.
struct Over;

/// A lease that is not with a worker yet: it goes back when this is dropped, whatever becomes of the link.
struct Claim {
    shared: Arc<Shared>,
    leased: Leased,
    /// How long the operation rests then.
    rest: Option<Duration>,
    /// What the operation's log says of it: why it goes back.
    problem: Option<String>,
    kept: bool,
}

impl Claim {
    fn new(shared: &Arc<Shared>, leased: Leased) -> Self {
        Self { shared: Arc::clone(shared), leased, rest: None, problem: None, kept: false }
    }

    /// Somebody else looks after the lease.
    fn keep(mut self) -> Leased {
        self.kept = true;
        self.leased.clone()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Without a runtime the process is about to end, and the leases with it.
        if self.kept || Handle::try_current().is_err() {
            return;
        }
        let (bus, leased) = (self.shared.bus.clone(), self.leased.clone());
        let (rest, problem) = (self.rest, self.problem.take());
        self.shared.deliveries.spawn(async move {
            if let Some(message) = problem {
                let at = bus.now();
                let line =
                    LogEntry { at, error: true, code: Box::default(), message: message.into() };
                let report = Report { log: vec![line], ..Report::default() };
                // The line is for whoever looks; the operation goes back without it.
                drop(bus.report(&leased.token, report, None).await);
            }
            if let Err(error) = bus.release(&leased.token, rest, None).await {
                debug!(
                    %error,
                    operation = %leased.snapshot.id,
                    trace_id = leased.snapshot.trace_id(),
                    "a lease was not given back",
                );
            }
        });
    }
}

/// Serves a worker until its link or the drain is over.
pub(super) async fn work(shared: Arc<Shared>, link: WorkerLink) {
    let WorkerLink { caller, connection, container, queue, sender, drain, watch, inbound, .. } =
        link;
    let Some(watch) = watch else { return };
    // Nothing is settled before it is on disk.
    watch.hold();
    watch.serve_drains(true);
    let container = container.as_deref().unwrap_or(watch.name());
    let worker = message::worker(&caller.principal, container);
    let settings = shared.settings();
    let link = Link {
        places: Arc::new(Semaphore::new(settings.open)),
        bytes: Arc::default(),
        freed: Arc::default(),
        unwanted: Arc::default(),
        begun: 0,
        sent: 0,
        connection,
        shared,
        settings,
        queue,
        worker,
        sender,
        watch,
        inbound,
    };
    let places = Arc::clone(&link.places);
    let all = u32::try_from(link.settings.open).unwrap_or(u32::MAX);
    let mut link = link;
    tokio::select! {
        () = link.serve() => {}
        () = drain.started() => {
            // What is open may still be settled; nothing is ready any more.
            link.watch.serve_drains(false);
            link.watch.drained(link.begun, link.watch.flows());
            tokio::select! {
                _ = link.sender.on_detach() => {}
                _ = places.acquire_many(all) => {}
            }
        }
    }
}

impl Link {
    /// Gives work until the link ends.
    async fn serve(&mut self) {
        let (mut asked, mut drained) = (Room::default(), 0);
        let mut asking = None;
        let watch = self.watch.clone();
        loop {
            // Made before the look, so that a change after it is not missed.
            let changed = watch.changed();
            let flows = watch.flows();
            if watch.drain() && flows != drained {
                drop(changed);
                (asking, drained) = (None, flows);
                if self.drain(flows).await.is_err() {
                    return;
                }
                continue;
            }
            let room = self.room();
            let more = room.bytes > asked.bytes && asked.bytes < limits::PAYLOAD_BYTES;
            if room.deliveries < asked.deliveries || more {
                // Credit was taken back, or what did not fit may do so now.
                asking = None;
            }
            if asking.is_none() {
                asked = room;
                asking = (room.deliveries > 0).then(|| Box::pin(self.ask(room, WAIT)));
            }
            let answer = async {
                match asking.as_mut() {
                    Some(asking) => asking.await,
                    None => std::future::pending().await,
                }
            };
            let leased = tokio::select! {
                biased;
                _ = self.sender.on_detach() => return,
                leased = answer => leased,
                () = changed => continue,
                () = self.freed.notified() => continue,
            };
            asking = None;
            if self.give(leased).await.is_err() {
                return;
            }
        }
    }

    /// Asks for work.
    fn ask(
        &self,
        room: Room,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<Leased>, Error>> + Send + use<> {
        let (queue, worker) = (Arc::clone(&self.queue), self.worker.clone());
        let bus = self.shared.bus.clone();
        let Room { deliveries: max, bytes, least } = room;
        async move { bus.lease(Ask { queue, max, bytes, least, wait, length: None, worker }).await }
    }

    /// Sends what is ready, as far as the credit goes: the rest of it is given back, by the fence.
    async fn drain(&mut self, flows: u64) -> Result<(), Over> {
        let limit = self.watch.limit();
        loop {
            let room = self.room();
            if room.deliveries == 0 {
                break;
            }
            match self.ask(room, Duration::ZERO).await {
                Ok(leased) if !leased.is_empty() => self.give(Ok(leased)).await?,
                Ok(_) | Err(_) => break,
            }
        }
        self.advance(limit);
        self.watch.drained(self.begun, flows);
        Ok(())
    }

    /// Has so many deliveries be counted, unless more are.
    const fn advance(&mut self, count: u32) {
        if count.wrapping_sub(self.sent) < u32::MAX / 2 {
            self.sent = count;
        }
    }

    /// What may be sent now.
    fn room(&mut self) -> Room {
        self.advance(self.watch.sent());
        let credit = self.watch.limit().wrapping_sub(self.sent);
        // Credit that was taken back after it was used.
        let credit = if credit > u32::MAX / 2 { 0 } else { credit };
        let settings = &self.settings;
        let free = self.places.available_permits();
        let bytes = settings.open_bytes.saturating_sub(self.bytes.load(Ordering::Relaxed));
        let least = usize::from(free >= settings.open);
        if bytes == 0 && least == 0 {
            return Room::default();
        }
        let deliveries = usize::try_from(credit).unwrap_or(LEASES).min(free).min(LEASES);
        Room { deliveries, bytes, least }
    }

    /// Sends what was leased. What cannot be sent goes back.
    async fn give(&mut self, leased: Result<Vec<Leased>, Error>) -> Result<(), Over> {
        let since = Instant::now();
        let leased = match leased {
            Ok(leased) => leased,
            Err(error) => {
                debug!(%error, queue = &*self.queue, "no work can be had");
                sleep(PAUSE).await;
                return Ok(());
            }
        };
        if leased.is_empty() {
            // The wait is over, what is next is too heavy for what is open, or opgate is about to stop: no
            // reason to ask again at once.
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = self.freed.notified() => {}
            }
        }
        let claims: Vec<Claim> =
            leased.into_iter().map(|leased| Claim::new(&self.shared, leased)).collect();
        for mut claim in claims {
            if self.unwanted.has(claim.leased.snapshot.id) {
                claim.rest = Some(REST);
                continue;
            }
            self.send(claim, since).await?;
        }
        Ok(())
    }

    async fn send(&mut self, mut claim: Claim, since: Instant) -> Result<(), Over> {
        let leased = &claim.leased;
        // There was a place for each when it was asked for, and nobody else takes them.
        let Ok(permit) = Arc::clone(&self.places).acquire_owned().await else { return Err(Over) };
        if since.elapsed() >= pace(leased.length) {
            // The ones before it took long. It may be about to run out, and must not be with two.
            return Ok(());
        }
        let bytes = leased.snapshot.input.bytes.len();
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let place = Place {
            bytes,
            all: Arc::clone(&self.bytes),
            freed: Arc::clone(&self.freed),
            permit: Some(permit),
        };
        let shared = &self.shared;
        let entry = shared.open.add(&key(self.connection, &leased.token));
        let message = message::of(leased, &self.queue, shared.bus.now());
        let sending = self.sender.send_batchable(Sendable::from(message));
        let settled = match timeout(SEND, sending).await {
            Ok(Ok(settled)) => settled,
            Ok(Err(SendError::MessageSizeExceeded(limit))) => {
                debug!(
                    %limit,
                    operation = %leased.snapshot.id,
                    trace_id = leased.snapshot.trace_id(),
                    "larger than a worker takes",
                );
                // No attempt of anybody's: it is another worker's, once there is one that takes it.
                self.unwanted.add(leased.snapshot.id);
                claim.rest = Some(REST);
                claim.problem = Some(format!("{} does not take it: {limit} bytes", self.worker));
                return Ok(());
            }
            Ok(Err(error)) => {
                debug!(%error, "a worker's link ended");
                return Err(Over);
            }
            Err(_) => {
                debug!("a worker does not take what it has given credit for");
                return Err(Over);
            }
        };
        let (watch, number) = (self.watch.clone(), self.begun);
        self.begun = number.wrapping_add(1);
        self.sent = self.sent.wrapping_add(1);
        let delivery = Delivery {
            bus: shared.bus.clone(),
            leased: claim.keep(),
            since,
            until: self.settings.longest.map(|longest| since + longest),
            entry,
            inbound: self.inbound.from_now(),
            unwanted: Arc::clone(&self.unwanted),
        };
        self.shared.deliveries.spawn(async move {
            let state = delivery.carry(settled).await;
            watch.settle(number, state);
            drop(place);
        });
        Ok(())
    }
}
