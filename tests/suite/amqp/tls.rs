//! TLS of the AMQP listener: whom a certificate makes somebody, what may come in the clear, certificates that are
//! replaced, and handshakes without an end.

use std::fmt::Debug;
use std::path::Path;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use fe2o3_amqp_types::messaging::{AmqpValue, Body, Message, MessageId, Properties};
use fe2o3_amqp_types::primitives::{OrderedMap, Symbol};
use fe2o3_amqp_types::sasl::{SaslCode, SaslInit, SaslMechanisms, SaslOutcome};
use serde_amqp::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::faces::raw;
use crate::process::{Daemon, Launch, PATIENCE};
use crate::tls::{Authority, Shown};

const SASL: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
const AMQP: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
const OPERATIONS: &str = "/opgate/v1/operations";

/// A daemon whose certificates lie in the directory, and may be replaced.
fn launch(dir: &Path, authority: &Authority) -> Launch {
    let (cert, key) = (dir.join("amqp.pem"), dir.join("amqp.key"));
    authority.issue(&cert, &key);
    Launch::new(dir)
        .set(&format!("amqp.tls.cert_file={}", cert.display()))
        .set(&format!("amqp.tls.key_file={}", key.display()))
}

/// One that believes certificates of clients, one of which is a user's.
fn with_clients(dir: &Path, authority: &Authority) -> Launch {
    let ca = dir.join("ca.pem");
    authority.write(&ca);
    let carol = "[amqp.users.carol]\ntenant = \"acme\"\ncertificate_names = [\"carol.example\"]\n";
    launch(dir, authority).set(&format!("amqp.tls.client_ca_file={}", ca.display())).config(carol)
}

fn await_failures(daemon: &Daemon, reason: &str, count: u32) {
    let name = "opgate_tls_handshake_failures_total";
    daemon.await_metric(&format!("{name}{{listener=\"amqp\",reason=\"{reason}\"}} {count}"));
}

/// An open connection, over which requests of HTTP's are made.
struct Asking {
    _connection: ConnectionHandle<()>,
    _session: SessionHandle<()>,
    questions: Sender,
    answers: Receiver,
}

impl Asking {
    /// Over a stream on which the SASL there is to be has been spoken.
    async fn over<Io>(stream: Io) -> Self
    where
        Io: AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static,
    {
        let builder = Connection::builder().container_id("client");
        let mut connection = builder.open_with_stream(stream).await.unwrap();
        let mut session = Session::begin(&mut connection).await.unwrap();
        let answers = Receiver::attach(&mut session, "answers", "/management").await.unwrap();
        let questions = Sender::attach(&mut session, "questions", "/management").await.unwrap();
        Self { _connection: connection, _session: session, questions, answers }
    }

    /// By TLS, as nobody in particular.
    async fn secured(authority: &Authority, daemon: &Daemon) -> Self {
        Self::over(authority.secure(daemon.amqp, None, &[]).await.unwrap()).await
    }

    /// The status, and what comes with it.
    async fn ask(&mut self, method: &str, path: &str, body: Value) -> (String, Value) {
        let id = || MessageId::from("one".to_owned());
        let properties = Properties::builder().message_id(id()).subject(method).to(path).build();
        let message = Message::builder().properties(properties).value(body).build();
        let sent = self.questions.send(message).await.unwrap();
        sent.accepted_or("not accepted").unwrap();
        let answer = timeout(PATIENCE, self.answers.recv::<Body<Value>>()).await.unwrap().unwrap();
        self.answers.accept(&answer).await.unwrap();
        let Message { properties, body, .. } = answer.into_message();
        let Properties { subject, correlation_id, .. } = properties.unwrap();
        assert_eq!(correlation_id, Some(id()));
        let Body::Value(AmqpValue(body)) = body else { panic!("{body:?}") };
        (subject.unwrap(), body)
    }

    /// Whether it is served.
    async fn is_served(&mut self) -> bool {
        self.ask("GET", OPERATIONS, Value::Null).await.0 == "200"
    }
}

/// The body of the next frame.
async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let size = stream.read_u32().await.unwrap();
    let mut frame = vec![0; usize::try_from(size).unwrap() - 4];
    stream.read_exact(&mut frame).await.unwrap();
    frame.split_off(4)
}

/// SASL EXTERNAL: what was offered, and how it ended.
async fn external(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> (Vec<String>, SaslCode) {
    stream.write_all(&SASL).await.unwrap();
    let mut header = [0; 8];
    stream.read_exact(&mut header).await.unwrap();
    assert_eq!(header, SASL);
    let mechanisms: SaslMechanisms = serde_amqp::from_slice(&frame(stream).await).unwrap();
    let init = SaslInit {
        mechanism: Symbol::from("EXTERNAL"),
        initial_response: Some(Vec::new().into()),
        hostname: None,
    };
    let init = serde_amqp::to_vec(&init).unwrap();
    let size = u32::try_from(init.len() + 8).unwrap().to_be_bytes();
    stream.write_all(&[&size, &[2, 1, 0, 0], &init[..]].concat()).await.unwrap();
    let outcome: SaslOutcome = serde_amqp::from_slice(&frame(stream).await).unwrap();
    let offered = mechanisms.sasl_server_mechanisms.0;
    (offered.into_iter().map(|name| name.to_string()).collect(), outcome.code)
}

/// What comes to the end, which must come; a reset is one, too.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap_or_default();
    rest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_makes_its_client_the_user_of_that_name() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let daemon = with_clients(dir.path(), &authority).start();
    let carol = authority.client("carol.example");
    let mut stream = authority.secure(daemon.amqp, Some(&carol), &[]).await.unwrap();
    assert_eq!(external(&mut stream).await, (vec!["EXTERNAL".to_owned()], SaslCode::Ok));
    let mut asking = Asking::over(stream).await;
    let route = [(Value::from("route"), Value::from("showcase-run"))];
    let start = Value::Map(OrderedMap::from_iter(route));
    let (status, Value::Map(started)) = asking.ask("POST", OPERATIONS, start).await else {
        panic!("no operation")
    };
    assert_eq!(status, "200", "{started:?}");
    let Some(Value::String(id)) = started.get(&Value::from("id")) else { panic!("{started:?}") };
    // It is the user's tenant's: there for it, and for nobody who comes over HTTP.
    let path = format!("{OPERATIONS}/{id}");
    assert_eq!(asking.ask("GET", &path, Value::Null).await.0, "200");
    assert_eq!(raw(daemon.http, "GET", &path, &[], &[]).status, 404);
    drop(asking);
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_nobody_proves_nothing() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let daemon = with_clients(dir.path(), &authority).start();
    let mallory = authority.client("mallory.example");
    for shown in [Some(&mallory), None] {
        let mut stream = authority.secure(daemon.amqp, shown, &[]).await.unwrap();
        let (offered, code) = external(&mut stream).await;
        assert!(!offered.contains(&"EXTERNAL".to_owned()), "{offered:?}");
        assert_eq!(code, SaslCode::Auth);
        assert_eq!(rest(&mut stream).await, b"");
        // Nor is the door open without SASL.
        let mut stream = authority.secure(daemon.amqp, shown, &[]).await.unwrap();
        stream.write_all(&AMQP).await.unwrap();
        assert_eq!(rest(&mut stream).await, SASL);
    }
    // Carol, says somebody whom nobody believes.
    let carol = Authority::new().client("carol.example");
    refused(&authority, &daemon, Some(&carol)).await;
    await_failures(&daemon, "certificate", 1);
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_certificate_is_required_nobody_comes_without() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let launch = with_clients(dir.path(), &authority);
    let daemon = launch.set("amqp.tls.client_certificates=required").start();
    refused(&authority, &daemon, None).await;
    await_failures(&daemon, "certificate", 1);
    let carol = authority.client("carol.example");
    let mut stream = authority.secure(daemon.amqp, Some(&carol), &[]).await.unwrap();
    assert_eq!(external(&mut stream).await.1, SaslCode::Ok);
    drop(stream);
    assert_eq!(daemon.terminate().code(), Some(0));
}

/// TLS does not come about.
async fn refused(authority: &Authority, daemon: &Daemon, shown: Option<&Shown>) {
    let mut stream = authority.secure(daemon.amqp, shown, &[]).await.unwrap();
    // The daemon may have hung up before.
    stream.write_all(&SASL).await.unwrap_or_default();
    assert_eq!(rest(&mut stream).await, b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_in_the_clear_is_not_answered() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let daemon = launch(dir.path(), &authority).start();
    for header in [AMQP, SASL] {
        let mut stream = TcpStream::connect(daemon.amqp).await.unwrap();
        stream.write_all(&header).await.unwrap();
        assert_eq!(rest(&mut stream).await, b"");
    }
    await_failures(&daemon, "plaintext", 2);
    assert!(Asking::secured(&authority, &daemon).await.is_served().await);
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_both_are_allowed_one_port_takes_both() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let daemon = launch(dir.path(), &authority).set("amqp.allow_plaintext=true").start();
    let mut plain = Asking::over(TcpStream::connect(daemon.amqp).await.unwrap()).await;
    let mut secured = Asking::secured(&authority, &daemon).await;
    assert!(plain.is_served().await && secured.is_served().await);
    await_failures(&daemon, "plaintext", 0);
    drop((plain, secured));
    assert_eq!(daemon.terminate().code(), Some(0));
}

fn await_expiry(daemon: &Daemon, at: u64) {
    let name = "opgate_tls_certificate_expires_timestamp_seconds";
    daemon.await_metric(&format!("{name}{{listener=\"amqp\"}} {at}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_replaced_at_sighup_under_open_connections() {
    let (dir, old, new) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    let (cert, key) = (dir.path().join("amqp.pem"), dir.path().join("amqp.key"));
    let daemon = launch(dir.path(), &old).start();
    await_expiry(&daemon, 2_208_988_800);
    let mut open = Asking::secured(&old, &daemon).await;
    assert!(open.is_served().await);

    // Half of it: the key does not fit, and the old pair holds.
    new.issue_until(2041, &cert, &dir.path().join("not-there-yet.key"));
    daemon.signal("HUP");
    daemon.await_metric("opgate_config_reloads_total{result=\"refused\"} 1");
    daemon.await_logged("amqp.tls.key_file");
    assert!(Asking::secured(&old, &daemon).await.is_served().await);
    await_expiry(&daemon, 2_208_988_800);

    new.issue_until(2041, &cert, &key);
    daemon.signal("HUP");
    daemon.await_metric("opgate_config_reloads_total{result=\"applied\"} 1");
    await_expiry(&daemon, 2_240_611_200);
    assert!(open.is_served().await);
    assert!(Asking::secured(&new, &daemon).await.is_served().await);
    assert!(old.secure(daemon.amqp, None, &[]).await.is_err());
    assert!(open.is_served().await);
    drop(open);
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_finish_the_handshake_is_cut_and_holds_up_nobody() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let daemon = launch(dir.path(), &authority).set("amqp.handshake_timeout=5s").start();
    let mut slow = Vec::new();
    // Nothing, or the beginning of a handshake.
    for said in [&[][..], &[0x16, 0x03, 0x01, 0x02]] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(daemon.amqp).await.unwrap();
            stream.write_all(said).await.unwrap();
            slow.push(stream);
        }
    }
    let mut asking = Asking::secured(&authority, &daemon).await;
    assert!(asking.is_served().await);
    for stream in &mut slow {
        assert_eq!(rest(stream).await, b"");
    }
    await_failures(&daemon, "timeout", 40);
    assert!(asking.is_served().await);
    // Within TLS there is as much time again, and no more.
    let mut silent = authority.secure(daemon.amqp, None, &[]).await.unwrap();
    assert_eq!(rest(&mut silent).await, b"");
    drop(asking);
    assert_eq!(daemon.terminate().code(), Some(0));
}
