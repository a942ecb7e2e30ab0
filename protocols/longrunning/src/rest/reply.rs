//! Answers on their way out: compressed where that is asked for and pays.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use opgate_bus::{Durability, Rendering};
use opgate_core::Losses;
use opgate_edge::Body;
use opgate_rpc::loss;
use opgate_rpc::transcode::{self, Alt};
use opgate_rpc::wire::Compression;

/// A shorter answer is sent as it is: one packet carries it either way.
pub(super) const GZIP_BYTES_MIN: usize = 1024;
/// A longer one is compressed away from the threads that serve connections.
const GZIP_INLINE_BYTES_MAX: usize = 64 * 1024;
const DURABILITY: HeaderName = HeaderName::from_static("opgate-durability");

/// What is answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Bytes,
    /// How durable the change is that it acknowledges; none for a read.
    pub(super) durability: Option<Durability>,
    /// What it could not carry of the operation that it shows.
    pub(super) lost: Losses,
}

impl Answer {
    pub(super) const fn read(body: Bytes) -> Self {
        Self { body, durability: None, lost: Losses::NONE }
    }

    /// One operation.
    pub(super) fn shown(rendered: Rendering, durability: Option<Durability>) -> Self {
        Self { body: rendered.bytes, durability, lost: rendered.lost }
    }

    /// An empty message, acknowledging a change.
    pub(super) const fn done(durability: Durability, alt: Alt) -> Self {
        let body = match alt {
            Alt::Json | Alt::JsonEnumNumbers => Bytes::from_static(b"{}"),
            Alt::Proto => Bytes::new(),
        };
        Self { body, durability: Some(durability), lost: Losses::NONE }
    }
}

/// The response of a request that was served.
pub(super) async fn ok(answer: Answer, alt: Alt, gzip: bool) -> Response<Body> {
    let Answer { body, durability, lost } = answer;
    let mut response = if gzip && body.len() >= GZIP_BYTES_MIN {
        let mut response = plain(compressed(body).await, alt);
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
        response
    } else {
        plain(body, alt)
    };
    loss::put(lost, response.headers_mut());
    if let Some(durability) = durability {
        response.headers_mut().insert(DURABILITY, HeaderValue::from_static(durability.name()));
    }
    response
}

/// The response with these bytes.
pub(super) fn plain(body: Bytes, alt: Alt) -> Response<Body> {
    match alt {
        Alt::Json | Alt::JsonEnumNumbers => transcode::ok(body),
        Alt::Proto => transcode::ok_proto(body),
    }
}

async fn compressed(body: Bytes) -> Bytes {
    if body.len() <= GZIP_INLINE_BYTES_MAX {
        return Compression::gzip(&body).into();
    }
    let compressing = tokio::task::spawn_blocking(move || Compression::gzip(&body));
    // It neither panics nor is it aborted.
    compressing.await.unwrap_or_default().into()
}

/// Whether the caller takes an answer compressed with gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = quality.trim().strip_prefix("q=").map(str::parse::<f32>);
        name.trim().eq_ignore_ascii_case("gzip")
            && quality.is_none_or(|quality| quality.is_ok_and(|quality| quality > 0.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_used_only_where_it_is_named_and_not_refused() {
        for (value, expected) in [
            ("gzip", true),
            ("gzip, deflate", true),
            ("deflate, GZIP;q=0.5", true),
            ("br, gzip; q=1", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("gzip;q=x", false),
            ("identity", false),
            ("*", false),
            ("gzipped", false),
            ("", false),
        ] {
            let headers =
                HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(takes_gzip(&headers), expected, "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
