//! Where an upstream service is.

use std::fmt;

use http::Uri;
use opgate_egress::{Destination, Host};

/// Where an upstream service is, and whether it is spoken to over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Destination);

impl Endpoint {
    /// Reads `http://host:port` or `https://host:port`. The port may be left out.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = "must be \"http://host:port\", or \"https://host:port\" for TLS";
        if text.contains('#') {
            return Err(format!("{allowed}, without a #fragment"));
        }
        let uri: Uri = text.parse().map_err(|error| format!("{allowed}: {error}"))?;
        let destination =
            Destination::of(&uri).map_err(|problem| format!("{allowed}; {problem}"))?;
        let path = uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        if !matches!(path, "" | "/") {
            return Err(format!("{allowed}, without a path: methods have their own"));
        }
        Ok(Self(destination))
    }

    /// Whom to connect to.
    pub(super) const fn destination(&self) -> &Destination {
        &self.0
    }

    /// Whether it is spoken to over TLS.
    pub const fn is_tls(&self) -> bool {
        self.0.tls
    }

    /// Whether it is this machine, whatever a resolver says.
    pub fn is_loopback(&self) -> bool {
        match &self.0.host {
            Host::Address(address) => address.to_canonical().is_loopback(),
            Host::Name(name) => &**name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_may_be_left_out() {
        for (text, shown, tls) in [
            ("http://h", "http://h:80", false),
            ("https://Host.Example/", "https://host.example:443", true),
            ("http://127.0.0.1:50051", "http://127.0.0.1:50051", false),
            ("https://[::1]:7", "https://[::1]:7", true),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!((&*endpoint.to_string(), endpoint.is_tls()), (shown, tls));
        }
        for (text, here) in
            [("http://127.0.0.1", true), ("http://localhost:1", true), ("http://h", false)]
        {
            assert_eq!(Endpoint::parse(text).unwrap().is_loopback(), here, "{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "http://host:port"),
            ("h:50051", "http://host:port"),
            ("grpc://h:50051", "neither https nor http"),
            ("http://h:0", "1 to 65535"),
            ("http://u:secret@h", "user name"),
            ("http://h/v1", "without a path"),
            ("http://h/?x=y", "without a path"),
            ("http://h/#x", "without a #fragment"),
        ] {
            let problem = Endpoint::parse(text).unwrap_err();
            assert!(problem.contains(reason), "{text:?}: {problem}");
            assert!(!problem.contains("secret"), "{problem}");
        }
    }
}
