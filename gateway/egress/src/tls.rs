//! Whom to believe, and what to show.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tracing::warn;

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of certificate authorities is of no use.
    #[error("{}: {problem}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A file of what is shown is of no use.
    #[error("{}: {problem}", path.display())]
    Shown {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A defect, or a key that is not the certificate's.
    #[error("TLS: {0}")]
    Setup(#[from] rustls::Error),
}

/// A client certificate and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The file of the certificate, and of those between it and its authority.
    pub certificate: PathBuf,
    /// The file of its private key.
    pub key: PathBuf,
}

/// TLS for protocols other than HTTP: trusts the system's authorities and those in the file, and shows
/// a certificate to who asks for one.
///
/// # Errors
/// Which file cannot be used.
pub fn tls(extra: Option<&Path>, shown: Option<&Shown>) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(extra)?);
    let Some(Shown { certificate, key }) = shown else { return Ok(builder.with_no_client_auth()) };
    let refused = |path: &Path| {
        let path = path.to_owned();
        move |problem: String| TlsError::Shown { path: path.clone(), problem }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| refused(certificate)(error.to_string()))?;
    if chain.is_empty() {
        return Err(refused(certificate)("holds no certificate in PEM form".to_owned()));
    }
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| refused(key)(error.to_string()))?;
    Ok(builder.with_client_auth_cert(chain, private)?)
}

/// For clients that speak HTTP/1.1: trusts the system's authorities, and those in the file.
///
/// # Errors
/// The file cannot be read, or is of no use.
pub fn connector(extra: Option<&PathBuf>) -> Result<TlsConnector, TlsError> {
    let mut config = tls(extra.map(PathBuf::as_path), None)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The system's authorities, and those in the file.
fn roots(extra: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    // A certificate of the system that cannot be read is the system's business.
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = extra {
        let refused = |problem| TlsError::Authorities { path: path.to_owned(), problem };
        let certificates =
            CertificateDer::pem_file_iter(path).map_err(|e| refused(e.to_string()))?;
        let mut count = 0;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| refused(error.to_string()))?;
            roots.add(certificate).map_err(|error| refused(error.to_string()))?;
            count += 1;
        }
        if count == 0 {
            return Err(refused("holds no certificate in PEM form".to_owned()));
        }
    }
    if roots.is_empty() {
        warn!("no certificate authority is known: nothing can be called over TLS");
    }
    Ok(roots)
}
