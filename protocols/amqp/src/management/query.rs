//! QUERY: rows of attributes, a page at a time.
//!
//! Operations come newest first. A client that pages by offset reads one list, as it was when its first
//! page was asked for (see [`super::walks`]): each operation that was there is in exactly one row,
//! whatever is started or deleted meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use opgate_bus::{Filter, List, PAGE_SIZE, Snapshot};
use opgate_core::filter::canonical;
use opgate_core::{Error, ErrorKind, OperationId};
use serde_amqp::Value;

use super::Inner;
use super::answer::{Answer, Answered};
use super::attributes::{self, BYTES};
use super::request::Asked;
use super::walks::{GoesOn, KEPT, Key, Rows};
use crate::wire::{names, text};

/// Most rows of one reply.
const ROWS: usize = 1000;
/// Most columns.
const COLUMNS: usize = 256;
/// Rows that may lie between what is known of a list and the first that is asked for.
const SKIPPED: usize = 10_000;
/// Pages of the bus that one request looks at: each looks at 10,000 operations at most.
const PAGES: usize = 32;

// A page, the row behind it and what was skipped in between fit what is kept.
const _: () = assert!(ROWS < KEPT && ROWS <= PAGE_SIZE);

impl Inner {
    pub(super) async fn query(&self, asked: &Asked) -> Answered {
        let columns = columns(asked)?;
        let number = |name| Ok::<_, Error>(asked.count(name)?.map(usize::try_from));
        let offset = match number(names::OFFSET)? {
            None => 0,
            Some(offset) => offset.map_err(|_| Error::invalid(names::OFFSET, "is too large"))?,
        };
        let count = number(names::COUNT)?.map(|count| count.unwrap_or(usize::MAX));
        let only = asked.text(names::ENTITY_TYPE)?;
        let filter = filter(asked)?;
        let head = columns.iter().map(|name| Value::from(&**name)).collect();
        let of_others = only.is_some_and(|only| only != names::OPERATION_TYPE);
        if of_others || count == Some(0) {
            return Ok(Answer::rows(head, Vec::new()));
        }
        let text = filter.as_ref().map(|filter| filter.text.clone()).unwrap_or_default();
        let key = Key {
            caller: asked.caller.clone(),
            connection: asked.connection,
            link: asked.link,
            scope: asked.scope()?,
            filter: text,
        };
        let list =
            List { scope: key.scope.clone(), page_size: ROWS, page_token: String::new(), filter };
        let walk = self.walks.of(key, offset)?;
        let mut rows = walk.rows.lock().await;
        let limit = count.unwrap_or(ROWS).min(ROWS);
        // One more tells whether a client that asked for more than fits gets all there are.
        let more = usize::from(count.is_some_and(|count| count > ROWS));
        let fresh = self
            .read_on(asked, list, &mut rows, offset, offset.saturating_add(limit + more))
            .await?;
        if rows.end().saturating_sub(offset) > limit && more == 1 {
            let problem = format!(
                "there are more rows than the {ROWS} of one reply: ask for {ROWS} at most, and go on from there"
            );
            return Err(Error::invalid(names::COUNT, problem));
        }
        let ids = page(&rows, offset, limit)?;
        let (shown, whole) = self.rows(asked, &columns, &ids, fresh).await?;
        if !whole && count.is_some() {
            let text = format!(
                "count: the rows asked for are larger than the {BYTES} bytes of one reply; ask for \
                 {} at most, or for fewer attributes",
                shown.len()
            );
            return Err(Error::new(ErrorKind::PayloadTooLarge, text));
        }
        walk.read_to(offset + shown.len());
        // Fewer rows than asked for are the end of the list to everybody.
        if offset == 0 && whole && shown.len() < limit && rows.goes_on == GoesOn::Ended {
            self.walks.forget(&walk);
        }
        rows.trim();
        Ok(Answer::rows(head, shown))
    }

    /// Reads a list on until so many of its rows are known, or all there are.
    async fn read_on(
        &self,
        asked: &Asked,
        mut list: List,
        rows: &mut Rows,
        offset: usize,
        until: usize,
    ) -> Result<HashMap<OperationId, Arc<Snapshot>>, Error> {
        let mut fresh = HashMap::new();
        let known = rows.end();
        for _ in 0..PAGES {
            let wanted = until.saturating_sub(rows.end());
            list.page_token = match &rows.goes_on {
                _ if wanted == 0 => return Ok(fresh),
                GoesOn::Ended => return Ok(fresh),
                GoesOn::First => String::new(),
                GoesOn::With(token) => token.clone(),
            };
            if rows.end().saturating_sub(known) > SKIPPED + ROWS {
                let problem = format!(
                    "lies more than {SKIPPED} rows behind {known}, as far as the list was read: go on \
                     from there"
                );
                return Err(Error::invalid(names::OFFSET, problem));
            }
            list.page_size = wanted.min(ROWS);
            let listing = self.bus.list(&asked.caller, list.clone()).await?;
            for item in listing.items {
                rows.ids.push_back(item.id);
                if rows.end() > offset {
                    fresh.insert(item.id, item);
                }
            }
            // Of what is only passed over no more is kept than can be read again.
            if rows.end() <= offset {
                rows.trim();
            }
            rows.goes_on = match listing.next_page_token {
                token if token.is_empty() => GoesOn::Ended,
                token => GoesOn::With(token),
            };
        }
        if rows.end() >= until || rows.goes_on == GoesOn::Ended {
            return Ok(fresh);
        }
        let text = "the filter lets so little through that this took too long: ask again, and it goes \
                    on where it stopped";
        Err(Error::new(ErrorKind::Unavailable, text))
    }

    /// The rows of these operations, and whether they are all of them: there is one in any case, or an error.
    async fn rows(
        &self,
        asked: &Asked,
        columns: &[String],
        ids: &[OperationId],
        mut fresh: HashMap<OperationId, Arc<Snapshot>>,
    ) -> Result<(Vec<Value>, bool), Error> {
        let mut rows = Vec::with_capacity(ids.len());
        let mut bytes = 0;
        for id in ids {
            let found = match fresh.remove(id) {
                Some(found) => Some(found),
                None => match self.bus.get(&asked.caller, *id).await {
                    Ok(found) => Some(found),
                    Err(error) if error.kind == ErrorKind::NotFound => None,
                    Err(error) => return Err(error),
                },
            };
            let Some(row) = self.row(columns, *id, found.as_deref(), &mut bytes) else {
                if rows.is_empty() {
                    let text = format!(
                        "attributeNames: one row is larger than the {BYTES} bytes of a reply: ask for \
                         fewer attributes"
                    );
                    return Err(Error::new(ErrorKind::PayloadTooLarge, text));
                }
                return Ok((rows, false));
            };
            rows.push(row);
        }
        Ok((rows, true))
    }

    /// One row; none where there is no room for it. No more is made than what is one cell too much.
    fn row(
        &self,
        columns: &[String],
        id: OperationId,
        found: Option<&Snapshot>,
        bytes: &mut usize,
    ) -> Option<Value> {
        let mut row = Vec::with_capacity(columns.len());
        for name in columns {
            let cell = self.cell(name, id, found);
            *bytes = bytes.saturating_add(attributes::size(&cell));
            if *bytes > BYTES {
                return None;
            }
            row.push(cell);
        }
        Some(Value::List(row))
    }

    /// What was there when the list was begun and is gone keeps its row, with nothing else than what names
    /// it: rows without a place would move all that follow.
    fn cell(&self, name: &str, id: OperationId, found: Option<&Snapshot>) -> Value {
        match (found, name) {
            (Some(found), _) => attributes::one(found, &self.names, name),
            (None, names::IDENTITY) => Value::String(id.to_string()),
            (None, names::TYPE) => Value::from(names::OPERATION_TYPE),
            (None, _) => Value::Null,
        }
    }
}

/// The rows of a page that are known.
fn page(rows: &Rows, offset: usize, limit: usize) -> Result<Vec<OperationId>, Error> {
    let Some(first) = offset.checked_sub(rows.base) else {
        let text = format!(
            "offset: the rows before {} of this list are not kept any more: begin again with offset 0",
            rows.base
        );
        return Err(Error::new(ErrorKind::FailedPrecondition, text));
    };
    Ok(rows.ids.iter().skip(first).take(limit).copied().collect())
}

/// The names of the columns: those asked for, else those of every row.
fn columns(asked: &Asked) -> Result<Vec<String>, Error> {
    let wrong = || Error::invalid(names::ATTRIBUTE_NAMES, "must be a list of texts");
    let body = asked.attributes()?;
    // Any other name is passed over: fe2o3-amqp-management 0.18 writes one of its own, `attribute_names`.
    let elsewhere = [names::ENTITY_TYPE, names::OFFSET, names::COUNT, names::FILTER];
    if let Some(name) = elsewhere.into_iter().find(|name| body.contains_key(*name)) {
        let problem =
            "is in the body, where a QUERY has attributeNames: this one is an application property";
        return Err(Error::invalid(name, problem));
    }
    let listed: &[Value] = match body.get(names::ATTRIBUTE_NAMES) {
        None | Some(Value::Null) => &[],
        Some(Value::List(listed)) => listed,
        Some(Value::Array(listed)) => &listed.0,
        Some(_) => return Err(wrong()),
    };
    if listed.len() > COLUMNS {
        let problem = format!("has {} names, at most {COLUMNS} are allowed", listed.len());
        return Err(Error::invalid(names::ATTRIBUTE_NAMES, problem));
    }
    if listed.is_empty() {
        return Ok(attributes::of_rows().map(str::to_owned).collect());
    }
    let name = |name| text::of(name).map(str::to_owned).ok_or_else(wrong);
    listed.iter().map(name).collect()
}

/// Which rows, in the language of list filters.
fn filter(asked: &Asked) -> Result<Option<Filter>, Error> {
    let Some(text) = asked.text(names::FILTER)? else { return Ok(None) };
    let passes = Arc::new(canonical(text)?);
    Ok(Some(Filter { text: text.to_owned(), passes }))
}
