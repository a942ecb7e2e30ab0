//! Who is believed.

use std::path::PathBuf;
use std::sync::Arc;

use opgate_egress::{Client, Network, Problem, Settings, Trust};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An authority of our own, in a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    fn server(&self, name: &str) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate.der().clone()],
                    PrivateKeyDer::Pkcs8(key.serialize_der().into()),
                )
                .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

/// A server that proves to be `name` and answers every request.
async fn serve_as(
    authority: &Authority,
    name: &str,
) -> (Arc<Scripted>, mpsc::UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let leads_to = Some(listener.local_addr().unwrap());
    let acceptor = TlsAcceptor::from(Arc::new(authority.server(name)));
    let (seen_by, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
                serve(stream, connection, vec![Act::Answer(OK); 9], &seen_by).await;
            }
        }
    });
    let network = Scripted { leads_to, ..Scripted::default() };
    (Arc::new(network.named("a.example", &[&["93.184.216.34"]])), seen)
}

fn believing(network: &Arc<Scripted>, authorities: Option<PathBuf>) -> Client {
    let settings = Settings { authorities, ..Settings::default() };
    Client::on(Arc::clone(network) as Arc<dyn Network>, &settings).unwrap()
}

#[tokio::test]
async fn the_authority_in_the_file_is_believed() {
    let authority = Authority::new();
    let (network, mut seen) = serve_as(&authority, "a.example").await;
    let (client, guard) =
        (believing(&network, Some(authority.file())), guard(&["a.example"], false, &[]));
    for _ in 0..2 {
        let request = post("https://a.example/x", "body");
        let answer = client.send(Trust::Guarded(&guard), request, LIMITS).await.unwrap();
        assert_eq!(answer.body(), "ok");
        let seen = seen.recv().await.unwrap();
        assert_eq!(seen.connection, 0);
        assert!(seen.text.contains("host: a.example\r\n"), "{}", seen.text);
    }
    assert_eq!(network.connects(), ["93.184.216.34:443".parse().unwrap()]);
}

#[tokio::test]
async fn another_name_or_an_unknown_authority_is_not_believed() {
    let (authority, another) = (Authority::new(), Authority::new());
    for (name, file) in [
        ("b.example", Some(authority.file())),
        ("a.example", Some(another.file())),
        ("a.example", None),
    ] {
        let (network, mut seen) = serve_as(&authority, name).await;
        let client = believing(&network, file);
        let problem =
            client.send(Trust::Configured, post("https://a.example/", "secret"), LIMITS).await;
        let problem = problem.unwrap_err();
        assert!(
            matches!(&problem, Problem::Unreachable(text) if text.contains("certificate")),
            "{problem:?}"
        );
        assert!(!problem.sent() && seen.try_recv().is_err());
    }
}

#[tokio::test]
async fn plain_http_behind_an_https_url_is_not_spoken() {
    let server = Server::start(vec![vec![Act::AnswerAndClose(OK)]]).await;
    let url = format!("https://{}/", server.address);
    let problem = client().send(Trust::Configured, post(&url, "secret"), LIMITS).await.unwrap_err();
    assert!(
        matches!(problem, Problem::Unreachable(_) | Problem::TimedOut { sent: false, .. }),
        "{problem:?}"
    );
}

#[test]
fn a_file_without_certificates_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("empty", ""),
        ("words", "no certificate"),
        ("broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let settings = Settings { authorities: Some(path), ..Settings::default() };
        let problem = Client::new(&settings).unwrap_err().to_string();
        assert!(problem.contains(name), "{problem}");
    }
}

/// Serves one connection over HTTP/2, where these protocols are offered.
async fn serve_h2(
    authority: &Authority,
    protocols: &[&[u8]],
) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = authority.server("127.0.0.1");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(stream) = acceptor.accept(stream).await else { return };
        let answer = hyper::service::service_fn(|_| async {
            let body = http_body_util::Full::new(bytes::Bytes::from_static(b"ok"));
            Ok::<_, std::convert::Infallible>(http::Response::new(body))
        });
        let stream = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let connection =
            hyper::server::conn::http2::Builder::new(executor).serve_connection(stream, answer);
        drop(connection.await);
    });
    (address, serving)
}

#[tokio::test]
async fn over_tls_http2_is_agreed_on_or_nothing_is_sent() {
    let authority = Authority::new();
    for (protocols, fits) in [(&[&b"h2"[..]][..], true), (&[], false), (&[b"http/1.1"], false)] {
        let (address, serving) = serve_h2(&authority, protocols).await;
        let destination = opgate_egress::Destination {
            tls: true,
            host: opgate_egress::Host::Address(address.ip()),
            port: address.port(),
        };
        let config = opgate_egress::tls(Some(&authority.file()), None).unwrap();
        let network = Arc::new(opgate_egress::System::default());
        let client = opgate_egress::Multiplexed::new(network, destination, config);
        let request = http::Request::get(client.url("/").unwrap()).body(bytes::Bytes::new());
        match client.send(request.unwrap(), LIMITS).await {
            Ok(answered) => assert!(fits && &*answered.body == b"ok"),
            Err(problem) => {
                assert!(!fits && matches!(problem, Problem::Unreachable(_)), "{problem:?}");
            }
        }
        serving.abort();
    }
}
