//! Pages of a list in another order than the one in which operations are stored.

use opgate_bus::{List, Listing, PAGE_SIZE};
use opgate_core::ErrorKind;

use super::authenticate::Caller;
use super::list::of_page;
use super::order::{Order, Place, WINDOW};
use super::{Inner, Refused};
use crate::wire::error::Refusal;

/// Pages looked through to sort, at most: large operations make pages short.
const PAGES_MAX: usize = 200;
/// Lists sorted at a time; more wait their turn. Each looks at up to [`WINDOW`] operations.
pub(super) const AT_A_TIME: usize = 2;

impl Inner {
    /// One page of a list in this order.
    pub(super) async fn sorted(
        &self,
        caller: &Caller,
        list: &List,
        order: Order,
    ) -> Result<Listing, Refused> {
        let text = list.filter.as_ref().map_or("", |filter| &filter.text);
        let after = match &*list.page_token {
            "" => None,
            token => {
                let cursor = self.bus.open_cursor(&caller.caller, &list.scope, text, token);
                let place = Place::read(&cursor.map_err(of_page)?);
                Some(place.ok_or_else(|| Refusal::invalid("page", "is not of this order"))?)
            }
        };
        let mut places = self.places(caller, list, order).await?;
        if let Some(after) = after {
            places.retain(|place| order.compare(place, &after).is_gt());
        }
        let mut items = Vec::new();
        for place in places.iter().take(list.page_size) {
            match self.bus.get(&caller.caller, place.id).await {
                Ok(snapshot) => items.push(snapshot),
                // Gone since it was looked at: removed, or expired. It is passed over.
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        let next_page_token = match places.get(list.page_size..) {
            Some([_, ..]) => {
                let last = places.get(list.page_size.saturating_sub(1)).map(Place::write);
                let cursor = last.unwrap_or_default();
                self.bus.seal_cursor(&caller.caller, &list.scope, text, &cursor)?
            }
            Some([]) | None => String::new(),
        };
        Ok(Listing { items, next_page_token })
    }

    /// Where every operation that passes stands, in order.
    async fn places(
        &self,
        caller: &Caller,
        list: &List,
        order: Order,
    ) -> Result<Vec<Place>, Refused> {
        // Never closed, so that a permit always comes.
        let _turn = self.sorting.acquire().await;
        let mut places = Vec::new();
        let mut list = List { page_size: PAGE_SIZE, page_token: String::new(), ..list.clone() };
        for _ in 0..PAGES_MAX {
            let listing = self.bus.list(&caller.caller, list.clone()).await?;
            places.extend(listing.items.iter().map(|item| order.place(item, &self.ocid(item))));
            if places.len() > WINDOW {
                break;
            }
            if listing.next_page_token.is_empty() {
                places.sort_unstable_by(|this, other| order.compare(this, other));
                return Ok(places);
            }
            list.page_token = listing.next_page_token;
        }
        let problem = format!(
            "there is more to sort than the {WINDOW} work requests that can be; narrow the list, or \
             take it newest first, which needs no sorting"
        );
        Err(Refusal::invalid("sortBy", &problem).into())
    }
}
