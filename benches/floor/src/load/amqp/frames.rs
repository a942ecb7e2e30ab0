//! Frames as they are read: as much of them as matters.

use anyhow::{Context as _, bail};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::SILENCE;

#[derive(Debug)]
pub(super) enum Frame {
    Attach,
    /// How many deliveries the server takes in all, where that is told of the link of requests.
    Flow {
        limit: Option<u64>,
    },
    /// A whole message, its length, and the status code in it.
    Transfer {
        delivery: u32,
        settled: bool,
        bytes: usize,
        code: Option<i32>,
    },
    /// Detach, end or close.
    End(Vec<u8>),
    Other,
}

/// What was read and not yet looked at.
#[derive(Default)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    at: usize,
}

impl Frames {
    /// Whether a whole frame is there already.
    pub(super) fn has_next(&self) -> bool {
        self.size().is_some_and(|size| self.buffer.len() - self.at >= size)
    }

    fn size(&self) -> Option<usize> {
        let rest = self.buffer.get(self.at..)?;
        let bytes = rest.get(..4)?.try_into().ok()?;
        // The protocol header is as long as an empty frame.
        if rest.starts_with(b"AMQP") {
            Some(8)
        } else {
            usize::try_from(u32::from_be_bytes(bytes)).ok()
        }
    }

    pub(super) async fn next(&mut self, stream: &mut TcpStream) -> anyhow::Result<Frame> {
        while !self.has_next() {
            if self.at > 0 {
                self.buffer.drain(..self.at);
                self.at = 0;
            }
            let read = timeout(SILENCE, stream.read_buf(&mut self.buffer)).await;
            if read.context("the server is silent")?? == 0 {
                bail!("the server hung up");
            }
        }
        let size = self.size().context("no frame")?;
        let frame = self.buffer.get(self.at..self.at + size).context("no frame")?;
        self.at += size;
        read(frame).context("a frame that is not understood")
    }
}

fn read(frame: &[u8]) -> Option<Frame> {
    if frame.starts_with(b"AMQP") {
        return Some(Frame::Other);
    }
    let body = frame.get(usize::from(*frame.get(4)?) * 4..)?;
    let Some(code) = body.get(2) else { return Some(Frame::Other) };
    Some(match code {
        0x12 => Frame::Attach,
        0x13 => {
            let (fields, _) = fields(body.get(3..)?)?;
            // A flow of the session has no link.
            let field = |at: usize| fields.get(at).and_then(|field| number(field));
            let of_requests = field(4) == Some(0);
            let (count, credit) = (field(5).unwrap_or(0), field(6).unwrap_or(0));
            Frame::Flow { limit: of_requests.then_some(count + credit) }
        }
        0x14 => {
            let (fields, message) = fields(body.get(3..)?)?;
            let settled = fields.get(4).is_some_and(|field| matches!(field, [0x41] | [0x56, 1]));
            let more = fields.get(5).is_some_and(|field| matches!(field, [0x41] | [0x56, 1]));
            if more {
                return None;
            }
            let delivery = u32::try_from(number(fields.get(1)?)?).ok()?;
            Frame::Transfer { delivery, settled, bytes: message.len(), code: status(message) }
        }
        0x16..=0x18 => Frame::End(body.to_vec()),
        _ => Frame::Other,
    })
}

/// The number behind the first `statusCode`; an int, in either of its encodings.
fn status(message: &[u8]) -> Option<i32> {
    const NAME: &[u8] = b"statusCode";
    let at = message.windows(NAME.len()).position(|window| window == NAME)?;
    match message.get(at + NAME.len()..)? {
        [0x71, a, b, c, d, ..] => Some(i32::from_be_bytes([*a, *b, *c, *d])),
        [0x54, small, ..] => Some(i32::from(*small)),
        _ => None,
    }
}

/// The fields of a list, each with its constructor, and what follows it.
fn fields(list: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let wide = |at: usize| {
        usize::try_from(u32::from_be_bytes(list.get(at..at + 4)?.try_into().ok()?)).ok()
    };
    let (header, size, count) = match list {
        [0x45, ..] => return Some((Vec::new(), list.get(1..)?)),
        [0xc0, size, count, ..] => (3, usize::from(*size) - 1, usize::from(*count)),
        [0xd0, ..] => (9, wide(1)? - 4, wide(5)?),
        _ => return None,
    };
    let mut rest = list.get(header..header + size)?;
    let mut fields = Vec::with_capacity(count);
    for _ in 0..count {
        let length = length(rest)?;
        fields.push(rest.get(..length)?);
        rest = rest.get(length..)?;
    }
    Some((fields, list.get(header + size..)?))
}

/// The bytes that a value takes, with its constructor.
fn length(value: &[u8]) -> Option<usize> {
    let code = *value.first()?;
    Some(match code >> 4 {
        0 => {
            let descriptor = length(value.get(1..)?)?;
            1 + descriptor + length(value.get(1 + descriptor..)?)?
        }
        4 => 1,
        5 => 2,
        6 => 3,
        7 => 5,
        8 => 9,
        9 => 17,
        0xa | 0xc | 0xe => 2 + usize::from(*value.get(1)?),
        _ => 5 + usize::try_from(u32::from_be_bytes(value.get(1..5)?.try_into().ok()?)).ok()?,
    })
}

fn number(value: &[u8]) -> Option<u64> {
    match value {
        [0x43] => Some(0),
        [0x52, small] => Some(u64::from(*small)),
        [0x70, rest @ ..] => Some(u64::from(u32::from_be_bytes(rest.try_into().ok()?))),
        _ => None,
    }
}
