//! AMQP frames by hand, over a socket: for peers that no client library would be.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::process::PATIENCE;

/// A frame that was read.
#[derive(Debug)]
pub(super) struct Frame(Vec<u8>);

impl Frame {
    /// What it is, by the code of its descriptor: opgate writes those in one byte.
    pub(super) fn code(&self) -> u8 {
        self.0.get(10).copied().unwrap_or(0)
    }

    pub(super) fn body(&self) -> &[u8] {
        self.0.get(8..).unwrap_or_default()
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Frames(TcpStream);

impl Frames {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.0
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    pub(super) fn read_header(&mut self) {
        let mut header = [0; 8];
        self.0.read_exact(&mut header).unwrap();
        assert!(header.starts_with(b"AMQP"));
    }

    /// The next frame that is not empty; none at the end.
    pub(super) fn read(&mut self) -> Option<Frame> {
        loop {
            let mut size = [0; 4];
            self.0.read_exact(&mut size).ok()?;
            let mut frame = size.to_vec();
            frame.resize(usize::try_from(u32::from_be_bytes(size)).unwrap(), 0);
            self.0.read_exact(&mut frame[4..]).ok()?;
            if frame.len() > 8 {
                return Some(Frame(frame));
            }
        }
    }

    /// Reads on to a frame of this code.
    pub(super) fn until(&mut self, code: u8) {
        while self.read().expect("the connection has ended").code() != code {}
    }

    /// The last frame of the connection.
    pub(super) fn last(&mut self) -> Option<Frame> {
        std::iter::from_fn(|| self.read()).last()
    }

    /// Whatever comes to the end, which must come.
    pub(super) fn read_to_end(&mut self) {
        match self.0.read_to_end(&mut Vec::new()) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }
}

/// A frame of this body.
pub(super) fn frame(channel: u16, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap().to_be_bytes();
    [&size[..], &[2, 0], &channel.to_be_bytes(), body].concat()
}

/// A described list.
pub(super) fn list(code: u8, fields: &[&[u8]]) -> Vec<u8> {
    let fields_bytes = fields.concat();
    let size = u32::try_from(fields_bytes.len() + 4).unwrap().to_be_bytes();
    let count = u32::try_from(fields.len()).unwrap().to_be_bytes();
    [&[0x00, 0x53, code, 0xd0][..], &size, &count, &fields_bytes].concat()
}

fn text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0xb1][..], &length, text.as_bytes()].concat()
}

pub(super) fn uint(number: u32) -> Vec<u8> {
    [&[0x70][..], &number.to_be_bytes()].concat()
}

pub(super) const NULL: &[u8] = &[0x40];

pub(super) fn open(container: &str) -> Vec<u8> {
    frame(0, &list(0x10, &[&text(container)]))
}

pub(super) fn begin(channel: u16) -> Vec<u8> {
    frame(channel, &list(0x11, &[NULL, &uint(0), &uint(2048), &uint(2048)]))
}

/// Which end of a link a peer is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    Sender,
    Receiver,
}

/// A link to or from `$management`.
pub(super) fn attach(channel: u16, name: &str, handle: u32, role: Role) -> Vec<u8> {
    let node = text("$management");
    let source = list(0x28, &[&node]);
    let target = list(0x29, &[&node]);
    let role = match role {
        Role::Sender => [0x42],
        Role::Receiver => [0x41],
    };
    let fields: [&[u8]; 10] =
        [&text(name), &uint(handle), &role, NULL, NULL, &source, &target, NULL, NULL, &uint(0)];
    frame(channel, &list(0x12, &fields))
}

/// Credit for the link under this handle.
pub(super) fn flow(channel: u16, handle: u32, credit: u32) -> Vec<u8> {
    let fields: [&[u8]; 7] =
        [&uint(0), &uint(2048), &uint(0), &uint(2048), &uint(handle), &uint(0), &uint(credit)];
    frame(channel, &list(0x13, &fields))
}

/// A settled transfer on handle 0.
pub(super) fn transfer(channel: u16, id: u32, more: bool, payload: &[u8]) -> Vec<u8> {
    let tag = [&[0xa0, 4][..], &id.to_be_bytes()].concat();
    let more = if more { [0x41] } else { [0x42] };
    let transfer = list(0x14, &[&uint(0), &uint(id), &tag, &uint(0), &[0x41], &more]);
    frame(channel, &[transfer, payload.to_vec()].concat())
}

/// A management request, replied to on any link of its node.
pub(super) fn message(operation: &str, kind: &str, padding: &str) -> Vec<u8> {
    let entries = [
        text("operation"),
        text(operation),
        text("type"),
        text(kind),
        text("padding"),
        text(padding),
    ];
    let bytes = entries.concat();
    let size = u32::try_from(bytes.len() + 4).unwrap().to_be_bytes();
    let properties = [&[0x00, 0x53, 0x74, 0xd1][..], &size, &6_u32.to_be_bytes(), &bytes].concat();
    [properties, vec![0x00, 0x53, 0x77, 0x40]].concat()
}
