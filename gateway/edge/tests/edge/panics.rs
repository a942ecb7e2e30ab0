//! A panic reaches no further than its request.

use http_body_util::BodyExt as _;
use opgate_edge::HttpLimits;

use crate::fixture::{Client, Fixture, assert_line, http1, http2, pattern};

#[tokio::test]
async fn a_panicking_request_is_answered_with_500_and_the_connection_goes_on() {
    let fixture = Fixture::start(HttpLimits::default()).await;
    let (http1, _) = http1(fixture.address).await;
    let (http2, _) = http2(fixture.address).await;
    for mut client in [http1, http2] {
        for path in ["/panic-now", "/panic-later"] {
            client.ready().await.unwrap();
            let response = client.get(path).await.unwrap();
            assert_eq!(response.status(), 500);
            response.into_body().collect().await.unwrap();
        }
        assert!(client.bytes("/whole/3").await == pattern(3));
    }
    let text = fixture.finish().await;
    assert_line(&text, r#"opgate_panics_contained_total{place="request"} 4"#);
    assert_line(&text, r#"opgate_panics_contained_total{place="connection"} 0"#);
}

#[tokio::test]
async fn a_panicking_body_breaks_off_its_reply_only() {
    let fixture = Fixture::start(HttpLimits::default()).await;
    let (mut client, _) = http2(fixture.address).await;
    assert!(breaks_off(&mut client).await);
    assert!(client.bytes("/whole/3").await == pattern(3));
    let (mut other, _) = http1(fixture.address).await;
    assert!(breaks_off(&mut other).await);
    let text = fixture.finish().await;
    assert_line(&text, r#"opgate_panics_contained_total{place="request"} 2"#);
}

/// Whether the reply ends early, before or after its head.
async fn breaks_off(client: &mut Client) -> bool {
    match client.get("/panic-body").await {
        Ok(response) => response.into_body().collect().await.is_err(),
        Err(_) => true,
    }
}
