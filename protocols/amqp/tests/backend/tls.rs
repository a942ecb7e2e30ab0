//! Who is believed, and what is shown.

use std::path::PathBuf;
use std::sync::Arc;

use opgate_bus::core::{Code, State};
use opgate_egress::Shown;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use tempfile::{TempDir, tempdir};
use tokio_rustls::TlsAcceptor;

use crate::side::{Setup, failure};
use crate::upstream::Upstream;

/// An authority of our own, and what it has signed, in files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A client certificate.
    fn shown(&self) -> Shown {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["opgate".to_owned()]).unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let shown = Shown { certificate: self.file("client.pem"), key: self.file("client.key") };
        std::fs::write(&shown.certificate, signed.pem()).unwrap();
        std::fs::write(&shown.key, key.serialize_pem()).unwrap();
        shown
    }

    /// A server that asks for a client certificate of this authority.
    fn server(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![signed.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

#[tokio::test]
async fn an_authority_in_a_file_is_believed_and_a_certificate_shown() {
    let authority = Authority::new();
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::over_tls(authority.server()).await);
    let mut setup = Setup::with(&[]);
    let tls = opgate_egress::tls(Some(&authority.file("ca.pem")), Some(&authority.shown()));
    setup.tls = Some(Arc::new(tls.unwrap()));
    let side = setup.open(&dir, &upstream);
    let id = side.start().await;
    upstream.call().await.answer(200, json!(1)).await;
    assert_eq!(side.ended(id).await.state, State::Succeeded);
    side.stop().await;
}

#[tokio::test]
async fn without_either_nothing_is_sent() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::over_tls(authority.server()).await);
    for (ca, shown) in [
        (authority.file("ca.pem"), None),
        (authority.file("ca.pem"), Some(other.shown())),
        (other.file("ca.pem"), Some(authority.shown())),
    ] {
        let mut setup = Setup::with(&[]);
        setup.tls = Some(Arc::new(opgate_egress::tls(Some(&ca), shown.as_ref()).unwrap()));
        let side = setup.open(&dir, &upstream);
        let id = side.start().await;
        let ended = side.ended(id).await;
        assert_eq!(failure(&ended).code, Code::Unavailable, "{ended:?}");
        assert!(upstream.is_quiet());
        side.stop().await;
    }
}
