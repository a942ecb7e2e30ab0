//! Lists of an instance, as BuildGrid has them.

use std::sync::Arc;

use opgate_bus::{Filter as BusFilter, List, PAGE_SIZE, Snapshot};
use opgate_core::filter::Predicate;
use opgate_core::{Error, ErrorKind, Operation, Parent};

use super::Inner;
use super::operations::Page;
use crate::buildgrid::{Filter, Order, Place, WINDOW};
use opgate_rpc::wire::Reply;

/// Pages looked through to sort, at most: large operations make pages short.
const PAGES_MAX: usize = 200;

/// A list of an instance.
pub(super) struct InstanceList {
    pub(super) instance: Parent,
    pub(super) filter: String,
    pub(super) page_size: usize,
    pub(super) page_token: String,
    /// The backends that the page is to name.
    pub(super) unreachable: Vec<Arc<str>>,
}

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
    /// Lists the operations of an instance alone.
    pub(super) async fn list_instance(&self, asked: InstanceList) -> Result<Reply, Error> {
        let filter = Arc::new(Filter::parse(&asked.filter)?);
        let passes = Alone { instance: asked.instance.clone(), filter: Arc::clone(&filter) };
        let list = List {
            scope: asked.instance,
            page_size: asked.page_size,
            page_token: asked.page_token,
            // Not the text of Google's list of the same parent.
            filter: Some(BusFilter {
                text: format!("buildgrid {}", asked.filter),
                passes: Arc::new(passes),
            }),
        };
        if filter.order().is_none() {
            self.page(list, &asked.unreachable).await
        } else {
            self.sorted(list, &filter, &asked.unreachable).await
        }
    }

    async fn sorted(
        &self,
        list: List,
        filter: &Filter,
        unreachable: &[Arc<str>],
    ) -> Result<Reply, Error> {
        let text = list.filter.as_ref().map_or("", |filter| &*filter.text);
        let order = filter.order();
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
        let mut page = Page::new(unreachable);
        let mut last = None;
        let mut taken = 0;
        for place in &places {
            if taken == list.page_size {
                break;
            }
            // Gone since it was looked at: removed, or expired. It is passed over.
            let Ok(snapshot) = self.bus.get(&self.caller, place.id).await else { continue };
            if !page.add(&self.rendered(&snapshot)) {
                break;
            }
            taken += 1;
            last = Some(place);
        }
        let ended = places.last().map(|place| place.id) == last.map(|last| last.id);
        let token = match last {
            Some(last) if !ended => {
                let cursor = last.write();
                self.bus.seal_cursor(&self.caller, &list.scope, text, &cursor)?
            }
            Some(_) | None => String::new(),
        };
        Ok(Reply::read(page.finish(&token)))
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
