//! Telling a backend that an operation it was given has ended without it.

use std::sync::Arc;
use std::time::Duration;

use opgate_core::{Epoch, OperationId};
use tokio::time::{sleep, timeout};

use crate::carry::Carrier;
use crate::router::{BackendIndex, Carrying, Route};

/// How long a backend may take over one operation that it is to leave off.
const LIMIT: Duration = Duration::from_secs(10);
/// How long it still may when the gateway drains.
const GRACE: Duration = Duration::from_secs(1);
/// Operations that backends are told of at a time; a deadline may end thousands at once.
pub(crate) const AT_A_TIME: usize = 64;

impl Carrier {
    /// Tells a backend, once and for a bounded time. What it was never given is not its business.
    ///
    /// `route`: by which it was given it last, where that is known.
    pub(crate) async fn abandon(
        &self,
        id: OperationId,
        backend: BackendIndex,
        route: Option<Arc<Route>>,
    ) {
        let (router, index) = (self.router(), backend);
        let Carrying::Push(backend) = &router.placed(index).carrying else { return };
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
        let of_name = || {
            let target = router.target(&ended.routed.route);
            let target = target.filter(|target| target.carrier(&ended) == index)?;
            Some(Arc::clone(&target.route))
        };
        let Some(route) = route.or_else(of_name) else { return };
        let Some(told) = backend.abandon(&route, Arc::clone(&ended)) else { return };
        let drained = async {
            self.drain.cancelled().await;
            sleep(GRACE).await;
        };
        tokio::select! {
            told = timeout(LIMIT, told) => {
                if told.is_err() {
                    let trace_id = ended.trace_id();
                    let text = "its backend did not take its end in time";
                    tracing::warn!(operation = %id, trace_id, "{text}");
                }
            }
            () = drained => {}
        }
    }
}
