//! The merged configuration as text: TOML for people, JSON for backends.

use std::collections::BTreeMap;
use std::fmt;

use config::{Value, ValueKind};

use super::sources::Table;

/// The configuration in effect, each value with where it came from. Shown as TOML that can be read
/// back with `--config`.
#[derive(Debug)]
pub struct Effective(pub(super) Table);

/// Every value by its dotted path.
pub(super) fn flat(table: &Table, path: &str, values: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{}", name(key));
        match &value.kind {
            ValueKind::Table(table) => flat(table, &path, values),
            ValueKind::Nil
            | ValueKind::Boolean(_)
            | ValueKind::I64(_)
            | ValueKind::I128(_)
            | ValueKind::U64(_)
            | ValueKind::U128(_)
            | ValueKind::Float(_)
            | ValueKind::String(_)
            | ValueKind::Array(_) => {
                values.insert(path, show(value));
            }
        }
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sections = Vec::new();
        collect(&self.0, "", &mut sections);
        for (position, (path, entries)) in sections.iter().enumerate() {
            let line_break = if position == 0 { "" } else { "\n" };
            writeln!(f, "{line_break}[{path}]")?;
            for (key, value) in entries {
                let origin = value.origin().unwrap_or("unknown");
                writeln!(f, "{} = {}  # {origin}", name(key), shown(path, key, value))?;
            }
        }
        Ok(())
    }
}

/// The sections that hold values of their own, with those values, by name.
fn collect<'a>(
    table: &'a Table,
    path: &str,
    sections: &mut Vec<(String, Vec<(&'a String, &'a Value)>)>,
) {
    let is_table = |value: &Value| matches!(value.kind, ValueKind::Table(_));
    let (inner, own): (Vec<_>, Vec<_>) =
        sorted(table).into_iter().partition(|(_, value)| is_table(value));
    if !own.is_empty() {
        sections.push((path.to_owned(), own));
    }
    for (key, value) in inner {
        if let ValueKind::Table(table) = &value.kind {
            let dot = if path.is_empty() { "" } else { "." };
            collect(table, &format!("{path}{dot}{}", name(key)), sections);
        }
    }
}

/// The entries by key: the table itself has no order.
fn sorted(table: &Table) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

/// A key, quoted where TOML wants it.
fn name(key: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !key.is_empty() && key.bytes().all(bare) { key.to_owned() } else { quote(key) }
}

fn quote(text: &str) -> String {
    let escaped = text.chars().map(|character| match character {
        '"' | '\\' => format!("\\{character}"),
        control if control.is_control() => format!("\\u{:04X}", u32::from(control)),
        other => other.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// What stands for a secret.
const HIDDEN: &str = "(not shown)";

/// A value as TOML, on one line; what nobody but its reader is to know is not shown.
pub(super) fn shown(path: &str, key: &str, value: &Value) -> String {
    let mut parts = path.split('.');
    let named = match parts.next() {
        Some("backends") => true,
        Some("callbacks") => parts.next() == Some("receivers"),
        Some("amqp") => parts.next() == Some("users"),
        _ => false,
    };
    if !named || parts.next().is_none() {
        return show(value);
    }
    match (parts.next(), parts.next(), key, &value.kind) {
        (None, _, "bearer" | "basic" | "headers" | "password", _) | (Some("headers"), None, ..) => {
            quote(HIDDEN)
        }
        (None, _, "endpoint" | "callback", ValueKind::String(url)) => quote(&public(url)),
        _ => show(value),
    }
}

/// A URL without what may be secret in it: a user, which is refused, and a query with a key.
fn public(url: &str) -> String {
    let (base, query) = match url.split_once('?') {
        Some((base, _)) => (base, format!("?{HIDDEN}")),
        None => (url, String::new()),
    };
    let (scheme, rest) = base.split_once("://").unwrap_or(("", base));
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    match authority.rsplit_once('@') {
        Some((user, _)) => {
            let host = rest.strip_prefix(user).unwrap_or_default();
            format!("{scheme}://{HIDDEN}{host}{query}")
        }
        None => format!("{base}{query}"),
    }
}

/// A value as TOML, on one line.
pub(super) fn show(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match &value.kind {
        ValueKind::String(text) => quote(text),
        ValueKind::Array(items) => format!("[{}]", list(items.iter().map(show).collect())),
        ValueKind::Table(table) => {
            let entry =
                |(key, value): (&String, &Value)| format!("{} = {}", name(key), show(value));
            format!("{{ {} }}", list(sorted(table).into_iter().map(entry).collect()))
        }
        ValueKind::Float(number) => format!("{number:?}"),
        ValueKind::Nil
        | ValueKind::Boolean(_)
        | ValueKind::I64(_)
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_) => value.to_string(),
    }
}

/// A value as JSON. The TOML it came from holds nothing JSON cannot say.
pub(super) fn json(value: &Value) -> serde_json::Value {
    match &value.kind {
        ValueKind::String(text) => text.as_str().into(),
        ValueKind::Boolean(flag) => (*flag).into(),
        ValueKind::I64(number) => (*number).into(),
        ValueKind::U64(number) => (*number).into(),
        ValueKind::Float(number) => (*number).into(),
        ValueKind::Array(items) => items.iter().map(json).collect(),
        ValueKind::Table(table) => {
            sorted(table).into_iter().map(|(key, value)| (key.clone(), json(value))).collect()
        }
        ValueKind::Nil | ValueKind::I128(_) | ValueKind::U128(_) => serde_json::Value::Null,
    }
}
