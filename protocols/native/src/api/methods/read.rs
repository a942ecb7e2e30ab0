//! Lists, waits and watches.

use std::sync::Arc;
use std::time::Duration;

use opgate_bus::{Filter, List, Snapshot, Until, Watch};
use opgate_core::filter::canonical;
use opgate_core::{Error, Seq, Version};
use opgate_rpc::fields;
use opgate_rpc::wire::{self, Deadline, Reply};
use opgate_telemetry::Protocol;
use prost::Message as _;

use super::{Message, decode, duration};
use crate::api::Inner;
use crate::api::client as proto;
use crate::api::events::Events;
use crate::api::map::{View, name};
use crate::api::method::Method;
use crate::api::refusal::Refusal;

/// Leaves room for the page token, and takes any one operation.
const PAGE_BYTES_MAX: usize = wire::MESSAGE_BYTES_MAX - 4 * 1024;

impl Inner {
    /// Lists a page.
    pub(super) async fn list(&self, request: proto::ListOperationsRequest) -> Result<Reply, Error> {
        let view = view(request.view, View::Basic)?;
        let mut list = List {
            scope: name::scope(&request.parent)?,
            page_size: fields::page_size(request.page_size)?,
            page_token: request.page_token,
            filter: filter(request.filter)?,
        };
        loop {
            let listing = self.bus.list(&self.caller, list.clone()).await?;
            let mut bytes = 0;
            let mut operations = Vec::new();
            for item in &listing.items {
                let operation = self.shown(item, view);
                // Its key and its length.
                bytes += operation.encoded_len() + 8;
                // A page of one always fits.
                if bytes > PAGE_BYTES_MAX && !operations.is_empty() {
                    break;
                }
                operations.push(operation);
            }
            if operations.len() == listing.items.len() {
                let next_page_token = listing.next_page_token;
                let page = proto::ListOperationsResponse { operations, next_page_token };
                return Ok(Reply::read(wire::frame(&page)));
            }
            // More than a client takes in one message. The token has to stand after the last
            // operation sent, so the page is asked for again, ever smaller.
            list.page_size = operations.len();
        }
    }

    /// Answers with the latest state at the latest when the caller still hears it: a wait that is
    /// over is no error.
    pub(super) async fn wait(
        &self,
        request: proto::WaitOperationRequest,
        deadline: Deadline,
    ) -> Result<Reply, Refusal> {
        let proto::WaitOperationRequest { name, timeout, version } = request;
        let until = match version {
            0 => Until::Done,
            version => Until::Newer(Version(version)),
        };
        let waited = match self.limit("timeout", timeout, deadline) {
            Ok(limit) => {
                let limit = limit.unwrap_or(self.settings.wait_limit);
                self.wait_for(&name, until, limit).await
            }
            Err(error) => Err(error),
        };
        match waited {
            Ok(snapshot) => Ok(self.read_reply(&snapshot)),
            Err(error) => Err(Refusal::of(error, name)),
        }
    }

    async fn wait_for(
        &self,
        name: &str,
        until: Until,
        limit: Duration,
    ) -> Result<Arc<Snapshot>, Error> {
        let id = self.id(name)?;
        let _counted = self.metrics.bus.watchers.of(Protocol::Native).hold();
        self.bus.wait(&self.caller, id, until, limit).await
    }

    /// How long a call may wait: as long as it asks to, if it does, and no longer than the caller
    /// hears the answer and the settings allow.
    pub(super) fn limit(
        &self,
        field: &'static str,
        wanted: Option<prost_types::Duration>,
        deadline: Deadline,
    ) -> Result<Option<Duration>, Error> {
        let wanted = wanted.map(|wanted| duration(field, wanted)).transpose()?;
        let bound = deadline.wait_limit().unwrap_or(self.settings.wait_limit);
        let bound = bound.min(self.settings.wait_limit);
        Ok(match wanted {
            Some(wanted) => Some(wanted.min(bound)),
            None => deadline.wait_limit().map(|_| bound),
        })
    }

    /// Begins to follow one operation or a scope.
    pub(in crate::api) async fn watch(
        self: Arc<Self>,
        method: Method,
        message: Message,
    ) -> Result<Events, Refusal> {
        let message = message.await?;
        if method == Method::Watch {
            let proto::WatchOperationRequest { name, from, view } = decode(message)?;
            let view = self::view(view, View::Full)?;
            // Refused in the head of the reply, where a caller looks first.
            let found = match self.find(&name).await {
                Ok(found) => found,
                Err(error) => return Err(Refusal::of(error, name)),
            };
            let watch = Watch::Operation { id: found.id, after: Version(from) };
            return Ok(Events::new(self, watch, view)?);
        }
        let proto::WatchOperationsRequest { parent, filter, from, view } = decode(message)?;
        let watch = Watch::Scope {
            scope: name::scope(&parent)?,
            after: cursor(&from)?,
            filter: self::filter(filter)?,
        };
        Ok(Events::new(self, watch, self::view(view, View::Basic)?)?)
    }
}

fn view(asked: i32, default: View) -> Result<View, Error> {
    match proto::View::try_from(asked) {
        Ok(proto::View::Unspecified) => Ok(default),
        Ok(proto::View::Basic) => Ok(View::Basic),
        Ok(proto::View::Full) => Ok(View::Full),
        Err(_) => Err(Error::invalid("view", "must be BASIC (1) or FULL (2)")),
    }
}

/// Where a watch of a scope goes on.
fn cursor(text: &str) -> Result<Seq, Error> {
    if text.is_empty() {
        return Ok(Seq(0));
    }
    let malformed = |_| Error::invalid("from", "must be the cursor of an event");
    text.parse().map(Seq).map_err(malformed)
}

/// The filter of a list or a watch; none where it is empty.
pub(in crate::api) fn filter(text: String) -> Result<Option<Filter>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let passes = Arc::new(canonical(&text)?);
    Ok(Some(Filter { text, passes }))
}
