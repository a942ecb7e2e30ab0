//! A network whose names are scripted, and servers of a few lines.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use opgate_egress::{Client, Guard, Limits, Network, Pending, Settings};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Far longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(20);
pub(crate) const LIMITS: Limits = Limits { connect: LONG, total: LONG, reply_bytes: 1 << 20 };

/// A network that answers lookups from a script, and leads every connection to one place.
#[derive(Default)]
pub(crate) struct Scripted {
    /// What each lookup of a name answers, one after the other; the last one stays.
    pub(crate) names: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    pub(crate) lookups: Mutex<Vec<String>>,
    pub(crate) connects: Mutex<Vec<SocketAddr>>,
    /// Where connections really lead; nowhere if none.
    pub(crate) leads_to: Option<SocketAddr>,
}

impl Scripted {
    pub(crate) fn named(self, name: &str, answers: &[&[&str]]) -> Self {
        let address = |text: &&str| text.parse().unwrap();
        let answers = answers.iter().map(|answer| answer.iter().map(address).collect()).collect();
        self.names.lock().unwrap().insert(name.to_owned(), answers);
        self
    }

    pub(crate) fn connects(&self) -> Vec<SocketAddr> {
        self.connects.lock().unwrap().clone()
    }
}

impl Network for Scripted {
    fn resolve(&self, name: &str, port: u16) -> Pending<Vec<SocketAddr>> {
        self.lookups.lock().unwrap().push(name.to_owned());
        let mut names = self.names.lock().unwrap();
        let answer = match names.get_mut(name) {
            Some(answers) if answers.len() > 1 => Ok(answers.remove(0)),
            Some(answers) => Ok(answers[0].clone()),
            None => Err(io::Error::other("no such name")),
        };
        let answer = answer.map(|all| all.into_iter().map(|ip| (ip, port).into()).collect());
        Box::pin(async move { answer })
    }

    fn connect(&self, address: SocketAddr) -> Pending<TcpStream> {
        self.connects.lock().unwrap().push(address);
        let leads_to = self.leads_to;
        Box::pin(async move {
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            TcpStream::connect(leads_to.ok_or_else(refused)?).await
        })
    }
}

pub(crate) fn client() -> Client {
    Client::new(&Settings::default()).unwrap()
}

pub(crate) fn on(network: &Arc<Scripted>) -> Client {
    Client::on(Arc::clone(network) as Arc<dyn Network>, &Settings::default()).unwrap()
}

pub(crate) fn guard(allow: &[&str], plaintext: bool, networks: &[&str]) -> Guard {
    let allow = allow.iter().map(|text| text.parse().unwrap()).collect();
    Guard::new(allow, plaintext, networks.iter().map(|text| text.parse().unwrap()).collect())
}

pub(crate) fn post(url: &str, body: &'static str) -> Request<Bytes> {
    Request::post(url).body(Bytes::from_static(body.as_bytes())).unwrap()
}

/// What a server does with one request.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    Answer(&'static str),
    AnswerAndClose(&'static str),
    Close,
    /// Says nothing more until the client goes.
    Hold(&'static str),
}

/// A request as it came, and over the how manieth connection.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) connection: usize,
    pub(crate) text: String,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: mpsc::UnboundedReceiver<Seen>,
    /// The connections that the client has closed.
    pub(crate) gone: mpsc::UnboundedReceiver<usize>,
}

impl Server {
    /// Serves each connection by its own script.
    pub(crate) async fn start(scripts: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen_by, seen) = mpsc::unbounded_channel();
        let (gone_by, gone) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for (connection, script) in scripts.into_iter().enumerate() {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, gone) = (seen_by.clone(), gone_by.clone());
                tokio::spawn(async move {
                    serve(stream, connection, script, &seen).await;
                    gone.send(connection).ok();
                });
            }
        });
        Self { address, seen, gone }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn request(&mut self) -> Seen {
        tokio::time::timeout(LONG, self.seen.recv()).await.unwrap().unwrap()
    }
}

/// Acts once for each request, then waits for the client to go.
pub(crate) async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    script: Vec<Act>,
    seen: &mpsc::UnboundedSender<Seen>,
) {
    for act in script {
        let Some(text) = request(&mut stream).await else { return };
        seen.send(Seen { connection, text }).ok();
        match act {
            Act::Answer(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            Act::AnswerAndClose(text) => {
                stream.write_all(text.as_bytes()).await.unwrap();
                return stream.shutdown().await.unwrap();
            }
            Act::Close => return,
            Act::Hold(text) => {
                stream.write_all(text.as_bytes()).await.unwrap();
                break;
            }
        }
    }
    drop(stream.read(&mut [0]).await);
}

/// One request with a body of known length; none once the client has gone.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
        });
        if body.len() == length.unwrap_or(0) {
            return Some(text);
        }
    }
}
