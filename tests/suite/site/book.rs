//! The book as HTML, as `mdbook build docs` makes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::{files, root, text};
use crate::clients::{KEPT, run};

const VERSION: &str = "0.5.4";

/// `mdbook`, built the first time, which takes some two minutes of one core. As a library it would be 48 crates among
/// those of the daemon.
static MDBOOK: LazyLock<PathBuf> = LazyLock::new(|| {
    let place = Path::new(KEPT).join(format!("mdbook-{VERSION}"));
    let program = place.join("bin/mdbook");
    if !program.exists() {
        let target = place.join("target");
        let mut nice = Command::new("nice");
        nice.args(["-n", "19", env!("CARGO"), "install", "mdbook", "--locked", "--debug"])
            .args(["--version", VERSION, "--no-default-features", "--features", "search"])
            .arg("--root")
            .arg(&place)
            .arg("--target-dir")
            .arg(&target);
        run(&mut nice);
        std::fs::remove_dir_all(target).unwrap();
    }
    program
});

/// The book, in `target/book`, and what was said of it.
static BOOK: LazyLock<(PathBuf, String)> = LazyLock::new(|| {
    let place = Path::new(KEPT).parent().unwrap().join("book");
    let mut build = Command::new(&*MDBOOK);
    build.args(["build", "docs", "--dest-dir"]).arg(&place).current_dir(root());
    let said = run(&mut build);
    (place, said)
});

/// The values of these attributes in a page of HTML, as mdbook writes it.
fn attributes<'a>(html: &'a str, names: &[&str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        let parts = html.split(&format!(" {name}=\"")).skip(1).collect::<Vec<_>>();
        found.extend(parts.into_iter().map(|part| part.split('"').next().unwrap()));
    }
    found
}

/// The pages of the book, but for the one that has all of them.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut folders = vec![BOOK.0.clone()];
    let mut pages = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "html") {
                let page = text(&path);
                pages.insert(path, page);
            }
        }
    }
    pages.retain(|path, _| !["print.html", "toc.html"].iter().any(|name| path.ends_with(name)));
    assert!(pages.len() >= 10, "{:?}", pages.keys());
    pages
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => assert!(plain.pop()),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                plain.push(component);
            }
        }
    }
    plain
}

#[test]
fn the_book_is_built_without_a_complaint_and_has_every_page() {
    let said = &BOOK.1;
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
    let summary = text(&root().join("docs/SUMMARY.md"));
    for page in files("docs", "md") {
        let name = page.strip_prefix(root().join("docs")).unwrap().to_str().unwrap();
        let built = BOOK.0.join(name).with_extension("html");
        assert!(
            name == "SUMMARY.md" || summary.contains(&format!("({name})")),
            "{name} is not in SUMMARY.md"
        );
        assert!(name == "SUMMARY.md" || built.exists(), "{}", built.display());
    }
}

#[test]
fn the_book_needs_nothing_from_elsewhere() {
    for (path, page) in pages() {
        let loaded = ["<link", "<script", "<img", "<iframe"].iter().flat_map(|tag| {
            let tags = page.split(tag).skip(1).map(|rest| rest.split('>').next().unwrap());
            tags.flat_map(|tag| attributes(tag, &["src", "href"])).collect::<Vec<_>>()
        });
        for resource in loaded {
            assert!(!resource.contains("//"), "{}: {resource}", path.display());
            let target = plain(&path.with_file_name(resource.split(['?', '#']).next().unwrap()));
            assert!(
                resource.starts_with("data:") || target.exists(),
                "{}: {resource}",
                path.display()
            );
        }
        assert!(!page.contains("{{#"), "{}: something was not included", path.display());
    }
    let mut folders = vec![BOOK.0.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "css") {
                let style = text(&path);
                for loaded in ["@import", "url(http", "url(\"http", "url('http", "url(//"] {
                    assert!(!style.contains(loaded), "{}: {loaded}", path.display());
                }
            }
        }
    }
}

#[test]
fn every_link_of_the_book_leads_to_a_page_and_a_place_of_it() {
    let pages = pages();
    let places: BTreeMap<&PathBuf, BTreeSet<&str>> = pages
        .iter()
        .map(|(path, page)| (path, attributes(page, &["id", "name"]).into_iter().collect()))
        .collect();
    let mut followed = 0;
    for (path, page) in &pages {
        let links = page.split("<a ").skip(1).map(|rest| rest.split('>').next().unwrap());
        for link in links.flat_map(|tag| {
            attributes(&format!(" {tag}"), &["href"])
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        }) {
            if link.starts_with("https://") || link.starts_with("http://") {
                continue;
            }
            let (target, place) = link.split_once('#').unwrap_or((&link, ""));
            let target = if target.is_empty() {
                path.clone()
            } else {
                plain(&path.with_file_name("x").parent().unwrap().join(target))
            };
            if target.ends_with("print.html") || target.ends_with("toc.html") {
                continue;
            }
            assert!(target.exists(), "{}: {link}", path.display());
            let there = place.is_empty() || places[&target].contains(place);
            assert!(there, "{}: {link} has no such place", path.display());
            followed += 1;
        }
    }
    assert!(followed > 100, "{followed}");
}
