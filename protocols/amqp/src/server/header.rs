//! Protocol headers (AMQP 1.0, 2.2 and 5.3.1): the first eight bytes, which say what follows.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What a peer wants to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// SASL first.
    Sasl,
    /// AMQP at once.
    Amqp,
}

/// `AMQP 3 1.0.0`.
pub(super) const SASL: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
/// `AMQP 0 1.0.0`.
pub(super) const AMQP: [u8; 8] = *b"AMQP\x00\x01\x00\x00";

/// Reads one; none for anything else. What cannot become one is not waited for.
pub(super) async fn read(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Header>> {
    let mut header = [0; 8];
    let mut filled = 0;
    while let Some(space) = header.get_mut(filled..).filter(|space| !space.is_empty()) {
        let more = io.read(space).await?;
        if more == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += more;
        let begun = header.get(..filled);
        if begun != SASL.get(..filled) && begun != AMQP.get(..filled) {
            return Ok(None);
        }
    }
    Ok(Some(if header == SASL { Header::Sasl } else { Header::Amqp }))
}
