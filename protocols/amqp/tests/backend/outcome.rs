//! What a reply makes of an operation.

use fe2o3_amqp_types::definitions::{AmqpError, Error as Said};
use fe2o3_amqp_types::messaging::{AmqpValue, Body, MessageId, Modified};
use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_amqp::wire::content;
use opgate_bus::core::{Code, Loss, Losses, State};
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;
use serde_json::json;
use tempfile::tempdir;

use crate::side::{Setup, failure, header, result, start};
use crate::upstream::Upstream;

#[tokio::test]
async fn a_request_says_what_its_route_says_and_its_reply_is_the_result() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let options = [
        ("properties", r#"{"force":"${/force}"}"#),
        ("body", r#"{"all":"${}"}"#),
        ("headers", "x-a"),
    ];
    let side = Setup::with(&options).open(&dir, &upstream);
    let mut start = start(r#"{"name":"q","force":true}"#);
    start.headers = vec![header("x-a", "1"), header("x-b", "2"), header("authorization", "no")];
    let id = side.started(start).await;
    let call = upstream.expect("DELETE").await;
    for (name, value) in [
        ("type", "queue".to_owned()),
        ("name", "q".to_owned()),
        ("x-a", "1".to_owned()),
        ("idempotency-key", id.to_string()),
    ] {
        assert_eq!(call.property(name), Some(value), "{name}");
    }
    assert_eq!(call.properties().get("force"), Some(&SimpleValue::Bool(true)));
    for absent in ["x-b", "authorization", "identity"] {
        assert!(!call.properties().contains_key(absent), "{absent}");
    }
    assert_eq!(call.body(), json!({"all": {"name": "q", "force": true}}));
    assert_eq!(call.reply_to(), Some("replies-here"));
    call.answer(200, json!({"a": 1})).await;
    let ended = side.ended(id).await;
    assert_eq!(result(&ended), Some(r#"{"a":1}"#));
    side.stop().await;
}

#[tokio::test]
async fn a_node_is_given_what_came_as_values_as_they_came() {
    let values = Value::List(vec![Value::Ubyte(1), Value::Symbol(Symbol::from("a"))]);
    let doubted = Losses::from(Loss::InputValues);
    for (body, whole) in [(r#""${}""#, true), (r#"{"all":"${}"}"#, false)] {
        let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
        let side = Setup::with(&[("body", body), ("name", "q")]).open(&dir, &upstream);
        let mut start = start("");
        start.input = content::as_values(content::value(&values, None));
        start.lost = doubted;
        let id = side.started(start).await;
        let call = upstream.expect("DELETE").await;
        if whole {
            assert_eq!(call.message.body, Body::Value(AmqpValue(values.clone())));
        } else {
            assert_eq!(call.body(), json!({"all": [1, "a"]}));
        }
        call.answer(200, json!({"a": 1})).await;
        let ended = side.ended(id).await;
        assert_eq!(ended.lost, if whole { Losses::NONE } else { doubted });
        side.stop().await;
    }
}

#[tokio::test]
async fn many_requests_share_a_connection_and_get_their_own_replies() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[]).open(&dir, &upstream);
    let mut started = Vec::new();
    let mut calls = Vec::new();
    for number in 0..10 {
        started.push(side.started(start(&format!(r#"{{"name":"q{number}"}}"#))).await);
    }
    for _ in 0..10 {
        calls.push(upstream.call().await);
    }
    // In another order than they came.
    while let Some(call) = calls.pop() {
        let name = call.property("name").unwrap();
        call.answer(200, json!(name)).await;
    }
    for (number, id) in started.into_iter().enumerate() {
        let ended = side.ended(id).await;
        assert_eq!(result(&ended), Some(&*format!("\"q{number}\"")));
    }
    assert_eq!(upstream.connections(), 1);
    side.stop().await;
}

#[tokio::test]
async fn a_refusal_is_the_failure_in_the_nodes_own_words() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[]).open(&dir, &upstream);
    let id = side.start().await;
    upstream.call().await.refuse(404, "amqp:not-found").await;
    let ended = side.ended(id).await;
    let told = failure(&ended);
    assert_eq!((told.code, &*told.message), (Code::NotFound, "as it is"));
    assert_eq!(told.reason.as_deref(), Some("amqp:not-found"));
    assert_eq!(told.native.as_ref().unwrap().http, Some(404));
    side.stop().await;
}

#[tokio::test]
async fn who_is_busy_is_asked_again_and_a_server_error_is_an_end() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[]).open(&dir, &upstream);
    let id = side.start().await;
    for status in [429, 503] {
        upstream.call().await.refuse(status, "com.microsoft:server-busy").await;
    }
    upstream.call().await.refuse(500, "amqp:internal-error").await;
    let ended = side.ended(id).await;
    assert_eq!((failure(&ended).code, ended.epoch.0), (Code::Internal, 3));
    assert!(upstream.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn what_the_node_gives_back_is_sent_again_and_what_it_rejects_is_not() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[]).open(&dir, &upstream);
    let id = side.start().await;
    upstream.call().await.release().await;
    let back =
        Modified { delivery_failed: None, undeliverable_here: None, message_annotations: None };
    upstream.call().await.modify(back.clone()).await;
    let error = Said::new(AmqpError::UnauthorizedAccess, Some("not you".to_owned()), None);
    upstream.call().await.reject(Some(error)).await;
    let ended = side.ended(id).await;
    assert!(failure(&ended).message.ends_with("not you"), "{ended:?}");
    assert_eq!(failure(&ended).reason.as_deref(), Some("amqp:unauthorized-access"));
    // One that the node failed at may have been carried out.
    let id = side.start().await;
    upstream.call().await.modify(Modified { delivery_failed: Some(true), ..back }).await;
    let ended = side.ended(id).await;
    assert_eq!(failure(&ended).reason.as_deref(), Some("outcome_unknown"));
    assert!(upstream.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn replies_to_no_request_are_dropped_and_the_others_unharmed() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[]).open(&dir, &upstream);
    let id = side.start().await;
    let call = upstream.call().await;
    for wrong in [None, Some(MessageId::Ulong(0)), Some(MessageId::String("other".to_owned()))] {
        call.reply(wrong, 200, "", json!("wrong")).await;
    }
    call.answer(200, json!("right")).await;
    let ended = side.ended(id).await;
    assert_eq!((result(&ended), upstream.connections()), (Some("\"right\""), 1));
    side.stop().await;
}

#[tokio::test]
async fn a_reply_without_a_status_tells_nothing_of_the_outcome() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[]).open(&dir, &upstream);
    let id = side.start().await;
    let call = upstream.call().await;
    call.accept().await;
    call.send(Some(call.id()), None, Body::Empty).await;
    let ended = side.ended(id).await;
    assert_eq!(failure(&ended).reason.as_deref(), Some("outcome_unknown"));
    side.stop().await;
}

#[tokio::test]
async fn an_input_that_the_request_cannot_be_made_of_is_refused_at_the_door() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[]).open(&dir, &upstream);
    let refused = side.bus.start(&side.caller, start(r#"{"nome":"q"}"#)).await.unwrap_err();
    assert_eq!(refused.field.unwrap().field, "name");
    let id = side.start().await;
    upstream.call().await.answer(204, json!({})).await;
    let ended = side.ended(id).await;
    assert_eq!((ended.state, result(&ended)), (State::Succeeded, None));
    side.stop().await;
}
