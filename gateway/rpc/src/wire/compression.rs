//! Message compression: identity and gzip.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use opgate_core::{Error, ErrorKind};

use super::frame::too_large;

/// How the messages of one call are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    Identity,
    /// gzip, as HTTP has it.
    Gzip,
}

impl Compression {
    /// What we understand, as `grpc-accept-encoding` says it.
    pub const ACCEPTED: &str = "identity,gzip";

    /// From the value of `grpc-encoding`, if it was sent.
    pub fn parse(header: Option<&[u8]>) -> Result<Self, Error> {
        match header {
            None | Some(b"identity") => Ok(Self::Identity),
            Some(b"gzip") => Ok(Self::Gzip),
            Some(_) => Err(Error::new(
                ErrorKind::Unsupported,
                "this message compression is not offered: use identity or gzip",
            )),
        }
    }

    /// The message of a frame whose compressed flag is set, at most `bytes_max` long.
    pub fn decompress(self, compressed: &[u8], bytes_max: usize) -> Result<Bytes, Error> {
        if self == Self::Identity {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the message says it is compressed, and nothing says how",
            ));
        }
        let mut message = Vec::new();
        // Several members are one message. One byte more than allowed tells "too large" from "just fits".
        MultiGzDecoder::new(compressed)
            .take(bytes_max as u64 + 1)
            .read_to_end(&mut message)
            .map_err(|_| Error::new(ErrorKind::InvalidArgument, "the message is not valid gzip"))?;
        if message.len() > bytes_max { Err(too_large(bytes_max)) } else { Ok(message.into()) }
    }

    /// A message compressed with gzip.
    pub fn gzip(message: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        // Writing to memory does not fail.
        encoder.write_all(message).and_then(|()| encoder.finish()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_in_a_row_are_one_message() {
        let mut members = Compression::gzip(b"one ");
        members.extend(Compression::gzip(b"two"));
        assert_eq!(Compression::Gzip.decompress(&members, 7).unwrap(), "one two");
        let kind = |bytes: &[u8], bytes_max| {
            Compression::Gzip.decompress(bytes, bytes_max).unwrap_err().kind
        };
        assert_eq!(kind(&members, 6), ErrorKind::PayloadTooLarge);
        members.push(b'x');
        assert_eq!(kind(&members, 100), ErrorKind::InvalidArgument);
    }
}
