//! Where a start stands in its caller's trace: W3C Trace Context, level 2
//! (<https://www.w3.org/TR/trace-context-2/>).
//!
//! opgate makes no spans. So it hands on what it was given, parent id included, to whoever carries an operation out and
//! whoever is told of its end: their spans hang on the caller's, and none between is missing. What is not valid is
//! left out, and never a reason to refuse what it came with.

use crate::limits;

/// The trace context of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// `traceparent`, in version 00.
    pub parent: Box<str>,
    /// `tracestate`; empty when there was none.
    pub state: Box<str>,
}

/// Most entries of a `tracestate` (3.3.1.1).
const STATE_ENTRIES: usize = 32;
/// Entries longer than this leave a `tracestate` first that is too long (3.3.1.5).
const STATE_ENTRY_BYTES: usize = 128;
/// Longest key, and longest value, of an entry (3.3.1.3).
const STATE_PART_BYTES: usize = 256;

impl Trace {
    /// The trace in a `traceparent` and the values of `tracestate`, in their order: several are one list. None where the
    /// parent is not valid. Of a list that is not, nothing is kept; of one longer than
    /// [`limits::TRACE_STATE_BYTES`], whole entries as far as they fit.
    pub fn of(parent: &str, states: &[&str]) -> Option<Self> {
        Some(Self { parent: read_parent(parent)?, state: read_state(&states.join(",")) })
    }
}

/// `version-trace-parent-flags` in lower-case hex (3.2.2). A later version may have more fields; of it is kept what
/// version 00 has, which is how whoever knows no later one is to hand it on.
fn read_parent(text: &str) -> Option<Box<str>> {
    let mut fields = text.split('-');
    let mut field = |length: usize| {
        fields.next().filter(|field| {
            let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            field.len() == length && field.bytes().all(hex)
        })
    };
    let (version, trace, parent, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
    if is_zero(trace) || is_zero(parent) {
        return None;
    }
    match version {
        "00" => fields.next().is_none().then(|| text.into()),
        "ff" => None,
        // Of its flags the one is known that says whether the caller may have recorded it.
        _ => {
            let recorded = u8::from_str_radix(flags, 16).ok()? & 1;
            Some(format!("00-{trace}-{parent}-{recorded:02x}").into())
        }
    }
}

fn read_state(list: &str) -> Box<str> {
    let blank = [' ', '\t'];
    let mut entries = Vec::new();
    for entry in list.split(',').map(|entry| entry.trim_matches(blank)) {
        // Those that say nothing are left over where several lists were joined.
        if entry.is_empty() {
            continue;
        }
        let Some((key, value)) = entry.split_once('=') else { return "".into() };
        let is_known = entries.iter().any(|(known, _)| *known == key);
        if !is_key(key) || !is_value(value) || is_known || entries.len() == STATE_ENTRIES {
            return "".into();
        }
        entries.push((key, entry));
    }
    let mut kept: Vec<&str> = entries.into_iter().map(|(_, entry)| entry).collect();
    if !kept.is_empty() && list.len() <= limits::TRACE_STATE_BYTES {
        return list.into();
    }
    if length(&kept) > limits::TRACE_STATE_BYTES {
        kept.retain(|entry| entry.len() <= STATE_ENTRY_BYTES);
    }
    while length(&kept) > limits::TRACE_STATE_BYTES {
        kept.pop();
    }
    kept.join(",").into()
}

/// How long a list of these is.
fn length(entries: &[&str]) -> usize {
    entries.iter().map(|entry| entry.len() + 1).sum::<usize>().saturating_sub(1)
}

fn is_key(key: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let other = |byte: u8| first(byte) || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@');
    key.len() <= STATE_PART_BYTES && key.bytes().next().is_some_and(first) && key.bytes().all(other)
}

/// Visible characters and blanks, but for `,` and `=`. It may not end in a blank, which is gone by now.
fn is_value(value: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b',' | b'=');
    (1..=STATE_PART_BYTES).contains(&value.len())
        && value.bytes().all(allowed)
        && !value.ends_with(' ')
}
