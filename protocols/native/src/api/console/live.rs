//! What changes, for a page that is open: server-sent events.
//!
//! | event | data | means |
//! |---|---|---|
//! | `ready` | `{}` | everything from now on is told: what is shown is to be read |
//! | `changes` | `operations`: those that the page's filter lets through, as the table shows them; `others`: ids of those that it does not, or that are deleted | these have changed |
//! | `many` | `{}` | more has changed than is told one by one: what is shown is to be read anew |
//! | `end` | `{}` | the gateway stops |
//!
//! Changes of a moment come together, each operation once. A stream holds one event at most, and while nobody takes it
//! no change is read: who is too slow gets `many`. So neither memory nor the work for it grows with what happens.
//! There are no ids to resume from: whoever connects anew reads anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderValue, Response, header};
use bytes::Bytes;
use opgate_bus::{Filter, News, Recent, Snapshot};
use opgate_core::{Error, ErrorKind, OperationId, Parent};
use opgate_edge::{Body, Step};
use opgate_telemetry::{Held, Permit, Protocol};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::api::Inner;
use crate::api::map;
use crate::api::map::name;
use crate::api::methods::read;

/// How long changes are gathered for one event: quicker than anybody looks.
const TICK: Duration = Duration::from_millis(200);
/// What the operations of one event may weigh.
const BYTES: usize = 1024 * 1024;
/// Well within the idle limits of common proxies.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The stream of one page.
pub(super) struct Live {
    inner: Arc<Inner>,
    recent: Recent,
    scope: Parent,
    filter: Option<Filter>,
    together: usize,
    greeted: bool,
    _permit: OwnedSemaphorePermit,
    _counted: [Held; 2],
}

impl Live {
    /// Follows what changes from now on, as the page asks in its query.
    ///
    /// # Errors
    /// `InvalidArgument` on `parent` or `filter`; `TooManyRequests` when there are as many as allowed.
    pub(super) fn new(
        inner: Arc<Inner>,
        query: Option<&str>,
        streams: &Arc<Semaphore>,
        together: usize,
    ) -> Result<Self, Error> {
        let asked = inner.asked_to_watch(query)?;
        let (scope, filter) = (name::scope(&asked.parent)?, read::filter(asked.filter)?);
        let permit = Arc::clone(streams).try_acquire_owned().map_err(|_| {
            let text = "as many pages are live as admin.console.streams allows";
            Error::new(ErrorKind::TooManyRequests, text)
        })?;
        let recent = inner.bus.recent(&inner.caller)?;
        let bus = &inner.metrics.bus;
        let counted =
            [bus.permits.of(Permit::Console).hold(), bus.watchers.of(Protocol::Native).hold()];
        Ok(Self {
            inner,
            recent,
            scope,
            filter,
            together,
            greeted: false,
            _permit: permit,
            _counted: counted,
        })
    }

    pub(super) fn response(self) -> Response<Body> {
        let body = Body::steps(Some(self), |live: Option<Self>| async move {
            let Some(mut live) = live else { return Step::End(None) };
            match live.next().await {
                Some(event) => Step::Chunk(event, Some(live)),
                None => Step::Chunk(Bytes::from_static(b"event: end\ndata: {}\n\n"), None),
            }
        });
        let mut response = Response::new(body);
        let kind = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    /// What is to be sent next; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(Bytes::from_static(b"retry: 2000\nevent: ready\ndata: {}\n\n"));
        }
        let Ok(mut news) = timeout(HEARTBEAT, self.recent.next()).await else {
            return Some(Bytes::from_static(b":\n\n"));
        };
        let until = Instant::now() + TICK;
        let mut batch = Batch::default();
        loop {
            let missed = match news? {
                Ok(News::Changed(snapshot)) => {
                    batch.put(snapshot.id, self.row(&snapshot));
                    batch.changed.len() > self.together || batch.bytes > BYTES
                }
                // Who reads anew learns what the trouble is.
                Ok(News::Missed) | Err(_) => true,
            };
            if missed {
                sleep_until(until).await;
                // Not before, so that nothing that is left out comes after what is read then.
                self.recent.skip();
                return Some(Bytes::from_static(b"event: many\ndata: {}\n\n"));
            }
            match timeout_at(until, self.recent.next()).await {
                Ok(next) => news = next,
                Err(_) => return Some(batch.event()),
            }
        }
    }

    /// An operation as the table shows it; none where it does not.
    fn row(&self, snapshot: &Snapshot) -> Option<Vec<u8>> {
        let filter = self.filter.as_ref();
        let shown = snapshot.removed.is_none()
            && self.scope.contains(snapshot.parent.as_str())
            && filter.is_none_or(|filter| filter.passes.passes(snapshot));
        // What cannot be written is not shown: its detail says why.
        shown.then(|| self.inner.paths.event(map::row(snapshot)).ok()).flatten()
    }
}

/// What has changed within a moment.
#[derive(Default)]
struct Batch {
    changed: HashMap<OperationId, Option<Vec<u8>>>,
    bytes: usize,
}

impl Batch {
    fn put(&mut self, id: OperationId, row: Option<Vec<u8>>) {
        self.bytes += row.as_ref().map_or(0, Vec::len);
        self.changed.insert(id, row);
    }

    fn event(self) -> Bytes {
        let (mut operations, mut others) = (Vec::new(), Vec::new());
        for (id, row) in self.changed {
            match row {
                Some(row) => operations.push(row),
                None => others.push(format!("\"{id}\"")),
            }
        }
        let (operations, others) = (operations.join(&b","[..]), others.join(","));
        [
            &b"event: changes\ndata: {\"operations\":["[..],
            &operations,
            b"],\"others\":[",
            others.as_bytes(),
            b"]}\n\n",
        ]
        .concat()
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_each_operation_once() {
        let (a, b) = (OperationId::from_bits(1), OperationId::from_bits(2));
        let mut batch = Batch::default();
        batch.put(a, Some(b"{\"n\":1}".to_vec()));
        batch.put(b, None);
        batch.put(a, Some(b"{\"n\":2}".to_vec()));
        assert_eq!((batch.changed.len(), batch.bytes), (2, 14));
        let expected = format!(
            "event: changes\ndata: {{\"operations\":[{{\"n\":2}}],\"others\":[\"{b}\"]}}\n\n"
        );
        assert_eq!(batch.event(), expected);
    }
}
