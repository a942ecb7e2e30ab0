//! The fields of a performative, read without decoding it. For what a [`Walk`](super::walk::Walk) has been over.

use super::walk::{fixed_width, number};

/// What a frame carries. Codes and names: section 2.7 and 5.3 of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Performative {
    Open,
    Begin,
    Attach,
    Flow,
    Transfer,
    Disposition,
    Detach,
    End,
    Close,
}

impl Performative {
    fn of(descriptor: Field<'_>) -> Option<Self> {
        if let Some(symbol) = descriptor.text() {
            return Some(match symbol {
                b"amqp:open:list" => Self::Open,
                b"amqp:begin:list" => Self::Begin,
                b"amqp:attach:list" => Self::Attach,
                b"amqp:flow:list" => Self::Flow,
                b"amqp:transfer:list" => Self::Transfer,
                b"amqp:disposition:list" => Self::Disposition,
                b"amqp:detach:list" => Self::Detach,
                b"amqp:end:list" => Self::End,
                b"amqp:close:list" => Self::Close,
                _ => return None,
            });
        }
        Some(match number(descriptor.content()) {
            0x10 => Self::Open,
            0x11 => Self::Begin,
            0x12 => Self::Attach,
            0x13 => Self::Flow,
            0x14 => Self::Transfer,
            0x15 => Self::Disposition,
            0x16 => Self::Detach,
            0x17 => Self::End,
            0x18 => Self::Close,
            _ => return None,
        })
    }
}

/// How a delivery ended. Section 3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    Rejected,
    Released,
    Modified,
}

/// A field that does not hold what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wrong;

/// One value, where it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    /// Where its format code is, from the beginning of what was opened.
    pub(super) at: usize,
    /// All of it.
    pub(super) bytes: &'a [u8],
}

impl<'a> Field<'a> {
    fn code(self) -> u8 {
        self.bytes.first().copied().unwrap_or(0x40)
    }

    /// What follows the code, without a length.
    fn content(self) -> &'a [u8] {
        let skipped = match self.code() {
            0xa0..=0xaf => 2,
            0xb0..=0xbf => 5,
            _ => 1,
        };
        self.bytes.get(skipped..).unwrap_or_default()
    }

    /// The bytes of a string or a symbol.
    pub(super) fn text(self) -> Option<&'a [u8]> {
        matches!(self.code(), 0xa1 | 0xa3 | 0xb1 | 0xb3).then(|| self.content())
    }

    pub(super) fn binary(self) -> Result<&'a [u8], Wrong> {
        if matches!(self.code(), 0xa0 | 0xb0) { Ok(self.content()) } else { Err(Wrong) }
    }

    /// Whether it is described so.
    pub(super) fn is_described(self, code: u64, name: &[u8]) -> bool {
        let mut inside = Fields { bytes: self.bytes, list: 0, at: 1, left: 1 };
        let descriptor = inside.next();
        let same = descriptor.text().map(|text| text == name);
        self.code() == 0x00 && same.unwrap_or_else(|| number(descriptor.content()) == code)
    }

    pub(super) fn is_null(self) -> bool {
        self.code() == 0x40
    }

    pub(super) fn is_ubyte(self) -> bool {
        self.code() == 0x50
    }

    pub(super) fn is_string(self) -> bool {
        matches!(self.code(), 0xa1 | 0xb1)
    }

    pub(super) fn is_symbol(self) -> bool {
        matches!(self.code(), 0xa3 | 0xb3)
    }

    /// Whether it is an array of symbols. Of an empty one there is no telling.
    pub(super) fn is_symbols(self) -> bool {
        match self.bytes {
            [0xe0, _, 0] | [0xf0, _, _, _, _, 0, 0, 0, 0] => true,
            [0xe0, _, _, code, ..] | [0xf0, _, _, _, _, _, _, _, _, code, ..] => {
                matches!(code, 0xa3 | 0xb3)
            }
            _ => false,
        }
    }

    pub(super) fn uint(self) -> Result<Option<u32>, Wrong> {
        match self.code() {
            0x40 => Ok(None),
            0x43 | 0x52 | 0x70 => {
                u32::try_from(number(self.content())).map(Some).map_err(|_| Wrong)
            }
            _ => Err(Wrong),
        }
    }

    pub(super) fn ulong(self) -> Result<Option<u64>, Wrong> {
        match self.code() {
            0x40 => Ok(None),
            0x44 | 0x53 | 0x80 => Ok(Some(number(self.content()))),
            _ => Err(Wrong),
        }
    }

    pub(super) fn ushort(self) -> Result<Option<u16>, Wrong> {
        match self.code() {
            0x40 => Ok(None),
            0x60 => u16::try_from(number(self.content())).map(Some).map_err(|_| Wrong),
            _ => Err(Wrong),
        }
    }

    /// The outcome that a delivery state is; none for any other state.
    pub(super) fn outcome(self) -> Option<Outcome> {
        if self.code() != 0 {
            return None;
        }
        let mut fields = Fields { bytes: self.bytes, list: 0, at: 1, left: 1 };
        let descriptor = fields.next();
        Some(match (descriptor.text(), number(descriptor.content())) {
            (Some(b"amqp:accepted:list"), _) | (None, 0x24) => Outcome::Accepted,
            (Some(b"amqp:rejected:list"), _) | (None, 0x25) => Outcome::Rejected,
            (Some(b"amqp:released:list"), _) | (None, 0x26) => Outcome::Released,
            (Some(b"amqp:modified:list"), _) | (None, 0x27) => Outcome::Modified,
            (Some(_) | None, _) => return None,
        })
    }

    pub(super) fn boolean(self) -> Result<Option<bool>, Wrong> {
        match self.bytes {
            [0x40] | [] => Ok(None),
            [0x41] | [0x56, 1] => Ok(Some(true)),
            [0x42] | [0x56, 0] => Ok(Some(false)),
            _ => Err(Wrong),
        }
    }
}

/// The fields of a described list, one after the other. Those left out at the end are null.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    /// Where the list begins, behind its descriptor.
    list: usize,
    at: usize,
    left: u64,
}

impl<'a> Fields<'a> {
    /// Opens the performative that begins at `at`.
    pub(super) fn open(bytes: &'a [u8], at: usize) -> Option<(Performative, Self)> {
        let (descriptor, fields) = Self::described(bytes, at)?;
        Some((Performative::of(descriptor)?, fields))
    }

    /// Opens the described list that begins at `at`: its descriptor, and the fields.
    pub(super) fn described(bytes: &'a [u8], at: usize) -> Option<(Field<'a>, Self)> {
        if *bytes.get(at)? != 0x00 {
            return None;
        }
        let mut descriptor = Self { bytes, list: 0, at: at.checked_add(1)?, left: 1 };
        let field = descriptor.next();
        let at = descriptor.at;
        let (skipped, count) = match *bytes.get(at)? {
            0x45 => (1, 0),
            0xc0 => (3, number(bytes.get(at + 2..at + 3)?)),
            0xd0 => (9, number(bytes.get(at + 5..at + 9)?)),
            _ => return None,
        };
        Some((field, Self { bytes, list: at, at: at + skipped, left: count }))
    }

    /// Opens a map: keys and values in turn.
    pub(super) fn map(bytes: &'a [u8]) -> Option<Self> {
        let (at, left) = match *bytes.first()? {
            0xc1 => (3, number(bytes.get(2..3)?)),
            0xd1 => (9, number(bytes.get(5..9)?)),
            _ => return None,
        };
        Some(Self { bytes, list: 0, at, left })
    }

    /// The bytes from the next field to `end`.
    pub(super) fn until(&self, end: usize) -> &'a [u8] {
        self.bytes.get(self.at..end).unwrap_or_default()
    }

    /// How many are left.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Where the list begins.
    pub(super) fn list(&self) -> usize {
        self.list
    }

    /// Where the next one begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next field: null where there is none.
    pub(super) fn next(&mut self) -> Field<'a> {
        let at = self.at;
        let field = self.left.checked_sub(1).and_then(|left| {
            let rest = self.bytes.get(at..)?;
            let bytes = rest.get(..span(rest)?)?;
            self.left = left;
            Some(bytes)
        });
        let bytes = field.unwrap_or_default();
        self.at += bytes.len();
        Field { at, bytes }
    }

    /// Passes over some.
    pub(super) fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }
}

/// The length of the first value of `bytes`.
fn span(bytes: &[u8]) -> Option<usize> {
    let mut span = 0;
    // A descriptor, then what is described, which may be described again.
    let mut wanted = 1;
    while wanted > 0 {
        wanted -= 1;
        let rest = bytes.get(span..)?;
        let length = match *rest.first()? {
            0x00 => {
                wanted += 2;
                1
            }
            0xa0 | 0xa1 | 0xa3 | 0xc0 | 0xc1 | 0xe0 => 2 + u64::from(*rest.get(1)?),
            0xb0 | 0xb1 | 0xb3 | 0xd0 | 0xd1 | 0xf0 => 5 + number(rest.get(1..5)?),
            code => 1 + fixed_width(code)?,
        };
        span = span.checked_add(usize::try_from(length).ok()?)?;
    }
    (span <= bytes.len()).then_some(span)
}
