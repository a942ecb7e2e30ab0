//! The request that starts an operation upstream.

use http::Method;
use opgate_bus::core::{Epoch, ErrorKind, Outcome, Payload, State, Trace};
use opgate_oci::signature::Signer;
use serde_json::json;
use tempfile::tempdir;

use crate::side::{Setup, header, start};
use crate::upstream::{ID, LOOK, Upstream};

#[tokio::test]
async fn an_operation_is_a_call_and_its_work_request() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let mut begun = start(r#"{"compartmentId":"ocid1.compartment.oc1..c/1"}"#);
    begun.headers = vec![
        header("If-Match", "etag"),
        header("authorization", "Bearer secret"),
        header("opc-retry-token", "theirs"),
        header("x-other", "1"),
    ];
    begun.trace = Some(Box::new(Trace { parent: "00-a-b-01".into(), state: "vendor=1".into() }));
    let id = side.started(begun).await;
    let call = upstream.start_call().await;
    assert_eq!(call.header("opc-retry-token"), Some(id.to_text().as_str()));
    assert_eq!(call.header("opc-request-id"), Some(&*format!("{id}/1")));
    assert_eq!(call.header("if-match"), Some("etag"));
    assert_eq!(call.header("traceparent"), Some("00-a-b-01"));
    assert_eq!(call.header("tracestate"), Some("vendor=1"));
    for absent in ["authorization", "x-other", "content-type"] {
        assert_eq!(call.header(absent), None, "{absent}");
    }
    assert!(call.body.is_empty());
    call.start();
    let look = upstream.look().await;
    // Before anything waits for it.
    assert_eq!(side.running(id).await.routed.native_ref, ID);
    for absent in ["opc-retry-token", "if-match"] {
        assert_eq!(look.header(absent), None, "{absent}");
    }
    assert_eq!(look.header("traceparent"), Some("00-a-b-01"));
    look.show("SUCCEEDED", r#""percentComplete": 1e2"#);
    let ended = side.ended(id).await;
    let result = r#"{"status":"SUCCEEDED","percentComplete": 1e2}"#;
    assert_eq!(ended.outcome, Some(Outcome::Succeeded(Some(Payload::json(result)))));
    assert_eq!(&*ended.native_state, "SUCCEEDED");
    side.stop().await;
}

#[tokio::test]
async fn templates_make_the_body_and_the_parameters() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let options = [
        ("request", "POST /20160918/compartments/{id}/actions/moveCompartment"),
        ("body", r#"{"targetCompartmentId":"${/to}","note":"${/absent}"}"#),
        ("query", r#"{"isLockOverride":"${/force}"}"#),
        ("work_requests", "/20210415/workRequests"),
    ];
    let setup = Setup { prefix: "/oci/", ..Setup::with(&options) };
    let side = setup.open(&dir, &upstream);
    let id = side.started(start(r#"{"id":"c","to":"d","force":true}"#)).await;
    let path = "/oci/20160918/compartments/c/actions/moveCompartment";
    let call = upstream.expect(&Method::POST, path).await;
    assert_eq!(call.parameter("isLockOverride").as_deref(), Some("true"));
    assert_eq!(call.header("content-type"), Some("application/json"));
    let sent: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(sent, json!({"targetCompartmentId": "d"}));
    call.start();
    let look = format!("/oci/20210415/workRequests/{ID}");
    upstream.expect(&Method::GET, &look).await.show("SUCCEEDED", "");
    side.ended(id).await;
    side.stop().await;
}

#[tokio::test]
async fn a_reply_without_a_work_request_is_the_result() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.answer(200, &[("content-type", "application/json")], "[1e400]");
    let result = Some(Payload::json("[1e400]"));
    assert_eq!(side.ended(id).await.outcome, Some(Outcome::Succeeded(result)));
    let id = side.start().await;
    upstream.start_call().await.answer(204, &[], "");
    assert_eq!(side.ended(id).await.outcome, Some(Outcome::Succeeded(None)));
    assert!(upstream.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn an_input_that_no_request_can_be_made_of_is_refused_and_nothing_is_stored() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    for (input, field) in [
        (Payload::json("{}"), "input.compartmentId"),
        (Payload::json(r#"{"compartmentId":".."}"#), "input.compartmentId"),
        (Payload::json("{"), "input"),
        (Payload::new("text/plain", "{}"), "input"),
    ] {
        let mut begun = start("{}");
        begun.input = input;
        let error = side.bus.start(&side.caller, begun).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgument);
        assert_eq!(error.field.unwrap().field, field);
    }
    assert!(upstream.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn a_start_of_which_nothing_is_known_is_sent_again_as_the_same() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let id = side.start().await;
    let token = id.to_text().as_str().to_owned();
    // It breaks off, and it is answered with what cannot be read.
    drop(upstream.start_call().await);
    let call = upstream.start_call().await;
    assert_eq!(call.header("opc-retry-token"), Some(&*token));
    call.answer(202, &[("opc-work-request-id", "")], "");
    let call = upstream.start_call().await;
    assert_eq!(call.header("opc-retry-token"), Some(&*token));
    assert_eq!(call.header("opc-request-id"), Some(&*format!("{id}/3")));
    call.start();
    assert_eq!(side.running(id).await.epoch, Epoch(3));
    upstream.look().await.show("SUCCEEDED", "");
    assert_eq!(side.ended(id).await.state, State::Succeeded);
    side.stop().await;
}

#[tokio::test]
async fn every_request_is_signed() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let pem = include_str!("../keys/user.pkcs8.pem");
    let signer = Signer::new("ocid1.tenancy.oc1..t", "ocid1.user.oc1..u", None, pem).unwrap();
    let (key, host) = (signer.key_id().to_owned(), upstream.address.to_string());
    let options = [("request", "POST /20160918/compartments/{compartmentId}"), ("cancel", "true")];
    let setup = Setup { signer: Some(signer), ..Setup::with(&options) };
    let side = setup.open(&dir, &upstream);
    let id = side.start().await;
    let signed = |call: &crate::upstream::Call, names: &str| {
        let header = call.header("authorization").unwrap();
        assert!(header.contains(&format!("keyId=\"{key}\"")), "{header}");
        assert!(header.contains(&format!("headers=\"{names}\"")), "{header}");
        assert_eq!(call.header("host"), Some(&*host));
    };
    let with_body = "date (request-target) host content-length content-type x-content-sha256";
    let call =
        upstream.expect(&Method::POST, "/20160918/compartments/ocid1.compartment.oc1..c%2F1").await;
    signed(&call, with_body);
    assert_eq!(call.header("content-length"), Some("0"));
    call.start();
    let look = upstream.look().await;
    signed(&look, "date (request-target) host");
    side.cancel(id).await;
    let cancel = upstream.expect(&Method::DELETE, LOOK).await;
    signed(&cancel, "date (request-target) host");
    cancel.answer(204, &[], "");
    look.show("CANCELED", "");
    assert_eq!(side.ended(id).await.state, State::Canceled);
    side.stop().await;
}
