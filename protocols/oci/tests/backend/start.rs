//! The request that starts an operation upstream.

use std::time::{Duration, SystemTime};

use http::Method;
use opgate_bus::core::{Epoch, ErrorKind, Outcome, Payload, State, Tenant, Trace};
use opgate_oci::signature::{Keyring, Presented, PublicKey, Signer, Strength};
use serde_json::json;
use tempfile::tempdir;

use crate::side::{Setup, header, start};
use crate::upstream::{Call, ID, Upstream};

const USER: &str = include_str!("../keys/user.pkcs8.pem");
const USER_PUBLIC: &str = include_str!("../keys/user.public.pem");

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
    let ended = side.ended(id).await;
    assert_eq!((&ended.outcome, ended.log.len()), (&Some(Outcome::Succeeded(None)), 0));
    // Whoever waits for work that nobody named is told why it is over.
    let id = side.start().await;
    upstream.start_call().await.answer(202, &[], "");
    let ended = side.ended(id).await;
    assert_eq!((&ended.outcome, ended.log.len()), (&Some(Outcome::Succeeded(None)), 1));
    assert!(ended.log[0].message.contains("named no work request"), "{:?}", ended.log);
    assert!(!ended.log[0].error);
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
async fn every_request_is_signed_as_it_is_sent() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let (tenancy, user) = ("ocid1.tenancy.oc1..t", "ocid1.user.oc1..u");
    let public = PublicKey::from_pem(USER_PUBLIC, Strength::Strong).unwrap();
    let tenant = (tenancy.to_owned(), Tenant::anonymous());
    let host = upstream.address.to_string();
    let mut keyring = Keyring::new([tenant], Duration::from_mins(5), vec![host]);
    keyring.insert_key(tenancy, user, public);
    let signed = |call: &Call| {
        let Call { head, body, .. } = call;
        let presented =
            Presented { method: &head.method, uri: &head.uri, headers: &head.headers, body };
        let signed = keyring.verify(&presented, SystemTime::now()).unwrap();
        assert_eq!(&*signed.caller.principal, user);
    };

    let options = [
        ("request", "POST /20160918/compartments/{compartmentId}/actions/moveCompartment"),
        ("query", r#"{"a b":"${/compartmentId}"}"#),
        ("body", r#""${}""#),
        ("dialect", "modern"),
    ];
    let signer = Signer::new(tenancy, user, None, USER).unwrap();
    let setup = Setup { signer: Some(signer), prefix: "/a%2Fb", ..Setup::with(&options) };
    let side = setup.open(&dir, &upstream);
    let id = side.start().await;
    let call = upstream.call().await;
    assert!(call.head.uri.to_string().contains("%2F1/actions/moveCompartment?a%20b=ocid1"));
    assert!(!call.body.is_empty());
    signed(&call);
    call.start();
    let look = upstream.call().await;
    signed(&look);
    side.cancel(id).await;
    let cancel = upstream.call().await;
    assert_eq!(cancel.head.method, Method::DELETE);
    signed(&cancel);
    cancel.answer(204, &[], "");
    look.show("CANCELED", "");
    // Its errors and logs.
    for _ in 0..2 {
        let list = upstream.call().await;
        signed(&list);
        list.answer(200, &[], "[]");
    }
    assert_eq!(side.ended(id).await.state, State::Canceled);
    side.stop().await;
}
