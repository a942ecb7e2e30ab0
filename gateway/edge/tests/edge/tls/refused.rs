//! What a peer may not do, and what that does to others.

use std::net::SocketAddr;
use std::time::Duration;

use opgate_edge::HttpLimits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::authority::{Authority, Serve};
use crate::fixture::{FOREVER, Fixture, assert_line, http1, http1_on, http2, http2_on, pattern};

/// A client that has sent the first bytes of a handshake, and no more.
pub(super) async fn half_a_handshake(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
    stream
}

/// Waits until the server has closed.
pub(super) async fn closed(mut stream: TcpStream) {
    let mut heard = Vec::new();
    let ended = tokio::time::timeout(FOREVER / 2, stream.read_to_end(&mut heard)).await.unwrap();
    assert!(ended.is_err() || heard.is_empty(), "{heard:?}");
}

fn failures(reason: &str, count: u32) -> String {
    let name = "opgate_tls_handshake_failures_total";
    format!("{name}{{listener=\"http\",reason=\"{reason}\"}} {count}")
}

#[tokio::test]
async fn who_does_not_finish_its_handshake_is_cut_and_holds_up_nobody() {
    let authority = Authority::new();
    let limits = HttpLimits { head_timeout: Duration::from_secs(1), ..HttpLimits::default() };
    let fixture = authority.serve(limits, Serve::default()).await;
    let mut slow = vec![TcpStream::connect(fixture.address).await.unwrap()];
    for _ in 0..20 {
        slow.push(half_a_handshake(fixture.address).await);
    }
    let stream = authority.client().connect(fixture.address).await.unwrap();
    assert_eq!(http1_on(stream).await.0.bytes("/whole/9").await, pattern(9));
    for stream in slow {
        closed(stream).await;
    }
    let text = fixture.finish().await;
    assert_line(&text, &failures("timeout", 21));
}

#[tokio::test]
async fn plain_http_is_told_that_this_is_tls() {
    let authority = Authority::new();
    let fixture = authority.serve(HttpLimits::default(), Serve::default()).await;
    let (mut client, _ended) = http1(fixture.address).await;
    let answer = client.get("/whole/9").await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["connection"], "close");
    // HTTP/2 with prior knowledge has no words for it.
    let (mut client, ended) = http2(fixture.address).await;
    assert!(client.get("/whole/9").await.is_err() && ended.await.unwrap().is_err());
    let text = fixture.finish().await;
    assert_line(&text, &failures("plaintext", 2));
}

#[tokio::test]
async fn where_it_is_allowed_the_first_byte_tells() {
    let authority = Authority::new();
    let serve = Serve { plaintext: true, ..Serve::default() };
    let fixture = authority.serve(HttpLimits::default(), serve).await;
    assert_eq!(http1(fixture.address).await.0.bytes("/tls").await, "none");
    assert_eq!(http2(fixture.address).await.0.bytes("/tls").await, "none");
    let stream = authority.client().connect(fixture.address).await.unwrap();
    assert_eq!(http1_on(stream).await.0.bytes("/tls").await, "nobody");
    let text = fixture.finish().await;
    assert_line(&text, &failures("plaintext", 0));
}

#[tokio::test]
async fn who_does_not_believe_us_or_goes_away_is_told_apart() {
    let (authority, another) = (Authority::new(), Authority::new());
    let fixture = authority.serve(HttpLimits::default(), Serve::default()).await;
    assert!(another.client().connect(fixture.address).await.is_err());
    drop(half_a_handshake(fixture.address).await);
    drop(TcpStream::connect(fixture.address).await.unwrap());
    await_line(&fixture, &failures("refused", 1)).await;
    await_line(&fixture, &failures("gone", 2)).await;
    fixture.finish().await;
}

/// Waits until the metrics have this line: a drain would not wait for what has not failed yet.
async fn await_line(fixture: &Fixture, line: &str) {
    let shown = async {
        while !fixture.metrics().lines().any(|found| found == line) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(FOREVER / 2, shown).await.unwrap();
}

/// Bytes that look ever more like a handshake: garbage, records of garbage, a real first flight that is damaged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_ends_its_own_connection_and_nothing_else() {
    let authority = Authority::new();
    let limits = HttpLimits { head_timeout: Duration::from_secs(1), ..HttpLimits::default() };
    let fixture = authority.serve(limits, Serve::default()).await;
    let stream = authority.client().connect(fixture.address).await.unwrap();
    let (mut bystander, _ended) = http2_on(stream).await;
    let hello = hello().await;
    // xorshift: the same bytes in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut tasks = Vec::new();
    for round in 0..150 {
        let mut bytes: Vec<u8> = (0..40).flat_map(|_| random()).collect();
        match round % 3 {
            0 => bytes[0] = 0x16,
            1 => bytes[..5].copy_from_slice(&[0x16, 3, 1, 1, 0]),
            _ => {
                let [at, value, ..] = random();
                bytes.clone_from(&hello);
                let at = 5 + usize::from(at) % (bytes.len() - 5);
                bytes[at] ^= value | 1;
            }
        }
        let address = fixture.address;
        tasks.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            let mut heard = Vec::new();
            // The server's say, an alert mostly, and its end; a reset will do.
            let ended = stream.read_to_end(&mut heard).await;
            assert!(ended.is_err() || heard.len() < 16 * 1024);
        }));
        if round % 10 == 0 {
            assert_eq!(bystander.bytes("/whole/9").await, pattern(9));
        }
    }
    for task in tasks {
        tokio::time::timeout(FOREVER / 2, task).await.unwrap().unwrap();
    }
    assert_eq!(bystander.bytes("/whole/9").await, pattern(9));
    drop(bystander);
    let text = fixture.finish().await;
    assert_line(&text, "opgate_panics_contained_total{place=\"connection\"} 0");
}

/// The first flight of a real client.
async fn hello() -> Vec<u8> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = tokio::spawn(async move { Authority::new().client().connect(address).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.unwrap();
    let mut hello = head.to_vec();
    hello.resize(5 + usize::from(u16::from_be_bytes([head[3], head[4]])), 0);
    stream.read_exact(&mut hello[5..]).await.unwrap();
    drop(stream);
    assert!(client.await.unwrap().is_err());
    hello
}
