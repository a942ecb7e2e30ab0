//! What is read: split into frames, judged one by one, and handed on.

use tokio::io::ReadBuf;

use super::inbound::Verdict;
use super::ledger::Ledger;
use super::shape;
use super::walk::number;
use super::{Opening, Refusal};

/// Bytes read at a time, at first; and most buffer a connection with nothing to read keeps.
const CHUNK: usize = 1024;

/// Bytes read at a time at most, where frames are small.
const LARGEST_CHUNK: usize = 64 * 1024;

/// Where in its life a connection is, by what the peer has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A protocol header is next, of either protocol.
    Start,
    /// Frames of SASL, or AMQP's header.
    Sasl,
    /// Frames of AMQP.
    Amqp,
}

/// What there is of the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It was judged.
    Judged,
    /// Not all of it has come.
    Partial,
    /// It must not be judged before more has been written.
    Waits,
}

/// Bytes on their way from the stream.
#[derive(Debug)]
pub(super) struct Reading {
    phase: Phase,
    buffer: Vec<u8>,
    /// What was read and not handed on: `start..end` of `buffer`.
    start: usize,
    end: usize,
    /// Up to here it was judged.
    judged: usize,
    /// A frame in place of one that was in `buffer`, and what of it was handed on.
    other: Vec<u8>,
    handed: usize,
    /// Bytes the next frame needs to be whole.
    wanted: usize,
}

impl Reading {
    pub(super) fn new(head: &[u8]) -> Self {
        Self {
            phase: Phase::Start,
            buffer: head.to_vec(),
            start: 0,
            end: head.len(),
            judged: 0,
            other: Vec::new(),
            handed: 0,
            wanted: 8,
        }
    }

    /// The peer's protocol header, if it has all come and nothing was handed on.
    pub(super) fn opening(&self) -> Option<Opening> {
        let header = self.buffer.get(self.start..self.end)?.first_chunk::<8>()?;
        Some(Opening::of(*header))
    }

    /// Hands on what was judged.
    pub(super) fn hand(&mut self, into: &mut ReadBuf<'_>) {
        if !self.other.is_empty() {
            let rest = self.other.get(self.handed..).unwrap_or_default();
            let count = rest.len().min(into.remaining());
            into.put_slice(rest.get(..count).unwrap_or_default());
            self.handed += count;
            if self.handed == self.other.len() {
                self.other = Vec::new();
                self.handed = 0;
            }
        } else if let Some(rest) = self.buffer.get(self.start..self.judged) {
            let count = rest.len().min(into.remaining());
            into.put_slice(rest.get(..count).unwrap_or_default());
            self.start += count;
        }
    }

    /// Whether frames of SASL are read.
    pub(super) fn is_sasl(&self) -> bool {
        self.phase == Phase::Sasl
    }

    /// Whether there is something to hand on.
    pub(super) fn has_judged(&self) -> bool {
        self.judged > self.start || !self.other.is_empty()
    }

    /// Room for what the stream has next.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.judged = self.judged.saturating_sub(self.start);
            self.end -= self.start;
            self.start = 0;
        }
        let full = self.buffer.len() >= CHUNK && self.end == self.buffer.len();
        let more = if full { (4 * self.buffer.len()).min(LARGEST_CHUNK) } else { CHUNK };
        let size = self.buffer.len().max(self.wanted).max(more);
        if size > self.buffer.len() {
            self.buffer.resize(size, 0);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// So many bytes of [`Reading::room`] were filled.
    pub(super) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// Gives back buffer that an idle connection has no use for.
    pub(super) fn rest(&mut self) {
        if self.start == self.end && self.buffer.len() > CHUNK {
            self.buffer = Vec::new();
            self.start = 0;
            self.end = 0;
            self.judged = 0;
        }
    }

    /// Judges the next frame, for which all before it must have been handed on.
    pub(super) fn judge(&mut self, ledger: &mut Ledger) -> Result<Next, Refusal> {
        if let Some(due) = ledger.due.pop_front() {
            self.other = due;
            return Ok(Next::Judged);
        }
        self.judged = self.start;
        let Some(rest) = self.buffer.get_mut(self.start..self.end) else {
            return Ok(Next::Partial);
        };
        let header = match self.phase {
            Phase::Start => true,
            Phase::Sasl => rest.starts_with(b"AMQP"),
            Phase::Amqp => false,
        };
        self.wanted = 8;
        if header {
            let Some(header) = rest.first_chunk::<8>() else { return Ok(Next::Partial) };
            self.phase = match (Opening::of(*header), self.phase) {
                (Opening::Amqp, _) => Phase::Amqp,
                (Opening::Sasl, Phase::Start) => Phase::Sasl,
                _ => return Err(Refusal::Header),
            };
            self.judged = self.start + 8;
            return Ok(Next::Judged);
        }
        let Some(size) = rest.first_chunk::<4>().map(|size| u32::from_be_bytes(*size)) else {
            return Ok(Next::Partial);
        };
        if size < 8 {
            return Err(Refusal::FrameTooSmall { size });
        }
        let limits = &ledger.limits;
        let open = self.phase == Phase::Amqp && ledger.open_received;
        let limit = if open { limits.frame } else { limits.opening };
        if size > limit {
            return Err(Refusal::FrameTooLarge { size, limit });
        }
        self.wanted = usize::try_from(size).unwrap_or(usize::MAX);
        let Some(frame) = rest.get_mut(..self.wanted) else { return Ok(Next::Partial) };
        let extended = check_head(frame, size, self.phase)?;
        if extended > 0 {
            // The crate takes none: the head moves to where the body begins.
            frame.copy_within(..8, extended);
            self.start += extended;
        }
        let length = self.wanted - extended;
        let Some(frame) = self.buffer.get_mut(self.start..self.start + length) else {
            return Ok(Next::Partial);
        };
        if extended > 0 {
            let size = u32::try_from(length).unwrap_or(size);
            frame[..4].copy_from_slice(&size.to_be_bytes());
            frame[4] = 2;
        }
        self.judged = self.start;
        let verdict = if self.phase == Phase::Amqp {
            ledger.inbound(frame)?
        } else {
            shape::sasl(frame.get(8..).unwrap_or_default())?;
            Verdict::Pass
        };
        match verdict {
            Verdict::Pass => self.judged += length,
            Verdict::Replace(other) => {
                self.start += length;
                self.other = other;
            }
            Verdict::Hold => {
                self.start += length;
                self.judged = self.start;
                return Ok(Next::Judged);
            }
            Verdict::Wait => return Ok(Next::Waits),
        }
        Ok(Next::Judged)
    }
}

/// Checks data offset and type. How many bytes the head has beyond its eight.
fn check_head(frame: &[u8], size: u32, phase: Phase) -> Result<usize, Refusal> {
    let doff = frame.get(4).copied().unwrap_or(0);
    if doff < 2 || u32::from(doff) * 4 > size {
        return Err(Refusal::DataOffset { doff, size });
    }
    let found = frame.get(5).copied().unwrap_or(0);
    let expected = u8::from(phase == Phase::Sasl);
    if found != expected {
        return Err(Refusal::FrameType { found, expected });
    }
    usize::try_from(number(&[doff])).map(|words| words * 4 - 8).map_err(|_| Refusal::Header)
}
