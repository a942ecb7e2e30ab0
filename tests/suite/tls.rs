//! TLS of the daemon: its certificates, their rotation, `opgate ops` and gRPC over it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::process::{Daemon, Launch};

/// What a client shows of itself.
pub(crate) type Shown = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// Who vouches for the daemon.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for this machine, and its key, in files.
    pub(crate) fn issue(&self, cert: &Path, key: &Path) {
        self.issue_until(2040, cert, key);
    }

    pub(crate) fn issue_until(&self, year: i32, cert: &Path, key: &Path) {
        let pair = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        std::fs::write(cert, params.signed_by(&pair, &self.0).unwrap().pem()).unwrap();
        std::fs::write(key, pair.serialize_pem()).unwrap();
    }

    /// Its own certificate, in a file.
    pub(crate) fn write(&self, file: &Path) {
        std::fs::write(file, self.0.pem()).unwrap();
    }

    /// A certificate for a client of that name, and its key, in files.
    pub(crate) fn issue_client(&self, name: &str, cert: &Path, key: &Path) {
        let pair = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        std::fs::write(cert, params.signed_by(&pair, &self.0).unwrap().pem()).unwrap();
        std::fs::write(key, pair.serialize_pem()).unwrap();
    }

    /// A certificate for a client of that name, and its key.
    pub(crate) fn client(&self, name: &str) -> Shown {
        let pair = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&pair, &self.0).unwrap();
        (certificate.der().clone(), PrivateKeyDer::Pkcs8(pair.serialize_der().into()))
    }

    /// A handshake by somebody who believes this authority. What the daemon makes of what is `shown` is known with
    /// the first read, in TLS 1.3.
    pub(crate) async fn secure(
        &self,
        address: SocketAddr,
        shown: Option<&Shown>,
        protocols: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                builder.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect("localhost".try_into().unwrap(), stream).await
    }

    async fn connect(&self, address: SocketAddr) -> std::io::Result<SendRequest<Full<Bytes>>> {
        let stream = self.secure(address, None, &[b"h2"]).await?;
        let (client, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Ok(client)
    }
}

/// A daemon whose certificates lie in the directory, and may be replaced.
fn launch(dir: &Path, authority: &Authority) -> Launch {
    let (cert, key) = (dir.join("http.pem"), dir.join("http.key"));
    authority.issue(&cert, &key);
    Launch::new(dir)
        .set(&format!("http.tls.cert_file={}", cert.display()))
        .set(&format!("http.tls.key_file={}", key.display()))
}

fn ops(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_opgate"))
        .arg("ops")
        .args(arguments)
        .env_clear()
        .env("OPGATE_READY_FILE", dir.join("ready.json"))
        .output()
        .unwrap()
}

#[test]
fn ops_goes_over_https_where_the_gateway_does() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let daemon = launch(dir.path(), &authority).start();
    let ca = dir.path().join("ca.pem");
    authority.write(&ca);
    let ca = ca.display().to_string();
    let listed = ops(dir.path(), &["list", "--ca-file", &ca, "-o", "json"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    // Whom nobody vouches for is not believed, and nothing is said in the clear.
    let doubted = ops(dir.path(), &["list"]);
    assert_eq!(doubted.status.code(), Some(69));
    let said = String::from_utf8_lossy(&doubted.stderr).into_owned();
    assert!(said.contains("https://") && said.contains("certificate"), "{said}");
    let plain = format!("http://{}", daemon.http);
    let plain = ops(dir.path(), &["list", "--address", &plain]);
    assert_eq!(plain.status.code(), Some(69));
    daemon.await_metric(
        "opgate_tls_handshake_failures_total{listener=\"http\",reason=\"plaintext\"} 1",
    );
    assert_eq!(daemon.terminate().code(), Some(0));
}

/// A gRPC call, and its status.
async fn grpc(client: &mut SendRequest<Full<Bytes>>) -> String {
    client.ready().await.unwrap();
    let request = Request::post("https://localhost/google.longrunning.Operations/ListOperations")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(&[0; 5])))
        .unwrap();
    let answer = client.send_request(request).await.unwrap();
    let head = answer.headers().get("grpc-status").cloned();
    let body = answer.into_body().collect().await.unwrap();
    let status = head.or_else(|| body.trailers().unwrap().get("grpc-status").cloned());
    status.unwrap().to_str().unwrap().to_owned()
}

fn expires(daemon: &Daemon, at: u64) {
    let name = "opgate_tls_certificate_expires_timestamp_seconds";
    daemon.await_metric(&format!("{name}{{listener=\"http\"}} {at}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_rotated_at_sighup_under_open_connections() {
    let (dir, old, new) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    let (cert, key) = (dir.path().join("http.pem"), dir.path().join("http.key"));
    let daemon = launch(dir.path(), &old).start();
    expires(&daemon, 2_208_988_800);
    let mut open = old.connect(daemon.http).await.unwrap();
    assert_eq!(grpc(&mut open).await, "0");

    // Half of a rotation: the key does not fit, and the old pair holds.
    new.issue_until(2041, &cert, &dir.path().join("not-there-yet.key"));
    daemon.signal("HUP");
    daemon.await_metric("opgate_config_reloads_total{result=\"refused\"} 1");
    assert!(daemon.log().contains("http.tls.key_file"), "{}", daemon.log());
    assert_eq!(grpc(&mut open).await, "0");
    assert_eq!(grpc(&mut old.connect(daemon.http).await.unwrap()).await, "0");
    expires(&daemon, 2_208_988_800);

    // All of it.
    new.issue_until(2041, &cert, &key);
    daemon.signal("HUP");
    daemon.await_metric("opgate_config_reloads_total{result=\"applied\"} 1");
    expires(&daemon, 2_240_611_200);
    assert_eq!(grpc(&mut open).await, "0");
    assert_eq!(grpc(&mut new.connect(daemon.http).await.unwrap()).await, "0");
    assert!(old.connect(daemon.http).await.is_err());
    drop(open);
    assert_eq!(daemon.terminate().code(), Some(0));
}
