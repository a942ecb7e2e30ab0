//! Replies arrive whole, however large, however slowly they are read.

use http::Request;
use http_body_util::BodyExt as _;
use opgate_edge::HttpLimits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::fixture::{Fixture, assert_line, http1, http2, pattern};

const MEBIBYTE: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_size_and_cut_arrives_byte_exact_in_both_versions() {
    let fixture = Fixture::start(HttpLimits::default()).await;
    let (http1, _) = http1(fixture.address).await;
    let (http2, _) = http2(fixture.address).await;
    for mut client in [http1, http2] {
        for size in [0, 1, 255, 256, 16_384, 65_535, 65_536, 65_537, MEBIBYTE, 3 * MEBIBYTE + 1] {
            for path in [format!("/whole/{size}"), format!("/frames/{size}")] {
                assert!(client.bytes(&path).await == pattern(size), "{path}");
            }
        }
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_of_one_connection_are_all_answered() {
    let fixture = Fixture::start(HttpLimits::default()).await;
    let (mut client, _) = http2(fixture.address).await;
    let replies: Vec<_> = (0..500)
        .map(|at| {
            let reply = client.get(&format!("/frames/{}", at * 100));
            tokio::spawn(async move {
                let body = reply.await.unwrap().into_body().collect().await.unwrap().to_bytes();
                assert!(body == pattern(at * 100));
            })
        })
        .collect();
    for reply in replies {
        reply.await.unwrap();
    }
    drop(client);
    fixture.finish().await;
}

#[tokio::test]
async fn trailers_follow_the_chunks() {
    let fixture = Fixture::start(HttpLimits::default()).await;
    let (mut client, _) = http2(fixture.address).await;
    let response = client.get("/trailers/300").await.unwrap();
    assert!(!response.headers().contains_key("content-length"));
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    let bytes = collected.to_bytes();
    assert_eq!(bytes[..4], *b"head");
    assert_eq!(bytes[4..], pattern(300));
    fixture.finish().await;
}

#[tokio::test]
async fn a_frontend_sees_both_ends() {
    let fixture = Fixture::start(HttpLimits::default()).await;
    let (mut client, _) = http1(fixture.address).await;
    let seen = client.bytes("/peer").await;
    let (remote, local) = std::str::from_utf8(&seen).unwrap().split_once(' ').unwrap();
    assert_eq!(local, fixture.address.to_string());
    assert_ne!(remote, local);
    fixture.finish().await;
}

/// A connection with a small receive buffer, on which a reply of `size` bytes was asked for.
async fn asked(fixture: &Fixture, size: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(fixture.address).await.unwrap();
    let request =
        format!("GET /whole/{size} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_slow_reader_gets_every_byte() {
    let fixture = Fixture::start(HttpLimits::default()).await;
    let mut stream = asked(&fixture, 4 * MEBIBYTE).await;
    let mut reply = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let count = stream.read(&mut piece).await.unwrap();
        if count == 0 {
            break;
        }
        reply.extend_from_slice(&piece[..count]);
        tokio::task::yield_now().await;
    }
    let body = reply.len() - 4 * MEBIBYTE;
    assert!(reply[body..] == pattern(4 * MEBIBYTE));
    fixture.finish().await;
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_reply_frees_the_connection() {
    let fixture = Fixture::start(HttpLimits::default()).await;
    let mut stream = asked(&fixture, 16 * MEBIBYTE).await;
    stream.read_u8().await.unwrap();
    // Unread bytes make closing a reset.
    drop(stream);
    let (mut client, _) = http1(fixture.address).await;
    assert!(client.bytes("/whole/5").await == pattern(5));
    let text = fixture.finish().await;
    assert_line(&text, r#"opgate_connections_cut_total{listener="http",reason="stalled"} 0"#);
}

#[tokio::test]
async fn a_reader_that_stops_is_cut() {
    let stall_timeout = std::time::Duration::from_millis(100);
    let fixture = Fixture::start(HttpLimits { stall_timeout, ..HttpLimits::default() }).await;
    let mut stream = asked(&fixture, 16 * MEBIBYTE).await;
    stream.read_u8().await.unwrap();
    let text = fixture.finish().await;
    assert_line(&text, r#"opgate_connections_cut_total{listener="http",reason="stalled"} 1"#);
    drop(stream);
}

#[tokio::test]
async fn head_is_answered_without_the_body_in_both_versions() {
    let fixture = Fixture::start(HttpLimits::default()).await;
    for (mut client, _ended) in [http1(fixture.address).await, http2(fixture.address).await] {
        let response = client.send(Request::head("/whole/12345")).await.unwrap();
        assert_eq!(response.headers()["content-length"], "12345");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "");
        // The connection is still in step.
        assert_eq!(client.bytes("/whole/10").await, pattern(10));
    }
    fixture.finish().await;
}
