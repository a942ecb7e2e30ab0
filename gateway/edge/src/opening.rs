//! The first bytes of a connection: which version of HTTP does the peer speak?
//!
//! Done here and not by hyper-util, whose detection knows no time limit and drops a connection that a drain meets in
//! the middle of its first bytes.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What an HTTP/2 client with prior knowledge says first (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The version of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// Reads as much as it takes to tell, and gives those bytes back to be read again. `None` if the peer closed without
/// a word.
pub(crate) async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> io::Result<Option<(Version, Bytes)>> {
    let mut buffer = [0; PREFACE.len()];
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..]).await?;
        filled += count;
        let seen = &buffer[..filled];
        let version = if !PREFACE.starts_with(seen) || count == 0 {
            Version::Http1
        } else if filled == PREFACE.len() {
            Version::Http2
        } else {
            continue;
        };
        return Ok((filled > 0).then(|| (version, Bytes::copy_from_slice(seen))));
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    async fn told(pieces: &[&[u8]]) -> Option<(Version, Bytes)> {
        let (mut client, mut server) = tokio::io::duplex(1024);
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let writing = async move {
            for piece in pieces {
                client.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(writing, read(&mut server)).1.unwrap()
    }

    #[tokio::test]
    async fn the_preface_is_known_in_any_pieces() {
        for cut in 1..PREFACE.len() {
            let (version, head) = told(&[&PREFACE[..cut], &PREFACE[cut..]]).await.unwrap();
            assert_eq!((version, &head[..]), (Version::Http2, &PREFACE[..]));
        }
    }

    #[tokio::test]
    async fn anything_else_is_http1_as_soon_as_it_differs() {
        let (version, head) = told(&[b"P", b"OST / HTTP/1.1\r\n"]).await.unwrap();
        assert_eq!((version, &head[..]), (Version::Http1, &b"POST / HTTP/1.1\r\n"[..]));
        let (version, head) = told(&[b"PRI * HTTP/2.0\r\n\r\nXX"]).await.unwrap();
        assert_eq!((version, head.len()), (Version::Http1, 20));
    }

    #[tokio::test]
    async fn silence_and_half_a_preface_end() {
        assert!(told(&[]).await.is_none());
        assert_eq!(told(&[b"PRI"]).await.unwrap().0, Version::Http1);
    }
}
