//! What is wrong with a configuration, said so that it can be put right without a manual.

use std::fmt;

/// One thing wrong: which key, what it holds, where that came from, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The dotted path of the key; empty when it is about a source as a whole.
    pub key: String,
    /// The value found, as TOML; `None` when there is none.
    pub value: Option<String>,
    /// Where the value came from: `FILE:LINE`, `environment variable NAME`, `--set` or `default`;
    /// `None` when nothing set it.
    pub origin: Option<String>,
    /// What is wrong, and what is allowed instead.
    pub reason: String,
    /// The known key closest to an unknown one.
    pub nearest: Option<String>,
}

impl Problem {
    /// A problem with a source as a whole.
    pub(super) fn with_source(origin: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            key: String::new(),
            value: None,
            origin: Some(origin.into()),
            reason: reason.into(),
            nearest: None,
        }
    }
}

/// One line, whatever it quotes.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.as_ref().map(|value| format!(" = {value}")).unwrap_or_default();
        let origin = match &self.origin {
            Some(origin) if self.key.is_empty() => origin.clone(),
            Some(origin) => format!(" ({origin})"),
            None => String::new(),
        };
        let nearest = self.nearest.as_ref().map(|key| format!("; did you mean {key}?"));
        let nearest = nearest.unwrap_or_default();
        let line = format!("{}{value}{origin}: {}{nearest}", self.key, self.reason);
        f.write_str(&line.replace(char::is_control, " "))
    }
}

/// Everything wrong with a configuration, in the order of its keys. Never empty.
#[derive(Debug)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.key.cmp(&b.key));
        Self(problems)
    }

    /// Each problem.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            let line_break = if position == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The candidate that differs from `word` in the fewest letters, if few enough to be a slip.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let allowed = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove, replace or swap with their neighbour to turn one word into the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    // Rows of the table of distances between prefixes: two back, one back, and the current one.
    let mut older: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let replaced = last[j] + usize::from(a != b);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(older[j - 1] + 1);
            }
            row.push(least);
        }
        older = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_key_and_another_word_does_not() {
        let keys = ["listen", "allow_plaintext", "connections"];
        assert_eq!(nearest("lisen", keys), Some("listen"));
        assert_eq!(nearest("litsen", keys), Some("listen"));
        assert_eq!(nearest("allow-plaintext", keys), Some("allow_plaintext"));
        assert_eq!(nearest("body", keys), None);
    }

    #[test]
    fn a_swap_counts_once() {
        assert_eq!(distance("listen", "litsen"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
