//! What the operator writes to allow a destination.

use std::fmt;
use std::str::FromStr;

use crate::destination::{Destination, Host};
use crate::problem::Refusal;

/// One entry of an allow-list: `host`, `host:port`, `*.domain` with or without a port, or `*`.
///
/// Without a port it is the scheme's own, 443 or 80; `:*` is any. `*.domain` is every name beneath
/// the domain, not the domain. `*` alone is every host at every port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    hosts: Hosts,
    ports: Ports,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    One(Host),
    /// With the dot before it.
    Beneath(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    /// The scheme's own.
    Usual,
    All,
    One(u16),
}

impl Pattern {
    /// Whether it has the destination.
    pub fn takes(&self, destination: &Destination) -> bool {
        let Destination { tls, host, port } = destination;
        let host = match (&self.hosts, host) {
            (Hosts::All, _) => true,
            (Hosts::One(one), host) => one == host,
            (Hosts::Beneath(domain), Host::Name(name)) => name.ends_with(&**domain),
            (Hosts::Beneath(_), Host::Address(_)) => false,
        };
        host && match self.ports {
            Ports::All => true,
            Ports::Usual => *port == if *tls { 443 } else { 80 },
            Ports::One(one) => one == *port,
        }
    }
}

impl FromStr for Pattern {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        if text == "*" {
            return Ok(Self { hosts: Hosts::All, ports: Ports::All });
        }
        // The colons of an IPv6 address are inside brackets.
        let split = match text.rfind(']') {
            Some(_) => text.rsplit_once("]:").map(|(host, port)| (format!("{host}]"), port)),
            None => text.rsplit_once(':').map(|(host, port)| (host.to_owned(), port)),
        };
        let (host, ports) = match split {
            None => (text.to_owned(), Ports::Usual),
            Some((host, "*")) => (host, Ports::All),
            Some((host, port)) => {
                let digits = port.bytes().all(|b| b.is_ascii_digit());
                let port = port.parse().ok().filter(|port| digits && *port > 0);
                let problem =
                    format!("the port of {text:?} must be a number from 1 to 65535, or *");
                (host, Ports::One(port.ok_or_else(|| Refusal::new(problem))?))
            }
        };
        let hosts = match host.strip_prefix("*.") {
            Some(domain) => match Host::parse(domain)? {
                Host::Name(domain) => Hosts::Beneath(format!(".{domain}")),
                Host::Address(_) => {
                    return Err(Refusal::new(format!("{text:?}: nothing is beneath an address")));
                }
            },
            None if host == "*" => Hosts::All,
            None => Hosts::One(Host::parse(&host)?),
        };
        Ok(Self { hosts, ports })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::All => f.write_str("*")?,
            Hosts::One(host) => write!(f, "{host}")?,
            Hosts::Beneath(domain) => write!(f, "*{domain}")?,
        }
        match (&self.hosts, self.ports) {
            (_, Ports::Usual) | (Hosts::All, Ports::All) => Ok(()),
            (_, Ports::All) => f.write_str(":*"),
            (_, Ports::One(port)) => write!(f, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(pattern: &str, url: &str) -> bool {
        let destination = Destination::of(&url.parse().unwrap()).unwrap();
        pattern.parse::<Pattern>().unwrap().takes(&destination)
    }

    #[test]
    fn a_pattern_has_what_it_says() {
        for (pattern, url, expected) in [
            ("a.example", "https://a.example/", true),
            ("A.example.", "https://a.EXAMPLE/", true),
            ("a.example", "http://a.example/", true),
            ("a.example", "https://a.example:444/", false),
            ("a.example", "http://a.example:443/", false),
            ("a.example", "https://b.a.example/", false),
            ("a.example:*", "https://a.example:444/", true),
            ("a.example:444", "https://a.example:444/", true),
            ("a.example:444", "https://a.example/", false),
            ("*.example", "https://a.example/", true),
            ("*.example", "https://b.a.example/", true),
            ("*.example", "https://example/", false),
            ("*.example", "https://notexample/", false),
            ("*.example:*", "https://a.example:1/", true),
            ("*.example:1", "https://a.example:1/", true),
            ("*", "http://[::1]:5/", true),
            ("*:443", "https://x/", true),
            ("*:443", "https://x:1/", false),
            ("127.0.0.1:*", "http://127.0.0.1:5/", true),
            ("[::1]:5", "http://[0:0::1]:5/", true),
            ("[::1]", "http://[::1]/", true),
            ("[::1]:*", "http://[::2]:5/", false),
        ] {
            assert_eq!(takes(pattern, url), expected, "{pattern} {url}");
        }
    }

    #[test]
    fn a_pattern_prints_as_it_is_written() {
        for text in ["*", "*:443", "a.b", "a.b:1", "a.b:*", "*.b", "*.b:*", "[::1]:5", "10.0.0.1"] {
            assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "a*",
            "*a",
            "*.",
            "a:0",
            "a:x",
            "a:+1",
            "https://a",
            "a/b",
            "::1",
            "*.127.0.0.1",
            "a:",
        ] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
