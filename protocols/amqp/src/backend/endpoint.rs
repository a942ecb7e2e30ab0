//! Where an upstream container is.

use std::fmt;

use opgate_egress::{Destination, Host};

/// The ports that IANA lists for AMQP, plain and over TLS.
const PORTS: (u16, u16) = (5672, 5671);

/// Where an upstream container is, and whether it is spoken to over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The host and the port; `tls` says the same as the scheme did.
    destination: Destination,
    /// The host as it was written: what it is told in Open and in SASL.
    hostname: Box<str>,
    /// What the container calls itself, where that is another name.
    known_as: Option<Box<str>>,
}

impl Endpoint {
    /// Reads `amqp://host:port` or `amqps://host:port`. The port may be left out.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = "must be \"amqp://host:port\", or \"amqps://host:port\" for TLS";
        let (scheme, rest) = text.split_once("://").ok_or(allowed)?;
        let (tls, port) = match scheme {
            "amqp" => (false, PORTS.0),
            "amqps" => (true, PORTS.1),
            _ => return Err(allowed.to_owned()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            // Not quoted: it is a secret.
            return Err(format!("{allowed}, without a user: user and password_file are keys"));
        }
        if authority.contains(['/', '?', '#']) {
            return Err(format!("{allowed}, without a path: the node has a key of its own"));
        }
        let split = match authority.rfind(']') {
            Some(end) => authority.split_at_checked(end + 1),
            // What is wrong with it is said below.
            None if authority.starts_with('[') => None,
            None => authority.find(':').and_then(|at| authority.split_at_checked(at)),
        };
        let (host, behind) = split.unwrap_or((authority, ""));
        let port = match behind.strip_prefix(':') {
            None if behind.is_empty() => Some(port),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port > 0)
            }
            None | Some(_) => None,
        };
        let port = port.ok_or_else(|| format!("{allowed}; a port is a number from 1 to 65535"))?;
        let parsed = Host::parse(host).map_err(|problem| format!("{allowed}: {problem}"))?;
        let hostname = host.trim_matches(['[', ']']).into();
        Ok(Self { destination: Destination { tls, host: parsed, port }, hostname, known_as: None })
    }

    /// Whom to connect to.
    pub(super) const fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Whether it is spoken to over TLS.
    pub const fn is_tls(&self) -> bool {
        self.destination.tls
    }

    /// Whether it is this machine, whatever a resolver says.
    pub fn is_loopback(&self) -> bool {
        match &self.destination.host {
            Host::Address(address) => address.to_canonical().is_loopback(),
            Host::Name(name) => &**name == "localhost" || name.ends_with(".localhost"),
        }
    }

    /// The same, of a container that goes by another name there: a virtual host (AMQP 1.0, 2.7.1).
    #[must_use]
    pub fn known_as(self, hostname: impl Into<Box<str>>) -> Self {
        Self { known_as: Some(hostname.into()), ..self }
    }

    /// What the peer is called in Open and in SASL.
    pub(super) fn hostname(&self) -> &str {
        self.known_as.as_deref().unwrap_or(&self.hostname)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.destination.tls { "amqps" } else { "amqp" };
        let bracket = if self.hostname.contains(':') { ("[", "]") } else { ("", "") };
        write!(
            f,
            "{scheme}://{}{}{}:{}",
            bracket.0, self.hostname, bracket.1, self.destination.port
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_may_be_left_out() {
        for (text, shown, tls) in [
            ("amqp://h", "amqp://h:5672", false),
            ("amqp://h/", "amqp://h:5672", false),
            ("amqps://Broker.Example", "amqps://Broker.Example:5671", true),
            ("amqp://127.0.0.1:1", "amqp://127.0.0.1:1", false),
            ("amqps://[::1]:7", "amqps://[::1]:7", true),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!((&*endpoint.to_string(), endpoint.is_tls()), (shown, tls));
        }
        assert_eq!(Endpoint::parse("amqp://[::1]").unwrap().hostname(), "::1");
        let virtual_host = Endpoint::parse("amqp://h:1").unwrap().known_as("shop");
        assert_eq!((virtual_host.hostname(), &*virtual_host.to_string()), ("shop", "amqp://h:1"));
        for (text, here) in
            [("amqp://127.0.0.1", true), ("amqp://localhost", true), ("amqp://h", false)]
        {
            assert_eq!(Endpoint::parse(text).unwrap().is_loopback(), here, "{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "amqp://host:port"),
            ("h:5672", "amqp://host:port"),
            ("http://h", "amqp://host:port"),
            ("amqp://", "1 to 253 characters"),
            ("amqp://h:0", "1 to 65535"),
            ("amqp://h:x", "1 to 65535"),
            ("amqp://h:70000", "1 to 65535"),
            ("amqp://[::1", "closing bracket"),
            ("amqp://u:secret@h", "without a user"),
            ("amqp://h/$management", "without a path"),
            ("amqp://h?x=y", "without a path"),
            ("amqp://a b", "neither a name"),
        ] {
            let problem = Endpoint::parse(text).unwrap_err();
            assert!(problem.contains(reason), "{text:?}: {problem}");
            assert!(!problem.contains("secret"), "{problem}");
        }
    }
}
