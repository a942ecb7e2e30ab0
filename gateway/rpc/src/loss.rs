//! How a reply says what its hop could not carry: `docs/loss.md`.

use http::{HeaderMap, HeaderName, HeaderValue};
use opgate_core::Losses;

/// The header, the gRPC metadata and the application property that names the losses: their tokens,
/// separated by `, `. It is missing where nothing was lost.
pub const NAME: &str = "opgate-loss";

/// Names what was lost, if anything was.
pub fn put(lost: Losses, headers: &mut HeaderMap) {
    if let Some(value) = value(lost) {
        headers.insert(HeaderName::from_static(NAME), value);
    }
}

fn value(lost: Losses) -> Option<HeaderValue> {
    if lost.is_empty() {
        return None;
    }
    match lost.only() {
        Some(loss) => Some(HeaderValue::from_static(loss.token())),
        // Small letters and hyphens are always a header value.
        None => HeaderValue::try_from(lost.to_string()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use opgate_core::Loss;

    use super::*;

    #[test]
    fn a_reply_names_what_was_lost_and_nothing_otherwise() {
        let said = |lost: Losses| {
            let mut headers = HeaderMap::new();
            put(lost, &mut headers);
            headers.get(NAME).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(said(Losses::NONE), None);
        assert_eq!(said(Loss::Log.into()).as_deref(), Some("log"));
        let two = Losses::from(Loss::Log) | Loss::ErrorDetails.into();
        assert_eq!(said(two).as_deref(), Some("error-details, log"));
    }
}
