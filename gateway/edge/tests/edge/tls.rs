//! TLS: who is believed, what is spoken inside, what a peer may not do, certificates that are replaced.

mod authority;
mod clients;
mod refused;
mod replaced;

use http_body_util::BodyExt as _;
use opgate_edge::HttpLimits;
use rustls::version::{TLS12, TLS13};

use crate::fixture::{FOREVER, assert_line, http1_on, http2_on, pattern};
use authority::{Authority, NAME, Serve};

/// More than the cork, TLS and the socket hold together.
const LARGE: usize = 4 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_of_http_are_spoken_in_both_versions_of_tls() {
    let authority = Authority::new();
    let fixture = authority.serve(HttpLimits::default(), Serve::default()).await;
    for version in [&TLS12, &TLS13] {
        for alpn in ["h2", "http/1.1"] {
            let client = authority.client().version(version).alpn(alpn);
            let stream = client.connect(fixture.address).await.unwrap();
            let session = stream.get_ref().1;
            assert_eq!(session.alpn_protocol(), Some(alpn.as_bytes()));
            assert_eq!(session.protocol_version(), Some(version.version));
            let (mut client, _ended) = match alpn {
                "h2" => http2_on(stream).await,
                _ => http1_on(stream).await,
            };
            for path in ["whole", "frames"] {
                let path = format!("/{path}/{LARGE}");
                assert!(client.bytes(&path).await == pattern(LARGE), "{alpn} {path}");
            }
            assert_eq!(client.bytes("/tls").await, "nobody");
        }
    }
    let text = fixture.finish().await;
    for reason in ["plaintext", "timeout", "gone", "certificate", "refused", "protocol"] {
        let series = format!("{{listener=\"http\",reason=\"{reason}\"}}");
        assert_line(&text, &format!("opgate_tls_handshake_failures_total{series} 0"));
    }
}

#[tokio::test]
async fn many_replies_at_a_time_come_whole_and_with_their_trailers() {
    let authority = Authority::new();
    let fixture = authority.serve(HttpLimits::default(), Serve::default()).await;
    let stream = authority.client().alpn("h2").connect(fixture.address).await.unwrap();
    let (mut client, _ended) = http2_on(stream).await;
    let replies: Vec<_> = (0..200)
        .map(|size| tokio::spawn(client.get(&format!("/trailers/{}", size * 97))))
        .collect();
    for (size, reply) in replies.into_iter().enumerate() {
        let body = reply.await.unwrap().unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
        assert!(body.to_bytes() == [&b"head"[..], &pattern(size * 97)].concat());
    }
    drop(client);
    fixture.finish().await;
}

#[tokio::test]
async fn who_asks_for_no_protocol_is_known_by_its_first_bytes() {
    let authority = Authority::new();
    let fixture = authority.serve(HttpLimits::default(), Serve::default()).await;
    let stream = authority.client().connect(fixture.address).await.unwrap();
    assert_eq!(http1_on(stream).await.0.bytes("/whole/9").await, pattern(9));
    let stream = authority.client().connect(fixture.address).await.unwrap();
    assert_eq!(http2_on(stream).await.0.bytes("/whole/9").await, pattern(9));
    // Who asks for another is told that there is none (RFC 7301, 3.2).
    let problem = authority.client().alpn("smtp").connect(fixture.address).await.unwrap_err();
    assert!(problem.to_string().contains("NoApplicationProtocol"), "{problem}");
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_answers_waits_to_the_last_byte_and_turns_handshakes_away() {
    let authority = Authority::new();
    let fixture = authority.serve(HttpLimits::default(), Serve::default()).await;
    let mut waits = Vec::new();
    for alpn in ["h2", "http/1.1"] {
        let stream = authority.client().alpn(alpn).connect(fixture.address).await.unwrap();
        let (mut client, ended) = match alpn {
            "h2" => http2_on(stream).await,
            _ => http1_on(stream).await,
        };
        let wait = tokio::spawn(client.get(&format!("/wait/{LARGE}")));
        fixture.entered(1).await;
        waits.push((client, wait, ended));
    }
    let begun = refused::half_a_handshake(fixture.address).await;
    fixture.trigger.begin(FOREVER);
    refused::closed(begun).await;
    for (_client, wait, ended) in waits {
        let body = wait.await.unwrap().unwrap().into_body().collect().await.unwrap();
        assert!(body.to_bytes() == pattern(LARGE));
        ended.await.unwrap().unwrap();
    }
    fixture.finish().await;
}

#[tokio::test]
async fn the_end_of_the_certificate_is_shown() {
    let authority = Authority::new();
    let fixture = authority.serve(HttpLimits::default(), Serve::default()).await;
    let series = r#"opgate_tls_certificate_expires_timestamp_seconds{listener="http"}"#;
    assert_line(&fixture.metrics(), &format!("{series} 2208988800"));
    assert_eq!(NAME, "gateway.example");
    fixture.finish().await;
}
