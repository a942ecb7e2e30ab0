//! Where an upstream handler is, and the URLs of its operations.

use std::fmt;

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but what RFC 3986 calls unreserved: a name is one path segment, whatever it holds.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The base URL of a handler: a path and a query of its own are kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, authority and path, without a slash at the end.
    base: Box<str>,
    /// The query, without its question mark.
    query: Option<Box<str>>,
}

/// Without the query, in which a secret may be.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl Endpoint {
    /// Reads a base URL.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (base, query) = url(text)?;
        Ok(Self { base: base.into(), query: query.map(Into::into) })
    }

    /// The URL of these path segments beneath it, with a parameter where one is given.
    pub(super) fn url(&self, segments: &[&str], parameter: Option<(&str, &str)>) -> String {
        let mut url = self.base.to_string();
        for segment in segments {
            url.push('/');
            url.extend(utf8_percent_encode(segment, SEGMENT));
        }
        let parameter = parameter
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, SEGMENT)));
        let own = self.query.as_deref().map(str::to_owned);
        let mut mark = '?';
        for part in [own, parameter].into_iter().flatten() {
            url.push(mark);
            url.push_str(&part);
            mark = '&';
        }
        url
    }
}

/// Without its query, which may be a key.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("base", &self.base).finish_non_exhaustive()
    }
}

/// Whether a service or an operation can be named in a URL.
///
/// # Errors
/// Why not.
pub fn check_name(name: &str) -> Result<(), String> {
    // HTTP libraries take these for steps in the path, however they are encoded.
    if matches!(name, "." | "..") {
        return Err(format!("{name:?} cannot be in the path of a URL"));
    }
    Ok(())
}

/// A URL without a slash at the end of its path, and its query.
pub(super) fn url(text: &str) -> Result<(&str, Option<&str>), String> {
    let allowed = "must be a URL such as \"https://host/path\"";
    if text.contains('#') {
        return Err(format!("{allowed}, without a #fragment"));
    }
    let uri: Uri = text.parse().map_err(|error| format!("{allowed}: {error}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(format!("{allowed}, beginning with http:// or https://"));
    }
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    if authority.contains('@') {
        return Err(format!("{allowed}, without a user: credentials have keys of their own"));
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(format!("{allowed}: it names no host"));
    }
    let (base, query) = text.split_once('?').map_or((text, None), |(base, q)| (base, Some(q)));
    Ok((base.trim_end_matches('/'), query.filter(|query| !query.is_empty())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::parse(text).unwrap()
    }

    #[test]
    fn names_are_one_segment_each_beneath_the_path() {
        for base in ["http://h:1/nexus", "http://h:1/nexus/"] {
            assert_eq!(
                endpoint(base).url(&["accept/esc v1%", "ä", "cancel"], None),
                "http://h:1/nexus/accept%2Fesc%20v1%25/%C3%A4/cancel"
            );
        }
        assert_eq!(endpoint("https://h").url(&["s", "o"], None), "https://h/s/o");
    }

    #[test]
    fn a_query_stays_with_every_call() {
        let endpoint = endpoint("https://h/nexus?key=a%2Fb");
        assert_eq!(
            endpoint.url(&["s", "o"], Some(("callback", "http://me/cb?x=1&y"))),
            "https://h/nexus/s/o?key=a%2Fb&callback=http%3A%2F%2Fme%2Fcb%3Fx%3D1%26y"
        );
        assert_eq!(
            endpoint.url(&["s", "o", "cancel"], None),
            "https://h/nexus/s/o/cancel?key=a%2Fb"
        );
    }

    #[test]
    fn what_is_no_base_url_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "must be a URL"),
            ("h/nexus", "must be a URL"),
            ("h", "http:// or https://"),
            ("ftp://h/", "http:// or https://"),
            ("https://u:p@h/", "without a user"),
            ("https://h/#x", "without a #fragment"),
            ("https:///x", "must be a URL"),
            ("https://h/a b", "must be a URL"),
        ] {
            let problem = Endpoint::parse(text).unwrap_err();
            assert!(problem.contains(reason), "{text:?}: {problem}");
        }
    }

    #[test]
    fn a_key_in_the_query_is_not_shown() {
        assert!(!format!("{:?}", endpoint("https://h/?key=secret")).contains("secret"));
    }

    proptest! {
        #[test]
        fn every_name_comes_back_from_its_segment(service in "\\PC{1,20}", operation in "\\PC{1,20}") {
            let url = endpoint("http://h").url(&[&service, &operation], None);
            let uri: Uri = url.parse().unwrap();
            let parts: Vec<String> = uri
                .path()
                .split('/')
                .skip(1)
                .map(|part| percent_encoding::percent_decode_str(part).decode_utf8().unwrap().into())
                .collect();
            prop_assert_eq!(parts, [service, operation]);
        }
    }
}
