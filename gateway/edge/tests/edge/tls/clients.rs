//! Certificates of clients.

use opgate_edge::HttpLimits;
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncReadExt as _;

use super::authority::{Authority, Client, Serve};
use crate::fixture::{Fixture, assert_line, http1_on};

/// Who the server says this client is; the error if it is not served.
async fn told(fixture: &Fixture, client: &Client) -> std::io::Result<String> {
    let mut stream = client.connect(fixture.address).await?;
    // In TLS 1.3 a client has finished before its certificate is looked at: what the server says comes first.
    let request = b"GET /tls HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, request).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.rsplit("\r\n").next().unwrap().to_owned())
}

#[tokio::test]
async fn a_certificate_tells_its_names_and_may_be_left_out_where_it_is_optional() {
    let (authority, vouching) = (Authority::new(), Authority::new());
    let serve = Serve { clients: Some((&vouching, false)), ..Serve::default() };
    let fixture = authority.serve(HttpLimits::default(), serve).await;
    for version in [&TLS12, &TLS13] {
        let client = || authority.client().version(version);
        assert_eq!(told(&fixture, &client()).await.unwrap(), "nobody");
        let shown = vouching.client_certificate(&["Worker.Example", "spiffe://acme/worker"]);
        let names = told(&fixture, &client().shows(shown)).await.unwrap();
        assert_eq!(names, "worker.example spiffe://acme/worker");
        // One that is not good is worse than none.
        let strange = authority.client_certificate(&["worker.example"]);
        let problem = told(&fixture, &client().shows(strange)).await.unwrap_err();
        assert!(problem.to_string().contains("alert"), "{problem}");
    }
    let text = fixture.finish().await;
    let series = r#"opgate_tls_handshake_failures_total{listener="http",reason="certificate"}"#;
    assert_line(&text, &format!("{series} 2"));
}

#[tokio::test]
async fn a_certificate_has_to_be_shown_where_it_is_required() {
    let authority = Authority::new();
    let serve = Serve { clients: Some((&authority, true)), ..Serve::default() };
    let fixture = authority.serve(HttpLimits::default(), serve).await;
    for version in [&TLS12, &TLS13] {
        let client = || authority.client().version(version);
        let problem = told(&fixture, &client()).await.unwrap_err().to_string();
        assert!(problem.contains("alert"), "{problem}");
        let shown = authority.client_certificate(&["worker.example"]);
        assert_eq!(told(&fixture, &client().shows(shown)).await.unwrap(), "worker.example");
    }
    let text = fixture.finish().await;
    let series = r#"opgate_tls_handshake_failures_total{listener="http",reason="certificate"}"#;
    assert_line(&text, &format!("{series} 2"));
}

#[tokio::test]
async fn without_authorities_nobody_is_asked() {
    let authority = Authority::new();
    let fixture = authority.serve(HttpLimits::default(), Serve::default()).await;
    let client = authority.client().shows(authority.client_certificate(&["worker.example"]));
    assert_eq!(told(&fixture, &client).await.unwrap(), "nobody");
    let plain = http1_on(authority.client().connect(fixture.address).await.unwrap()).await;
    drop(plain);
    fixture.finish().await;
}
