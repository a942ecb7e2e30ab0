//! A position in the text of a filter, and the smallest things that are read from it.

use super::expr::{Operator, Place};
use super::{Problem, quoted};

/// What no term begins with, outside quotes: the operators, and what is likely meant as one.
pub(super) const RESERVED: [&str; 6] = ["AND", "OR", "NOT", "and", "or", "not"];

/// Whether a character can stand in a word: a segment of a path, or a literal by itself.
pub(super) fn is_word(character: char) -> bool {
    !character.is_whitespace()
        && !matches!(character, '(' | ')' | ',' | '.' | ':' | '=' | '<' | '>' | '!' | '"' | '\'')
}

#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) const fn place(&self) -> Place {
        Place::new(self.at)
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Passes over blanks; whether there were any.
    pub(super) fn blanks(&mut self) -> bool {
        let before = self.at;
        self.at = self.text.len() - self.rest().trim_start().len();
        self.at > before
    }

    /// Passes over this sign, if it stands here.
    pub(super) fn take(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    /// The word that stands here; empty where none does.
    pub(super) fn word(&self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    /// Passes over this word, if it stands here, whole.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        self.word() == word && self.take(word)
    }

    /// An operator, after blanks; where there is none, nothing is passed over.
    pub(super) fn operator(&mut self) -> Option<Operator> {
        let before = self.at;
        self.blanks();
        let found = Operator::ALL.into_iter().find(|operator| self.take(operator.sign()));
        if found.is_none() {
            self.at = before;
        }
        found
    }

    /// A segment of a path: a string, or a word of at least one character.
    pub(super) fn segment(&mut self) -> Result<String, Problem> {
        if let Some(string) = self.string()? {
            return Ok(string);
        }
        let word = self.word();
        if word.is_empty() {
            let text = format!("a field or a value is expected, not {}", self.found());
            return Err(Problem::at(self.place(), text));
        }
        self.at += word.len();
        Ok(word.to_owned())
    }

    /// A value: a string, or a run up to a blank or a closing parenthesis.
    pub(super) fn value(&mut self) -> Result<String, Problem> {
        if let Some(string) = self.string()? {
            return Ok(string);
        }
        let rest = self.rest();
        let end = rest
            .find(|character: char| character.is_whitespace() || character == ')')
            .unwrap_or(rest.len());
        let run = rest.get(..end).unwrap_or_default();
        if run.is_empty() {
            let text = format!("a value is expected, not {}", self.found());
            return Err(Problem::at(self.place(), text));
        }
        let odd = run.char_indices().find(|(_, character)| {
            matches!(character, '(' | ',' | '=' | '<' | '>' | '!' | '"' | '\'')
        });
        match odd {
            None if matches!(run, "AND" | "OR" | "NOT") => {
                Err(Problem::at(self.place(), format!("a value is expected, not {run}")))
            }
            None => {
                self.at += run.len();
                Ok(run.to_owned())
            }
            Some((length, '(')) => {
                Err(function(self.place(), run.get(..length).unwrap_or_default()))
            }
            Some((length, odd)) => {
                let text = format!("a value with {} in it needs quotes", quoted(&odd.to_string()));
                Err(Problem::at(Place::new(self.at + length), text))
            }
        }
    }

    /// The string that begins here, if one does.
    fn string(&mut self) -> Result<Option<String>, Problem> {
        let Some(quote @ ('"' | '\'')) = self.peek() else { return Ok(None) };
        let mut string = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((index, character)) = characters.next() {
            if character == quote {
                self.at += index + 1;
                return Ok(Some(string));
            }
            let meant = match character {
                '\\' => match characters.next().map(|(_, escaped)| escaped) {
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    Some(escaped @ ('\\' | '"' | '\'')) => escaped,
                    Some(_) | None => {
                        let text =
                            "an unknown escape: a backslash stands before \", ', \\, n, r or t";
                        return Err(Problem::at(Place::new(self.at + index), text));
                    }
                },
                plain => plain,
            };
            string.push(meant);
        }
        Err(Problem::at(self.place(), "a string that does not end"))
    }

    /// What stands here, for a message.
    pub(super) fn found(&self) -> String {
        self.peek().map_or_else(|| "the end".to_owned(), |found| quoted(&found.to_string()))
    }
}

/// The refusal of a function.
pub(super) fn function(place: Place, name: &str) -> Problem {
    Problem::at(place, format!("function {}: functions are not supported", quoted(name)))
}
