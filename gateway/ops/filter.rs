//! The filter that options of `list` amount to.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opgate::Timestamp;

use super::args::{List, ListState};

/// What `list` asks for, as one filter of the API. `now` is what ages are counted from.
pub(super) fn filter(list: &List, now: Timestamp) -> String {
    let mut terms = Vec::new();
    if !list.filter.is_empty() {
        terms.push(format!("({})", list.filter));
    }
    let states: Vec<&str> = list.state.iter().map(|state| of(*state)).collect();
    if !states.is_empty() {
        terms.push(format!("({})", states.join(" OR ")));
    }
    for (field, value) in [("backend", &list.backend), ("route", &list.route)] {
        terms.extend(value.as_ref().map(|value| format!("{field} = {}", quoted(value))));
    }
    let ago = |age: Duration| {
        let nanos = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
        Timestamp::from_nanos(now.nanos().saturating_sub(nanos)).to_rfc3339()
    };
    terms.extend(list.older_than.map(|age| format!("create_time <= {:?}", ago(age))));
    terms.extend(list.newer_than.map(|age| format!("create_time >= {:?}", ago(age))));
    // A filter by itself stays as it was written: what is wrong with it is told by its column.
    match terms.as_slice() {
        [_] if !list.filter.is_empty() => list.filter.clone(),
        _ => terms.join(" AND "),
    }
}

/// The present.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

const fn of(state: ListState) -> &'static str {
    match state {
        ListState::Accepted => "state = ACCEPTED",
        ListState::Running => "state = RUNNING",
        ListState::Succeeded => "state = SUCCEEDED",
        ListState::Failed => "state = FAILED",
        ListState::Canceled => "state = CANCELED",
        ListState::Live => "done = false",
        ListState::Canceling => "canceling = true",
        // One that has ended is nobody's orphan.
        ListState::Orphaned => "(native_state = ORPHANED AND done = false)",
        ListState::Undelivered => "callbacks.state = DEAD",
    }
}

/// A text of which no character means anything to the filter.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> List {
        List {
            parent: String::new(),
            filter: String::new(),
            state: Vec::new(),
            backend: None,
            route: None,
            older_than: None,
            newer_than: None,
            limit: 50,
            all: false,
        }
    }

    #[test]
    fn options_add_up_to_one_filter() {
        let now = Timestamp::from_rfc3339("2026-11-22T10:00:00Z").unwrap();
        assert_eq!(filter(&list(), now), "");
        assert_eq!(filter(&List { filter: "a = b OR c".to_owned(), ..list() }, now), "a = b OR c");
        let all = List {
            filter: "a = b OR c".to_owned(),
            state: vec![ListState::Running, ListState::Orphaned],
            backend: Some("x\"y".to_owned()),
            older_than: Some(Duration::from_hours(1)),
            ..list()
        };
        assert_eq!(
            filter(&all, now),
            "(a = b OR c) AND (state = RUNNING OR (native_state = ORPHANED AND done = false)) \
             AND backend = \"x\\\"y\" AND create_time <= \"2026-11-22T09:00:00.000Z\""
        );
    }
}
