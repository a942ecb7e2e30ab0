//! `docs/configuration.md`, made of `config/opgate.toml` and of what the daemon says of a wrong value.

mod file;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use opgate::settings::{Settings, Sources};

use self::file::{Section, left_out, parse};
use super::names::slug;
use super::{compare, root, text};

/// Tables with their keys and values.
type Tables = Vec<(String, Vec<(&'static str, &'static str)>)>;

/// What has to be there for a section to be looked at.
fn around(section: &Section) -> Tables {
    let (kind, endpoint) = match &*section.path {
        "routes.NAME.worker" => ("worker", None),
        "routes.NAME.nexus" => ("nexus", Some("http://127.0.0.1:1")),
        "routes.NAME.oci" => ("oci", Some("http://127.0.0.1:1")),
        "routes.NAME.amqp_call" | "routes.NAME.amqp_call.poll" => {
            ("amqp", Some("amqp://127.0.0.1:1"))
        }
        "routes.NAME.longrunning_call" => ("longrunning", Some("http://127.0.0.1:1")),
        "backends.NAME" => match section.kind() {
            Some("showcase") => ("showcase", None),
            Some("worker") => ("worker", None),
            Some("oci") => ("oci", None),
            Some("amqp") => ("amqp", None),
            Some("longrunning") => ("longrunning", None),
            _ => ("nexus", None),
        },
        _ => ("showcase", None),
    };
    let backend = [("kind", Some(kind)), ("concurrency", Some("1")), ("endpoint", endpoint)];
    let backend = backend.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let mut tables = vec![("backends.probe".to_owned(), backend)];
    if section.path.starts_with("routes.") {
        let route = vec![("service", "s"), ("operation", "o"), ("backend", "probe")];
        tables.push(("routes.probe".to_owned(), route));
    }
    tables
}

/// What the daemon says of a value that none of these keys of a section can have, by key; with these others beside.
fn refused(section: &Section, keys: &[&str], others: &[&str]) -> BTreeMap<String, String> {
    let path = section.path.replace("NAME", "probe");
    let mut tables = around(section);
    if !tables.iter().any(|(table, _)| *table == path) {
        tables.push((path.clone(), Vec::new()));
    }
    let mut file = String::new();
    for (table, there) in &tables {
        let is_it = *table == path;
        let header =
            if is_it && section.is_list { format!("[[{table}]]") } else { format!("[{table}]") };
        writeln!(file, "{header}").unwrap();
        for (key, value) in there.iter().filter(|(key, _)| !is_it || !keys.contains(key)) {
            let quote = if *key == "concurrency" { "" } else { "\"" };
            writeln!(file, "{key} = {quote}{value}{quote}").unwrap();
        }
        for key in keys.iter().filter(|_| is_it) {
            writeln!(file, "{key} = 0.5").unwrap();
        }
        for key in others.iter().filter(|_| is_it) {
            writeln!(file, "{key} = \"x\"").unwrap();
        }
    }
    let kept = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(kept.path(), file).unwrap();
    let sources = Sources { files: vec![kept.path().to_owned()], ..Sources::default() };
    let Err(problems) = Settings::load(&sources) else { return BTreeMap::new() };
    let prefix = if section.is_list { format!("{path}[0].") } else { format!("{path}.") };
    let reasons = problems.iter().filter_map(|problem| {
        let key = problem.key.strip_prefix(&prefix).filter(|key| keys.contains(key))?;
        Some((key.to_owned(), problem.reason.strip_prefix("must be ")?.to_owned()))
    });
    reasons.collect()
}

/// What each key of a section may be.
fn allowed(section: &Section) -> BTreeMap<String, String> {
    let keys = section.entries.iter().flat_map(|entry| &entry.keys).map(|(key, _, _)| &**key);
    // Without its kind nothing of a backend is looked at.
    let keys: Vec<&str> = keys.filter(|key| *key != "kind").collect();
    let mut found = refused(section, &keys, &[]);
    for entry in &section.entries {
        for (key, _, _) in &entry.keys {
            // Some may not stand beside another, some may not stand alone.
            let others = entry.keys.iter().map(|(key, _, _)| &**key).filter(|other| other != key);
            for others in [Vec::new(), others.collect()] {
                if keys.contains(&&**key) && !found.contains_key(key) {
                    found.extend(refused(section, &[key], &others));
                }
            }
        }
    }
    found
}

/// What stands before the first section, the sections, and what the keys of each may be.
type File = (Vec<String>, Vec<Section>, Vec<BTreeMap<String, String>>);

static FILE: LazyLock<File> = LazyLock::new(|| {
    let (front, sections) = parse(&text(&root().join("config/opgate.toml")));
    let allowed = sections.iter().map(allowed).collect();
    (front, sections, allowed)
});

/// What is allowed, in short.
fn short(allowed: &str) -> String {
    let allowed = allowed.split_once(": a whole number").map_or(allowed, |(short, _)| short);
    let allowed = allowed.split_once("; port 0").map_or(allowed, |(short, _)| short);
    match allowed {
        "a text in quotes, not empty" | "a text in quotes" => "a text".to_owned(),
        _ if allowed.starts_with("a list of texts") => "a list of texts".to_owned(),
        _ if allowed.starts_with("a table") => "a table".to_owned(),
        _ => coded(allowed),
    }
}

/// With values in quotes as code.
fn coded(text: &str) -> String {
    let parts = text.split('"').enumerate();
    parts
        .map(|(at, part)| match part {
            _ if at % 2 == 0 => part.to_owned(),
            // A phrase, or text that is code already.
            _ if part.contains(['`', ' ']) => format!("\"{part}\""),
            _ => format!("`\"{part}\"`"),
        })
        .collect()
}

/// Text for a page: what Markdown would take for something else is none, and a section that is named is linked to.
fn plain(text: &str, sections: &[Section]) -> String {
    let outside = |part: &str| {
        let mut part = part.replace('<', "&lt;").replace('*', "\\*").replace('_', "\\_");
        // Of several about one path there is no saying which is meant.
        for section in sections.iter().filter(|section| section.path != "backends.NAME") {
            let named = format!("[{}]", section.path.replace('_', "\\_"));
            part = part.replace(&named, &format!("{named}(#{})", slug(&section.title())));
        }
        part
    };
    let coded = coded(text);
    let parts = coded.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { format!("`{part}`") } else { outside(part) }).collect()
}

/// The same for a cell of a table.
fn cell(text: &str, sections: &[Section]) -> String {
    plain(text, sections).replace('|', "\\|")
}

fn table(section: &Section, allowed: &BTreeMap<String, String>, sections: &[Section]) -> String {
    // What is left out of a table that may be left out as a whole is as it stands in the file.
    let as_shown = section.prose.last().is_some_and(|prose| prose.contains("Left out: as "));
    let mut text = String::from("| key | is | default | meaning |\n|---|---|---|---|\n");
    for entry in &section.entries {
        let (meaning, default) = left_out(&entry.meaning);
        let lines = |of: &dyn Fn(&(String, String, bool)) -> String| {
            let mut lines: Vec<String> = entry.keys.iter().map(of).collect();
            lines.dedup();
            lines.join("<br>")
        };
        let keys = lines(&|(key, _, _)| format!("`{key}`"));
        let is = lines(&|(key, value, _)| match allowed.get(key) {
            Some(allowed) => short(allowed).replace('|', "\\|"),
            None if key == "kind" => format!("`{value}`"),
            None => "a value".to_owned(),
        });
        let default = lines(&|(key, value, in_effect)| match &default {
            _ if *in_effect && section.is_named => "to be given".to_owned(),
            _ if *in_effect => format!("`{value}`"),
            Some(default) => cell(default, sections),
            None if as_shown => format!("`{value}`"),
            None if entry.meaning.is_empty() && key != "kind" => String::new(),
            None => "to be given".to_owned(),
        });
        let meaning = cell(&meaning, sections);
        writeln!(text, "| {keys} | {is} | {default} | {meaning} |").unwrap();
    }
    text
}

fn page() -> String {
    let (front, sections, allowed) = &*FILE;
    let mut page = String::from(
        "# Configuration\n\n<!-- Made of config/opgate.toml by tests/suite/site; do not edit it. -->\n\n",
    );
    page += "Every key is in `config/opgate.toml`, which begins so:\n\n";
    let front: Vec<String> =
        front.iter().map(|text| format!("> {}\n", plain(text, sections))).collect();
    writeln!(page, "{}", front.join(">\n")).unwrap();
    page += "What a key may be is what the daemon says when it is not. What is said above a table is about all of it.\n";
    for (section, allowed) in sections.iter().zip(allowed) {
        let title = section.title();
        writeln!(page, "\n## {title}\n").unwrap();
        let (open, close) = if section.is_list { ("[[", "]]") } else { ("[", "]") };
        writeln!(page, "```toml\n{open}{}{close}\n```\n", section.path).unwrap();
        for paragraph in &section.prose {
            writeln!(page, "{}\n", plain(paragraph, sections)).unwrap();
        }
        if !section.entries.is_empty() {
            page += &table(section, allowed, sections);
        }
        for note in &section.notes {
            writeln!(page, "\n{}", plain(note, sections)).unwrap();
        }
    }
    let (settings, _) = Settings::load(&Sources::default()).unwrap();
    page += "\n## What is there by default\n\nThe shipped file has these routes, for trying clients:\n\n\
             | route | service | operation | backend |\n|---|---|---|---|\n";
    for (name, route) in &settings.routes {
        let (service, operation) = (route.kind.service(), route.kind.operation());
        writeln!(page, "| `{name}` | `{service}` | `{operation}` | `{}` |", route.backend).unwrap();
    }
    page
}

#[test]
fn the_configuration_reference_is_what_the_shipped_file_says() {
    compare("docs/configuration.md", None, &page());
}

#[test]
fn the_reference_has_every_key_with_what_is_allowed() {
    let (_, sections, allowed) = &*FILE;
    let (mut known, mut untold) = (Settings::keys(), Vec::new());
    for (section, allowed) in sections.iter().zip(allowed) {
        for (key, _, _) in section.entries.iter().flat_map(|entry| &entry.keys) {
            known.remove(&format!("{}.{key}", section.path));
            // These may have any value, or are looked at as a whole.
            let free = ["body", "input", "kind", "request"].contains(&&**key)
                || section.path.ends_with(".showcase");
            if !free && !allowed.contains_key(key) {
                untold.push(format!("{}: {key}", section.title()));
            }
        }
    }
    assert!(untold.is_empty(), "{untold:#?}");
    // What is left are sections.
    known.retain(|key| !sections.iter().any(|section| section.path.starts_with(key.as_str())));
    assert!(known.is_empty(), "{known:?}");
}
