//! An authority, what it vouches for, a listener and clients.

use std::net::SocketAddr;
use std::sync::Arc;

use opgate_edge::tls::{Certificates, ClientAuthorities, Inside, Pem};
use opgate_edge::{HttpLimits, Tls};
use opgate_telemetry::{Listener, Metrics};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::fixture::Fixture;

/// What the listener is called.
pub(crate) const NAME: &str = "gateway.example";

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// How a listener serves.
#[derive(Default)]
pub(crate) struct Serve<'a> {
    /// Whom it believes, and whether it insists.
    pub(crate) clients: Option<(&'a Authority, bool)>,
    pub(crate) plaintext: bool,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for these names (URIs have a colon) and its key, in DER.
    fn issue(&self, names: &[&str]) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        let name = |name: &&str| {
            let is_uri = name.contains(':');
            let name = (*name).try_into().unwrap();
            if is_uri { SanType::URI(name) } else { SanType::DnsName(name) }
        };
        params.subject_alt_names = names.iter().map(name).collect();
        params.not_after = date_time_ymd(2040, 1, 1);
        (params.signed_by(&key, &self.0).unwrap().der().to_vec(), key)
    }

    /// What a listener proves itself with.
    pub(crate) fn certificates(&self, clients: Option<(&Self, bool)>) -> Certificates {
        let (leaf, key) = self.issue(&[NAME]);
        let chain = pem("CERTIFICATE", &leaf);
        let vouched = clients.map(|(authority, required)| (authority.0.pem(), required));
        let clients = vouched
            .as_ref()
            .map(|(pem, required)| ClientAuthorities { pem: pem.as_bytes(), required: *required });
        let key = key.serialize_pem();
        Certificates::new(Pem { chain: chain.as_bytes(), key: key.as_bytes(), clients }).unwrap()
    }

    pub(crate) fn tls(&self, metrics: Arc<Metrics>, serve: &Serve<'_>) -> Tls {
        let certificates = self.certificates(serve.clients);
        Tls::new(&certificates, Inside::Http, serve.plaintext, Listener::Http, metrics)
    }

    pub(crate) async fn serve(&self, limits: HttpLimits, serve: Serve<'_>) -> Fixture {
        Fixture::secured(limits, |metrics| Some(self.tls(metrics, &serve))).await
    }

    /// A client that believes this authority.
    pub(crate) fn client(&self) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Client { roots, versions: rustls::ALL_VERSIONS.into(), shows: None, alpn: Vec::new() }
    }

    /// A certificate for a client, with its key.
    pub(crate) fn client_certificate(&self, names: &[&str]) -> (Vec<u8>, KeyPair) {
        self.issue(names)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// How a client connects.
pub(crate) struct Client {
    roots: RootCertStore,
    versions: Vec<&'static SupportedProtocolVersion>,
    shows: Option<(Vec<u8>, KeyPair)>,
    alpn: Vec<Vec<u8>>,
}

impl Client {
    pub(crate) fn version(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    pub(crate) fn alpn(mut self, protocol: &str) -> Self {
        self.alpn = vec![protocol.as_bytes().to_vec()];
        self
    }

    pub(crate) fn shows(mut self, certificate: (Vec<u8>, KeyPair)) -> Self {
        self.shows = Some(certificate);
        self
    }

    /// A handshake. What the server makes of the client's certificate shows with the first read in TLS 1.3.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.shows {
            None => builder.with_no_client_auth(),
            Some((der, key)) => {
                let chain = vec![CertificateDer::from(der.clone())];
                let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols.clone_from(&self.alpn);
        let stream = TcpStream::connect(address).await?;
        let name = NAME.try_into().unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}
