//! An HTTP API that a test plays: what the daemon asks arrives here, and is answered when the test says so.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::process::PATIENCE;

/// A request that waits for its answer.
pub(crate) struct Call {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    stream: TcpStream,
}

impl Call {
    /// Reads one; none where the connection ends before it does.
    fn read(stream: TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let mut call = Self { head, body: Vec::new(), stream };
        call.body.resize(call.header("content-length").map_or(0, |text| text.parse().unwrap()), 0);
        reader.read_exact(&mut call.body).ok()?;
        Some(call)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn is(&self, request: &str) -> bool {
        self.head.lines().next() == Some(&*format!("{request} HTTP/1.1"))
    }

    /// What its query says, its escapes undone.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.head.split(' ').nth(1)?.split_once('?')?;
        let mut said = query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = said.find(|(known, _)| *known == name)?;
        let mut parts = value.split('%');
        let mut text = parts.next()?.to_owned();
        for part in parts {
            let (escaped, rest) = part.split_at_checked(2)?;
            text.push(u8::from_str_radix(escaped, 16).ok()?.into());
            text.push_str(rest);
        }
        Some(text)
    }

    /// Answers. Who asked may have been killed meanwhile.
    pub(crate) fn answer(mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}");
        write!(self.stream, "{head}\r\n{headers}\r\n{body}").unwrap_or_default();
    }

    pub(crate) fn show(self, body: &Value) {
        self.answer("200 OK", "content-type: application/json\r\n", &body.to_string());
    }
}

/// The API. It answers nothing by itself.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) calls: Receiver<Call>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = channel();
        let thread = std::thread::spawn(move || Self::serve(&listener, &sender));
        Self { address, calls, thread: Some(thread) }
    }

    /// Takes one request from each connection, until nobody listens any more.
    fn serve(listener: &TcpListener, calls: &Sender<Call>) {
        loop {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let Some(call) = Call::read(stream) else { continue };
            if calls.send(call).is_err() {
                return;
            }
        }
    }

    pub(crate) fn call(&self) -> Call {
        self.calls.recv_timeout(PATIENCE).unwrap()
    }

    /// The next request, which must be this.
    pub(crate) fn expect(&self, request: &str) -> Call {
        let call = self.call();
        assert!(call.is(request), "{}", call.head);
        call
    }

    /// The next request, which must begin so.
    pub(crate) fn expect_any(&self, beginning: &str) -> Call {
        let call = self.call();
        assert!(call.head.starts_with(beginning), "{}", call.head);
        call
    }

    /// All that has arrived, from somebody who is gone.
    pub(crate) fn rest(&self) -> Vec<Call> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(b"GET /the-last HTTP/1.1\r\n\r\n").unwrap();
        std::iter::from_fn(|| Some(self.call()).filter(|call| !call.is("GET /the-last"))).collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // One more request, which finds that nobody listens.
        drop(std::mem::replace(&mut self.calls, channel().1));
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        self.thread.take().map(JoinHandle::join).unwrap().unwrap();
    }
}
