//! By what an upstream knows opgate.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::renewable::Renewable;

/// Headers that every request to an upstream carries, and that can be renewed. Their values are never shown. Clones
/// are of the same.
#[derive(Clone, Default)]
pub struct Credentials(Renewable<HeaderMap>);

impl Credentials {
    /// None.
    pub fn none() -> Self {
        Self::default()
    }

    /// `Authorization: Bearer` with a token.
    ///
    /// # Errors
    /// Why it cannot be in a header.
    pub fn bearer(token: &str) -> Result<Self, String> {
        Self::default().with("authorization", &format!("Bearer {token}"))
    }

    /// `Authorization: Basic` with `user:password`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn basic(pair: &str) -> Result<Self, String> {
        if !pair.contains(':') {
            return Err("must be user:password".to_owned());
        }
        Self::default().with("authorization", &format!("Basic {}", STANDARD.encode(pair)))
    }

    /// With one more header. What a protocol sets itself is to be refused by whoever knows that.
    ///
    /// # Errors
    /// Why it cannot be one.
    pub fn with(self, name: &str, value: &str) -> Result<Self, String> {
        let header: HeaderName =
            name.parse().map_err(|_| format!("{name:?} is no name of a header"))?;
        if is_ours(&header) {
            return Err(format!("{name} is a header that opgate sets itself"));
        }
        let mut value: HeaderValue = value
            .parse()
            .map_err(|_| "must be visible characters and spaces, on one line".to_owned())?;
        value.set_sensitive(true);
        let mut headers = (*self.0.now()).clone();
        if headers.insert(header, value).is_some() {
            return Err(format!("{name} is given twice"));
        }
        Ok(Self(headers.into()))
    }

    /// Has every request carry those others from now on.
    pub fn renew(&self, other: &Self) {
        self.0.renew(&other.0);
    }

    /// Puts them over what is there.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &*self.0.now() {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// The names alone.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.now().keys()).finish()
    }
}

/// Whether a header belongs to one hop, describes the body, or is opgate's word about a trace.
fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    ["content-", "proxy-", "grpc-", ":"].iter().any(|stem| name.starts_with(stem))
        || matches!(
            name,
            "connection"
                | "expect"
                | "host"
                | "keep-alive"
                | "te"
                | "trailer"
                | "traceparent"
                | "tracestate"
                | "transfer-encoding"
                | "upgrade"
                | "user-agent"
        )
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;

    #[test]
    fn credentials_are_headers_and_are_not_shown() {
        let mut headers = HeaderMap::new();
        let given = Credentials::basic("me:secret").unwrap().with("x-key", "secret").unwrap();
        given.apply(&mut headers);
        assert_eq!(headers[AUTHORIZATION], "Basic bWU6c2VjcmV0");
        assert_eq!(headers["x-key"], "secret");
        assert!(!format!("{given:?} {headers:?}").contains("secret"), "{given:?}");
        assert!(Credentials::bearer("a\nb").is_err());
        assert!(Credentials::basic("nobody").is_err());
        assert!(Credentials::none().with("host", "h").is_err());
        assert!(Credentials::bearer("t").unwrap().with("Authorization", "x").is_err());
    }
}
