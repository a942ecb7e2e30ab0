//! `config/opgate.toml`, read by the form in which it is written.

use std::fmt::Write as _;

/// Keys whose meaning is told together.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Each with its value in the file, and whether it is in effect: otherwise it stands behind a `#`.
    pub(super) keys: Vec<(String, String, bool)>,
    pub(super) meaning: String,
}

/// A section of the file.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// As it is in the file, with NAME for the name of a thing.
    pub(super) path: String,
    /// Whether it is a list of tables.
    pub(super) is_list: bool,
    /// Whether the name in the file is one that was given, not NAME.
    pub(super) is_named: bool,
    pub(super) prose: Vec<String>,
    pub(super) entries: Vec<Entry>,
    pub(super) notes: Vec<String>,
}

impl Section {
    /// What kind of backend it is about; none where it is about none, or about all.
    pub(super) fn kind(&self) -> Option<&str> {
        let keys = self.entries.iter().flat_map(|entry| &entry.keys);
        let mut kinds = keys.filter(|(key, _, _)| self.path == "backends.NAME" && key == "kind");
        kinds.next().map(|(_, value, _)| value.trim_matches('"'))
    }

    pub(super) fn title(&self) -> String {
        match self.kind() {
            Some(kind) => format!("{}: {kind}", self.path),
            None if self.path == "backends.NAME" => format!("{}: whatever calls others", self.path),
            None => self.path.clone(),
        }
    }
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// A value and the comment behind it.
fn value_and_comment(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let comment = text.find(|letter| {
        quoted ^= letter == '"';
        letter == '#' && !quoted
    });
    if let Some((value, comment)) = comment.map(|at| text.split_at(at)) {
        return (value.trim_end(), comment.trim_start_matches('#').trim());
    }
    (text.trim_end(), "")
}

/// The path in a header, and what stands behind it.
fn header(line: &str) -> Option<(bool, &str, &str)> {
    let (code, comment) = value_and_comment(line);
    let is_list = code.starts_with("[[");
    let path = code.strip_prefix('[')?.strip_suffix(']')?;
    let path = if is_list { path.strip_prefix('[')?.strip_suffix(']')? } else { path };
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    path.bytes().all(letter).then_some((is_list, path, comment))
}

/// The path with NAME for a name that somebody gave, and whether there was one.
fn named(path: &str) -> (String, bool) {
    let mut parts: Vec<&str> = path.split('.').collect();
    let at = match parts[..] {
        ["backends" | "routes", _, ..] => 1,
        ["oci", _, _, ..] => 2,
        _ => return (path.to_owned(), false),
    };
    let is_named = std::mem::replace(&mut parts[at], "NAME") != "NAME";
    (parts.join("."), is_named)
}

/// What stands before the first section, and the sections, without the routes that are shipped.
///
/// What is behind a `#` at the start of a line is read as if it were not. A comment on lines of its own is about the
/// header or the key that follows; one behind a header or a key is about that, and goes on on lines of `#  # text`.
/// A key without one is of the entry before it, as is one whose comment goes on with that one's sentence.
pub(super) fn parse(file: &str) -> (Vec<String>, Vec<Section>) {
    let mut sections: Vec<Section> = vec![Section::default()];
    let mut paragraphs: Vec<String> = Vec::new();
    // Whether the next line of a comment begins a paragraph.
    let mut fresh = true;
    // Whether a comment behind a key, and not one behind a header, goes on.
    let mut behind_key = false;
    for line in file.lines() {
        let (in_effect, code) = match line.strip_prefix('#') {
            Some(rest) => (false, rest.trim_start()),
            None => (true, line),
        };
        let section = sections.last_mut().unwrap();
        if let Some(more) = code.strip_prefix('#').filter(|_| !in_effect) {
            let last = section.entries.last_mut().filter(|_| behind_key);
            let prose = section.prose.last_mut();
            let text = last.map_or_else(|| prose.unwrap(), |entry| &mut entry.meaning);
            write!(text, " {}", more.trim()).unwrap();
        } else if code.is_empty() {
            // A comment that nothing follows at once is about the section.
            if in_effect {
                let to = if section.entries.is_empty() {
                    &mut section.prose
                } else {
                    &mut section.notes
                };
                to.append(&mut paragraphs);
            }
            fresh = true;
        } else if let Some((is_list, path, comment)) = header(code) {
            let (path, is_named) = named(path);
            let mut prose = std::mem::take(&mut paragraphs);
            if !comment.is_empty() {
                prose.push(comment.to_owned());
            }
            behind_key = false;
            sections.push(Section { path, is_list, is_named, prose, ..Section::default() });
        } else if let Some((key, rest)) = code.split_once(" = ").filter(|(key, _)| is_key(key)) {
            let (value, comment) = value_and_comment(rest);
            // What stands right above is about the key, what is before that about the section.
            let above = if comment.is_empty() || in_effect { paragraphs.pop() } else { None };
            let to =
                if section.entries.is_empty() { &mut section.prose } else { &mut section.notes };
            to.append(&mut paragraphs);
            let mut meaning = above.unwrap_or_default();
            if !comment.is_empty() {
                let gap = if meaning.is_empty() { "" } else { " " };
                write!(meaning, "{gap}{comment}").unwrap();
            }
            let key = (key.to_owned(), value.to_owned(), in_effect);
            let goes_on = |entry: &&mut Entry| {
                let word = meaning.split(' ').next().unwrap();
                let ends = entry.meaning.is_empty() || entry.meaning.ends_with('.');
                let joins = !ends && ["and", "but", "or"].contains(&word);
                meaning.is_empty() || entry.meaning.ends_with(',') || joins
            };
            if let Some(entry) = section.entries.last_mut().filter(goes_on) {
                entry.keys.push(key);
                let gap = if meaning.is_empty() || entry.meaning.is_empty() { "" } else { " " };
                write!(entry.meaning, "{gap}{meaning}").unwrap();
            } else {
                section.entries.push(Entry { keys: vec![key], meaning });
            }
            (fresh, behind_key) = (true, true);
        } else if !in_effect {
            if fresh || paragraphs.is_empty() {
                paragraphs.push(code.to_owned());
            } else {
                write!(paragraphs.last_mut().unwrap(), " {code}").unwrap();
            }
            fresh = false;
        }
    }
    // What a section's keys have in common stands above the first of them.
    let mut sections = sections.into_iter();
    let mut front = sections.next().unwrap();
    front.prose.append(&mut paragraphs);
    let shipped = |section: &Section| section.is_named && section.path.starts_with("routes.");
    (front.prose, sections.filter(|section| !shipped(section)).collect())
}

/// What a key is where it is left out, and the meaning without that.
pub(super) fn left_out(meaning: &str) -> (String, Option<String>) {
    let Some((before, rest)) = meaning.split_once("Left out: ") else {
        return (meaning.to_owned(), None);
    };
    let (default, after) = rest.split_once(". ").unwrap_or((rest.trim_end_matches('.'), ""));
    let meaning = format!("{} {after}", before.trim());
    (meaning.trim().to_owned(), Some(default.to_owned()))
}
