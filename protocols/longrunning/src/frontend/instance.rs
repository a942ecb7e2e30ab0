//! Instances: what may start in one, and lists of one as BuildGrid has them.

use std::sync::Arc;

use bytes::Bytes;
use opgate_bus::{Filter as BusFilter, List, Listing, PAGE_SIZE, Snapshot, Start};
use opgate_core::filter::Predicate;
use opgate_core::{Error, ErrorKind, Operation, Parent};

use super::Inner;
use super::operations::Fit;
use crate::buildgrid::{self, Filter, Order, Place, Profile, WINDOW};
use crate::proto::ListRequest;
use opgate_rpc::{fields, wire};

/// Pages looked through to sort, at most: large operations make pages short.
const PAGES_MAX: usize = 200;
/// Bytes of operations after which a sorted page is long enough: what a client takes in one message.
const BYTES: usize = wire::MESSAGE_BYTES_MAX;

/// What lies in the instance, not beneath it, and passes.
struct Alone {
    instance: Parent,
    filter: Arc<Filter>,
}

impl Predicate for Alone {
    fn early(&self, without_payloads: &Operation) -> Option<bool> {
        if without_payloads.parent == self.instance {
            self.filter.early(without_payloads)
        } else {
            Some(false)
        }
    }

    fn passes(&self, operation: &Operation) -> bool {
        operation.parent == self.instance && self.filter.passes(operation)
    }
}

impl Inner {
    /// An execution belongs to an instance: in another parent its caller could not read it. `endpoint`
    /// is the gRPC method, whichever way the start came.
    pub(crate) fn check_instance(&self, endpoint: &str, start: &Start) -> Result<(), Error> {
        let is_execution = endpoint.strip_suffix("/Execute") == Some(buildgrid::EXECUTION);
        if is_execution && self.instances.profile(start.parent.as_str()) == Profile::Google {
            let problem = format!("{:?} is no instance here", start.parent.as_str());
            return Err(Error::invalid("instance_name", problem));
        }
        Ok(())
    }

    /// Lists a page of the operations of an instance alone. `fit` makes the answer of a listing.
    pub(super) async fn list_instance(
        &self,
        instance: Parent,
        request: ListRequest,
        fit: impl Fn(&Listing) -> Result<Fit, Error>,
    ) -> Result<Bytes, Error> {
        let filter = Arc::new(Filter::parse(&request.filter)?);
        let passes = Alone { instance: instance.clone(), filter: Arc::clone(&filter) };
        // Not the text of Google's list of the same parent.
        let text = format!("buildgrid {}", request.filter);
        let list = List {
            scope: instance,
            page_size: fields::page_size(request.page_size)?,
            page_token: request.page_token,
            filter: Some(BusFilter { text: text.clone(), passes: Arc::new(passes) }),
        };
        if filter.order().is_none() {
            self.page(list, fit).await
        } else {
            self.sorted(list, &text, filter.order(), fit).await
        }
    }

    async fn sorted(
        &self,
        list: List,
        text: &str,
        order: &Order,
        fit: impl Fn(&Listing) -> Result<Fit, Error>,
    ) -> Result<Bytes, Error> {
        let after = match &*list.page_token {
            "" => None,
            token => {
                let cursor = self.bus.open_cursor(&self.caller, &list.scope, text, token)?;
                let place = order.read(&cursor);
                Some(place.ok_or_else(|| Error::invalid("page_token", "is not of this order"))?)
            }
        };
        let mut places = self.places(&list, order).await?;
        if let Some(after) = after {
            places.retain(|place| order.compare(place, &after).is_gt());
        }
        let mut size = list.page_size;
        loop {
            let listing = self.first(&places, size, &list.scope, text).await?;
            match fit(&listing)? {
                Fit::Whole(page) => return Ok(page),
                Fit::Fewer(count) => size = count,
            }
        }
    }

    /// The operations at the first of these places, and the token that goes on behind them.
    async fn first(
        &self,
        places: &[Place],
        size: usize,
        scope: &Parent,
        text: &str,
    ) -> Result<Listing, Error> {
        let (mut items, mut bytes, mut looked) = (Vec::new(), 0, 0);
        for place in places {
            if items.len() == size || bytes >= BYTES {
                break;
            }
            looked += 1;
            match self.bus.get(&self.caller, place.id).await {
                Ok(snapshot) => {
                    bytes += snapshot.cost();
                    items.push(snapshot);
                }
                // Gone since it was looked at: removed, or expired. It is passed over.
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let next_page_token = match places.get(..looked).and_then(<[Place]>::last) {
            Some(last) if looked < places.len() => {
                self.bus.seal_cursor(&self.caller, scope, text, &last.write())?
            }
            Some(_) | None => String::new(),
        };
        Ok(Listing { items, next_page_token })
    }

    /// Where every operation that passes stands, in order. The operations themselves may be large,
    /// and are not kept.
    async fn places(&self, list: &List, order: &Order) -> Result<Vec<Place>, Error> {
        let mut places = Vec::new();
        let mut list = List { page_size: PAGE_SIZE, page_token: String::new(), ..list.clone() };
        for _ in 0..PAGES_MAX {
            let listing = self.bus.list(&self.caller, list.clone()).await?;
            let found = listing.items.iter().map(|item: &Arc<Snapshot>| order.place(item));
            places.extend(found);
            if places.len() > WINDOW {
                break;
            }
            if listing.next_page_token.is_empty() {
                places.sort_unstable_by(|this, other| order.compare(this, other));
                return Ok(places);
            }
            list.page_token = listing.next_page_token;
        }
        let text = format!(
            "sort_order: there is more to sort than the {WINDOW} operations that can be; \
             narrow the filter"
        );
        Err(Error::new(ErrorKind::FailedPrecondition, text))
    }
}
