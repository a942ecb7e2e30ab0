//! Leases, from the worker's side.

use std::time::Duration;

use opgate_bus::{Ask, LEASE, Leased, REST};
use opgate_core::Error;
use opgate_rpc::wire::{self, Deadline, Reply};
use prost::Message as _;

use super::duration;
use crate::api::Inner;
use crate::api::client as proto;
use crate::api::map::{self, request};

/// What an answer with leases may weigh: what a client takes, but for some room.
const BYTES_MAX: usize = wire::MESSAGE_BYTES_MAX - 4 * 1024;

impl Inner {
    /// Leases operations, and waits for the first.
    pub(super) async fn lease(
        &self,
        request: proto::LeaseOperationsRequest,
        deadline: Deadline,
    ) -> Result<Reply, Error> {
        let ask = self.ask(request, deadline)?;
        self.caller.may_work_on(&ask.queue)?;
        let leased = self.bus.lease(ask).await?;
        // Boxed, for thousands wait and few are served at a time.
        Ok(Box::pin(self.leases(leased)).await)
    }

    fn ask(
        &self,
        request: proto::LeaseOperationsRequest,
        deadline: Deadline,
    ) -> Result<Ask, Error> {
        let proto::LeaseOperationsRequest { queue, max, wait, lease, worker } = request;
        let negative = |_| Error::invalid("max", "must not be negative");
        let length = lease.map(|lease| duration("lease", lease)).transpose()?;
        if let Some(length) = length.filter(|length| !LEASE.contains(length)) {
            let text = format!("is {} s, 1 s to 3600 s are allowed", length.as_secs_f64());
            return Err(Error::invalid("lease", text));
        }
        let wait = match wait {
            Some(wait) => self.limit("wait", Some(wait), deadline)?.unwrap_or_default(),
            None => Duration::ZERO,
        };
        Ok(Ask {
            queue: queue.into(),
            max: usize::try_from(max).map_err(negative)?.max(1),
            bytes: usize::MAX,
            least: 0,
            wait,
            length,
            worker: worker.into(),
        })
    }

    /// The answer with what was leased. What a client would not take in one message goes back.
    async fn leases(&self, leased: Vec<Leased>) -> Reply {
        let mut response = proto::LeaseOperationsResponse::default();
        let mut bytes = 0;
        for Leased { token, snapshot, until, .. } in leased {
            let lease = proto::Lease {
                lease: token,
                operation: Some(map::leased(&snapshot, &self.settings.names)),
                expire_time: Some(map::timestamp(until)),
            };
            // Its key and its length.
            let weight = lease.encoded_len() + 8;
            if bytes + weight <= BYTES_MAX || response.leases.is_empty() {
                bytes += weight;
                response.leases.push(lease);
            } else {
                // What cannot be given back comes back when its lease runs out.
                drop(self.bus.release(&lease.lease, None, None).await);
            }
        }
        Reply::read(wire::frame(&response))
    }

    /// Writes down how it goes, and extends the lease.
    pub(super) async fn report(&self, request: proto::ReportLeaseRequest) -> Result<Reply, Error> {
        let extend = request.extend.map(|extend| duration("extend", extend)).transpose()?;
        let (lease, report) = request::report(request)?;
        let held = self.bus.report(&lease, report, extend).await?;
        let cancel = held.snapshot.cancel.as_deref();
        let response = proto::ReportLeaseResponse {
            cancel_requested: cancel.is_some(),
            cancel_reason: cancel.map_or_else(String::new, |cancel| cancel.reason.as_ref().into()),
            expire_time: Some(map::timestamp(held.until)),
            version: held.snapshot.version.0,
        };
        Ok(Reply::read(wire::frame(&response)))
    }

    /// Ends the operation.
    pub(super) async fn finish(&self, request: proto::FinishLeaseRequest) -> Result<Reply, Error> {
        let outcome = request::outcome(request.outcome)?;
        let receipt = self.bus.complete(&request.lease, outcome).await?;
        Ok(self.change_reply(&receipt))
    }

    /// Gives the operation back.
    pub(super) async fn release(
        &self,
        request: proto::ReleaseLeaseRequest,
    ) -> Result<Reply, Error> {
        let delay = request.delay.map(|delay| duration("delay", delay)).transpose()?;
        if let Some(delay) = delay.filter(|delay| *delay > REST) {
            let text = format!("is {} s, at most 3600 s are allowed", delay.as_secs_f64());
            return Err(Error::invalid("delay", text));
        }
        let note = Some(&*request.message).filter(|message| !message.is_empty());
        self.bus.release(&request.lease, delay, note).await?;
        Ok(Reply::read(wire::frame(&())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future of a method.
    fn size<A, B, C, F: Future>(_: fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_worker_that_waits_is_small() {
        // Ten thousand may wait: each has this, its HTTP/2 stream and its place in the queue.
        assert!(size(Inner::lease) <= 2048, "{}", size(Inner::lease));
    }
}
