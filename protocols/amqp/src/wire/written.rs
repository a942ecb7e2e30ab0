//! Values written as AMQP has them (part 1.6 of the specification), in the shortest of their encodings, and put into
//! messages as they are: the crate writes each map and each list into memory of its own first, and copies it.

use serde::{Serialize, Serializer};

/// As what the crate's serializer knows a value that is written already (`serde_amqp::lazy::LazyValue`).
pub(crate) const LAZY_VALUE: &str = "__LAZY_VALUE";
/// Room for the head of a map or of a list: its constructor, its size and its count, both of four bytes.
const HEAD: usize = 9;
/// The same where both are of one byte.
const SHORT_HEAD: usize = 3;

/// Has a serializer of the crate write bytes that are a value already. It must be the last value of its message: the
/// crate's serializer takes a binary after it for another such.
pub(crate) fn raw<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_newtype_struct(LAZY_VALUE, &Bytes(bytes))
}

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

pub(crate) fn null(out: &mut Vec<u8>) {
    out.push(0x40);
}

pub(crate) fn boolean(is: bool, out: &mut Vec<u8>) {
    out.push(if is { 0x41 } else { 0x42 });
}

pub(crate) fn ushort(number: u16, out: &mut Vec<u8>) {
    out.push(0x60);
    out.extend(number.to_be_bytes());
}

pub(crate) fn uint(number: u32, out: &mut Vec<u8>) {
    match (number, u8::try_from(number)) {
        (0, _) => out.push(0x43),
        (_, Ok(byte)) => out.extend([0x52, byte]),
        (_, Err(_)) => {
            out.push(0x70);
            out.extend(number.to_be_bytes());
        }
    }
}

pub(crate) fn ulong(number: u64, out: &mut Vec<u8>) {
    match (number, u8::try_from(number)) {
        (0, _) => out.push(0x44),
        (_, Ok(byte)) => out.extend([0x53, byte]),
        (_, Err(_)) => {
            out.push(0x80);
            out.extend(number.to_be_bytes());
        }
    }
}

pub(crate) fn int(number: i32, out: &mut Vec<u8>) {
    if let Ok(byte) = i8::try_from(number) {
        out.push(0x54);
        out.extend(byte.to_be_bytes());
    } else {
        out.push(0x71);
        out.extend(number.to_be_bytes());
    }
}

/// Milliseconds since 1970.
pub(crate) fn timestamp(millis: i64, out: &mut Vec<u8>) {
    out.push(0x83);
    out.extend(millis.to_be_bytes());
}

pub(crate) fn text(text: &str, out: &mut Vec<u8>) {
    variable(0xa1, text.as_bytes(), out);
}

pub(crate) fn symbol(text: &str, out: &mut Vec<u8>) {
    variable(0xa3, text.as_bytes(), out);
}

pub(crate) fn binary(bytes: &[u8], out: &mut Vec<u8>) {
    variable(0xa0, bytes, out);
}

/// The constructor of the long form is 16 more.
fn variable(constructor: u8, bytes: &[u8], out: &mut Vec<u8>) {
    if let Ok(length) = u8::try_from(bytes.len()) {
        out.extend([constructor, length]);
    } else {
        // What is longer than that is refused long before it gets here.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        out.push(constructor + 0x10);
        out.extend(length.to_be_bytes());
    }
    out.extend_from_slice(bytes);
}

/// A list of what `items` writes and counts.
pub(crate) fn list(out: &mut Vec<u8>, items: impl FnOnce(&mut Vec<u8>) -> usize) {
    let start = out.len();
    compound(0xc0, out, items);
    if out.get(start..) == Some(&[0xc0, 1, 0]) {
        out.truncate(start);
        out.push(0x45);
    }
}

/// A map of the pairs that `pairs` writes and counts.
pub(crate) fn map(out: &mut Vec<u8>, pairs: impl FnOnce(&mut Vec<u8>) -> usize) {
    compound(0xc1, out, |out| 2 * pairs(out));
}

/// What `write` writes and counts, behind a head of sizes that are as short as they can be.
pub(crate) fn compound(
    constructor: u8,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> usize,
) {
    let start = out.len();
    out.resize(start + HEAD, 0);
    let count = write(out);
    let bytes = out.len() - start - HEAD;
    // Either size covers the count, too.
    if let (Ok(size), Ok(count)) = (u8::try_from(bytes + 1), u8::try_from(count)) {
        out.copy_within(start + HEAD.., start + SHORT_HEAD);
        out.truncate(start + SHORT_HEAD + bytes);
        put(out, start, &[constructor, size, count]);
    } else {
        let size = u32::try_from(bytes + 4).unwrap_or(u32::MAX);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        put(out, start, &[constructor + 0x10]);
        put(out, start + 1, &size.to_be_bytes());
        put(out, start + 5, &count.to_be_bytes());
    }
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
