//! Texts with `*` for any run of characters.

/// What stands between the asterisks; one piece where there is none.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Vec<String>);

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self(text.split('*').map(str::to_owned).collect())
    }

    /// Whether the whole text is so.
    pub(super) fn is(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.0.as_slice() else {
            return self.0.first().is_some_and(|only| only == text);
        };
        let rest =
            text.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()));
        rest.is_some_and(|rest| in_order(middle, rest))
    }

    /// Whether a part of the text is so.
    pub(super) fn is_in(&self, text: &str) -> bool {
        in_order(&self.0, text)
    }
}

/// The earliest place for each piece leaves the most room for those that follow.
fn in_order(pieces: &[String], mut text: &str) -> bool {
    pieces.iter().all(|piece| {
        let found = text.split_once(piece.as_str());
        text = found.map_or(text, |(_, rest)| rest);
        found.is_some()
    })
}
