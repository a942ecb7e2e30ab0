//! The book in `docs`: it can be built, what it links to and names is there, and what it says is what is.

mod book;
mod names;
mod quickstarts;
mod reference;
mod semantics;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The variable that has generated pages written anew.
const RENEW: &str = "OPGATE_RENEW_DOCS";
const RENEWING: &str = "OPGATE_RENEW_DOCS=1 cargo test --workspace --locked --test suite site";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files with this ending below a folder of the repository, in order.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Holds what a page says, between two lines if these are named, against what was found; or writes it there.
fn compare(page: &str, between: Option<&str>, found: &str) {
    // A page may have tables of several tests.
    static PAGES: Mutex<()> = Mutex::new(());
    let _one_at_a_time = PAGES.lock();
    let path = root().join(page);
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let wanted = match between {
        None => found.to_owned(),
        Some(name) => {
            let (begin, end) = (format!("<!-- found: {name} -->\n"), "<!-- end -->\n");
            let (before, rest) =
                committed.split_once(&begin).unwrap_or_else(|| panic!("{page} has no {begin}"));
            let (_, after) =
                rest.split_once(end).unwrap_or_else(|| panic!("{page}: no end of {begin}"));
            format!("{before}{begin}{found}{end}{after}")
        }
    };
    if std::env::var_os(RENEW).is_some_and(|set| !set.is_empty()) {
        std::fs::write(&path, wanted).unwrap();
    } else if wanted != committed {
        let name = format!("{}-{}", between.unwrap_or("all"), page.replace('/', "-"));
        let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&new, wanted).unwrap();
        panic!("{page} is not what was found, {}; to renew it: {RENEWING}", new.display());
    }
}
