//! Watches, as events.

use std::sync::Arc;

use opgate_bus::{Snapshot, Watch, Watching};
use opgate_core::{Error, ErrorKind, OperationId};
use opgate_rpc::proto::Status;
use opgate_telemetry::{Held, Protocol};

use super::Inner;
use super::client as proto;
use super::map::View;
use super::method::Method;

/// A watch in progress. It holds no event: each is made from the latest version when it is asked
/// for, so a slow reader misses versions in between and never falls behind.
pub(super) struct Events {
    inner: Arc<Inner>,
    watching: Watching,
    /// The one operation that is watched; none in a watch of a scope.
    one: Option<OperationId>,
    view: View,
    _counted: Held,
}

impl Events {
    pub(super) fn new(inner: Arc<Inner>, watch: Watch, view: View) -> Result<Self, Error> {
        let one = match &watch {
            Watch::Operation { id, .. } => Some(*id),
            Watch::Scope { .. } => None,
        };
        let watching = inner.bus.watch(&inner.caller, watch)?;
        let counted = inner.metrics.bus.watchers.of(Protocol::Native).hold();
        Ok(Self { inner, watching, one, view, _counted: counted })
    }

    /// The next event; `None` after the end of the operation that is watched. After an error there
    /// is nothing more. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Result<proto::OperationEvent, Status>> {
        match self.watching.next().await {
            Some(Ok(snapshot)) => Some(Ok(self.event(&snapshot))),
            Some(Err(error)) => Some(Err(self.status(error))),
            None if self.has_ended().await => None,
            None => Some(Err(self.status(stopping()))),
        }
    }

    fn event(&self, snapshot: &Snapshot) -> proto::OperationEvent {
        let deleted = snapshot.removed.is_some();
        let view = if deleted { View::Basic } else { self.view };
        let cursor = if self.one.is_some() { snapshot.version.0 } else { snapshot.changed.0 };
        proto::OperationEvent {
            operation: Some(self.inner.shown(snapshot, view)),
            cursor: cursor.to_string(),
            deleted,
        }
    }

    async fn has_ended(&self) -> bool {
        let Some(id) = self.one else { return false };
        self.inner.read(id).await.is_ok_and(|snapshot| snapshot.is_done())
    }

    fn status(&self, error: Error) -> Status {
        let method = if self.one.is_some() { Method::Watch } else { Method::WatchAll };
        self.inner.status(method, error.into())
    }
}

fn stopping() -> Error {
    let text = "the gateway stops: watch again from the cursor of the last event";
    Error::new(ErrorKind::Unavailable, text)
}
