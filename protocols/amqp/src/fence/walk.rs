//! A walk over encoded values, without reading them: the lengths are inside, the counts are true, nothing is too deep.
//!
//! `serde_amqp` takes each length for granted, fills as many bytes with zeros before it reads them, recurses for each
//! list inside a list, and subtracts without looking. After this walk all of that is safe: each value ends where it
//! says, inside what surrounds it. That the crate begins to read at no other place than a value's beginning, and stops
//! at a frame's end, is for [`shape`](super::shape) to see to.
//!
//! The walk takes its bytes in any number of pieces, keeps no copy, and so is made over a message while its frames
//! pass. Format codes: section 1.6 of the specification.

/// How deep values may lie in each other. Descriptors count: the crate recurses for them as well.
pub(super) const DEPTH: usize = 32;

/// What is wrong with an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Not a format code.
    #[error("there is no format code 0x{0:02x}")]
    Code(u8),
    /// A length that reaches out of what surrounds the value.
    #[error("a value reaches beyond the end of what it is in")]
    Length,
    /// The bytes end within a value.
    #[error("the bytes end within a value")]
    Truncated,
    /// A count that does not fit the bytes it is to count, or a map with a key and no value.
    #[error("a count and a size contradict each other")]
    Count,
    /// Values within values within values.
    #[error("values lie more than {DEPTH} deep in each other")]
    Depth,
    /// More values than allowed.
    #[error("more values than are allowed in one frame or message")]
    Items,
    /// An array of lists, maps, arrays or described values, or an empty one that names its type.
    #[error("an array of a kind that is not taken (format code 0x{0:02x})")]
    Array(u8),
    /// A descriptor is a ulong or a symbol.
    #[error("a descriptor of format code 0x{0:02x}; it is a ulong or a symbol")]
    Descriptor(u8),
}

/// What a value is inside of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A descriptor is next.
    Descriptor,
    /// The value that was described is next.
    Described,
    /// So many values are left, and the last ends here.
    Compound { left: u32, end: u64 },
    /// So many elements of variable length are left, whose lengths take so many bytes.
    Array { left: u32, end: u64, width: u8 },
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// The format code of a value.
    Code,
    /// What follows this code: length, or size and count.
    Head(u8),
    /// The format code of an array's elements.
    Element { count: u32, end: u64 },
    /// The length of an array's element.
    Length(u8),
    /// Bytes that mean nothing here.
    Content(u64),
}

/// The state of a walk between two pieces.
#[derive(Debug)]
pub(super) struct Walk {
    stack: [Kind; DEPTH],
    depth: usize,
    next: Next,
    /// Bytes of a head that came in pieces.
    partial: [u8; 8],
    held: usize,
    /// Bytes walked.
    position: u64,
    /// Where everything ends at the latest.
    limit: u64,
    items: u32,
}

impl Walk {
    /// A walk over at most `limit` bytes with at most `items` values in them.
    pub(super) fn new(limit: u64, items: u32) -> Self {
        Self {
            stack: [Kind::Descriptor; DEPTH],
            depth: 0,
            next: Next::Code,
            partial: [0; 8],
            held: 0,
            position: 0,
            limit,
            items,
        }
    }

    /// The first value of `bytes`, which must hold all of it: how many bytes it takes.
    pub(super) fn value(bytes: &[u8], items: u32) -> Result<usize, Fault> {
        let mut walk = Self::new(length(bytes), items);
        let count = walk.feed(bytes, true)?;
        walk.finish()?;
        if count == 0 { Err(Fault::Truncated) } else { Ok(count) }
    }

    /// All values of `bytes`.
    pub(super) fn values(bytes: &[u8], items: u32) -> Result<(), Fault> {
        let mut walk = Self::new(length(bytes), items);
        walk.feed(bytes, false)?;
        walk.finish()
    }

    /// Whether the walk stands between two values that are in nothing.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        if self.depth == 0 && matches!(self.next, Next::Code) {
            Ok(())
        } else {
            Err(Fault::Truncated)
        }
    }

    /// Goes on with `bytes`: to their end, or if `once` to the end of a value that is in nothing, if that comes
    /// first. How many bytes that took.
    pub(super) fn feed(&mut self, bytes: &[u8], once: bool) -> Result<usize, Fault> {
        let mut rest = bytes;
        loop {
            match self.next {
                Next::Code => {
                    let Some((&code, after)) = rest.split_first() else { break };
                    rest = after;
                    self.take(1)?;
                    self.items = self.items.checked_sub(1).ok_or(Fault::Items)?;
                    self.code(code)?;
                }
                Next::Head(code) => {
                    let Some(head) = self.head(&mut rest, head_width(code))? else { break };
                    self.opened(code, head)?;
                }
                Next::Element { count, end } => {
                    let Some((&code, after)) = rest.split_first() else { break };
                    rest = after;
                    self.take(1)?;
                    self.elements(code, count, end)?;
                }
                Next::Length(width) => {
                    let Some(head) = self.head(&mut rest, usize::from(width))? else { break };
                    self.content(number(head.get(..usize::from(width)).unwrap_or_default()))?;
                }
                Next::Content(left) => {
                    let skipped = length(rest).min(left);
                    let (_, after) = rest.split_at(usize::try_from(skipped).unwrap_or(rest.len()));
                    rest = after;
                    self.position += skipped;
                    self.next = Next::Content(left - skipped);
                    if skipped < left {
                        break;
                    }
                    self.ended()?;
                }
            }
            if once && self.depth == 0 && matches!(self.next, Next::Code) {
                break;
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// Where what surrounds the next bytes ends.
    fn end(&self) -> u64 {
        let around = self.stack.get(..self.depth).unwrap_or_default().iter().rev();
        let end = around.filter_map(|kind| match kind {
            Kind::Compound { end, .. } | Kind::Array { end, .. } => Some(*end),
            Kind::Descriptor | Kind::Described => None,
        });
        end.take(1).next().unwrap_or(self.limit)
    }

    fn take(&mut self, count: u64) -> Result<(), Fault> {
        self.position += count;
        if self.position > self.end() { Err(Fault::Length) } else { Ok(()) }
    }

    /// `width` bytes from the pieces, at the beginning of what is returned; none as long as they have not all come.
    fn head(&mut self, rest: &mut &[u8], width: usize) -> Result<Option<[u8; 8]>, Fault> {
        let count = (width - self.held).min(rest.len());
        let (piece, after) = rest.split_at(count);
        if let Some(room) = self.partial.get_mut(self.held..self.held + count) {
            room.copy_from_slice(piece);
        }
        *rest = after;
        self.held += count;
        if self.held < width {
            return Ok(None);
        }
        self.held = 0;
        self.take(length(self.partial.get(..width).unwrap_or_default()))?;
        Ok(Some(self.partial))
    }

    fn push(&mut self, kind: Kind) -> Result<(), Fault> {
        *self.stack.get_mut(self.depth).ok_or(Fault::Depth)? = kind;
        self.depth += 1;
        self.next = Next::Code;
        Ok(())
    }

    /// A value of this code begins.
    fn code(&mut self, code: u8) -> Result<(), Fault> {
        let described = self.depth.checked_sub(1).and_then(|top| self.stack.get(top));
        if matches!(described, Some(Kind::Descriptor))
            && !matches!(code, 0x44 | 0x53 | 0x80 | 0xa3 | 0xb3)
        {
            return Err(Fault::Descriptor(code));
        }
        if code == 0x00 {
            return self.push(Kind::Descriptor);
        }
        if head_width(code) > 0 {
            self.next = Next::Head(code);
            return Ok(());
        }
        self.content(fixed_width(code).ok_or(Fault::Code(code))?)
    }

    /// So many bytes of content follow.
    fn content(&mut self, count: u64) -> Result<(), Fault> {
        if self.position.saturating_add(count) > self.end() {
            return Err(Fault::Length);
        }
        if count == 0 {
            return self.ended();
        }
        self.next = Next::Content(count);
        Ok(())
    }

    /// The head of a value that has one was read.
    fn opened(&mut self, code: u8, head: [u8; 8]) -> Result<(), Fault> {
        let width = head_width(code);
        let head = head.get(..width).unwrap_or_default();
        if matches!(code, 0xa0..=0xbf) {
            return self.content(number(head));
        }
        let (size, count) = head.split_at(width / 2);
        // The size counts the count.
        let size = number(size).checked_sub(length(count)).ok_or(Fault::Count)?;
        let count = u32::try_from(number(count)).map_err(|_| Fault::Count)?;
        let end = self.position.saturating_add(size);
        if end > self.end() {
            return Err(Fault::Length);
        }
        match code {
            0xe0 | 0xf0 if count == 0 && size == 0 => self.ended(),
            0xe0 | 0xf0 => {
                self.next = Next::Element { count, end };
                Ok(())
            }
            _ if matches!(code, 0xc1 | 0xd1) && count % 2 == 1 => Err(Fault::Count),
            _ if u64::from(count) > size => Err(Fault::Count),
            _ if count == 0 && size > 0 => Err(Fault::Count),
            _ => {
                self.push(Kind::Compound { left: count, end })?;
                if count == 0 {
                    self.depth -= 1;
                    return self.ended();
                }
                Ok(())
            }
        }
    }

    /// An array has `count` elements of this code, which end at `end`.
    fn elements(&mut self, code: u8, count: u32, end: u64) -> Result<(), Fault> {
        // The crate forgets to read the code where there are no elements, and reads it as the next value.
        if count == 0 {
            return Err(Fault::Array(code));
        }
        self.items = self.items.checked_sub(count).ok_or(Fault::Items)?;
        let left = end.checked_sub(self.position).ok_or(Fault::Length)?;
        let width = match code {
            0xa0 | 0xa1 | 0xa3 => 1,
            0xb0 | 0xb1 | 0xb3 => 4,
            0x00 | 0x45 | 0xc0..=0xff => return Err(Fault::Array(code)),
            _ => {
                let width = fixed_width(code).ok_or(Fault::Code(code))?;
                if u64::from(count) * width != left {
                    return Err(Fault::Count);
                }
                return self.content(left);
            }
        };
        self.push(Kind::Array { left: count, end, width })?;
        self.next = Next::Length(width);
        Ok(())
    }

    /// A value has ended, and with it perhaps what it was in.
    fn ended(&mut self) -> Result<(), Fault> {
        self.next = Next::Code;
        loop {
            let Some(top) = self.depth.checked_sub(1) else { return Ok(()) };
            let Some(kind) = self.stack.get_mut(top) else { return Ok(()) };
            let end = match kind {
                Kind::Descriptor => {
                    *kind = Kind::Described;
                    return Ok(());
                }
                Kind::Described => None,
                Kind::Compound { left, end } => {
                    *left -= 1;
                    if *left > 0 {
                        return Ok(());
                    }
                    Some(*end)
                }
                Kind::Array { left, end, width } => {
                    *left -= 1;
                    if *left > 0 {
                        self.next = Next::Length(*width);
                        return Ok(());
                    }
                    Some(*end)
                }
            };
            if end.is_some_and(|end| end != self.position) {
                return Err(Fault::Count);
            }
            self.depth = top;
        }
    }
}

/// The bytes that follow a format code and say how long the value is, or how long and how many.
fn head_width(code: u8) -> usize {
    match code {
        0xa0 | 0xa1 | 0xa3 => 1,
        0xb0 | 0xb1 | 0xb3 => 4,
        0xc0 | 0xc1 | 0xe0 => 2,
        0xd0 | 0xd1 | 0xf0 => 8,
        _ => 0,
    }
}

/// The bytes of a value whose code says how many it has.
pub(super) fn fixed_width(code: u8) -> Option<u64> {
    match code {
        0x40..=0x45 => Some(0),
        0x50..=0x56 => Some(1),
        0x60 | 0x61 => Some(2),
        0x70..=0x74 => Some(4),
        0x80..=0x84 => Some(8),
        0x94 | 0x98 => Some(16),
        _ => None,
    }
}

/// Bytes in network order.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
