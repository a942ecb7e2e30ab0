//! Stopping in order: what was begun is finished, what was not is turned away.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use opgate_edge::HttpLimits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fixture::{FOREVER, Fixture, assert_line, http1, http2, pattern};

/// More than the cork, the socket and the flow control windows hold together.
const LARGE: usize = 8 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_waits_are_answered_to_the_last_byte_and_the_connection_closes() {
    let fixture = Fixture::start(HttpLimits::default()).await;
    let (mut client, ended) = http2(fixture.address).await;
    let waits: Vec<_> = (0..20)
        .map(|_| {
            let reply = client.get(&format!("/wait/{}", LARGE / 8));
            tokio::spawn(async move { reply.await?.into_body().collect().await })
        })
        .collect();
    fixture.entered(20).await;
    fixture.trigger.begin(FOREVER);
    for wait in waits {
        assert!(wait.await.unwrap().unwrap().to_bytes() == pattern(LARGE / 8));
    }
    ended.await.unwrap().unwrap();
    fixture.finish().await;
}

#[tokio::test]
async fn http1_replies_say_that_the_connection_closes() {
    let fixture = Fixture::start(HttpLimits::default()).await;
    let (mut client, ended) = http1(fixture.address).await;
    let (_idle, idle_ended) = http1(fixture.address).await;
    let wait = tokio::spawn(client.get(&format!("/wait/{LARGE}")));
    fixture.entered(1).await;
    fixture.trigger.begin(FOREVER);
    let response = wait.await.unwrap().unwrap();
    assert_eq!(response.headers()["connection"], "close");
    assert!(response.into_body().collect().await.unwrap().to_bytes() == pattern(LARGE));
    ended.await.unwrap().unwrap();
    // hyper's client calls it an error that it was never asked anything; that it ended is what counts.
    drop(idle_ended.await.unwrap());
    let address = fixture.address;
    fixture.finish().await;
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
}

/// Reads frames (RFC 9113, 4.1), acknowledging pings, until the connection ends; the types seen.
async fn frames_until_end(stream: &mut TcpStream) -> Vec<u8> {
    const PING: u8 = 6;
    let mut seen = Vec::new();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).await.unwrap();
        seen.push(head[3]);
        if head[3] == PING && head[4] == 0 {
            head[4] = 1;
            stream.write_all(&[&head[..], &payload[..]].concat()).await.unwrap();
        }
    }
    seen
}

#[tokio::test]
async fn an_idle_http2_client_is_told_to_go_away() {
    const GOAWAY: u8 = 7;
    let fixture = Fixture::start(HttpLimits::default()).await;
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    // The server's settings: it speaks HTTP/2 with us.
    let mut settings = [0; 9];
    stream.read_exact(&mut settings).await.unwrap();
    assert_eq!(settings[3], 4);
    let mut payload = vec![0; usize::from(settings[2])];
    stream.read_exact(&mut payload).await.unwrap();
    fixture.trigger.begin(FOREVER);
    let mut seen = frames_until_end(&mut stream).await;
    // The first allows what is under way, the second says where it ended.
    assert!(seen.ends_with(&[GOAWAY]), "the last frame was flushed: {seen:?}");
    seen.retain(|&kind| kind == GOAWAY);
    assert_eq!(seen.len(), 2);
    fixture.finish().await;
}

#[tokio::test]
async fn what_hangs_is_cut_when_the_time_is_over() {
    let fixture = Fixture::start(HttpLimits::default()).await;
    let (mut first, _) = http1(fixture.address).await;
    let (mut second, _) = http2(fixture.address).await;
    let hanging = [tokio::spawn(first.get("/hang")), tokio::spawn(second.get("/hang"))];
    fixture.entered(2).await;
    fixture.trigger.begin(Duration::from_millis(50));
    for request in hanging {
        assert!(request.await.unwrap().is_err());
    }
    let text = fixture.finish().await;
    assert_line(&text, r#"opgate_connections_cut_total{listener="http",reason="drain"} 2"#);
}

#[tokio::test]
async fn a_request_sent_before_the_drain_is_answered_after_it() {
    let fixture = Fixture::start(HttpLimits::default()).await;
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    stream.write_all(b"GET /wait/5 HTTP/1.1\r\nhost: gateway\r\n\r\n").await.unwrap();
    fixture.entered(1).await;
    fixture.trigger.begin(FOREVER);
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    assert!(reply.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(reply.ends_with(&pattern(5)));
    fixture.finish().await;
}

#[tokio::test]
async fn an_old_connection_is_asked_to_leave_and_its_request_finishes() {
    let connection_age = Some(Duration::from_millis(500));
    let fixture = Fixture::start(HttpLimits { connection_age, ..HttpLimits::default() }).await;
    let (mut client, ended) = http2(fixture.address).await;
    assert_eq!(client.bytes("/whole/0").await, Bytes::new());
    ended.await.unwrap().unwrap();
    assert!(client.ready().await.is_err());
    assert_line(&fixture.metrics(), r#"opgate_connections_rejected_total{listener="http"} 0"#);
    fixture.finish().await;
}
