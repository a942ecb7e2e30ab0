//! Pages of work requests.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use opgate_bus::{Filter as BusFilter, List, Snapshot};
use opgate_core::{Error, ErrorKind, Parent};
use opgate_edge::Body;

use super::authenticate::Caller;
use super::filter::Filter;
use super::order::{Key, Order};
use super::path::Collection;
use super::query::{Direction, Query, choice};
use super::settings::Service;
use super::{Answered, Inner, Refused, reply};
use crate::wire::dialect::Dialect;
use crate::wire::error::Refusal;
use crate::wire::work_request::Extent;
use crate::wire::{ocid, state};

/// Work requests of a page where nobody said how many.
const LIMIT: usize = 100;
/// Bytes of a page: beyond it holds fewer than asked for. One work request is there in any case.
const BYTES: usize = 4 * 1024 * 1024;
/// States that newer services have, and that no operation here is ever in.
const NEVER: [&str; 2] = ["WAITING", "NEEDS_ATTENTION"];

/// What is asked for.
struct Ask {
    scope: Parent,
    limit: usize,
    page: String,
    filter: Filter,
    order: Order,
    /// The only work request that may be in the list.
    only: Option<String>,
}

/// A page, written.
struct Page {
    body: Bytes,
    /// Where the next one begins; empty where there is none.
    next: String,
}

impl Inner {
    pub(super) async fn list(
        &self,
        caller: &Caller,
        service: &Service,
        collection: Collection,
        query: &Query,
    ) -> Answered {
        let ask = self.listing(caller, service, collection, query)?;
        if let Some(only) = &ask.only {
            let found = self.only(caller, &ask, only).await?;
            let page = self.page(&found.into_iter().collect::<Vec<_>>(), service.dialect)?;
            return Ok(answer(Page { body: page.0, next: String::new() }));
        }
        self.listed(caller, service, ask).await
    }

    /// The work requests of one load balancer.
    pub(super) async fn list_of(
        &self,
        caller: &Caller,
        service: &Service,
        balancer: &str,
        query: &Query,
    ) -> Answered {
        let filter = Filter {
            collection: Collection::LoadBalancer,
            shows: service.shows.clone(),
            resources: vec![balancer.to_owned()],
            resource_type: None,
            states: BTreeSet::new(),
        };
        let ask = Ask {
            scope: Parent::root(),
            limit: query.limit(LIMIT)?,
            page: query.one("page")?.unwrap_or_default().to_owned(),
            filter,
            order: Order { key: Key::TimeAccepted, direction: Direction::Descending },
            only: None,
        };
        self.listed(caller, service, ask).await
    }

    /// The scope of a compartment for a caller. Another tenant's tenancy is as if it were not there.
    pub(super) fn scope(&self, caller: &Caller, compartment: &str) -> Result<Parent, Refused> {
        let scope = self.compartments.scope(caller, compartment)?;
        scope.ok_or_else(|| Error::not_found().into())
    }

    /// What is asked for, in the parameters that the dialect has.
    fn listing(
        &self,
        caller: &Caller,
        service: &Service,
        collection: Collection,
        query: &Query,
    ) -> Result<Ask, Refused> {
        let dialect = service.dialect;
        let (engine, modern) = (dialect == Dialect::ContainerEngine, dialect == Dialect::Modern);
        let scope = match query.one("compartmentId")? {
            Some(compartment) => self.scope(caller, compartment)?,
            None if modern => Parent::root(),
            None => return Err(Refusal::missing("compartmentId").into()),
        };
        let names: &[&str] = match dialect {
            Dialect::Identity => &["resourceIdentifier", "resourceId"],
            Dialect::ContainerEngine => &["resourceId", "clusterId"],
            Dialect::WorkRequests | Dialect::Modern | Dialect::LoadBalancer => &["resourceId"],
        };
        let mut resources = Vec::new();
        for name in names {
            resources.extend(query.one(name)?.map(str::to_owned));
        }
        let resource_type = match query.one("resourceType")? {
            Some(word) if engine => {
                let known = [("CLUSTER", "cluster"), ("NODEPOOL", "nodepool")];
                Some(choice("resourceType", word, &known)?)
            }
            Some(_) | None => None,
        };
        let states = if engine || modern { states(query, modern)? } else { BTreeSet::new() };
        let only = if modern { query.one("workRequestId")?.map(str::to_owned) } else { None };
        Ok(Ask {
            scope,
            limit: query.limit(LIMIT)?,
            page: query.one("page")?.unwrap_or_default().to_owned(),
            filter: Filter {
                collection,
                shows: service.shows.clone(),
                resources,
                resource_type,
                states,
            },
            order: order(query, dialect)?,
            only,
        })
    }

    async fn listed(&self, caller: &Caller, service: &Service, ask: Ask) -> Answered {
        let text = format!("oci {} {:?} {}", service.name, ask.order, ask.filter.text());
        let mut list = List {
            scope: ask.scope,
            page_size: ask.limit,
            page_token: ask.page,
            filter: Some(BusFilter { text, passes: Arc::new(ask.filter) }),
        };
        loop {
            let listing = if ask.order.is_stored() {
                self.bus.list(&caller.caller, list.clone()).await.map_err(of_page)?
            } else {
                self.sorted(caller, &list, ask.order).await?
            };
            let (body, fit) = self.page(&listing.items, service.dialect)?;
            if fit == listing.items.len() {
                return Ok(answer(Page { body, next: listing.next_page_token }));
            }
            list.page_size = fit;
        }
    }

    /// As many of these as fit a page, at least one, and how many that are.
    fn page(&self, items: &[Arc<Snapshot>], dialect: Dialect) -> Result<(Bytes, usize), Error> {
        let (open, close) =
            if dialect == Dialect::Modern { ("{\"items\":[", "]}") } else { ("[", "]") };
        let mut body = open.as_bytes().to_vec();
        for (position, item) in items.iter().enumerate() {
            let text = self.written(item, dialect, Extent::Summary)?;
            if position > 0 {
                if body.len() + text.len() > BYTES {
                    return Ok((Bytes::new(), position));
                }
                body.push(b',');
            }
            body.extend(text);
        }
        body.extend(close.as_bytes());
        Ok((body.into(), items.len()))
    }

    /// The one work request of this OCID, where it is in the list.
    async fn only(
        &self,
        caller: &Caller,
        ask: &Ask,
        only: &str,
    ) -> Result<Option<Arc<Snapshot>>, Error> {
        let Some(id) = ocid::read(only) else { return Ok(None) };
        match self.bus.get(&caller.caller, id).await {
            Ok(found) => {
                let listed = ask.scope.contains(found.parent.as_str()) && ask.filter.lets(&found);
                Ok(listed.then_some(found))
            }
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The states that are asked for.
fn states(query: &Query, modern: bool) -> Result<BTreeSet<&'static str>, Refusal> {
    let known: Vec<(&str, &'static str)> = state::ALL
        .into_iter()
        .chain(NEVER.into_iter().filter(|_| modern))
        .map(|state| (state, state))
        .collect();
    query.all("status").map(|word| choice("status", word, &known)).collect()
}

fn order(query: &Query, dialect: Dialect) -> Result<Order, Refusal> {
    let keys: &[(&str, Key)] = match dialect {
        Dialect::ContainerEngine => &[
            ("ID", Key::Id),
            ("OPERATION_TYPE", Key::OperationType),
            ("STATUS", Key::Status),
            ("TIME_ACCEPTED", Key::TimeAccepted),
            ("TIME_STARTED", Key::TimeStarted),
            ("TIME_FINISHED", Key::TimeFinished),
        ],
        Dialect::Modern => &[("timeAccepted", Key::TimeAccepted)],
        Dialect::Identity | Dialect::WorkRequests | Dialect::LoadBalancer => &[],
    };
    let stored = Order { key: Key::TimeAccepted, direction: Direction::Descending };
    if keys.is_empty() {
        return Ok(stored);
    }
    let key = query.one("sortBy")?.map(|word| choice("sortBy", word, keys)).transpose()?;
    let direction = query.direction()?;
    Ok(Order { key: key.unwrap_or(stored.key), direction: direction.unwrap_or(stored.direction) })
}

fn answer(page: Page) -> Response<Body> {
    let mut response = reply::json(page.body);
    reply::next_page(&mut response, &page.next);
    response
}

/// A token that is none is called as the caller calls it.
pub(super) fn of_page(error: Error) -> Refused {
    match &error.field {
        Some(field) if field.field == "page_token" => {
            Refusal::invalid("page", &field.description).into()
        }
        Some(_) | None => error.into(),
    }
}
