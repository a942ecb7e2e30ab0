//! Pages of the errors and logs of one work request.

use bytes::Bytes;
use opgate_core::{Error, ErrorKind, Parent};
use serde::Serialize;

use super::authenticate::Caller;
use super::path::Entries;
use super::query::{Direction, Query, choice};
use super::settings::Service;
use super::{Answered, Inner, Refused, reply};
use crate::wire::dialect::Dialect;
use crate::wire::error::Refusal;
use crate::wire::work_request::{errors, logs};

/// Entries of a page where nobody said how many: all there can be.
const LIMIT: usize = 1000;

/// What services call the one order that entries have, for most of them as in the Python SDK 2.189.0.
const BY_TIME: [(&str, ()); 3] = [("timestamp", ()), ("timeAccepted", ()), ("timeCreated", ())];

impl Inner {
    pub(super) async fn entries(
        &self,
        caller: &Caller,
        service: &Service,
        which: Entries,
        ocid: &str,
        query: &Query,
    ) -> Answered {
        let dialect = service.dialect;
        let modern = dialect == Dialect::Modern;
        let limit = query.limit(LIMIT)?;
        let token = query.one("page")?.unwrap_or_default();
        if let Some(word) = query.one("sortBy")?.filter(|_| modern) {
            choice("sortBy", word, &BY_TIME)?;
        }
        // The services with a word for it have the newest first.
        let default = if modern { Direction::Descending } else { Direction::Ascending };
        let direction = query.direction()?.unwrap_or(default);
        let scope = match dialect {
            Dialect::ContainerEngine => Some(self.scope(caller, query.required("compartmentId")?)?),
            Dialect::Identity | Dialect::WorkRequests | Dialect::Modern | Dialect::LoadBalancer => {
                None
            }
        };
        let found = self.bus.get(&caller.caller, Self::id(ocid)?).await?;
        // Who may read it at all is told what is wrong with what lies at the root: it is in the
        // compartment of what it works on for its caller, and in none here.
        let root = found.parent.as_str().is_empty();
        if !root && !scope.is_none_or(|scope| scope.contains(found.parent.as_str())) {
            return Err(Error::not_found().into());
        }
        let text = format!("oci {} {which:?} {direction:?}", found.id);
        let after = self.after(caller, &text, token)?;
        let asked = Asked { direction, after, limit, collection: modern };
        let (body, last) = match which {
            Entries::Errors => asked.page(&errors(&found), |error| &error.timestamp)?,
            Entries::Logs => asked.page(&logs(&found), |log| &log.timestamp)?,
        };
        let mut response = reply::json(body);
        if let Some(last) = last {
            let cursor = last.write();
            let token = self.bus.seal_cursor(&caller.caller, &Parent::root(), &text, &cursor)?;
            reply::next_page(&mut response, &token);
        }
        Ok(response)
    }

    /// Where the page before ended.
    fn after(&self, caller: &Caller, text: &str, token: &str) -> Result<Option<Place>, Refused> {
        if token.is_empty() {
            return Ok(None);
        }
        let cursor = self.bus.open_cursor(&caller.caller, &Parent::root(), text, token);
        let place = cursor.ok().and_then(|cursor| Place::read(&cursor)).ok_or_else(|| {
            let problem = "is not a page token of this list: it was altered, or came with other \
                           parameters";
            Refusal::invalid("page", problem)
        })?;
        Ok(Some(place))
    }
}

/// Where an entry stands: by its time, and by its place in the operation among those of one time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    time: String,
    index: u64,
}

impl Place {
    fn write(&self) -> Vec<u8> {
        [&self.index.to_be_bytes(), self.time.as_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (index, time) = bytes.split_first_chunk()?;
        let time = std::str::from_utf8(time).ok()?.to_owned();
        Some(Self { time, index: u64::from_be_bytes(*index) })
    }
}

struct Asked {
    direction: Direction,
    after: Option<Place>,
    limit: usize,
    /// Whether the answer is an object with `items`.
    collection: bool,
}

#[derive(Serialize)]
struct Collected<'a, T> {
    items: &'a [&'a T],
}

impl Asked {
    /// The JSON of a page of these, and where it ended if there is more.
    fn page<T: Serialize>(
        &self,
        entries: &[T],
        time: impl Fn(&T) -> &str,
    ) -> Result<(Bytes, Option<Place>), Error> {
        let place = |(index, entry)| (Place { time: time(entry).to_owned(), index }, entry);
        let mut placed: Vec<(Place, &T)> = (0_u64..).zip(entries).map(place).collect();
        placed.sort_by(|(this, _), (other, _)| this.cmp(other));
        if self.direction == Direction::Descending {
            placed.reverse();
        }
        if let Some(after) = &self.after {
            placed.retain(|(place, _)| match self.direction {
                Direction::Ascending => place > after,
                Direction::Descending => place < after,
            });
        }
        let more = placed.len() > self.limit;
        placed.truncate(self.limit);
        let items: Vec<&T> = placed.iter().map(|(_, entry)| *entry).collect();
        let written = if self.collection {
            serde_json::to_vec(&Collected { items: &items })
        } else {
            serde_json::to_vec(&items)
        };
        let body = written.map_err(|error| {
            Error::new(ErrorKind::Internal, "a page could not be written").with_source(error)
        })?;
        let last = placed.pop().map(|(place, _)| place).filter(|_| more);
        Ok((body.into(), last))
    }
}
