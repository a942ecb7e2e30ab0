//! TLS for every listener: certificates that can be replaced, the handshake, the stream it gives.
//!
//! A handshake is part of its connection's task, so a slow one holds up nobody. The cryptography is
//! rustls's with ring's primitives; TLS 1.2 and 1.3 are spoken.

mod certificates;
mod handshake;
mod stream;
mod validity;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::UNIX_EPOCH;

use opgate_telemetry::{Listener, Metrics};
use rustls::ServerConfig;

pub use certificates::{Certificates, ClientAuthorities, Part, Pem, Unusable};
pub use handshake::secure;
pub use stream::Stream;

/// What is spoken inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// HTTP/2 and HTTP/1.1, agreed on by ALPN (RFC 7301), or told by the first bytes where a client does not ask.
    Http,
    /// AMQP 1.0, which has no name in ALPN.
    Amqp,
}

impl Inside {
    /// The names in ALPN, the preferred first; none: whatever a client asks for is ignored.
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Self::Amqp => Vec::new(),
        }
    }

    /// What a peer is told that did not begin with a handshake, where it has to.
    const fn refusal(self) -> &'static [u8] {
        match self {
            // As nginx does: a status, so that a person with a browser or curl sees what is wrong.
            Self::Http => {
                b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
                  content-length: 57\r\nconnection: close\r\n\r\n\
                  plain HTTP was sent to a port that speaks TLS: use https\n"
            }
            Self::Amqp => b"",
        }
    }
}

/// TLS on one listener. Clones share everything.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    /// What the next handshake is made with.
    config: RwLock<Arc<ServerConfig>>,
    inside: Inside,
    /// Whether a peer that does not begin with a handshake may go on without.
    plaintext: bool,
    listener: Listener,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("listener", &self.0.listener)
            .field("plaintext", &self.0.plaintext)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// TLS with these certificates. With `plaintext` a peer may also go on without TLS: the first byte
    /// tells which it means.
    pub fn new(
        certificates: &Certificates,
        inside: Inside,
        plaintext: bool,
        listener: Listener,
        metrics: Arc<Metrics>,
    ) -> Self {
        let config = RwLock::new(with_protocols(certificates, inside));
        let tls = Self(Arc::new(Shared { config, inside, plaintext, listener, metrics }));
        tls.show_expiry(certificates);
        tls
    }

    /// Has other certificates from the next handshake on. Open connections keep what they agreed on;
    /// sessions are not resumed across, so that a client is judged by the new authorities.
    pub fn replace(&self, certificates: &Certificates) {
        let config = with_protocols(certificates, self.0.inside);
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        self.show_expiry(certificates);
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn show_expiry(&self, certificates: &Certificates) {
        let expires = certificates.expires().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.metrics.edge.certificate_expires.of(self.0.listener).set(expires.as_secs());
    }
}

fn with_protocols(certificates: &Certificates, inside: Inside) -> Arc<ServerConfig> {
    let mut config = certificates.config().clone();
    config.alpn_protocols = inside.protocols();
    Arc::new(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(Inside::Http.refusal()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
