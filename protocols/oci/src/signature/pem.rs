//! PEM (RFC 7468), as tools write key files.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The first block: its label, and the bytes. Whatever stands around it is left alone, as OCI's own
/// tools put a line behind their keys. None: there is no block, or it cannot be read.
pub(super) fn first(text: &str) -> Option<(&str, Vec<u8>)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, rest) = rest.split_once("-----END ")?;
    rest.strip_prefix(label)?.strip_prefix("-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    Some((label, STANDARD.decode(body).ok()?))
}
