//! What is asked beside path and body: the query, and the token.

use std::borrow::Cow;

use http::HeaderMap;
use http::request::Parts;
use opgate_core::Error;
use percent_encoding::percent_decode_str;

use crate::wire::names::{CALLBACK, OPERATION_TOKEN, TOKEN, WAIT};

/// The parameters that Nexus knows. Others may be there: a secret of an operator's, say.
#[derive(Debug, Default)]
pub(super) struct Ask {
    pub(super) callback: Option<String>,
    pub(super) wait: Option<String>,
    token: Option<String>,
}

impl Ask {
    pub(super) fn new(parts: &Parts) -> Result<Self, Error> {
        let mut ask = Self::default();
        for pair in parts.uri.query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = decoded(name) else { continue };
            let (name, place) = match &*name {
                CALLBACK => (CALLBACK, &mut ask.callback),
                WAIT => (WAIT, &mut ask.wait),
                TOKEN => (TOKEN, &mut ask.token),
                _ => continue,
            };
            let value = decoded(value)
                .ok_or_else(|| Error::invalid(name, "is not percent-encoded UTF-8"))?;
            // The first counts, and an empty one is none.
            if place.is_none() && !value.is_empty() {
                *place = Some(value.into_owned());
            }
        }
        if let Some(token) = token(&parts.headers) {
            ask.token = Some(token);
        }
        Ok(ask)
    }

    /// The token in the header, or else in the query.
    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }
}

/// What is no text is no token of ours either: then it is one that nobody has.
fn token(headers: &HeaderMap) -> Option<String> {
    let token = headers.get(OPERATION_TOKEN).filter(|token| !token.is_empty())?;
    Some(token.to_str().unwrap_or("?").trim().to_owned())
}

fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !escapes_hold(text) {
        return None;
    }
    if text.contains('+') {
        let text = text.replace('+', " ");
        return percent_decode_str(&text).decode_utf8().ok().map(|text| text.into_owned().into());
    }
    percent_decode_str(text).decode_utf8().ok()
}

/// Whether every `%` is followed by two hexadecimal digits.
pub(super) fn escapes_hold(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let mut digits = after.bytes();
        let mut hex = || digits.next().is_some_and(|digit| digit.is_ascii_hexdigit());
        hex() && hex()
    })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn ask(uri: &str, header: Option<&'static str>) -> Result<Ask, Error> {
        let mut request = Request::get(uri);
        if let Some(header) = header {
            request = request.header("Nexus-Operation-Token", header);
        }
        Ask::new(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn parameters_are_decoded_and_the_first_of_a_name_counts() {
        let asked =
            ask("/x?key=%zz&callback=http%3A%2F%2Fh%2Fa%3Fb%3D%252C+d&callback=x&wait=1s", None);
        let asked = asked.unwrap();
        assert_eq!(asked.callback.as_deref(), Some("http://h/a?b=%2C d"));
        assert_eq!(asked.wait.as_deref(), Some("1s"));
        assert_eq!(asked.token(), None);
        assert!(ask("/x?callback=&wait=&token=", None).unwrap().callback.is_none());
    }

    #[test]
    fn one_of_ours_that_cannot_be_decoded_is_refused_by_name() {
        for (uri, field) in [("/x?callback=%zz", CALLBACK), ("/x?wait=%ff", WAIT)] {
            assert_eq!(ask(uri, None).unwrap_err().field.unwrap().field, field);
        }
    }

    #[test]
    fn the_header_wins_over_the_query() {
        let asked = ask("/x?token=query", Some("header")).unwrap();
        assert_eq!(asked.token(), Some("header"));
        assert_eq!(ask("/x?token=query", Some("")).unwrap().token(), Some("query"));
    }
}
