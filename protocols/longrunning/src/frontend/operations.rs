//! The five methods of google.longrunning.Operations, and starts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use opgate_bus::{Action, Durability, Filter, List, Listing, Rendered, Rendering, Snapshot, Until};
use opgate_core::{Error, ErrorKind, Losses, Operation, Parent};
use opgate_telemetry::Protocol;
use prost::Message;

use super::{Inner, Refusal, Verb, endpoint};
use crate::door::{Asked, Door};
use crate::filter::Shows;
use crate::map::{self, Name};
use crate::proto::{self, ListRequest, NameRequest, WaitRequest};
use opgate_rpc::fields;
use opgate_rpc::wire::{self, Call, Deadline, PREFIX_BYTES, Reply, Unread};

/// Empty pages that are passed over, each after thousands of operations that a filter held back:
/// BuildGrid's client takes an empty page for the last one.
const EMPTY_MAX: usize = 20;
/// Leaves room for the page token, and takes any one operation.
const PAGE_BYTES_MAX: usize = wire::MESSAGE_BYTES_MAX - 4 * 1024;
/// What a page says of backends beside one operation of any size.
const UNREACHABLE_BYTES_MAX: usize = 3 * 1024;

/// Decodes a request message of one of the methods here.
pub(super) fn decode<M: Message + Default>(message: Bytes) -> Result<M, Error> {
    M::decode(message).map_err(|error| {
        let text = format!("the message is not what this method takes: {error}");
        Error::new(ErrorKind::InvalidArgument, text)
    })
}

impl Inner {
    /// Gets, cancels or deletes.
    pub(super) async fn one(&self, verb: Verb, call: Call) -> Result<Reply, Refusal> {
        let deadline = call.deadline();
        let NameRequest { name } = decode(self.read(call).await?)?;
        let answer = match verb {
            Verb::Get => {
                let found = deadline.bound(self.find(&name)).await;
                found.map(|snapshot| self.reply(&snapshot, None))
            }
            // Boxed, so that the many reads do not carry the room that a change needs.
            Verb::Cancel | Verb::Delete => {
                Box::pin(deadline.bound(self.change(verb, &name))).await.map(Reply::done)
            }
        };
        answer.map_err(|error| Refusal::of(error, name))
    }

    pub(crate) async fn change(&self, verb: Verb, name: &str) -> Result<Durability, Error> {
        let action = match verb {
            Verb::Cancel => Action::Cancel,
            Verb::Get | Verb::Delete => Action::Delete,
        };
        let id = Name::parse(name)?.id;
        if let Err(error) = self.find(name).await {
            self.bus.refused(action, &self.caller, id, error.kind);
            return Err(error);
        }
        let receipt = match verb {
            Verb::Cancel => self.bus.cancel(&self.caller, id, "").await?,
            Verb::Get | Verb::Delete => self.bus.remove(&self.caller, id).await?,
        };
        Ok(receipt.durability)
    }

    /// Answers with the latest state at the latest when the caller still hears it: a wait that is
    /// over is no error.
    pub(super) async fn wait(&self, call: Call) -> Result<Reply, Refusal> {
        let deadline = call.deadline();
        // Boxed, for it is over long before the wait is.
        let message = Box::pin(self.read(call)).await?;
        let WaitRequest { name, timeout } = decode(message)?;
        let waited = match self.wait_limit(timeout, deadline) {
            Ok(limit) => self.wait_for(Protocol::Grpc, &name, limit).await,
            Err(error) => Err(error),
        };
        match waited {
            Ok(snapshot) => Ok(self.reply(&snapshot, None)),
            Err(error) => Err(Refusal::of(error, name)),
        }
    }

    pub(crate) async fn wait_for(
        &self,
        protocol: Protocol,
        name: &str,
        limit: Duration,
    ) -> Result<Arc<Snapshot>, Error> {
        let snapshot = self.find(name).await?;
        if snapshot.is_done() || limit.is_zero() {
            return Ok(snapshot);
        }
        let id = snapshot.id;
        // A waiter must not hold a version that nobody else needs any more.
        drop(snapshot);
        let _counted = self.metrics.bus.watchers.of(protocol).hold();
        self.bus.wait(&self.caller, id, Until::Done, limit).await
    }

    pub(crate) fn wait_limit(
        &self,
        timeout: Option<proto::Duration>,
        deadline: Deadline,
    ) -> Result<Duration, Error> {
        let wanted = timeout
            .map(|timeout| fields::duration("timeout", timeout.seconds, timeout.nanos))
            .transpose()?;
        let limits = [wanted, deadline.wait_limit(), Some(self.wait_limit)];
        Ok(limits.into_iter().flatten().min().unwrap_or_default())
    }

    /// Lists a page.
    pub(super) async fn list(&self, call: Call) -> Result<Reply, Refusal> {
        let deadline = call.deadline();
        let request: ListRequest = decode(self.read(call).await?)?;
        let unreachable = self.unreachable(&request);
        let instance = self.instances.named(&request.name);
        let fit = |listing: &Listing| Ok(self.fit(listing, &unreachable));
        let page = deadline.bound(self.list_page(instance, request, fit)).await?;
        Ok(Reply::read(page))
    }

    /// The backends that a page is to name.
    pub(crate) fn unreachable(&self, request: &ListRequest) -> Vec<Arc<str>> {
        if request.return_partial_success { self.bus.unreachable() } else { Vec::new() }
    }

    /// Lists a page of an instance, or else of the scope that the request names. `fit` makes the
    /// answer of a listing.
    pub(crate) async fn list_page(
        &self,
        instance: Option<Parent>,
        request: ListRequest,
        fit: impl Fn(&Listing) -> Result<Fit, Error>,
    ) -> Result<Bytes, Error> {
        if let Some(instance) = instance {
            return self.list_instance(instance, request, fit).await;
        }
        let list = List {
            scope: map::scope(&request.name)?,
            page_size: fields::page_size(request.page_size)?,
            page_token: request.page_token,
            filter: self.filter(request.filter)?,
        };
        self.page(list, fit).await
    }

    fn filter(&self, text: String) -> Result<Option<Filter>, Error> {
        if text.is_empty() {
            return Ok(None);
        }
        let passes = Arc::new(Shows::parse(&self.types, &self.instances, &text)?);
        Ok(Some(Filter { text, passes }))
    }

    /// The next listing that is not empty, unless many in a row are; `list` goes on to its place.
    async fn listed(&self, list: &mut List) -> Result<Listing, Error> {
        let mut empty = 0;
        loop {
            let listing = self.bus.list(&self.caller, list.clone()).await?;
            if !listing.items.is_empty() || listing.next_page_token.is_empty() || empty == EMPTY_MAX
            {
                return Ok(listing);
            }
            empty += 1;
            list.page_token = listing.next_page_token;
        }
    }

    /// The answer of a list in the order it is stored in. Where the answer would be too large, it is
    /// asked for again, ever smaller: the token has to stand after the last operation sent.
    pub(super) async fn page(
        &self,
        mut list: List,
        fit: impl Fn(&Listing) -> Result<Fit, Error>,
    ) -> Result<Bytes, Error> {
        loop {
            let listing = self.listed(&mut list).await?;
            match fit(&listing)? {
                Fit::Whole(page) => return Ok(page),
                Fit::Fewer(count) => list.page_size = count,
            }
        }
    }

    /// A listing as one message of the size that clients take.
    fn fit(&self, listing: &Listing, unreachable: &[Arc<str>]) -> Fit {
        let mut page = Page::new(unreachable);
        let fitting = listing.items.iter().take_while(|item| page.add(&self.rendered(item).bytes));
        let fitting = fitting.count();
        if fitting == listing.items.len() {
            Fit::Whole(page.finish(&listing.next_page_token))
        } else {
            Fit::Fewer(fitting)
        }
    }

    /// Starts an operation through a door.
    pub(super) async fn start(
        &self,
        door: &Door,
        parts: &Parts,
        call: Call,
    ) -> Result<Reply, Refusal> {
        let deadline = call.deadline();
        let message = self.read(call).await?;
        let endpoint = endpoint(parts.uri.path());
        match door.read(endpoint, &parts.headers, &message)? {
            Asked::Validate { response_type } => {
                Ok(Reply::read(wire::frame(&map::validated(response_type.as_deref()))))
            }
            Asked::Start(start) => {
                self.check_instance(endpoint, &start)?;
                let receipt = deadline.bound(self.bus.start(&self.caller, *start)).await?;
                Ok(self.reply(&receipt.snapshot, Some(receipt.durability)))
            }
        }
    }

    pub(super) async fn read(&self, call: Call) -> Result<Bytes, Unread> {
        call.read(self.request_bytes, self.request_timeout).await
    }

    /// The operation of a name, where no disk is needed for it.
    pub(crate) fn resident(&self, name: &str) -> Option<Arc<Snapshot>> {
        let name = Name::parse(name).ok()?;
        let snapshot = self.bus.peek(&self.caller, name.id)?.ok()?;
        self.is_named(&name, &snapshot).then_some(snapshot)
    }

    fn is_named(&self, name: &Name<'_>, snapshot: &Snapshot) -> bool {
        let parent = snapshot.parent.as_str();
        name.is_under(parent, self.instances.profile(parent))
    }

    /// The operation as google.longrunning says it, and what it has no place for.
    pub(crate) fn mapped(&self, operation: &Operation) -> (proto::Operation, Losses) {
        map::shown(&self.types, self.instances.profile(operation.parent.as_str()), operation)
    }

    /// The operation of a name; one that lies under another parent is not found.
    pub(crate) async fn find(&self, name: &str) -> Result<Arc<Snapshot>, Error> {
        let name = Name::parse(name)?;
        let snapshot = match self.bus.peek(&self.caller, name.id) {
            Some(answer) => answer?,
            // Boxed, for it is rare and large.
            None => Box::pin(self.bus.get(&self.caller, name.id)).await?,
        };
        if self.is_named(&name, &snapshot) { Ok(snapshot) } else { Err(Error::not_found()) }
    }

    /// The message frame of this version, encoded once.
    pub(super) fn rendered<'a>(&self, snapshot: &'a Snapshot) -> &'a Rendering {
        snapshot.rendered(Rendered::Grpc, |operation| {
            let (shown, lost) = self.mapped(operation);
            Rendering { bytes: wire::frame(&shown), lost: lost | operation.lost }
        })
    }

    fn reply(&self, snapshot: &Snapshot, durability: Option<Durability>) -> Reply {
        let Rendering { bytes, lost } = self.rendered(snapshot).clone();
        Reply { framed: bytes, durability, lost }
    }
}

/// A listing as an answer.
pub(crate) enum Fit {
    /// All of it.
    Whole(Bytes),
    /// It is too large; so many of its operations, one at least, may fit.
    Fewer(usize),
}

/// A `ListOperationsResponse` in the making, as a message frame.
pub(super) struct Page {
    frame: Vec<u8>,
    /// Where the operations begin.
    first: usize,
}

impl Page {
    /// A page that names these backends, field 3, as many as leave room for the operations.
    pub(super) fn new(unreachable: &[Arc<str>]) -> Self {
        let mut page = Self { frame: vec![0; PREFIX_BYTES], first: PREFIX_BYTES };
        for name in unreachable {
            if page.frame.len() + name.len() <= UNREACHABLE_BYTES_MAX {
                page.field(3, name.as_bytes());
            }
        }
        page.first = page.frame.len();
        page
    }

    /// Adds a framed operation, field 1. False if it makes the page too large and is not alone: a
    /// page of one always fits, and is sent in any case.
    pub(super) fn add(&mut self, framed: &[u8]) -> bool {
        let first = self.frame.len() == self.first;
        let operation = framed.get(PREFIX_BYTES..).unwrap_or_default();
        self.field(1, operation);
        first || self.frame.len() <= PAGE_BYTES_MAX
    }

    /// Adds the token, field 2.
    pub(super) fn finish(mut self, next_page_token: &str) -> Bytes {
        if !next_page_token.is_empty() {
            self.field(2, next_page_token.as_bytes());
        }
        wire::set_prefix(&mut self.frame);
        self.frame.into()
    }

    fn field(&mut self, number: u8, bytes: &[u8]) {
        self.frame.push(number << 3 | 2);
        prost::encoding::encode_varint(bytes.len() as u64, &mut self.frame);
        self.frame.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::DynamicMessage;

    use super::*;
    use crate::sample::types;

    fn json(page: Page, token: &str) -> serde_json::Value {
        let frame = page.finish(token);
        let descriptor = types().message("google.longrunning.ListOperationsResponse").unwrap();
        let message = DynamicMessage::decode(descriptor, &frame[PREFIX_BYTES..]).unwrap();
        assert_eq!(message.unknown_fields().count(), 0);
        serde_json::to_value(&message).unwrap()
    }

    #[test]
    fn a_page_says_which_backends_cannot_be_asked() {
        assert_eq!(json(Page::new(&[]), ""), serde_json::json!({}));
        let mut page = Page::new(&["one".into(), "two".into()]);
        let operation = proto::Operation { name: "n".to_owned(), ..proto::Operation::default() };
        assert!(page.add(&wire::frame(&operation)));
        assert_eq!(
            json(page, "t"),
            serde_json::json!({
                "operations": [{ "name": "n" }], "nextPageToken": "t", "unreachable": ["one", "two"]
            })
        );
    }

    #[test]
    fn they_leave_room_for_an_operation_of_any_size() {
        let names = vec![Arc::<str>::from("n".repeat(100)); 1000];
        let mut page = Page::new(&names);
        assert!(page.first <= UNREACHABLE_BYTES_MAX + 200, "{}", page.first);
        let largest = vec![0; PREFIX_BYTES + wire::MESSAGE_BYTES_MAX - 8 * 1024];
        assert!(page.add(&largest), "the first always fits");
        let token = "t".repeat(512);
        assert!(page.finish(&token).len() <= wire::MESSAGE_BYTES_MAX);
    }
}
