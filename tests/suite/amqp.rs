//! AMQP 1.0, against the daemon itself; its clients, unmodified; and a broker behind the daemon.

mod broker;
mod certificates;
pub(crate) mod clients;
mod crate_client;
mod hostile;
mod raw;
mod tls;
mod users;
mod worker;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::process::Launch;

#[test]
fn the_daemon_speaks_amqp_where_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    for header in [*b"AMQP\x00\x01\x00\x00", *b"AMQP\x03\x01\x00\x00"] {
        let mut stream = TcpStream::connect(daemon.amqp).unwrap();
        stream.write_all(&header).unwrap();
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, header);
    }
    // Anything else is told what is spoken here.
    let mut stream = TcpStream::connect(daemon.amqp).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap_or_default();
    assert_eq!(answer, b"AMQP\x03\x01\x00\x00");
}
