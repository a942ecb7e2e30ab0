//! Bounds of listeners, waits and the drain that are other ones after a SIGHUP.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Sender, Session};

use crate::process::{Daemon, Launch, PATIENCE};
use crate::reload::said;

/// A connection of HTTP/1.1 that is kept.
struct Kept(TcpStream);

impl Kept {
    fn open(http: SocketAddr) -> Self {
        let stream = TcpStream::connect(http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// The status of a request with a head of about so many bytes; none where the connection ends without.
    fn get(&mut self, head: usize) -> Option<u16> {
        let mut request = "GET /v1/operations HTTP/1.1\r\nhost: opgate\r\n".to_owned();
        while request.len() < head {
            write!(request, "x-{}: {}\r\n", request.len(), "y".repeat(500)).unwrap();
        }
        // It may be closed already.
        self.0.write_all(format!("{request}\r\n").as_bytes()).ok()?;
        let mut read = Vec::new();
        let mut chunk = [0; 4096];
        let (head, length) = loop {
            match self.0.read(&mut chunk) {
                Ok(0) | Err(_) => return None,
                Ok(count) => read.extend_from_slice(&chunk[..count]),
            }
            let text = String::from_utf8_lossy(&read).to_lowercase();
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let length = head.split("content-length: ").nth(1).unwrap_or("0");
                let length: usize = length.lines().next().unwrap().parse().unwrap();
                break (head.to_owned(), head.len() + 4 + length);
            }
        };
        while read.len() < length {
            let count = self.0.read(&mut chunk).unwrap();
            read.extend_from_slice(&chunk[..count]);
        }
        Some(head.split(' ').nth(1).unwrap().parse().unwrap())
    }
}

/// A connection of AMQP with one session.
struct Amqp {
    _connection: ConnectionHandle<()>,
    session: SessionHandle<()>,
    links: Vec<Sender>,
}

impl Amqp {
    async fn open(address: SocketAddr) -> Self {
        let mut connection =
            Connection::open("reload", &*format!("amqp://{address}")).await.unwrap();
        let session = Session::begin(&mut connection).await.unwrap();
        Self { _connection: connection, session, links: Vec::new() }
    }

    /// Whether one more link is taken.
    async fn attach(&mut self) -> bool {
        let name = format!("requests-{}", self.links.len());
        match Sender::attach(&mut self.session, name, "$management").await {
            Ok(link) => {
                self.links.push(link);
                true
            }
            Err(_) => false,
        }
    }
}

fn reload(daemon: &Daemon, file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    daemon.signal("HUP");
    daemon.await_message("settings read again");
    let line = said(daemon, "settings read again").pop().unwrap();
    assert_eq!(line["needs_restart"], "");
}

fn metric(daemon: &Daemon, line: &str) {
    let metrics = daemon.probe("/metrics").1;
    assert!(metrics.lines().any(|found| found == line), "{line}");
}

#[test]
fn fewer_connections_close_none_and_more_are_taken_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("opgate.toml");
    std::fs::write(&file, "[http]\nconnections = 2").unwrap();
    let daemon = Launch::new(dir.path()).config_file(&file).start();
    let [mut first, mut second] = [(); 2].map(|()| Kept::open(daemon.http));
    assert_eq!([first.get(0), second.get(0)], [Some(200); 2]);
    assert_eq!(Kept::open(daemon.http).get(0), None);

    reload(&daemon, &file, "[http]\nconnections = 1");
    metric(&daemon, "opgate_connections_max{listener=\"http\"} 1");
    assert_eq!([first.get(0), second.get(0)], [Some(200); 2]);
    drop(second);
    daemon.await_metric("opgate_connections{listener=\"http\"} 1");
    assert_eq!(Kept::open(daemon.http).get(0), None);

    reload(&daemon, &file, "[http]\nconnections = 3");
    metric(&daemon, "opgate_connections_max{listener=\"http\"} 3");
    let [mut second, mut third] = [(); 2].map(|()| Kept::open(daemon.http));
    assert_eq!([first.get(0), second.get(0), third.get(0)], [Some(200); 3]);
    assert_eq!(Kept::open(daemon.http).get(0), None);
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn what_a_connection_may_take_is_as_it_was_when_it_was_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("opgate.toml");
    std::fs::write(&file, "").unwrap();
    let daemon = Launch::new(dir.path()).config_file(&file).start();
    let mut old = Kept::open(daemon.http);
    assert_eq!(old.get(12_000), Some(200));

    reload(&daemon, &file, "[http]\nhead_size = \"8KiB\"");
    assert_eq!(Kept::open(daemon.http).get(12_000), Some(431));
    assert_eq!(old.get(12_000), Some(200));
    reload(&daemon, &file, "");
    assert_eq!(Kept::open(daemon.http).get(12_000), Some(200));
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[tokio::test]
async fn so_it_is_over_amqp() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("opgate.toml");
    std::fs::write(&file, "").unwrap();
    let daemon = Launch::new(dir.path()).config_file(&file).start();
    let mut old = Amqp::open(daemon.amqp).await;
    assert!(old.attach().await);

    reload(&daemon, &file, "[amqp]\nlinks = 1\nconnections = 2");
    metric(&daemon, "opgate_connections_max{listener=\"amqp\"} 2");
    let mut new = Amqp::open(daemon.amqp).await;
    assert!(new.attach().await);
    assert!(!new.attach().await);
    assert!(old.attach().await);
    assert!(Connection::open("third", &*format!("amqp://{}", daemon.amqp)).await.is_err());
    drop((old, new));
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn waits_watches_and_the_drain_go_by_the_new_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("opgate.toml");
    std::fs::write(&file, "[drain]\ntimeout = \"1h\"").unwrap();
    let daemon = Launch::new(dir.path()).config_file(&file).start();
    let text = "[wait]\nopen = 7\n[watch]\nopen = 8\n[drain]\ntimeout = \"0s\"";
    reload(&daemon, &file, text);
    for (what, most) in [("wait", 7), ("ask", 7), ("watch", 8)] {
        metric(&daemon, &format!("opgate_permits_max{{what=\"{what}\"}} {most}"));
    }
    // A request whose head never comes whole: the old drain would wait for it, for half a minute.
    let mut half = TcpStream::connect(daemon.http).unwrap();
    write!(
        half,
        "POST /opgate/v1/operations HTTP/1.1\r\nhost: opgate\r\ncontent-length: 9\r\n\r\n{{"
    )
    .unwrap();
    daemon.await_metric("opgate_requests_in_flight{protocol=\"native\"} 1");
    assert_eq!(daemon.terminate().code(), Some(0));
    let mut rest = Vec::new();
    assert!(!matches!(half.read_to_end(&mut rest), Ok(count) if count > 0));
}
