//! Requests that cannot be served: each has its handler error, and nothing is stored.

use opgate_nexus::Settings;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::gateway::{Gateway, send};

/// A path, headers, and the handler error that they are answered with.
type Bad<'a> = (&'a str, &'a [(&'a str, &'a str)], (u16, &'a str, bool, &'a str));

#[tokio::test]
async fn every_bad_start_has_its_error_and_nothing_is_stored() {
    let (gateway, _dir) = Gateway::start().await;
    let long = "x".repeat(5_000);
    let long_link = format!("<http://h/{long}>; type=a");
    let many = vec!["<http://h>; type=a"; 65].join(",");
    let long_id = "x".repeat(1_025);
    let long_callback = format!("/nexus/s/run?callback=https%3A%2F%2Ftaken.example%2F{long}");
    let long_type = format!("a/{}", "x".repeat(1_024));
    let bad: [Bad<'_>; 21] = [
        ("/nexus/s/none", &[], (404, "NOT_FOUND", false, "")),
        ("/nexus/none/run", &[], (404, "NOT_FOUND", false, "")),
        ("/nexus/S/run", &[], (404, "NOT_FOUND", false, "")),
        ("/nexus/s/%zz", &[], (400, "BAD_REQUEST", false, "path")),
        ("/nexus/s/%2e", &[], (400, "BAD_REQUEST", false, "operation")),
        ("/nexus/%2E./run", &[], (400, "BAD_REQUEST", false, "service")),
        ("/nexus//run", &[], (400, "BAD_REQUEST", false, "service")),
        ("/nexus/s/run/x/y/z", &[], (404, "NOT_FOUND", false, "")),
        ("/nexus/s/two", &[], (400, "BAD_REQUEST", false, "operation")),
        ("/nexus/s/refuses", &[], (429, "RESOURCE_EXHAUSTED", false, "")),
        ("/nexus/s/run", &[("nexus-link", "x")], (400, "BAD_REQUEST", false, "nexus-link")),
        ("/nexus/s/run", &[("nexus-link", &long_link)], (400, "BAD_REQUEST", false, "nexus-link")),
        ("/nexus/s/run", &[("nexus-link", &many)], (400, "BAD_REQUEST", false, "nexus-link")),
        (
            "/nexus/s/run",
            &[("request-timeout", "soon")],
            (400, "BAD_REQUEST", false, "request-timeout"),
        ),
        ("/nexus/s/run", &[("request-timeout", "0s")], (520, "UPSTREAM_TIMEOUT", true, "")),
        (
            "/nexus/s/run",
            &[("nexus-request-id", &long_id)],
            (400, "BAD_REQUEST", false, "nexus-request-id"),
        ),
        (
            "/nexus/s/run",
            &[("content-type", &long_type)],
            (400, "BAD_REQUEST", false, "content-type"),
        ),
        (
            "/nexus/s/run?callback=http%3A%2F%2F127.0.0.1%2F",
            &[],
            (400, "BAD_REQUEST", false, "callback"),
        ),
        ("/nexus/s/run?callback=%zz", &[], (400, "BAD_REQUEST", false, "callback")),
        (&long_callback, &[], (400, "BAD_REQUEST", false, "callback")),
        ("/nexus/s", &[], (404, "NOT_FOUND", false, "")),
    ];
    for (path, headers, (status, kind, retry, field)) in bad {
        let reply = gateway.post(path, headers, "{}").await;
        let expected = (status, kind.to_owned(), retry, field.to_owned());
        assert_eq!(reply.handler_error(), expected, "{path} {headers:?}");
    }
    assert!(gateway.operations().await.is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn an_operation_timeout_that_cannot_be_read_is_none() {
    let (gateway, _dir) = Gateway::start().await;
    let token = gateway.run(&[("operation-timeout", "tomorrow")]).await;
    assert_eq!(gateway.stored(&token).await.deadline, None);
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_too_large_and_a_wrong_method_are_400() {
    let dir = TempDir::new().unwrap();
    let settings = Settings { request_bytes: 100, ..Settings::default() };
    let gateway = Gateway::over(dir.path(), settings).await;
    let chunked = [("transfer-encoding", "chunked")];
    for headers in [&[][..], &chunked] {
        let reply = gateway.post("/nexus/s/echo", headers, &"x".repeat(101)).await;
        assert_eq!(reply.handler_error().0, 400);
        // Or the next request over this connection would be lost.
        assert_eq!(reply.header("connection"), Some("close"));
        let reply = gateway.post("/nexus/s/echo", headers, &"x".repeat(100)).await;
        assert_eq!((reply.status.as_u16(), reply.header("connection")), (200, None));
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let reply = send(gateway.address, method, "/nexus/s/run", &[], b"").await;
        let (status, kind, _, field) = reply.handler_error();
        assert_eq!((status, &*kind, &*field), (400, "BAD_REQUEST", "method"));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_wait_that_cannot_be_read_is_400() {
    let (gateway, _dir) = Gateway::start().await;
    let token = gateway.run(&[]).await;
    let path = format!("/nexus/s/run/{token}/result?wait=soon");
    let reply = gateway.get(&path, &[]).await;
    let (status, kind, _, field) = reply.handler_error();
    assert_eq!((status, &*kind, &*field), (400, "BAD_REQUEST", "wait"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_answered_with_a_result() {
    let (gateway, _dir) = Gateway::start().await;
    for (framing, body) in
        [("transfer-encoding: chunked", "2\r\nab\r\nno chunk\r\n"), ("content-length: 5", "ab")]
    {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let request = format!("POST /nexus/s/run HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        // Who sent half of it may still listen.
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(!answer.starts_with("HTTP/1.1 2"), "{framing}: {answer}");
    }
    assert!(gateway.operations().await.is_empty());
    gateway.stop().await;
}
