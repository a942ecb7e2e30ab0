//! The text that is signed.

use http::uri::Uri;
use http::{HeaderMap, Method};

/// The name that stands for the request line.
pub(super) const TARGET: &str = "(request-target)";
/// When a request was made.
pub(super) const DATE: &str = "date";
/// Whom a request is for.
pub(super) const HOST: &str = "host";
/// How long the body is.
pub(super) const CONTENT_LENGTH: &str = "content-length";
/// What the body is.
pub(super) const CONTENT_TYPE: &str = "content-type";
/// The SHA-256 of the body, in base64.
pub(super) const CONTENT_SHA256: &str = "x-content-sha256";

/// Whether requests of a method are signed with their body.
pub(super) fn signs_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

/// A header that is to be signed is not there, or more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unclear {
    /// It is not there.
    Absent,
    /// There are several.
    Several,
}

/// The one value of a header.
pub(super) fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h [u8], Unclear> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(Unclear::Absent),
        (Some(value), None) => Ok(value.as_bytes()),
        (Some(_), Some(_)) => Err(Unclear::Several),
    }
}

/// A line for each name, in their order: `name: value`, the names in lower case. The request's own
/// line is the method in lower case, a space, and path and query exactly as they are sent. `host` is
/// not looked up among the headers, since not every version of HTTP has it there.
pub(super) fn write<'n>(
    names: impl IntoIterator<Item = &'n str>,
    method: &Method,
    uri: &Uri,
    host: &[u8],
    headers: &HeaderMap,
) -> Result<Vec<u8>, (Unclear, &'n str)> {
    let mut text = Vec::with_capacity(512);
    for name in names {
        if !text.is_empty() {
            text.push(b'\n');
        }
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        match name {
            TARGET => {
                text.extend(method.as_str().bytes().map(|byte| byte.to_ascii_lowercase()));
                text.push(b' ');
                text.extend_from_slice(uri.path().as_bytes());
                if let Some(query) = uri.query() {
                    text.push(b'?');
                    text.extend_from_slice(query.as_bytes());
                }
            }
            HOST => text.extend_from_slice(host),
            _ => text.extend_from_slice(single(headers, name).map_err(|it| (it, name))?),
        }
    }
    Ok(text)
}
