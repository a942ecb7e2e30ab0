//! Get-result: at once, and as a long poll.

use std::sync::Arc;
use std::time::{Duration, Instant};

use opgate_nexus::Settings;
use tempfile::TempDir;

use crate::gateway::{Gateway, succeeded};

#[tokio::test]
async fn without_a_wait_it_is_answered_at_once() {
    let (gateway, _dir) = Gateway::start().await;
    let token = gateway.run(&[]).await;
    let path = format!("/nexus/s/run/{token}/result");
    for wait in ["", "?wait=0ms", "?wait=-1s"] {
        let reply = gateway.get(&format!("{path}{wait}"), &[]).await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (412, &b""[..]), "{wait}");
        assert_eq!(reply.header("content-type"), None);
    }
    gateway.finish(&token, succeeded("{\"n\":1}")).await;
    let reply = gateway.get(&path, &[]).await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, &b"{\"n\":1}"[..]));
    assert_eq!(reply.header("nexus-operation-state"), Some("succeeded"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_wait_ends_with_the_operation() {
    let (gateway, _dir) = Gateway::start().await;
    let gateway = Arc::new(gateway);
    let token = gateway.run(&[]).await;
    // What ExecuteOperation of sdk-go asks for.
    let path = format!("/nexus/s/run/{token}/result?wait=9223372036854ms");
    let waiting = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { gateway.get(&path, &[]).await }
    });
    gateway.finish(&token, succeeded("1")).await;
    let reply = waiting.await.unwrap();
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, &b"1"[..]));
    Arc::into_inner(gateway).unwrap().stop().await;
}

#[tokio::test]
async fn the_end_of_the_wait_is_412_and_an_earlier_one_408() {
    let dir = TempDir::new().unwrap();
    let wait_limit = Duration::from_millis(300);
    let settings = Settings { wait_limit, ..Settings::default() };
    let gateway = Gateway::over(dir.path(), settings).await;
    let token = gateway.run(&[]).await;
    for (wait, header, status) in [
        ("100ms", None, 412),
        ("300ms", None, 412),
        ("10s", None, 408),
        ("10s", Some(("request-timeout", "350ms")), 408),
    ] {
        let began = Instant::now();
        let path = format!("/nexus/s/run/{token}/result?wait={wait}");
        let headers: Vec<_> = header.into_iter().collect();
        let reply = gateway.get(&path, &headers).await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (status, &b""[..]), "{wait}");
        assert!(began.elapsed() >= Duration::from_millis(100), "{wait}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_poll_that_finds_the_gateway_draining_is_not_answered_at_once() {
    let (gateway, _dir) = Gateway::start().await;
    let token = gateway.run(&[]).await;
    gateway.bus.quiesce().await;
    let began = Instant::now();
    let reply = gateway.get(&format!("/nexus/s/run/{token}/result?wait=30s"), &[]).await;
    assert_eq!(reply.status.as_u16(), 408);
    assert!(began.elapsed() >= Duration::from_millis(900));
    gateway.stop().await;
}
