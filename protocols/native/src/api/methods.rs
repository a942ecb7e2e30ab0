//! What each method does. One handler for both forms of the API: messages come in and go out
//! encoded, whatever they were on the way.

mod change;
pub(super) mod read;
mod start;
mod work;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use opgate_bus::{Receipt, Snapshot, Subject};
use opgate_core::{Error, ErrorKind, OperationId, Trace, Version};
use opgate_rpc::wire::{self, Deadline, Reply};
use opgate_rpc::{fields, headers};

use super::client as proto;
use super::map::{self, View};
use super::method::Method;
use super::refusal::Refusal;
use super::{Inner, map::name};

/// A request message on its way.
pub(super) type Message = Pin<Box<dyn Future<Output = Result<Bytes, Refusal>> + Send>>;
/// An answer on its way.
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send>>;

/// What is asked beside the message.
#[derive(Debug)]
pub(super) struct Asked {
    /// When the caller stops waiting.
    deadline: Deadline,
    /// What only a start has a use for.
    head: Box<Head>,
}

#[derive(Debug)]
struct Head {
    trace: Option<Box<Trace>>,
    /// The header `idempotency-key`.
    key: Option<String>,
}

impl Asked {
    /// What the head of a request asks.
    pub(super) fn new(headers: &HeaderMap, deadline: Deadline) -> Result<Self, Error> {
        let key = headers::idempotency_key(headers)?.map(|key| {
            let key = std::str::from_utf8(key);
            key.map_err(|_| Error::invalid(headers::IDEMPOTENCY_KEY, "is not UTF-8"))
        });
        let key = key.transpose()?.map(str::to_owned);
        Ok(Self { deadline, head: Box::new(Head { trace: headers::trace(headers), key }) })
    }
}

/// Decodes a request message.
fn decode<M: prost::Message + Default>(message: Bytes) -> Result<M, Error> {
    M::decode(message).map_err(|error| {
        let text = format!("the message is not what this method takes: {error}");
        Error::new(ErrorKind::InvalidArgument, text)
    })
}

impl Inner {
    /// Serves a call that has one answer.
    ///
    /// Each method has a future of its own, which holds no more than that method needs: there may be
    /// tens of thousands of waits.
    pub(super) fn answer(
        self: Arc<Self>,
        method: Method,
        asked: Asked,
        message: Message,
    ) -> Answer {
        let Asked { deadline, head } = asked;
        match method {
            Method::Start => Box::pin(async move {
                let request = decode(message.await?)?;
                Ok(deadline.bound(self.start(request, *head)).await?)
            }),
            Method::Get => Box::pin(async move {
                let proto::GetOperationRequest { name } = decode(message.await?)?;
                let found = deadline.bound(self.find(&name)).await;
                found.map(|found| self.got_reply(&found)).map_err(|error| Refusal::of(error, name))
            }),
            Method::List => Box::pin(async move {
                let request = decode(message.await?)?;
                Ok(deadline.bound(self.list(request)).await?)
            }),
            Method::Wait => Box::pin(async move {
                let request = decode(message.await?)?;
                self.wait(request, deadline).await
            }),
            Method::Cancel => Box::pin(async move {
                let proto::CancelOperationRequest { name, reason, version } =
                    decode(message.await?)?;
                let done = deadline.bound(self.cancel(&name, &reason, version)).await;
                done.map_err(|error| Refusal::of(error, name))
            }),
            Method::Delete => Box::pin(async move {
                let proto::DeleteOperationRequest { name, version } = decode(message.await?)?;
                let done = deadline.bound(self.delete(&name, version)).await;
                done.map_err(|error| Refusal::of(error, name))
            }),
            Method::Complete => Box::pin(async move {
                let proto::CompleteOperationRequest { name, outcome, version } =
                    decode(message.await?)?;
                let done = deadline.bound(self.complete(&name, outcome, version)).await;
                done.map_err(|error| Refusal::of(error, name))
            }),
            Method::Redrive => Box::pin(async move {
                let proto::RedriveCallbacksRequest { name, version } = decode(message.await?)?;
                let done = deadline.bound(self.redrive(&name, version)).await;
                done.map_err(|error| Refusal::of(error, name))
            }),
            Method::Lease => Box::pin(async move {
                let request = decode(message.await?)?;
                Ok(self.lease(request, deadline).await?)
            }),
            Method::Report => Box::pin(async move {
                let request = decode(message.await?)?;
                Ok(deadline.bound(self.report(request)).await?)
            }),
            Method::Finish => Box::pin(async move {
                let request = decode(message.await?)?;
                Ok(deadline.bound(self.finish(request)).await?)
            }),
            Method::Release => Box::pin(async move {
                let request = decode(message.await?)?;
                Ok(deadline.bound(self.release(request)).await?)
            }),
            Method::Watch | Method::WatchAll => Box::pin(async {
                Err(Error::new(ErrorKind::Internal, "a watch has many answers").into())
            }),
        }
    }

    /// The operation of a name, whichever face has given it.
    pub(super) async fn find(&self, name: &str) -> Result<Arc<Snapshot>, Error> {
        self.read(self.id(name)?).await
    }

    /// The id of the operation of a name, whichever face has given it.
    fn id(&self, name: &str) -> Result<OperationId, Error> {
        name::id(name).or_else(|error| {
            let read = || self.settings.names.read(&self.caller, name);
            let other = (error.kind == ErrorKind::NotFound).then(read).flatten();
            other.ok_or(error)
        })
    }

    /// The operation of a name, in the version it must have; 0 takes any.
    fn subject(&self, name: &str, version: u64) -> Result<Subject, Error> {
        let expect = (version != 0).then_some(Version(version));
        Ok(Subject { id: self.id(name)?, expect })
    }

    pub(super) async fn read(&self, id: OperationId) -> Result<Arc<Snapshot>, Error> {
        match self.bus.peek(&self.caller, id) {
            Some(answer) => answer,
            // Boxed, for it is rare and large.
            None => Box::pin(self.bus.get(&self.caller, id)).await,
        }
    }

    /// The operation as this API shows it.
    pub(super) fn shown(&self, snapshot: &Snapshot, view: View) -> proto::Operation {
        map::operation(snapshot, view, &self.settings.names)
    }

    fn read_reply(&self, snapshot: &Snapshot) -> Reply {
        let shown = self.shown(snapshot, View::Full);
        let lost = map::lost(snapshot, &shown);
        Reply { framed: wire::frame(&shown), durability: None, lost }
    }

    /// The answer to who asks for one operation: what the other faces cannot show of it is said too.
    fn got_reply(&self, snapshot: &Snapshot) -> Reply {
        let mut shown = self.shown(snapshot, View::Full);
        shown.lost_on = self.settings.names.lost(snapshot);
        let lost = map::lost(snapshot, &shown);
        Reply { framed: wire::frame(&shown), durability: None, lost }
    }

    fn change_reply(&self, receipt: &Receipt) -> Reply {
        let durability = Some(receipt.durability);
        Reply { durability, ..self.read_reply(&receipt.snapshot) }
    }
}

/// A duration a request names.
fn duration(field: &'static str, duration: prost_types::Duration) -> Result<Duration, Error> {
    fields::duration(field, duration.seconds, duration.nanos)
}
