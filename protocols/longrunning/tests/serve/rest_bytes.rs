//! HTTP/1.1 byte for byte: what is broken, doubled or too large is refused and changes nothing.

use super::client::Client;
use super::gateway::Gateway;
use super::rest::{ask, exchange, parsed};

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_order() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let name = client.make("a", "nothing now").await.name;
    let one = format!("GET /v1/{name}?fields=name HTTP/1.1\r\nhost: x\r\n\r\n");
    let other = "GET /v1/nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answers = exchange(gateway.address, format!("{one}{one}{other}").as_bytes()).await;
    let answers = String::from_utf8(answers).unwrap();
    let statuses: Vec<&str> =
        answers.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect();
    assert_eq!(statuses, ["200", "200", "404"]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_head_that_two_readers_could_read_differently_changes_nothing() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let name = client.make("a", "").await.name;
    let cancel = format!("POST /v1/{name}:cancel HTTP/1.1\r\nhost: x\r\n");
    let hidden = format!("DELETE /v1/{name} HTTP/1.1\r\nhost: x\r\n\r\n");
    for (head, body) in [
        ("content-length: 0\r\ncontent-length: 44\r\n", &*hidden),
        ("content-length: 0, 44\r\n", &hidden),
        ("content-length: +0\r\n", &hidden),
        ("content-length: -1\r\n", &hidden),
        ("content-length: 0x0\r\n", &hidden),
        ("content-length: 99999999999999999999\r\n", &hidden),
        ("content-length : 0\r\n", &hidden),
        (" content-length: 0\r\n", &hidden),
        ("transfer-encoding: xchunked\r\n", &hidden),
        ("transfer-encoding: chunked, identity\r\n", &hidden),
        ("transfer-encoding: chunked\r\n", "zz\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "fffffffffffffffff\r\n\r\n"),
        ("x: a\0b\r\n", &hidden),
        ("x\r\n", &hidden),
    ] {
        let request = format!("{cancel}{head}\r\n{body}");
        let answers = exchange(gateway.address, request.as_bytes()).await;
        let answers = String::from_utf8_lossy(&answers).into_owned();
        assert!(answers.is_empty() || answers.starts_with("HTTP/1.1 4"), "{head:?}: {answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), usize::from(!answers.is_empty()));
    }
    let shown = client.get(&name).await.unwrap();
    assert!(!shown.done, "neither canceled nor deleted");
    gateway.stop().await;
}

#[tokio::test]
async fn a_head_too_large_is_refused_and_the_next_client_served() {
    let gateway = Gateway::start().await;
    for head in [
        format!("GET /v1/operations/{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100_000)),
        format!("GET /v1/operations/{}x HTTP/1.1\r\nhost: x\r\n\r\n", "x/".repeat(40_000)),
        format!("GET /v1/operations HTTP/1.1\r\nhost: x\r\ny: {}\r\n\r\n", "x".repeat(100_000)),
        format!("GET /v1/operations HTTP/1.1\r\nhost: x\r\n{}\r\n", "y: x\r\n".repeat(10_000)),
    ] {
        let answer = exchange(gateway.address, head.as_bytes()).await;
        // The peer may meet the reset before it has read the answer.
        if !answer.is_empty() {
            let status = parsed(&answer).status;
            assert!(matches!(status, 400 | 414 | 431), "{status}");
        }
    }
    assert_eq!(ask(&gateway, "GET", "/v1/operations").await.status, 200);
    gateway.stop().await;
}

#[tokio::test]
async fn paths_that_fit_are_answered_in_json_whatever_is_in_them() {
    let gateway = Gateway::start().await;
    for (target, status) in [
        ("/v1/operations/%", 400),
        ("/v1/operations/%f", 400),
        ("/v1/operations/%gg", 400),
        ("/v1/operations/%ff%fe", 400),
        ("/v1/operations/%00", 404),
        ("/v1/operations/..%2f..%2fetc", 404),
        ("/v1/operations?pageSize=%", 400),
        ("/v1/operations?%ff=1", 400),
        ("/v1/operations?&&&=&=", 400),
        ("/v1/operations?a=b=c", 400),
        ("*", 404),
        ("http://x/v1/operations", 200),
        ("//v1/operations", 404),
        ("/v1/operations/", 404),
    ] {
        let answer = ask(&gateway, "GET", target).await;
        assert_eq!(answer.status, status, "{target}");
        assert!(answer.head.contains("content-type: application/json; charset=utf-8"), "{target}");
        assert!(answer.json().is_object(), "{target}");
    }
    let long = format!("/v1/operations/{}", "x".repeat(8_000));
    let answer = ask(&gateway, "GET", &long).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.len() < 2_000, "a long name is not echoed");
    gateway.stop().await;
}

#[tokio::test]
async fn fields_that_are_none_of_the_answers_are_refused_before_anything_is_done() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let name = client.make("a", "").await.name;
    for (target, message) in [
        (
            format!("/v1/{name}?fields=nam"),
            "fields: `nam`: google.longrunning.Operation has no such field",
        ),
        (format!("/v1/{name}:wait?fields=done(x)"), "fields: `done` has no fields within"),
        (
            "/v1/a/operations?fields=operations(name,titel)".to_owned(),
            "fields: `operations.titel`: google.longrunning.Operation has no such field",
        ),
    ] {
        let answer = ask(&gateway, "GET", &target).await;
        assert_eq!(answer.status, 400, "{target}");
        assert_eq!(answer.json()["error"]["message"], message, "{target}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_post_that_means_get_asks_with_its_target_and_its_form() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let (done, running) = (client.make("a", "nothing now").await, client.make("a", "").await);
    let asked = async |method: &str, query: &str, form: &str| {
        let head = format!(
            "POST /v1/a/operations{query} HTTP/1.1\r\nhost: x\r\nx-http-method-override: {method}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{form}",
            form.len(),
        );
        parsed(&exchange(gateway.address, head.as_bytes()).await)
    };
    let both = asked("GET", "?filter=done%3Dtrue", "fields=operations/name").await;
    assert_eq!(both.json(), serde_json::json!({ "operations": [{ "name": done.name }] }));
    let twice = asked("GET", "?filter=done%3Dtrue", "filter=done%3Dfalse").await;
    assert_eq!(twice.status, 400);
    let alone = asked("GET", "", "filter=done%3Dfalse&fields=operations/name").await;
    assert_eq!(alone.json(), serde_json::json!({ "operations": [{ "name": running.name }] }));
    let other = asked("PATCH", "", "").await;
    assert_eq!(other.status, 405);
    assert_eq!(other.json()["error"]["message"], "PATCH is not offered at this path: GET");
    gateway.stop().await;
}

#[tokio::test]
async fn a_coding_of_the_body_is_known_in_any_case() {
    let gateway = Gateway::start().await;
    for (coding, status) in [("GZIP", 400), ("X-Gzip", 400), ("Identity", 404), ("br", 415)] {
        let request = format!(
            "POST /v1/operations/x:cancel HTTP/1.1\r\nhost: x\r\ncontent-encoding: {coding}\r\n\
             content-length: 2\r\nconnection: close\r\n\r\n{{}}"
        );
        let answer = parsed(&exchange(gateway.address, request.as_bytes()).await);
        assert_eq!(answer.status, status, "{coding}");
    }
    gateway.stop().await;
}
