//! Asking for work.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use opgate_core::{Command, Epoch, Error, ErrorKind, OperationId, Submission};
use opgate_store::{Posted, Snapshot};
use opgate_telemetry::Permit;
use tokio::time::Instant;

use super::desk::{Claims, Desk};
use super::{Ask, LEASES, Leased, WORKER_BYTES};
use crate::bus::Bus;
use crate::pull::LEASE;
use crate::router::{BackendIndex, QueueIndex};
use crate::token::Grant;
use crate::wait::at;

/// How often one lease is begun anew because an abandoned one came first. One repeat is the rule:
/// each needs another asker that was dealt the operation and left.
const REPEATS: usize = 8;

/// Where a queue is.
type Place = (BackendIndex, QueueIndex);

/// What became of one operation that was dealt.
enum Begun {
    /// Under its next lease.
    Held(Arc<Snapshot>),
    /// It has ended, or is about to.
    Gone,
    /// Not now.
    Refused(Error),
}

impl Bus {
    /// Leases operations from a queue, at most as many as asked for. Answers as soon as there is
    /// one, with what is ready at that moment; with nothing when the wait is over, at the drain, and when no route leads
    /// to the queue any more. Nothing is the answer only where everything that was acknowledged before the wait was over
    /// has come to its queue.
    ///
    /// Who waits longest is served first. Where several wait, what is ready is shared out evenly:
    /// one who asks for a hundred does not keep another waiting. Tenants take turns. Nothing is passed
    /// over because it is too heavy: who has no room for what is next is answered with nothing, at once.
    ///
    /// On return the leases are durable. Dropping the future takes nothing: what it was about to be
    /// given goes back to its place in the queue.
    ///
    /// # Errors
    /// `NotFound` without such a queue; `InvalidArgument` where the ask exceeds a limit;
    /// `TooManyRequests` when as many wait as allowed
    /// ([`Options::askers`](crate::Options::askers)); `Unavailable` when the journal takes no
    /// writes.
    pub async fn lease(&self, ask: Ask) -> Result<Vec<Leased>, Error> {
        let (desk, (backend, queue), length) = self.check(&ask)?;
        let limit = Instant::now().checked_add(ask.wait);
        let mut drained = pin!(self.door().drain.cancelled());
        while !self.door().drain.is_cancelled() {
            let mut asking = desk.ask(queue, ask.max);
            // Whoever takes the queue away has those leave who wait by then.
            let leads = self.door().router().queue(&ask.queue) == Some((backend, queue));
            let claims = match asking.dealt() {
                Some(claims) => Some(claims),
                None if !leads => asking.leave(),
                None => {
                    let _place = if ask.wait.is_zero() { None } else { Some(self.patience()?) };
                    let over = async {
                        if !ask.wait.is_zero() {
                            at(limit).await;
                        }
                        self.door().work().hearing.up_to_now().await;
                    };
                    tokio::select! {
                        biased;
                        claims = asking.claims() => claims,
                        () = &mut drained => asking.leave(),
                        () = over => asking.leave(),
                    }
                }
            };
            let Some(claims) = claims else { break };
            // Boxed, for thousands wait and few are served at a time.
            let (leased, full) = Box::pin(self.begin(&desk, claims, length, &ask)).await?;
            // Everything it was dealt may have ended on the way.
            if !leased.is_empty() || full || limit.is_some_and(|limit| limit <= Instant::now()) {
                return Ok(leased);
            }
        }
        Ok(Vec::new())
    }

    /// Room for one more who waits.
    fn patience(&self) -> Result<impl Sized + use<>, Error> {
        let place = self.door().askers.take();
        let place =
            place.ok_or_else(|| Error::new(ErrorKind::TooManyRequests, "too many workers wait"))?;
        Ok((place, self.door().metrics.bus.permits.of(Permit::Ask).hold()))
    }

    fn check(&self, ask: &Ask) -> Result<(Arc<Desk>, Place, Duration), Error> {
        let no_queue = || Error::new(ErrorKind::NotFound, "no such queue");
        let router = self.door().router();
        let place = router.queue(&ask.queue).ok_or_else(no_queue)?;
        let desk = Arc::clone(router.desk(place.0).ok_or_else(no_queue)?);
        if !(1..=LEASES).contains(&ask.max) {
            let text = format!("is {}, 1 to {LEASES} are allowed", ask.max);
            return Err(Error::invalid("max", text));
        }
        let length = ask.length.unwrap_or_else(|| desk.pull().lease);
        within_a_lease("length", length)?;
        let bytes = ask.worker.len();
        if bytes > WORKER_BYTES {
            let text = format!("is {bytes} bytes long, at most {WORKER_BYTES} are allowed");
            return Err(Error::invalid("worker", text));
        }
        Ok((desk, place, length))
    }

    /// Begins a lease of each operation that was dealt, as far as the asker has room for them; and whether
    /// it had none for the rest. What cannot be leased goes back.
    async fn begin(
        &self,
        desk: &Arc<Desk>,
        claims: Claims,
        length: Duration,
        ask: &Ask,
    ) -> Result<(Vec<Leased>, bool), Error> {
        // All are on their way before the first is waited for: they share one sync.
        let mut starts = Vec::with_capacity(claims.ids.len());
        let (mut bytes, mut full) = (ask.bytes, false);
        for id in claims.ids.iter().copied() {
            let start = match self.to_lease(desk, id).await {
                Ok(Some(current)) => {
                    let weight = current.input.weight();
                    full = weight > bytes && starts.len() >= ask.least;
                    if full {
                        break;
                    }
                    bytes = bytes.saturating_sub(weight);
                    self.start_lease(desk, &current).map(Some)
                }
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            starts.push((id, start));
        }
        let (mut held, mut refused) = (Vec::with_capacity(starts.len()), None);
        for (id, start) in starts {
            match self.started(desk, id, start).await {
                Begun::Held(snapshot) => {
                    let grant = Grant { id, epoch: snapshot.epoch, length };
                    let token = self.door().sealer.seal_lease(grant)?;
                    held.push((token, snapshot));
                }
                Begun::Gone => {}
                Begun::Refused(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        // From here on nothing is awaited: what is held is what is returned.
        let begun = held.iter().map(|(_, snapshot)| (snapshot.id, snapshot.epoch));
        let stands = desk.hold(claims, begun, Instant::now() + length, &ask.worker);
        let until = self.door().store.clock().now().plus(length);
        let leased: Vec<Leased> = held
            .into_iter()
            .zip(stands)
            .filter_map(|((token, snapshot), failed)| {
                failed.map(|failed| Leased { token, snapshot, until, length, failed })
            })
            .collect();
        match refused {
            Some(error) if leased.is_empty() => Err(error),
            Some(_) | None => Ok((leased, full)),
        }
    }

    /// An operation that was dealt; none where it is not to be leased.
    async fn to_lease(
        &self,
        desk: &Arc<Desk>,
        id: OperationId,
    ) -> Result<Option<Arc<Snapshot>>, Error> {
        let store = &self.door().store;
        let current = match store.get(id).await? {
            Some(current) if !current.is_done() => current,
            Some(_) | None => {
                desk.forget(id);
                return Ok(None);
            }
        };
        // No worker is to begin what could only end too late; the dispatcher is about to end it.
        if current.deadline.is_some_and(|deadline| deadline <= store.clock().now()) {
            desk.overdue(id);
            return Ok(None);
        }
        Ok(Some(current))
    }

    /// Hands the start of a lease to the journal.
    fn start_lease(&self, desk: &Desk, current: &Snapshot) -> Result<Posted, Error> {
        let (id, epoch) = (current.id, Epoch(current.epoch.0.saturating_add(1)));
        let backend = current.routed.moved_to(desk.name());
        let (tenant, command) = (current.tenant.clone(), Command::Start { epoch, backend });
        let submission = Submission { tenant, target: id, expect: None, command };
        self.door().store.post(submission)
    }

    /// Waits until the start of a lease is durable.
    async fn started(
        &self,
        desk: &Arc<Desk>,
        id: OperationId,
        first: Result<Option<Posted>, Error>,
    ) -> Begun {
        let mut start = first;
        for _ in 0..REPEATS {
            let posted = match start {
                Ok(Some(posted)) => posted,
                Ok(None) => return Begun::Gone,
                Err(error) => return Begun::Refused(error),
            };
            match posted.durable().await {
                Ok(receipt) => return Begun::Held(receipt.snapshot),
                // An asker that left had begun a lease, and its start was durable only now.
                Err(error) if error.kind == ErrorKind::Conflict => {}
                // It was canceled, finished or has passed its deadline in the queue.
                Err(error) if error.kind == ErrorKind::FailedPrecondition => {
                    desk.forget(id);
                    return Begun::Gone;
                }
                Err(error) => return Begun::Refused(error),
            }
            let current = self.to_lease(desk, id).await;
            start = current.and_then(|it| it.map(|it| self.start_lease(desk, &it)).transpose());
        }
        Begun::Refused(Error::new(ErrorKind::Unavailable, "the operation is in demand"))
    }
}

/// Refuses a length that no lease may have.
pub(super) fn within_a_lease(field: &'static str, length: Duration) -> Result<(), Error> {
    if LEASE.contains(&length) {
        return Ok(());
    }
    let text = format!("is {} s, 1 s to 3600 s are allowed", length.as_secs_f64());
    Err(Error::invalid(field, text))
}
