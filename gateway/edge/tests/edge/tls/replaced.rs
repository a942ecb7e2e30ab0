//! Certificates that are replaced while they are in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use opgate_edge::HttpLimits;

use super::authority::{Authority, Serve};
use crate::fixture::{Fixture, http1_on, http2_on, pattern};

#[tokio::test]
async fn open_connections_go_on_and_new_ones_meet_the_new_certificate() {
    let (old, new) = (Authority::new(), Authority::new());
    let mut tls = None;
    let serve = Serve::default();
    let fixture = Fixture::secured(HttpLimits::default(), |metrics| {
        tls = Some(old.tls(metrics, &serve));
        tls.clone()
    });
    let fixture = fixture.await;
    let stream = old.client().alpn("h2").connect(fixture.address).await.unwrap();
    let (mut open, _ended) = http2_on(stream).await;
    assert_eq!(open.bytes("/whole/9").await, pattern(9));
    assert!(new.client().connect(fixture.address).await.is_err());

    tls.unwrap().replace(&new.certificates(None));
    assert_eq!(open.bytes("/whole/9").await, pattern(9));
    assert!(old.client().connect(fixture.address).await.is_err());
    let stream = new.client().alpn("h2").connect(fixture.address).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(http2_on(stream).await.0.bytes("/whole/9").await, pattern(9));
    drop(open);
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_handshake_fails_while_certificates_are_replaced() {
    let authority = Arc::new(Authority::new());
    let mut tls = None;
    let serve = Serve::default();
    let fixture = Fixture::secured(HttpLimits::default(), |metrics| {
        tls = Some(authority.tls(metrics, &serve));
        tls.clone()
    });
    let fixture = fixture.await;
    let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let (over, served) = (Arc::clone(&over), Arc::clone(&served));
            let (authority, address) = (Arc::clone(&authority), fixture.address);
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let stream = authority.client().connect(address).await.unwrap();
                    assert_eq!(http1_on(stream).await.0.bytes("/whole/9").await, pattern(9));
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let tls = tls.unwrap();
    for _ in 0..20 {
        let before = served.load(Ordering::Relaxed);
        tls.replace(&authority.certificates(None));
        while served.load(Ordering::Relaxed) < before + 2 {
            assert!(clients.iter().all(|client| !client.is_finished()));
            tokio::task::yield_now().await;
        }
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    fixture.finish().await;
}
