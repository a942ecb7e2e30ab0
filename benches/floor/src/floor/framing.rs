//! HTTP/2 framing alone: the end of each request stream is answered with frames built at start.
//!
//! It decodes no headers and obeys no flow control, so it bounds from below what any HTTP/2 server costs.

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::operation::{Operation, framed};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
/// RFC 9113 section 4.1: 24 bits of length, type, flags, 31 bits of stream.
const HEAD: usize = 9;
/// Request bytes after which the connection's window is given back.
const GIVE_BACK: u32 = 16_384;
/// The largest frame taken in, RFC 9113's default for `SETTINGS_MAX_FRAME_SIZE`.
const FRAME: usize = 16_384;

pub(crate) async fn serve(listener: TcpListener, operation: &Operation) -> anyhow::Result<()> {
    let template = Template::new(&framed(operation)?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let template = template.clone();
        // A broken connection is the client's affair: the generator counts it.
        drop(tokio::spawn(async move { connection(stream, &template).await }));
    }
}

/// One whole reply, and where its stream number goes.
#[derive(Clone)]
struct Template {
    frames: Vec<u8>,
    streams: Vec<usize>,
}

impl Template {
    fn new(body: &[u8]) -> anyhow::Result<Self> {
        // RFC 7541: index 8 is `:status: 200`; a literal without indexing, name 31, is `content-type`.
        let mut headers = vec![0x88, 0x0f, 0x10, 16];
        headers.extend_from_slice(b"application/grpc");
        let mut trailers = vec![0x00, 11];
        trailers.extend_from_slice(b"grpc-status\x010");
        let mut template = Self { frames: Vec::new(), streams: Vec::new() };
        template.push(HEADERS, END_HEADERS, &headers)?;
        for chunk in body.chunks(FRAME) {
            template.push(DATA, 0, chunk)?;
        }
        template.push(HEADERS, END_HEADERS | END_STREAM, &trailers)?;
        Ok(template)
    }

    fn push(&mut self, kind: u8, flags: u8, payload: &[u8]) -> anyhow::Result<()> {
        self.streams.push(self.frames.len() + 5);
        Ok(frame(&mut self.frames, kind, flags, payload)?)
    }

    fn answer(&self, stream: [u8; 4], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.frames);
        for at in &self.streams {
            out[start + at..start + at + 4].copy_from_slice(&stream);
        }
    }
}

/// A frame of stream 0.
fn frame(
    out: &mut Vec<u8>,
    kind: u8,
    flags: u8,
    payload: &[u8],
) -> Result<(), std::num::TryFromIntError> {
    out.extend_from_slice(&u32::try_from(payload.len())?.to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags, 0, 0, 0, 0]);
    out.extend_from_slice(payload);
    Ok(())
}

async fn connection(mut stream: TcpStream, template: &Template) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BytesMut::with_capacity(64 * 1024);
    let mut out = Vec::with_capacity(64 * 1024);
    frame(&mut out, SETTINGS, 0, &[])?;
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    anyhow::ensure!(preface == PREFACE, "not an HTTP/2 client");
    let mut unacknowledged = 0;
    loop {
        while let Some(head) = input.first_chunk::<HEAD>().copied() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let end = HEAD + usize::try_from(length)?;
            anyhow::ensure!(end <= HEAD + FRAME, "frame of {length} bytes");
            if input.len() < end {
                break;
            }
            let [_, _, _, kind, flags, id @ ..] = head;
            match kind {
                HEADERS | DATA if flags & END_STREAM != 0 => template.answer(id, &mut out),
                SETTINGS if flags & ACK == 0 => frame(&mut out, SETTINGS, ACK, &[])?,
                PING if flags & ACK == 0 => frame(&mut out, PING, ACK, &input[HEAD..end])?,
                GOAWAY => return Ok(()),
                _ => {}
            }
            if kind == DATA {
                unacknowledged += length;
            }
            input.advance(end);
        }
        if unacknowledged >= GIVE_BACK {
            frame(&mut out, WINDOW_UPDATE, 0, &unacknowledged.to_be_bytes())?;
            unacknowledged = 0;
        }
        if !out.is_empty() {
            stream.write_all(&out).await?;
            out.clear();
        }
        input.reserve(FRAME);
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}
