//! Get-result: an answer at once, or a long poll.

use std::time::Duration;

use http::{Response, StatusCode};
use opgate_bus::Until;
use opgate_edge::Body;
use opgate_rpc::wire::Deadline;
use opgate_telemetry::Protocol;
use tokio::time::{Instant, sleep};

use super::ask::Ask;
use super::path::Target;
use super::{Inner, Refusal, reply};
use crate::token;
use crate::wire::{duration, names};

/// A poll that ends early ends no earlier than this: clients ask again at once.
const SHORTEST: Duration = Duration::from_secs(1);

impl Inner {
    /// Reads how an operation ended, and waits for it as long as is asked. 412 says that it has not
    /// ended in that time, 408 that less was waited than that.
    pub(super) async fn result(
        &self,
        target: &Target,
        token: &str,
        ask: Ask,
        deadline: Deadline,
    ) -> Result<Response<Body>, Refusal> {
        let asked = ask.wait.map(|wait| duration::parse(names::WAIT, &wait)).transpose()?;
        let asked = asked.unwrap_or_default();
        let bound = deadline.wait_limit().unwrap_or(self.settings.wait_limit);
        let limit = asked.min(bound).min(self.settings.wait_limit);
        let began = Instant::now();
        let found = deadline.bound(self.find(target, token)).await?;
        let id = found.id;
        drop(found);
        let mut found = {
            let _counted = self.metrics.bus.watchers.of(Protocol::Nexus).hold();
            self.bus.wait(&self.caller, id, Until::Done, limit).await?
        };
        if !found.is_done() {
            // The gateway drains, or has no room for a wait.
            let early = limit.min(SHORTEST).saturating_sub(began.elapsed());
            if !early.is_zero() {
                drop(found);
                sleep(early).await;
                found = self.read(id).await?;
            }
        }
        let token = token::of(&self.bus, &found)?;
        Ok(match reply::ended(&found, &token) {
            Some(response) => response,
            None if began.elapsed() >= asked => reply::empty(StatusCode::PRECONDITION_FAILED),
            None => reply::empty(StatusCode::REQUEST_TIMEOUT),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_small() {
        fn size<A, B, C, D, E, F: Future>(_: fn(A, B, C, D, E) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(Inner::result) <= 1536, "{}", size(Inner::result));
    }
}
