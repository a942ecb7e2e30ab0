//! The quick starts come out as they stand in the book, from the first line to the last: `docs/tour.py`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{RENEW, files, root, text};
use crate::clients::{environment, run};
use crate::go;

/// The Python that a page is carried out with: with what it installs, if it does.
fn python(page: &Path) -> PathBuf {
    let text = text(page);
    let wanted = text.split("pip install -r tests/clients/").nth(1);
    wanted.map_or_else(
        || "python3".into(),
        |rest| environment(rest.lines().next().unwrap()).join("python"),
    )
}

/// What differs, but for ids, tokens and times, is in the message; `docs/tour.py --write` puts it right.
fn comes_out(name: &str) {
    let page = root().join("docs/quickstart").join(name);
    let mut tour = Command::new(python(&page));
    tour.arg(root().join("docs/tour.py")).arg(&page);
    let daemon = Path::new(env!("CARGO_BIN_EXE_opgate")).parent().unwrap().to_owned();
    go::offer(&mut tour, &daemon);
    if std::env::var_os(RENEW).is_some_and(|set| !set.is_empty()) {
        tour.arg("--write");
    }
    run(tour.env("PYTHONDONTWRITEBYTECODE", "1"));
}

#[test]
fn googles() {
    comes_out("google.md");
}

#[test]
fn ocis() {
    comes_out("oci.md");
}

#[test]
fn the_one_of_nexus() {
    comes_out("nexus.md");
}

#[test]
fn the_one_of_amqp() {
    comes_out("amqp.md");
}

#[test]
fn the_one_of_workers() {
    comes_out("workers.md");
}

#[test]
fn there_are_no_others_and_each_block_of_one_is_carried_out_or_comes_from_a_file_that_is() {
    let names: Vec<String> = files("docs/quickstart", "md")
        .iter()
        .map(|page| page.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["amqp.md", "google.md", "nexus.md", "oci.md", "workers.md"]);
    for page in files("docs/quickstart", "md") {
        let text = text(&page);
        let mut blocks = text.split("\n```").skip(1);
        while let (Some(block), Some(_after)) = (blocks.next(), blocks.next()) {
            let (kind, code) = block.split_once('\n').unwrap();
            let good = match kind {
                "console" => code.starts_with("$ "),
                "python" => code.starts_with(">>> ") || code.starts_with("{{#include "),
                "toml" | "go" => code.starts_with("{{#include "),
                // What is to be installed, and what no client of this repository has.
                _ => kind == "text",
            };
            assert!(good, "{}: {block}", page.display());
        }
    }
}
