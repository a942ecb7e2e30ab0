//! What documents link to, and the files and items that they name, are there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::{files, root, text};

/// What is looked at of a document.
#[derive(Default)]
struct Page {
    links: Vec<String>,
    spans: Vec<String>,
    places: BTreeSet<String>,
}

/// The name of a heading in a link, as mdbook and GitHub make it.
pub(super) fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter.is_alphanumeric().then(|| letter.to_ascii_lowercase()),
    });
    kept.collect()
}

fn read(path: &Path) -> Page {
    let text = text(path);
    let mut page = Page::default();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
        if let Event::Code(said) | Event::Text(said) = &event
            && let Some(heading) = &mut heading
        {
            heading.push_str(said);
        }
        if let Event::Code(span) = &event {
            page.spans.push(span.to_string());
        } else if let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event
        {
            page.links.push(dest_url.into_string());
        } else if let Event::Start(Tag::Heading { .. }) = event {
            heading = Some(String::new());
        } else if let Event::End(TagEnd::Heading(_)) = event {
            let name = slug(&heading.take().unwrap());
            // The second of one name has a number.
            let twice = (1..).map(|number| format!("{name}-{number}"));
            let mut names = std::iter::once(name.clone()).chain(twice);
            page.places.extend(names.find(|name| !page.places.contains(name)));
        }
    }
    page
}

/// Every document of the repository.
fn documents() -> BTreeMap<PathBuf, Page> {
    let named = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "benches/README.md",
        "tests/COVERAGE.md",
    ];
    let mut all: Vec<PathBuf> = named.iter().map(|name| root().join(name)).collect();
    all.extend(files("docs", "md"));
    all.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let documents = documents();
    let mut followed = 0;
    for (path, page) in &documents {
        for link in &page.links {
            if link.starts_with("https://") || link.starts_with("http://") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let target = target.canonicalize();
            let target =
                target.unwrap_or_else(|error| panic!("{}: {link}: {error}", path.display()));
            if !place.is_empty() {
                let target =
                    documents.get(&target).unwrap_or_else(|| panic!("{}: {link}", path.display()));
                assert!(
                    target.places.contains(place),
                    "{}: {link} has no such place",
                    path.display()
                );
            }
            followed += 1;
        }
    }
    assert!(followed > 50, "{followed}");
}

/// Whether a span of code looks like a path of the repository: it begins with one of its folders.
fn is_path(span: &str) -> bool {
    let folders = ["benches", "config", "deploy", "docs", "gateway", "protocols", "tests"];
    let Some((folder, _)) = span.split_once('/') else { return false };
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    folders.contains(&folder) && span.bytes().all(letter)
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let mut found = 0;
    // What has been is in the change log.
    for (path, page) in documents().into_iter().filter(|(path, _)| !path.ends_with("CHANGELOG.md"))
    {
        for span in page.spans.iter().filter(|span| is_path(span)) {
            assert!(root().join(span).exists(), "{}: there is no {span}", path.display());
            found += 1;
        }
    }
    assert!(found > 50, "{found}");
}

/// The sources of each of our crates, by the name that code has for it.
fn sources() -> BTreeMap<String, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let name = package["name"].as_str().unwrap().replace('-', "_");
            let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
            let folder = folder.strip_prefix(root()).unwrap().to_str().unwrap();
            let folder = if folder.is_empty() { "gateway" } else { folder };
            (name, files(folder, "rs").iter().map(|file| text(file)).collect())
        })
        .collect()
}

/// Items are named as code names them: `opgate_bus::Backend`, `opgate_bus::Backend::admit`.
#[test]
fn every_item_that_a_document_names_is_there() {
    let sources = sources();
    let mut found = 0;
    for (path, page) in documents().into_iter().filter(|(path, _)| !path.ends_with("CHANGELOG.md"))
    {
        for span in
            page.spans.iter().filter(|span| span.starts_with("opgate_") && span.contains("::"))
        {
            let mut names = span.trim_end_matches("()").split("::");
            let of = names.next().unwrap();
            let source = sources
                .get(of)
                .unwrap_or_else(|| panic!("{}: {span}: no crate {of}", path.display()));
            for name in names {
                let words = source.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
                let there = words.into_iter().any(|word| word == name);
                assert!(there, "{}: {span}: {of} has no {name}", path.display());
            }
            found += 1;
        }
    }
    assert!(found > 20, "{found}");
}

#[test]
fn every_metric_that_a_document_names_is_there() {
    let catalogue = text(&root().join("gateway/telemetry/src/catalogue.rs"));
    let rules = text(&root().join("deploy/prometheus/rules/recording.yml"));
    let crates = sources();
    let mut found = 0;
    for (path, page) in documents().into_iter().filter(|(path, _)| !path.ends_with("CHANGELOG.md"))
    {
        for span in &page.spans {
            let name = span.split('{').next().unwrap();
            let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte == b':';
            let is_metric = name.starts_with("opgate_")
                && name.bytes().all(letter)
                && !crates.contains_key(name);
            if is_metric && !name.contains("::") {
                let there = catalogue.contains(&format!("\"{name}\"")) || rules.contains(name);
                assert!(there, "{}: there is no {name}", path.display());
                found += 1;
            }
        }
    }
    assert!(found > 10, "{found}");
}

/// Commands are named as they are given: `opgate ops get NAME`.
#[test]
fn every_command_that_a_document_names_is_there() {
    let mut commands: BTreeMap<Vec<String>, PathBuf> = BTreeMap::new();
    for (path, page) in documents().into_iter().filter(|(path, _)| !path.ends_with("CHANGELOG.md"))
    {
        for span in page.spans.iter().filter_map(|span| span.strip_prefix("opgate ")) {
            let words = span.split_whitespace();
            let words = words.take_while(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()));
            commands.insert(words.map(str::to_owned).collect(), path.clone());
        }
    }
    assert!(commands.len() > 15, "{commands:?}");
    for (words, path) in commands {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opgate"));
        let output = command.args(&words).arg("--help").env_clear().output().unwrap();
        assert!(
            output.status.success(),
            "{}: there is no opgate {}",
            path.display(),
            words.join(" ")
        );
    }
}
