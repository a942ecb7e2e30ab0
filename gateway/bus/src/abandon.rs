//! Telling a backend that an operation it was given has ended without it.

use std::time::Duration;

use opgate_core::{Epoch, OperationId};
use tokio::time::{sleep, timeout};

use crate::carry::Carrier;
use crate::router::{BackendIndex, Carrying};

/// How long a backend may take over one operation that it is to leave off.
const LIMIT: Duration = Duration::from_secs(10);
/// How long it still may when the gateway drains.
const GRACE: Duration = Duration::from_secs(1);
/// Operations that backends are told of at a time; a deadline may end thousands at once.
pub(crate) const AT_A_TIME: usize = 64;

impl Carrier {
    /// Tells a backend, once and for a bounded time. What it was never given is not its business.
    pub(crate) async fn abandon(&self, id: OperationId, backend: BackendIndex) {
        let Carrying::Push(backend) = &self.router.placed(backend).carrying else { return };
        let Ok(_turn) = self.abandoning.acquire().await else { return };
        if self.drain.is_cancelled() {
            return;
        }
        let ended = match self.store.get(id).await {
            Ok(Some(ended)) if ended.is_done() && ended.epoch > Epoch(0) => ended,
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, operation = %id, "its backend is not told of its end");
                return;
            }
        };
        // It was dispatched by this route, and routes do not go.
        let Some(target) = self.router.target(&ended.routed.route) else { return };
        let Some(told) = backend.abandon(&target.route, ended) else { return };
        let drained = async {
            self.drain.cancelled().await;
            sleep(GRACE).await;
        };
        tokio::select! {
            told = timeout(LIMIT, told) => {
                if told.is_err() {
                    tracing::warn!(operation = %id, "its backend did not take its end in time");
                }
            }
            () = drained => {}
        }
    }
}
