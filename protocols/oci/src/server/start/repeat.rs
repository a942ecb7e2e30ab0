//! By what a repeated start is known to be the same one.
//!
//! A retry token stands for one request, whole: method, path, query and body. A DELETE without one
//! stands for its target: the SDKs send it again by themselves and without a token, so as long as
//! the first one runs the second is the same. After its end it is a new one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method};
use opgate_bus::RepeatKey;
use opgate_core::{Fingerprint, KeySpace};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::wire::error::Refusal;
use crate::wire::names::RETRY_TOKEN;

/// The families of this face's dedupe keys.
const TOKENS: &str = "oci";
const TARGETS: &str = "oci-delete";
/// Longest retry token, in characters.
const TOKEN_LENGTH: usize = 64;

/// A request, as far as a repeat must be the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    /// The segments of its path, decoded.
    pub(super) path: &'a [String],
    pub(super) query: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// The key of a request, where it has one.
///
/// # Errors
/// It has a retry token that is none.
pub(super) fn key(asked: &Asked<'_>, headers: &HeaderMap) -> Result<Option<RepeatKey>, Refusal> {
    let (method, path) = (asked.method.as_str().as_bytes(), canonical(asked.path));
    if let Some(token) = token(headers)? {
        let query = asked.query.unwrap_or_default().as_bytes();
        let fingerprint = Fingerprint::of_request([method, path.as_bytes(), query, asked.body]);
        let key = RepeatKey::new(KeySpace::new(TOKENS), token);
        return Ok(Some(RepeatKey { fingerprint: Some(fingerprint), ..key }));
    }
    if *asked.method != Method::DELETE {
        return Ok(None);
    }
    let target = Fingerprint::of_request([method, path.as_bytes()]);
    let key = RepeatKey::new(KeySpace::new(TARGETS), URL_SAFE_NO_PAD.encode(target.0));
    Ok(Some(RepeatKey { own: None, fingerprint: Some(target), while_live: true, ..key }))
}

/// A path in the one form that all its spellings have.
fn canonical(path: &[String]) -> String {
    let mut text = String::new();
    for segment in path {
        text.push('/');
        text.extend(utf8_percent_encode(segment, NON_ALPHANUMERIC));
    }
    text
}

fn token(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut tokens = headers.get_all(RETRY_TOKEN).iter();
    let Some(token) = tokens.next() else { return Ok(None) };
    if tokens.next().is_some() {
        return Err(Refusal::invalid(RETRY_TOKEN, "is given more than once"));
    }
    let wrong = || {
        let problem = format!("must be 1 to {TOKEN_LENGTH} printable ASCII characters");
        Refusal::invalid(RETRY_TOKEN, &problem)
    };
    let token = token.to_str().map_err(|_| wrong())?;
    if (1..=TOKEN_LENGTH).contains(&token.len()) { Ok(Some(token)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::super::form::decoded;
    use super::*;

    fn headers(tokens: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for token in tokens {
            headers.append(RETRY_TOKEN, HeaderValue::from_str(token).unwrap());
        }
        headers
    }

    fn of(
        method: &Method,
        path: &str,
        query: Option<&str>,
        body: &str,
        tokens: &[&str],
    ) -> Result<Option<RepeatKey>, Refusal> {
        let path = decoded(path).unwrap();
        let asked = Asked { method, path: &path, query, body: body.as_bytes() };
        key(&asked, &headers(tokens))
    }

    #[test]
    fn a_token_is_the_key_and_the_whole_request_its_fingerprint() {
        let first = of(&Method::POST, "/v/a", Some("q=1"), "{}", &["t"]).unwrap().unwrap();
        assert_eq!((&*first.key, first.while_live), ("t", false));
        let same = of(&Method::POST, "//v/%61", Some("q=1"), "{}", &["t"]).unwrap();
        assert_eq!(same.as_ref(), Some(&first));
        for other in [
            of(&Method::PUT, "/v/a", Some("q=1"), "{}", &["t"]),
            of(&Method::POST, "/v/b", Some("q=1"), "{}", &["t"]),
            of(&Method::POST, "/v/a", Some("q=2"), "{}", &["t"]),
            of(&Method::POST, "/v/a", None, "q=1{}", &["t"]),
            of(&Method::POST, "/v/a", Some("q=1"), "{ }", &["t"]),
        ] {
            let other = other.unwrap().unwrap();
            assert_eq!(other.key, first.key);
            assert_ne!(other.fingerprint, first.fingerprint);
        }
    }

    #[test]
    fn a_delete_without_a_token_is_known_by_its_target() {
        let first = of(&Method::DELETE, "/v/a%2Fb", None, "", &[]).unwrap().unwrap();
        assert!(first.while_live && first.key.len() <= opgate_bus::DEDUPE_KEY_BYTES);
        let same = of(&Method::DELETE, "//v/a%2fb", Some("isLockOverride=true"), "", &[]);
        assert_eq!(same.unwrap().as_ref(), Some(&first));
        let other = of(&Method::DELETE, "/v/a/b", None, "", &[]).unwrap().unwrap();
        assert_ne!(other.key, first.key);
        let with_token = of(&Method::DELETE, "/v/a%2Fb", None, "", &["t"]).unwrap().unwrap();
        assert!(!with_token.while_live && with_token.space != first.space);
        for method in [Method::POST, Method::PUT, Method::PATCH] {
            assert_eq!(of(&method, "/v/a", None, "", &[]).unwrap(), None);
        }
    }

    #[test]
    fn a_token_has_1_to_64_characters() {
        let longest = "x".repeat(64);
        assert!(of(&Method::POST, "/v", None, "", &[&longest]).is_ok());
        for tokens in [&[""][..], &[&format!("{longest}x")], &["\u{e9}"], &["a", "a"]] {
            let refusal = of(&Method::POST, "/v", None, "", tokens).unwrap_err();
            assert_eq!((refusal.status.as_u16(), &*refusal.code), (400, "InvalidParameter"));
            assert!(refusal.message.starts_with("opc-retry-token: "), "{}", refusal.message);
        }
    }
}
