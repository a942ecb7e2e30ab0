//! What a listener proves itself with, and whom of its clients it believes.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};

use super::validity::not_after;

/// The contents of files in PEM form.
#[derive(Clone, Copy, Debug)]
pub struct Pem<'a> {
    /// The listener's certificate, and those that lead to an authority clients know, in that order.
    pub chain: &'a [u8],
    /// The private key of the first: PKCS#8, PKCS#1 or SEC 1.
    pub key: &'a [u8],
    /// Who vouches for clients; none: clients are not asked for certificates.
    pub clients: Option<ClientAuthorities<'a>>,
}

/// Who vouches for clients.
#[derive(Clone, Copy, Debug)]
pub struct ClientAuthorities<'a> {
    /// Their certificates.
    pub pem: &'a [u8],
    /// Whether a client without a certificate is refused. One that shows a certificate which is not good
    /// always is.
    pub required: bool,
}

/// Which of the contents a problem is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// [`Pem::chain`].
    Chain,
    /// [`Pem::key`].
    Key,
    /// [`Pem::clients`].
    Clients,
}

/// Why the contents are of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// What it is about.
    pub part: Part,
    /// What is wrong, for an operator.
    pub problem: String,
}

/// Certificates that fit together. Clones share everything.
#[derive(Clone)]
pub struct Certificates {
    config: Arc<ServerConfig>,
    expires: SystemTime,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads and checks them. Whether they are within their time is not looked at: see
    /// [`Certificates::expires`].
    ///
    /// # Errors
    /// Every problem there is.
    pub fn new(pem: Pem<'_>) -> Result<Self, Vec<Unusable>> {
        let mut problems = Vec::new();
        let mut note = |part, problem: String| problems.push(Unusable { part, problem });
        let chain = chain(pem.chain).map_err(|problem| note(Part::Chain, problem)).ok();
        let key = key(pem.key).map_err(|problem| note(Part::Key, problem)).ok();
        let verifier = pem.clients.map(verifier).transpose();
        let verifier = verifier.map_err(|problem| note(Part::Clients, problem)).ok();
        if let (Some((chain, expires)), Some(key), Some(verifier)) = (chain, key, verifier) {
            let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions();
            let config = builder.and_then(|builder| {
                let builder = match verifier {
                    Some(verifier) => builder.with_client_cert_verifier(verifier),
                    None => builder.with_no_client_auth(),
                };
                builder.with_single_cert(chain, key)
            });
            match config {
                Ok(config) => return Ok(Self { config: Arc::new(config), expires }),
                Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                    note(Part::Key, "is not the key of the certificate".to_owned());
                }
                Err(error) => note(Part::Key, error.to_string()),
            }
        }
        Err(problems)
    }

    /// When the first certificate of the chain ends that does.
    pub const fn expires(&self) -> SystemTime {
        self.expires
    }

    pub(super) fn config(&self) -> &ServerConfig {
        &self.config
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("holds no certificate in PEM form".to_owned());
    }
    Ok(certificates)
}

fn chain(pem: &[u8]) -> Result<(Vec<CertificateDer<'static>>, SystemTime), String> {
    let chain = certificates(pem)?;
    let expires = chain.iter().map(|certificate| not_after(certificate)).min().flatten();
    let expires = expires.ok_or("holds a certificate that cannot be read")?;
    Ok((chain, expires))
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        if matches!(error, pem::Error::NoItemsFound) {
            "holds no private key in PEM form, or one that is encrypted".to_owned()
        } else {
            error.to_string()
        }
    })
}

fn verifier(clients: ClientAuthorities<'_>) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(clients.pem)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if clients.required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn made(year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 3, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn parts(pem: Pem<'_>) -> Vec<Part> {
        Certificates::new(pem).unwrap_err().into_iter().map(|problem| problem.part).collect()
    }

    #[test]
    fn the_end_is_that_of_the_certificate_that_ends_first() {
        let ((leaf, key), (other, _)) = (made(2040), made(2030));
        let (chain, clients) = (format!("{leaf}{other}"), None);
        let pem = Pem { chain: chain.as_bytes(), key: key.as_bytes(), clients };
        let ends = Certificates::new(pem).unwrap().expires();
        assert_eq!(ends, UNIX_EPOCH + Duration::from_hours(527_376));
        // Times from 2050 on are written in another form (RFC 5280, 4.1.2.5).
        let (late, key) = made(2100);
        let pem = Pem { chain: late.as_bytes(), key: key.as_bytes(), clients };
        let ends = Certificates::new(pem).unwrap().expires();
        assert_eq!(ends, UNIX_EPOCH + Duration::from_hours(1_140_984));
    }

    #[test]
    fn what_does_not_fit_or_is_not_there_is_told_all_at_once() {
        let ((chain, key), (_, other)) = (made(2040), made(2040));
        let (chain, key, other) = (chain.as_bytes(), key.as_bytes(), other.as_bytes());
        assert_eq!(parts(Pem { chain, key: other, clients: None }), [Part::Key]);
        assert_eq!(parts(Pem { chain: key, key: chain, clients: None }), [Part::Chain, Part::Key]);
        let clients = Some(ClientAuthorities { pem: b"nothing", required: true });
        assert_eq!(
            parts(Pem { chain: b"", key: b"", clients }),
            [Part::Chain, Part::Key, Part::Clients]
        );
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(parts(Pem { chain: broken, key, clients: None }), [Part::Chain]);
    }
}
