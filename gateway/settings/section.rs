//! Reads the merged table key by key, and goes on after a problem, so that one run tells all.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Value, ValueKind};

use opgate_core::nearest;

use super::problem::Problem;
use super::sources::{SHIPPED, Table};
use super::text::shown;
use super::units;

/// Collects what is wrong, and which keys exist at all.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: RefCell<Vec<Problem>>,
    /// Every key asked for, with `NAME` in place of a name an operator gave.
    pub(super) keys: RefCell<BTreeSet<String>>,
}

/// One table being read. A getter that finds a problem notes it and returns a placeholder: the
/// settings made from placeholders are dropped as soon as any problem was noted.
#[derive(Debug)]
pub(super) struct Section<'a> {
    findings: &'a Findings,
    /// The dotted path; empty for the root.
    path: String,
    /// The same with `NAME` for names.
    pattern: String,
    table: &'a Table,
    /// The keys this table may hold, as far as they were asked for.
    asked: RefCell<Vec<&'static str>>,
}

static EMPTY: std::sync::LazyLock<Table> = std::sync::LazyLock::new(Table::new);

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Where a value came from.
fn origin(value: &Value) -> Option<String> {
    if let ValueKind::Table(table) = &value.kind {
        return first_origin(table);
    }
    value.origin().map(str::to_owned)
}

/// Whether everything in a value is of the shipped defaults.
fn is_shipped(value: &Value) -> bool {
    // A table has no origin of its own: it is merged of several.
    if let ValueKind::Table(table) = &value.kind {
        return table.values().all(is_shipped);
    }
    value.origin() == Some(SHIPPED)
}

/// Where the first of a table's values came from: merged of several, a table has no origin itself.
fn first_origin(table: &Table) -> Option<String> {
    table
        .iter()
        .filter_map(|(key, value)| Some((key, origin(value)?)))
        .min()
        .map(|(_, origin)| origin)
}

impl<'a> Section<'a> {
    pub(super) fn root(findings: &'a Findings, table: &'a Table) -> Self {
        Self {
            findings,
            path: String::new(),
            pattern: String::new(),
            table,
            asked: RefCell::default(),
        }
    }

    /// The value of a key, which from now on is known.
    fn ask(&self, key: &'static str) -> Option<&'a Value> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        self.findings.keys.borrow_mut().insert(join(&self.pattern, key));
        self.table.get(key)
    }

    /// Whether the key holds anything. A key that does not, and is never read, may belong to another
    /// kind of this table: it is not suggested here.
    pub(super) fn has(&self, key: &'static str) -> bool {
        if self.table.contains_key(key) {
            return self.ask(key).is_some();
        }
        self.findings.keys.borrow_mut().insert(join(&self.pattern, key));
        false
    }

    /// Notes that the value of `key` is not as it must be.
    pub(super) fn refuse(&self, key: &str, reason: impl Into<String>) {
        let value = self.table.get(key);
        let is_table = matches!(value.map(|value| &value.kind), Some(ValueKind::Table(_)));
        // What nobody set is blamed on the table it is missing from.
        let origin = match value {
            Some(value) => origin(value),
            None => first_origin(self.table),
        };
        self.findings.problems.borrow_mut().push(Problem {
            key: join(&self.path, key),
            value: value.filter(|_| !is_table).map(|value| shown(&self.path, key, value)),
            origin,
            reason: reason.into(),
            nearest: None,
        });
    }

    /// Notes that the word of `key` is none of those `known`, and which of them it may have been meant to be.
    pub(super) fn refuse_word<'w>(
        &self,
        key: &str,
        reason: impl Into<String>,
        word: &str,
        known: impl IntoIterator<Item = &'w str>,
    ) {
        self.refuse(key, reason);
        let nearest = nearest(word, known).map(|nearest| format!("{nearest:?}"));
        if let Some(problem) = self.findings.problems.borrow_mut().last_mut() {
            problem.nearest = nearest;
        }
    }

    /// Whether a problem with `key` is noted.
    pub(super) fn is_refused(&self, key: &str) -> bool {
        let key = join(&self.path, key);
        self.findings.problems.borrow().iter().any(|problem| problem.key == key)
    }

    /// Whether all of this table is as shipped.
    pub(super) fn is_all_shipped(&self) -> bool {
        self.table.values().all(is_shipped)
    }

    /// Whether all that the key holds is as shipped.
    pub(super) fn is_shipped(&self, key: &'static str) -> bool {
        self.ask(key).is_some_and(is_shipped)
    }

    /// A table inside this one; an empty one when it is missing.
    pub(super) fn section(&self, key: &'static str) -> Section<'a> {
        let value = self.ask(key);
        self.inner(key, key, value)
    }

    fn inner(&self, key: &str, pattern: &str, value: Option<&'a Value>) -> Section<'a> {
        let table = match value.map(|value| &value.kind) {
            Some(ValueKind::Table(table)) => table,
            None => &EMPTY,
            Some(_) => {
                self.refuse(key, format!("must be a table: [{}]", join(&self.path, key)));
                &EMPTY
            }
        };
        Section {
            findings: self.findings,
            path: join(&self.path, key),
            pattern: join(&self.pattern, pattern),
            table,
            asked: RefCell::default(),
        }
    }

    /// The tables inside the table `key`, by the name an operator gave each.
    pub(super) fn named(&self, key: &'static str) -> BTreeMap<String, Section<'a>> {
        let outer = self.section(key);
        let mut entries = BTreeMap::new();
        for (name, value) in outer.table {
            let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if name.is_empty() || name.len() > 64 || !name.bytes().all(letter) {
                outer.refuse(name, "a name is 1 to 64 of the characters a-z, 0-9 and -");
            }
            entries.insert(name.clone(), outer.inner(name, "NAME", Some(value)));
        }
        entries
    }

    /// A required key; `parse` returns `None` for what is not `allowed`.
    fn read<T>(
        &self,
        key: &'static str,
        allowed: &str,
        placeholder: T,
        parse: impl FnOnce(&'a ValueKind) -> Option<T>,
    ) -> T {
        let Some(value) = self.ask(key) else {
            self.refuse(key, format!("is missing: {allowed}"));
            return placeholder;
        };
        parse(&value.kind).unwrap_or_else(|| {
            self.refuse(key, format!("must be {allowed}"));
            placeholder
        })
    }

    /// `get` of a key that may be left out.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        get: impl FnOnce(&Self, &'static str) -> T,
    ) -> Option<T> {
        self.ask(key).is_some().then(|| get(self, key))
    }

    pub(super) fn flag(&self, key: &'static str) -> bool {
        self.read(key, "true or false", false, |kind| {
            if let ValueKind::Boolean(flag) = kind { Some(*flag) } else { None }
        })
    }

    pub(super) fn text(&self, key: &'static str) -> String {
        let text = |kind: &ValueKind| as_text(kind).filter(|t| !t.is_empty()).map(str::to_owned);
        self.read(key, "a text in quotes, not empty", String::new(), text)
    }

    pub(super) fn text_or_empty(&self, key: &'static str) -> String {
        self.read(key, "a text in quotes", String::new(), |kind| as_text(kind).map(str::to_owned))
    }

    pub(super) fn texts(&self, key: &'static str) -> Vec<String> {
        self.read(key, "a list of texts, such as [\"a\", \"b\"]", Vec::new(), |kind| {
            let ValueKind::Array(items) = kind else { return None };
            items.iter().map(|item| as_text(&item.kind).map(str::to_owned)).collect()
        })
    }

    pub(super) fn address(&self, key: &'static str) -> SocketAddr {
        let allowed = "an IP address and port, such as \"127.0.0.1:8080\" or \"[::1]:0\"; port 0 \
                       takes a free one";
        let placeholder = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        self.read(key, allowed, placeholder, |kind| as_text(kind)?.parse().ok())
    }

    pub(super) fn count(&self, key: &'static str, range: RangeInclusive<usize>) -> usize {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(key, &allowed, *range.start(), |kind| {
            let ValueKind::I64(number) = kind else { return None };
            usize::try_from(*number).ok().filter(|number| range.contains(number))
        })
    }

    pub(super) fn duration(&self, key: &'static str, range: RangeInclusive<Duration>) -> Duration {
        let allowed = format!(
            "a duration from {} to {}: a whole number and one of ms, s, m, h, d, such as \"30s\"",
            units::show_duration(*range.start()),
            units::show_duration(*range.end()),
        );
        self.read(key, &allowed, *range.start(), |kind| {
            units::duration(as_text(kind)?).filter(|duration| range.contains(duration))
        })
    }

    pub(super) fn size(&self, key: &'static str, range: RangeInclusive<u64>) -> u64 {
        let allowed = format!(
            "a size from {} to {}: a whole number and one of B, KiB, MiB, GiB, TiB, such as \
             \"4MiB\"",
            units::show_size(*range.start()),
            units::show_size(*range.end()),
        );
        self.read(key, &allowed, *range.start(), |kind| {
            units::size(as_text(kind)?).filter(|size| range.contains(size))
        })
    }

    /// One of a closed set of words; the first is the placeholder.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> T {
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        let allowed = format!("one of {}", words.join(", "));
        let Some(word) = self.ask(key).and_then(|value| as_text(&value.kind)) else {
            return self.read(key, &allowed, choices[0].1, |_| None);
        };
        if let Some((_, choice)) = choices.iter().find(|(known, _)| *known == word) {
            return *choice;
        }
        let known = choices.iter().map(|(known, _)| *known);
        self.refuse_word(key, format!("must be {allowed}"), word, known);
        choices[0].1
    }

    /// The tables in the list `key`; none when it is missing. Those who read one finish it.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.ask(key) else { return Vec::new() };
        let (path, pattern) = (join(&self.path, key), join(&self.pattern, key));
        let ValueKind::Array(items) = &value.kind else {
            self.refuse(key, format!("must be a list of tables: [[{path}]]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let ValueKind::Table(table) = &item.kind else {
                self.refuse(key, format!("must be a list of tables: [[{path}]]"));
                return Vec::new();
            };
            tables.push(Section {
                findings: self.findings,
                path: format!("{path}[{index}]"),
                pattern: pattern.clone(),
                table,
                asked: RefCell::default(),
            });
        }
        tables
    }

    /// A value of any shape.
    pub(super) fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.ask(key)
    }

    /// A table of any shape.
    pub(super) fn free(&self, key: &'static str) -> Option<&'a Value> {
        let value = self.ask(key)?;
        if !matches!(value.kind, ValueKind::Table(_)) {
            self.refuse(key, format!("must be a table: [{}]", join(&self.path, key)));
            return None;
        }
        Some(value)
    }

    /// Notes every key nobody asked for. To be called when all that can be in it were asked for.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for key in self.table.keys().filter(|key| !asked.contains(&key.as_str())) {
            let known: Vec<String> = asked.iter().map(|known| (*known).to_owned()).collect();
            let nearest = nearest(key, asked.iter().copied());
            let place = if self.path.is_empty() { "here" } else { &self.path };
            self.refuse(key, format!("is not known; {place} has {}", known.join(", ")));
            if let Some(problem) = self.findings.problems.borrow_mut().last_mut() {
                problem.nearest = nearest.map(|nearest| join(&self.path, nearest));
            }
        }
    }
}

fn as_text(kind: &ValueKind) -> Option<&str> {
    if let ValueKind::String(text) = kind { Some(text) } else { None }
}
