//! Pages of operations.

use std::fmt;
use std::sync::Arc;

use opgate_core::filter::Predicate;
use opgate_core::{Error, Parent};
use opgate_store::{Page, Snapshot};

use crate::bus::Bus;
use crate::start::Caller;
use crate::token::Bound;

/// Largest page.
pub const PAGE_SIZE: usize = 1000;

/// Operations one page looks at, at most: a filter that lets little through gives short pages
/// rather than long waits. The store bounds the bytes that are read for a page beside.
const SCAN: usize = 10_000;

/// Which operations a listing lets through.
#[derive(Clone)]
pub struct Filter {
    /// The caller's own text for it: a token is good for the same text only.
    pub text: String,
    /// Whether an operation passes.
    pub passes: Arc<dyn Predicate>,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.text).finish()
    }
}

/// What to list, newest first.
#[derive(Clone, Debug)]
pub struct List {
    /// The scope; the root lists everything of the tenant.
    pub scope: Parent,
    /// At most this many, 1 to [`PAGE_SIZE`]; the frontend has applied its own default and limit.
    /// May change between pages.
    pub page_size: usize,
    /// Where the page before ended; empty for the first page.
    pub page_token: String,
    /// What is let through; none lets all through.
    pub filter: Option<Filter>,
}

/// One page.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The operations; may be fewer than asked for even where more follow.
    pub items: Vec<Arc<Snapshot>>,
    /// Where the next page begins; empty after the last page.
    pub next_page_token: String,
}

impl Bus {
    /// Lists the operations of a scope and what lies beneath it, newest first. A walk through all
    /// pages shows every operation that was there when it began exactly once, unless it is removed
    /// or expires on the way; what is started meanwhile comes before the first page.
    ///
    /// # Errors
    /// `InvalidArgument` on `page_token` when it was altered or belongs to another listing;
    /// `Unavailable` when the journal cannot be read.
    pub async fn list(&self, caller: &Caller, list: List) -> Result<Listing, Error> {
        let door = self.door();
        let text = list.filter.as_ref().map_or("", |filter| filter.text.as_str());
        let bound = Bound { tenant: &caller.tenant, scope: &list.scope, filter: text };
        let before = match list.page_token.as_str() {
            "" => None,
            token => Some(door.sealer.open(bound, token)?),
        };
        let page = Page {
            tenant: caller.tenant.clone(),
            scope: list.scope.clone(),
            before,
            limit: list.page_size.clamp(1, PAGE_SIZE),
            scan: SCAN,
            now: door.store.clock().now(),
        };
        let passes = list.filter.as_ref().map(|filter| Arc::clone(&filter.passes));
        let listed = door.store.page(page, passes).await?;
        let next_page_token = match listed.next {
            Some(last) => door.sealer.seal(bound, last)?,
            None => String::new(),
        };
        Ok(Listing { items: listed.items, next_page_token })
    }

    /// The token of a page of a listing that a frontend orders itself: `cursor`, at most 4 KiB, says
    /// where it ended. Good for this scope and this text only.
    ///
    /// # Errors
    /// `Internal` when the system has no randomness to give.
    pub fn seal_cursor(
        &self,
        caller: &Caller,
        scope: &Parent,
        text: &str,
        cursor: &[u8],
    ) -> Result<String, Error> {
        let bound = Bound { tenant: &caller.tenant, scope, filter: text };
        self.door().sealer.seal_cursor(bound, cursor)
    }

    /// The cursor in a token of [`Bus::seal_cursor`].
    ///
    /// # Errors
    /// `InvalidArgument` on `page_token` when it was altered or belongs to another listing.
    pub fn open_cursor(
        &self,
        caller: &Caller,
        scope: &Parent,
        text: &str,
        token: &str,
    ) -> Result<Vec<u8>, Error> {
        let bound = Bound { tenant: &caller.tenant, scope, filter: text };
        self.door().sealer.open_cursor(bound, token)
    }
}
