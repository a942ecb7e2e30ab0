//! Fuzz targets of the filter language. A plain `cargo test` tries a second's worth of random bytes;
//! CONTRIBUTING.md says how to look for longer.

use opgate_core::filter::{BYTES, Filter, canonical};

#[test]
fn any_text_is_read_or_refused_and_what_is_read_prints_and_reads_back() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let Ok(read) = Filter::parse(&text) else { return };
        let printed = read.to_string();
        // Quotes may make it longer than a filter may be.
        if printed.len() <= BYTES {
            let again = Filter::parse(&printed).unwrap();
            assert_eq!(again.expr(), read.expr(), "{text} as {printed}");
        }
    });
}

/// The words and signs of the language, one for each byte: random bytes hardly ever make a term.
const WORDS: [&str; 32] = [
    " ",
    "AND",
    "OR",
    "NOT",
    "-",
    "(",
    ")",
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    ":",
    ".",
    "*",
    "\"",
    "'",
    "\\",
    "done",
    "true",
    "state",
    "RUNNING",
    "error",
    "code",
    "create_time",
    "2026-01-02T03:04:05Z",
    "progress",
    "percent",
    "1.5",
    "parent",
    "é",
];

#[test]
fn any_sequence_of_words_is_read_or_refused_and_bound_or_refused() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let words = bytes.iter().map(|byte| WORDS[usize::from(*byte) % WORDS.len()]);
        let text: String = words.collect();
        if let Ok(read) = Filter::parse(&text) {
            let printed = read.to_string();
            if printed.len() <= BYTES {
                assert_eq!(Filter::parse(&printed).unwrap().expr(), read.expr(), "{text}");
                assert_eq!(canonical(&text).is_ok(), canonical(&printed).is_ok(), "{text}");
            }
        }
    });
}
