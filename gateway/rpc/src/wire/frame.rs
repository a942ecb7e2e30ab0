//! Length-prefixed messages.

use bytes::Bytes;
use opgate_core::{Error, ErrorKind};

use super::compression::Compression;

/// The compressed flag and the length before each message.
pub const PREFIX_BYTES: usize = 5;

/// The one message of a unary call's body, at most `bytes_max` long, before and after compression.
pub(super) fn message(
    mut body: Bytes,
    compression: Compression,
    bytes_max: usize,
) -> Result<Bytes, Error> {
    let Some((&[flag, a, b, c, d], rest)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(malformed(if body.is_empty() {
            "there is no message"
        } else {
            "the message is cut off"
        }));
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > bytes_max {
        return Err(too_large(bytes_max));
    }
    if rest.len() < length {
        return Err(malformed("the message is cut off"));
    }
    if rest.len() > length {
        return Err(malformed("there is more than one message"));
    }
    match flag {
        0 => Ok(body.split_off(PREFIX_BYTES)),
        1 => compression.decompress(rest, bytes_max),
        _ => Err(malformed("the message has an unknown flag")),
    }
}

/// A message with its prefix.
pub fn frame(message: &impl prost::Message) -> Bytes {
    let length = message.encoded_len();
    let mut framed = Vec::with_capacity(PREFIX_BYTES + length);
    framed.extend(prefix(0, length));
    message.encode_raw(&mut framed);
    framed.into()
}

/// Completes a frame whose first bytes were left for its prefix.
pub fn set_prefix(framed: &mut [u8]) {
    if let Some((first, message)) = framed.split_first_chunk_mut::<PREFIX_BYTES>() {
        *first = prefix(0, message.len());
    }
}

/// The prefix of a message of this length; replies are far smaller than 4 GiB.
pub(super) fn prefix(flag: u8, length: usize) -> [u8; PREFIX_BYTES] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [flag, a, b, c, d]
}

pub(super) fn too_large(bytes_max: usize) -> Error {
    let text = format!("the message is too large: at most {bytes_max} bytes are allowed");
    Error::new(ErrorKind::PayloadTooLarge, text)
}

fn malformed(text: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1000;

    fn framed(flag: u8, message: &[u8]) -> Bytes {
        [&prefix(flag, message.len())[..], message].concat().into()
    }

    proptest! {
        #[test]
        fn any_message_comes_out_as_it_went_in(
            sent in proptest::collection::vec(any::<u8>(), 0..LIMIT)
        ) {
            let plain = message(framed(0, &sent), Compression::Identity, LIMIT).unwrap();
            prop_assert_eq!(&*plain, &*sent);
            let zipped = framed(1, &Compression::gzip(&sent));
            // Incompressible bytes grow by the header of gzip.
            let unzipped = message(zipped, Compression::Gzip, LIMIT + 100).unwrap();
            prop_assert_eq!(&*unzipped, &*sent);
        }

        #[test]
        fn no_bytes_panic(sent in proptest::collection::vec(any::<u8>(), 0..64)) {
            for compression in [Compression::Identity, Compression::Gzip] {
                drop(message(sent.clone().into(), compression, LIMIT));
                drop(message(framed(1, &sent), compression, LIMIT));
            }
        }

        #[test]
        fn a_frame_cut_anywhere_is_refused(
            sent in proptest::collection::vec(any::<u8>(), 0..64),
            cut in any::<prop::sample::Index>(),
        ) {
            let whole = framed(0, &sent);
            let cut = whole.slice(..cut.index(whole.len()));
            let error = message(cut, Compression::Identity, LIMIT).unwrap_err();
            prop_assert_eq!(error.kind, ErrorKind::InvalidArgument);
        }
    }

    #[test]
    fn limits_hold_for_the_announced_the_sent_and_the_unpacked_length() {
        let announced = Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]);
        let bomb = framed(1, &Compression::gzip(&vec![0; LIMIT + 1]));
        assert!(bomb.len() < LIMIT);
        for body in [announced, framed(0, &vec![0; LIMIT + 1]), bomb] {
            let error = message(body, Compression::Gzip, LIMIT).unwrap_err();
            assert_eq!(error.kind, ErrorKind::PayloadTooLarge);
            assert!(error.message.contains("1000 bytes"), "{error}");
        }
        let full = framed(1, &Compression::gzip(&vec![0; LIMIT]));
        assert_eq!(message(full, Compression::Gzip, LIMIT).unwrap().len(), LIMIT);
    }

    #[test]
    fn what_is_not_one_message_is_refused() {
        let two = [framed(0, b"a"), framed(0, b"b")].concat();
        let not_zipped = framed(1, b"plain");
        for (body, compression) in [
            (Bytes::new(), Compression::Identity),
            (two.into(), Compression::Identity),
            (framed(2, b"a"), Compression::Identity),
            (not_zipped.clone(), Compression::Identity),
            (not_zipped, Compression::Gzip),
        ] {
            let error = message(body, compression, LIMIT).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidArgument);
        }
    }
}
