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
    /// What an unknown key, or a word, may have been meant to be.
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
