//! What a service manager hears of a daemon, over the socket that systemd would give it.

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::faces::{JSON, raw};
use crate::process::{Launch, PATIENCE};

/// Whoever started the daemon.
struct Manager(UnixDatagram);

impl Manager {
    fn new(socket: &Path) -> Self {
        let manager = UnixDatagram::bind(socket).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(manager)
    }

    /// The next that is said, line by line.
    fn next(&self) -> Vec<String> {
        let mut message = [0; 4096];
        let length = self.0.recv(&mut message).unwrap();
        let text = String::from_utf8(message[..length].to_vec()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn it_says_when_it_serves_that_it_is_alive_and_when_it_stops() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("notify");
    let manager = Manager::new(&socket);
    let daemon = Launch::new(dir.path())
        .env("NOTIFY_SOCKET", socket.to_str().unwrap())
        .env("WATCHDOG_USEC", "100000")
        .start();
    assert_eq!(manager.next(), ["STATUS=opening the journal"]);
    let ready = manager.next();
    assert_eq!(ready[0], "READY=1");
    for address in [daemon.http, daemon.amqp, daemon.admin] {
        assert!(ready[1].starts_with("STATUS=serving") && ready[1].contains(&address.to_string()));
        TcpStream::connect(address).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(manager.next(), ["WATCHDOG=1"]);
    }
    daemon.signal("TERM");
    let stopping = std::iter::repeat_with(|| manager.next()).find(|said| said[0] != "WATCHDOG=1");
    assert_eq!(stopping.unwrap(), ["STOPPING=1", "STATUS=draining"]);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn it_says_how_far_it_has_read_the_journal_back() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    for _ in 0..2 {
        let body = br#"{"route": "showcase-run", "input": {"json": {"duration": "1h"}}}"#;
        assert_eq!(raw(daemon.http, "POST", "/opgate/v1/operations", &[JSON], body).status, 200);
    }
    daemon.kill();
    let socket = dir.path().join("notify");
    let manager = Manager::new(&socket);
    let daemon = Launch::new(dir.path()).env("NOTIFY_SOCKET", socket.to_str().unwrap()).start();
    assert_eq!(manager.next(), ["STATUS=opening the journal"]);
    assert_eq!(manager.next(), ["STATUS=reading the journal back: 0 of 2 operations"]);
    assert_eq!(manager.next()[0], "READY=1");
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn one_that_cannot_start_is_never_ready() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("notify");
    let manager = Manager::new(&socket);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ended = Launch::new(dir.path())
        .env("NOTIFY_SOCKET", socket.to_str().unwrap())
        .set(&format!("http.listen={}", taken.local_addr().unwrap()))
        .fail();
    assert_eq!(ended.code(), Some(71), "{}", ended.log);
    assert_eq!(manager.next(), ["STATUS=opening the journal"]);
    manager.0.set_nonblocking(true).unwrap();
    assert!(manager.0.recv(&mut [0; 4096]).is_err(), "it said more");
}

#[test]
fn a_manager_that_is_gone_keeps_nobody_from_serving() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    let launch = Launch::new(dir.path()).env("NOTIFY_SOCKET", nowhere.to_str().unwrap());
    let ended = launch.start().terminate();
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
    assert_eq!(ended.log.matches("the service manager cannot be told").count(), 1, "{}", ended.log);
}
