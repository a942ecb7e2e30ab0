//! `tests/COVERAGE.md`: which face in front of which backend has which feature, as the tests found it.
//!
//! Each backend's test fills the column of its own in every table, and compares the whole to what is committed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;

use super::cast::{BACKENDS, FRONTS};
use super::features::FEATURES;
use super::reasons::{FAILING, NOT_APPLICABLE};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/COVERAGE.md");
/// The variable that has the file written anew.
const RENEW: &str = "OPGATE_RENEW_COVERAGE";
const RENEWING: &str = "OPGATE_RENEW_COVERAGE=1 cargo test --workspace --test suite matrix";

/// What a cell is known by: feature, face, backend.
type Place = (String, String, String);

/// What became of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Passed,
    /// By which reason of [`NOT_APPLICABLE`], counted from 0.
    NotApplicable(usize),
    /// By which reason of [`FAILING`], counted from 0.
    Fails(usize),
}

impl Found {
    fn text(self) -> String {
        match self {
            Self::Passed => "yes".to_owned(),
            Self::NotApplicable(reason) => format!("– {}", reason + 1),
            Self::Fails(reason) => format!("**no** {}", letter(reason)),
        }
    }
}

fn letter(number: usize) -> char {
    char::from(b'a' + u8::try_from(number).unwrap())
}

/// Compares what a test found of its backend with the file, or writes it there.
pub(super) fn check(backend: &str, found: &[(&str, &str, Found)]) {
    static FILES: Mutex<()> = Mutex::new(());
    let _one_at_a_time = FILES.lock();
    let committed = std::fs::read_to_string(FILE).unwrap_or_default();
    let mut cells = read(&committed);
    cells.retain(|(_, _, of), _| of != backend);
    for (feature, front, found) in found {
        let place = ((*feature).to_owned(), (*front).to_owned(), backend.to_owned());
        cells.insert(place, found.text());
    }
    let text = written(&cells);
    if std::env::var_os(RENEW).is_some_and(|set| !set.is_empty()) {
        std::fs::write(FILE, text).unwrap();
    } else if text != committed {
        let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("COVERAGE-{backend}.md"));
        std::fs::write(&new, text).unwrap();
        panic!("{FILE} is not what was found, {}; to renew it: {RENEWING}", new.display());
    }
}

/// The cells of a file that [`written`] wrote.
fn read(text: &str) -> BTreeMap<Place, String> {
    let mut cells = BTreeMap::new();
    let (mut feature, mut backends) = (String::new(), Vec::new());
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut feature);
        }
        let Some(row) = line.strip_prefix("| ") else { continue };
        let mut row = row.trim_end_matches(" |").split(" | ").map(str::to_owned);
        let Some(front) = row.next() else { continue };
        if front == CORNER {
            backends = row.collect();
        } else {
            let places = backends.iter().map(|backend| {
                let front = front.clone();
                (feature.clone(), front, backend.clone())
            });
            cells.extend(places.zip(row));
        }
    }
    cells
}

/// What stands above the names of the faces.
const CORNER: &str = "face \\ backend";

fn written(cells: &BTreeMap<Place, String>) -> String {
    let mut text = format!(
        "# Coverage\n\n\
         Written by `tests/suite/matrix`, which compares it to what it finds; do not edit it. To renew it:\n\n\
         ```sh\n{RENEWING}\n```\n\n\
         Each operation is started, read, awaited and canceled by a vendor's client of the face, and carried out by a \
         server, handler or worker that is none of opgate's, with the daemon in between.\n\n\
         | face | its client |\n|---|---|\n"
    );
    for front in &FRONTS {
        writeln!(text, "| {} | {} |", front.name, front.client).unwrap();
    }
    text.push_str("\n| backend | who carries operations out |\n|---|---|\n");
    for backend in &BACKENDS {
        writeln!(text, "| {} | {} |", backend.name, backend.upstream).unwrap();
    }
    for feature in &FEATURES {
        write!(text, "\n## {}\n\n{}\n\n| {CORNER} |", feature.name, feature.what).unwrap();
        for backend in &BACKENDS {
            write!(text, " {} |", backend.name).unwrap();
        }
        writeln!(text, "\n|---|{}", "---|".repeat(BACKENDS.len())).unwrap();
        for front in &FRONTS {
            write!(text, "| {} |", front.name).unwrap();
            for backend in &BACKENDS {
                let place = (feature.name.into(), front.name.into(), backend.name.into());
                write!(text, " {} |", cells.get(&place).map_or("?", |cell| cell)).unwrap();
            }
            text.push('\n');
        }
    }
    text.push_str("\n## Not applicable\n\n");
    for (number, reason) in (1..).zip(NOT_APPLICABLE) {
        writeln!(text, "{number}. {}", reason.why).unwrap();
    }
    if !FAILING.is_empty() {
        text.push_str("\n## Missing\n\n");
        for (number, reason) in FAILING.iter().enumerate() {
            writeln!(text, "- {}: {}", letter(number), reason.why).unwrap();
        }
    }
    text
}
