//! What a peer may not do.

use std::time::Duration;

use http::Request;
use opgate_edge::HttpLimits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fixture::{Fixture, assert_line, http1, http2, pattern};

fn hasty() -> HttpLimits {
    HttpLimits { head_timeout: Duration::from_millis(500), ..HttpLimits::default() }
}

/// What the server says to `said` before it closes.
async fn answer(fixture: &Fixture, said: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    stream.write_all(said).await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    heard
}

#[tokio::test]
async fn silence_and_half_a_preface_are_closed() {
    let fixture = Fixture::start(hasty()).await;
    assert_eq!(answer(&fixture, b"").await, b"");
    assert_eq!(answer(&fixture, b"PRI * HTTP/2.0\r\n").await, b"");
    let text = fixture.finish().await;
    assert_line(&text, r#"opgate_connections_cut_total{listener="http",reason="silent"} 2"#);
}

#[tokio::test]
async fn half_a_head_is_closed() {
    let fixture = Fixture::start(hasty()).await;
    let heard = answer(&fixture, b"GET / HTTP/1.1\r\nhost: gateway\r\nx-slow: ").await;
    assert!(!heard.starts_with(b"HTTP/1.1 200"));
    fixture.finish().await;
}

#[tokio::test]
async fn an_idle_http1_connection_is_closed() {
    let fixture = Fixture::start(hasty()).await;
    let heard = answer(&fixture, b"GET /whole/3 HTTP/1.1\r\nhost: gateway\r\n\r\n").await;
    assert!(heard.ends_with(&pattern(3)));
    fixture.finish().await;
}

#[tokio::test]
async fn a_head_too_large_is_answered_with_431_in_both_versions() {
    let fixture = Fixture::start(HttpLimits::default()).await;
    let large = "x".repeat(20 * 1024);
    let (http1, _) = http1(fixture.address).await;
    let (http2, _) = http2(fixture.address).await;
    for mut client in [http1, http2] {
        let response = client.send(Request::get("/whole/3").header("x-large", &large)).await;
        assert_eq!(response.unwrap().status(), 431);
    }
    let heard =
        answer(&fixture, &[b"GET / HTTP/1.1\r\nx: ", &vec![b'x'; 200_000][..]].concat()).await;
    assert!(heard.starts_with(b"HTTP/1.1 431 "), "an endless head is answered too");
    fixture.finish().await;
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_a_free_place_is_used_again() {
    let fixture = Fixture::start(HttpLimits { connections: 1, ..HttpLimits::default() }).await;
    let (mut client, ended) = http1(fixture.address).await;
    assert!(client.bytes("/whole/3").await == pattern(3));
    let mut second = TcpStream::connect(fixture.address).await.unwrap();
    assert!(second.read_u8().await.is_err());
    assert_line(&fixture.metrics(), r#"opgate_connections_rejected_total{listener="http"} 1"#);
    drop(client);
    ended.await.unwrap().unwrap();
    // The server may see the end of the first connection a moment after the client does.
    let reply = loop {
        let mut third = TcpStream::connect(fixture.address).await.unwrap();
        let request = b"GET /whole/3 HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
        let mut reply = Vec::new();
        if third.write_all(request).await.is_ok()
            && third.read_to_end(&mut reply).await.is_ok()
            && !reply.is_empty()
        {
            break reply;
        }
    };
    assert!(reply.ends_with(&pattern(3)));
    fixture.finish().await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_closed() {
    let limits = HttpLimits {
        ping_interval: Duration::from_millis(20),
        ping_timeout: Duration::from_millis(20),
        ..HttpLimits::default()
    };
    let fixture = Fixture::start(limits).await;
    let heard = answer(&fixture, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(!heard.is_empty(), "it spoke HTTP/2 before it closed");
    fixture.finish().await;
}

#[tokio::test]
async fn garbage_is_answered_with_400() {
    let fixture = Fixture::start(HttpLimits::default()).await;
    assert!(answer(&fixture, b"\x16\x03\x01 hello\r\n\r\n").await.starts_with(b"HTTP/1.1 400 "));
    fixture.finish().await;
}
