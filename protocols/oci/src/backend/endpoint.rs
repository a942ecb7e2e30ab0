//! Where an upstream API is.

use std::fmt;

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but what RFC 3986 calls unreserved: a value is one segment or one parameter, whatever it holds.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The base URL of an API: scheme, host, port, and a path where there is one, without a slash at the
/// end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Box<str>);

impl Endpoint {
    /// Reads a base URL.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = "must be a URL such as \"https://identity.us-phoenix-1.oci.oraclecloud.com\"";
        if text.contains(['#', '?']) {
            return Err(format!("{allowed}, without a query or a #fragment"));
        }
        let uri: Uri = text.parse().map_err(|error| format!("{allowed}: {error}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(format!("{allowed}, beginning with http:// or https://"));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(format!("{allowed}, without a user: requests are signed with a key"));
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(format!("{allowed}: it names no host"));
        }
        Ok(Self(text.trim_end_matches('/').into()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value as one segment of a path, or in a query.
pub(super) fn encoded(value: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(value, VALUE)
}

/// Puts parameters behind a URL that has none.
pub(super) fn with_query<'a>(
    url: &mut String,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    let mut mark = '?';
    for (name, value) in parameters {
        url.push(mark);
        url.extend(encoded(name));
        url.push('=');
        url.extend(encoded(value));
        mark = '&';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_have_a_path_and_ends_without_a_slash() {
        for (text, base) in [
            ("https://h", "https://h"),
            ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
            ("https://h/oci/", "https://h/oci"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), base);
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "must be a URL"),
            ("h", "http:// or https://"),
            ("ftp://h/", "http:// or https://"),
            ("https://u:p@h/", "without a user"),
            ("https://h/?a=b", "without a query"),
            ("https://h/#x", "without a query or a #fragment"),
            ("https://h/a b", "must be a URL"),
        ] {
            let problem = Endpoint::parse(text).unwrap_err();
            assert!(problem.contains(reason), "{text:?}: {problem}");
        }
    }

    #[test]
    fn parameters_are_encoded() {
        let mut url = "http://h/a".to_owned();
        with_query(&mut url, [("a b", "c/d&e"), ("f", "+ä")]);
        assert_eq!(url, "http://h/a?a%20b=c%2Fd%26e&f=%2B%C3%A4");
    }
}
