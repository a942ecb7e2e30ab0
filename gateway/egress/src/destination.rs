//! Whom a URL leads to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use http::Uri;

use crate::problem::Refusal;

/// Longest name the DNS has, and longest label of one.
const NAME_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;

/// A host: a name in lower case without a dot at its end, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// To be looked up.
    Name(Arc<str>),
    /// As it stands.
    Address(IpAddr),
}

impl Host {
    /// Reads the host of a URL: a name, a dotted quad, or an IPv6 address in brackets.
    ///
    /// Whatever a resolver would read as an address in another form (`2130706433`, `0x7f.1`,
    /// `0177.0.0.1`, `127.1`) is refused: nobody writes a host like that who does not want to hide it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner =
                inner.strip_suffix(']').ok_or_else(|| odd(text, "has no closing bracket"))?;
            if inner.contains('%') {
                return Err(odd(
                    text,
                    "is an address with a zone: it means something on one machine only",
                ));
            }
            let address: Ipv6Addr =
                inner.parse().map_err(|_| odd(text, "is no IPv6 address in its brackets"))?;
            return Ok(Self::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() || name.len() > NAME_BYTES {
            return Err(odd(text, "must be 1 to 253 characters long"));
        }
        for label in name.split('.') {
            let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if label.is_empty() || label.len() > LABEL_BYTES || !label.bytes().all(known) {
                return Err(odd(
                    text,
                    "is neither a name (letters, digits, - and _, with dots between) nor an address",
                ));
            }
        }
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        // As `inet_aton` of the C library, which resolvers try before they ask anybody.
        if name.rsplit('.').next().is_some_and(is_number) {
            let problem = match aton(&name) {
                Some(address) => format!("is an address in an odd form: write {address}"),
                None => "ends in a number and is no address".to_owned(),
            };
            return Err(odd(text, &problem));
        }
        Ok(Self::Name(name.into()))
    }

    /// Whether it is this machine by definition (RFC 6761), whatever a resolver says.
    pub(crate) fn is_localhost(&self) -> bool {
        matches!(self, Self::Name(name) if &**name == "localhost" || name.ends_with(".localhost"))
    }
}

fn odd(text: &str, problem: &str) -> Refusal {
    Refusal::new(format!("the host {text:?} {problem}"))
}

/// Whether a label is a number in any of the forms of `inet_aton`, the unfinished `0x` included.
fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => label.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// What `inet_aton` reads: one to four numbers, decimal, octal (`0`) or hexadecimal (`0x`), the last
/// of which fills all bytes that are left.
fn aton(text: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| match (part.strip_prefix("0x"), part.strip_prefix('0')) {
        (Some(""), _) | (None, Some("")) => Some(0),
        (Some(digits), _) => u64::from_str_radix(digits, 16).ok(),
        (None, Some(digits)) => u64::from_str_radix(digits, 8).ok(),
        (None, None) => part.parse().ok(),
    };
    let parts: Vec<u64> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, leading) = parts.split_last()?;
    let left = 4_u32.checked_sub(u32::try_from(leading.len()).ok()?).filter(|left| *left > 0)?;
    if leading.iter().any(|byte| *byte > 255) || *last >= 1 << (8 * left) {
        return None;
    }
    let high = leading.iter().fold(0, |sum, byte| (sum << 8) | byte);
    let bits = if leading.is_empty() { *last } else { (high << (8 * left)) | last };
    u32::try_from(bits).ok().map(Ipv4Addr::from_bits)
}

/// Scheme, host and port. Prints as `https://example.com:443`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Whether it is called over TLS: `https` rather than `http`.
    pub tls: bool,
    /// Whom to call.
    pub host: Host,
    /// Where.
    pub port: u16,
}

impl Destination {
    /// Reads it from an absolute URL.
    ///
    /// # Errors
    /// A scheme other than http and https, no host, user information, a port that is none.
    pub fn of(url: &Uri) -> Result<Self, Refusal> {
        let tls = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(other) => {
                return Err(Refusal::new(format!(
                    "the scheme {other:?} is neither https nor http"
                )));
            }
            None => return Err(Refusal::new("is no absolute URL, such as https://host/path")),
        };
        let authority = url.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            // Not quoted: it is a secret.
            return Err(Refusal::new("has a user name in it: credentials belong into a header"));
        }
        // Not `Uri::port`: that takes a port which is no number for none.
        let split = match authority.rfind(']') {
            Some(end) => authority.split_at_checked(end + 1).unwrap_or((authority, "")),
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let default = if tls { 443 } else { 80 };
        let port = match split.1.strip_prefix(':') {
            None if split.1.is_empty() => Some(default),
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port > 0)
            }
            None | Some(_) => None,
        };
        let port = port.ok_or_else(|| {
            Refusal::new(format!("the port in {authority:?} must be a number from 1 to 65535"))
        })?;
        Ok(Self { tls, host: Host::parse(split.0)?, port })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_c_library_reads_them() {
        for (text, address) in [
            ("2130706433", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("017700000001", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("127.0.1", "127.0.0.1"),
            ("0x7f.0.0.1", "127.0.0.1"),
            ("0177.0.0.01", "127.0.0.1"),
            ("10.65535", "10.0.255.255"),
            ("0", "0.0.0.0"),
            ("4294967295", "255.255.255.255"),
        ] {
            assert_eq!(aton(text), Some(address.parse().unwrap()), "{text}");
            assert!(Host::parse(text).unwrap_err().to_string().contains(address), "{text}");
        }
        for text in ["4294967296", "256.0.0.1", "1.2.3.256", "1.2.3.4.5", "1.16777216", "08", "0xg"]
        {
            assert_eq!(aton(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_has_one_form() {
        for (text, shown) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8::0:1]", "[2001:db8::1]"),
            ("x_y.z-1", "x_y.z-1"),
            ("1.example", "1.example"),
            ("0xg", "0xg"),
        ] {
            assert_eq!(Host::parse(text).unwrap().to_string(), shown);
        }
        let long = "a".repeat(64);
        for text in
            ["", ".", "a..b", "[::1", "[fe80::1%25eth0]", "[v1.x]", "::1", "a b", "ä", &long]
        {
            assert!(Host::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_destination_is_scheme_host_and_port() {
        let of = |url: &str| Destination::of(&url.parse().unwrap()).map(|d| d.to_string());
        for (url, shown) in [
            ("https://h", "https://h:443"),
            ("http://H/p?q", "http://h:80"),
            ("https://h:8443/", "https://h:8443"),
            ("http://[::1]:9/", "http://[::1]:9"),
            ("http://[::1]", "http://[::1]:80"),
        ] {
            assert_eq!(of(url).unwrap(), shown);
        }
        for url in [
            "/p",
            "h:1",
            "ftp://h/",
            "http://u@h/",
            "http://u:p@h/",
            "http://h:0/",
            "http://h:65536/",
            "http://h:/",
        ] {
            assert!(of(url).is_err(), "{url}");
        }
    }
}
