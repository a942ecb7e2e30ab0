//! What a start is upstream.

use bytes::Bytes;
use opgate_bus::core::{ErrorKind, Header, Outcome, Payload, State, Trace};
use opgate_egress::Credentials;
use opgate_rpc::proto::Any;
use tempfile::tempdir;

use crate::side::{Setup, start};
use crate::upstream::{NAME, START, Upstream, WAIT};

/// Bytes with a field that nobody knows, and one twice.
const ODD: &[u8] = b"\x0a\x01x\xfa\x3f\x01\xff\x0a\x01y";

#[tokio::test]
async fn a_message_goes_as_it_came_and_its_response_comes_back_as_it_was() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let mut setup = Setup::with(&[("metadata", r#"{"x-route":"${id}"}"#)]);
    setup.credentials = Credentials::bearer("secret").unwrap();
    let side = setup.open(&dir, &upstream);
    let mut asked = start(Payload::protobuf("acme.v1.MakeRequest", ODD));
    let header =
        |name: &str, value: &'static str| Header { name: name.into(), value: value.into() };
    asked.headers = vec![
        header("x-goog-request-params", "parent=projects%2Fp"),
        header("x-tenant", "not on the list"),
        header("idempotency-key", "the caller's"),
        header("x-route", "the caller's"),
    ];
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    asked.trace = Some(Box::new(Trace { parent: parent.into(), state: "a=1".into() }));
    let id = side.started(asked).await;

    let call = upstream.expect(START).await;
    assert_eq!(call.message, ODD);
    for (name, value) in [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "20000000u"),
        ("authorization", "Bearer secret"),
        ("idempotency-key", &*id.to_string()),
        ("x-route", &*id.to_string()),
        ("x-goog-request-params", "parent=projects%2Fp"),
        ("traceparent", parent),
        ("tracestate", "a=1"),
    ] {
        assert_eq!(call.header(name), Some(value), "{name}");
    }
    assert_eq!(call.header("x-tenant"), None);
    assert!(call.header("user-agent").unwrap().starts_with("opgate/"));
    call.runs(None);
    assert_eq!(side.running(id).await.routed.native_ref, NAME);

    let wait = upstream.expect(WAIT).await;
    assert_eq!(wait.named().name, NAME);
    assert!(wait.named().timeout.is_some());
    assert_eq!(wait.header("x-goog-request-params"), Some("name=projects%2Fp%2Foperations%2F1"));
    assert_eq!(
        (wait.header("traceparent"), wait.header("tracestate")),
        (Some(parent), Some("a=1"))
    );
    let response =
        Any { type_url: "example.com/acme.v1.Thing".to_owned(), value: Bytes::from_static(ODD) };
    wait.done(response);
    let ended = side.ended(id).await;
    let Some(Outcome::Succeeded(Some(result))) = &ended.outcome else { panic!("{ended:?}") };
    assert_eq!((result.message_type(), &*result.bytes), (Some("acme.v1.Thing"), ODD));
    assert!(result.media_type.contains("example.com/acme.v1.Thing"));
    assert_eq!(&*ended.native_state, "DONE");
    assert!(upstream.is_quiet());
}

#[tokio::test]
async fn what_is_done_at_once_is_not_looked_at() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let id = side.start().await;
    upstream.expect(START).await.done(Any::new("google.protobuf.Empty", Bytes::new()));
    let ended = side.ended(id).await;
    assert_eq!(ended.outcome, Some(Outcome::Succeeded(None)));
    assert!(upstream.is_quiet());
}

#[tokio::test]
async fn a_request_is_made_of_the_input_and_what_it_cannot_be_made_of_is_refused() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let setup = Setup::with(&[
        ("request_type", "google.rpc.ErrorInfo"),
        ("request", r#"{"reason":"${/why}","metadata":{"b":"${id}","a":"1"}}"#),
        ("request_id", "domain"),
    ]);
    let side = setup.open(&dir, &upstream);
    let id = side.started(start(Payload::json(r#"{"why":"R"}"#))).await;
    let call = upstream.expect(START).await;
    let info: opgate_rpc::proto::ErrorInfo = prost::Message::decode(call.message.clone()).unwrap();
    assert_eq!(info.reason, "R");
    assert_eq!(info.metadata["b"], id.to_string());
    assert_eq!((info.domain.len(), info.domain.as_bytes()[14]), (36, b'8'), "{}", info.domain);
    // By that field a repeat is known: an answer that is lost is no end.
    drop(call);
    let again = upstream.expect(START).await;
    let info_again = prost::Message::decode(again.message.clone()).unwrap();
    assert_eq!(info, info_again);
    again.done(Any::new("google.protobuf.Empty", Bytes::new()));
    assert_eq!(side.ended(id).await.state, State::Succeeded);

    for input in [Payload::json(r#"{"why":[1]}"#), Payload::new("text/plain", "x")] {
        let refused = side.bus.start(&side.caller, start(input)).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::InvalidArgument, "{refused}");
    }
    assert!(upstream.is_quiet());
}

#[tokio::test]
async fn a_result_is_json_where_its_route_wants_that_and_its_type_is_known() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[("result", "json")]).open(&dir, &upstream);
    let info = opgate_rpc::proto::ErrorInfo { reason: "R".to_owned(), ..Default::default() };
    let known = Any::pack("google.rpc.ErrorInfo", &info);
    let body = opgate_rpc::proto::HttpBody {
        content_type: "text/plain".to_owned(),
        data: Bytes::from_static(b"hello"),
        extensions: Vec::new(),
    };
    for (response, kind, bytes) in [
        (known, "application/json", &br#"{"reason":"R"}"#[..]),
        (Any::pack("google.api.HttpBody", &body), "text/plain", b"hello"),
        (
            Any::new("acme.v1.Thing", Bytes::from_static(ODD)),
            "application/x-protobuf; message-type=\"acme.v1.Thing\"",
            ODD,
        ),
        // It says a type that it is not.
        (
            Any::new("google.rpc.ErrorInfo", Bytes::from_static(b"\xff")),
            "application/x-protobuf; message-type=\"google.rpc.ErrorInfo\"",
            b"\xff",
        ),
    ] {
        let id = side.start().await;
        upstream.expect(START).await.done(response);
        let ended = side.ended(id).await;
        let Some(Outcome::Succeeded(Some(result))) = &ended.outcome else { panic!("{ended:?}") };
        assert_eq!((&*result.media_type, &*result.bytes), (kind, bytes));
    }
}

#[tokio::test]
async fn what_is_refused_for_good_fails_in_the_services_own_words() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::idempotent().open(&dir, &upstream);
    let detail = Any::new("acme.v1.Why", Bytes::from_static(b"\x08\x01"));
    for (code, retryable) in [(3, Some(false)), (6, Some(false)), (13, None), (16, Some(false))] {
        let id = side.start().await;
        upstream.expect(START).await.refuse(code, "no", vec![detail.clone()]);
        let ended = side.ended(id).await;
        let Some(Outcome::Failed(failure)) = &ended.outcome else { panic!("{ended:?}") };
        assert_eq!((failure.code.number(), &*failure.message), (code, "no"));
        assert_eq!((failure.retryable, &*failure.details[0].value), (retryable, &b"\x08\x01"[..]));
    }
    assert!(upstream.is_quiet());
}
