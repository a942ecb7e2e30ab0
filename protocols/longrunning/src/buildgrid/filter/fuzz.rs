//! The fuzz target of this language, here because it is not public. CONTRIBUTING.md says how to look
//! for longer than the second that a plain `cargo test` spends.

use super::Filter;
use crate::sample::operation;

/// Pieces of the language, one for each byte: random bytes hardly ever make a term.
const PIECES: [&str; 24] = [
    "&",
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    " ",
    "stage",
    "QUEUED",
    "name",
    "queued_time",
    "2026-01-02",
    "T03:04:05",
    "Z",
    "+01:00",
    "action_digest",
    "ab/12",
    "sort_order",
    "(desc)",
    "platform",
    "a:b",
    "tool_name",
    "é",
];

#[test]
fn any_text_is_read_or_refused_and_what_is_read_is_evaluated() {
    let subject = operation(None, None);
    bolero::check!().for_each(|bytes: &[u8]| {
        let pieces = bytes.iter().filter_map(|byte| PIECES.get(usize::from(byte % 24)));
        for text in [String::from_utf8_lossy(bytes).into_owned(), pieces.copied().collect()] {
            let Ok(filter) = Filter::parse(&text) else { continue };
            let passes = filter.passes(&subject);
            assert!(filter.early(&subject).is_none_or(|early| early == passes), "{text}");
            let place = filter.order().place(&subject);
            assert_eq!(filter.order().read(&place.write()), Some(place), "{text}");
        }
    });
}
