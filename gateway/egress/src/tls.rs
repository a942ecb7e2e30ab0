//! Whom to believe.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
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
    /// A defect.
    #[error("TLS: {0}")]
    Setup(#[from] rustls::Error),
}

/// For clients that speak HTTP/1.1: trusts the system's authorities, and those in the file.
///
/// # Errors
/// The file cannot be read, or is of no use.
pub fn connector(extra: Option<&PathBuf>) -> Result<TlsConnector, TlsError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    // A certificate of the system that cannot be read is the system's business.
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = extra {
        let refused = |problem| TlsError::Authorities { path: path.clone(), problem };
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
        warn!("no certificate authority is known: no https URL can be called");
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
