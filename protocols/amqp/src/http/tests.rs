//! What becomes of messages and of responses, with a frontend that says what it was asked.

use fe2o3_amqp_types::messaging::{
    AmqpSequence, AmqpValue, ApplicationProperties, Batch, Body, Data, Message, Properties,
};
use fe2o3_amqp_types::primitives::SimpleValue;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use opgate_bus::{Caller, WorksOn};
use opgate_core::Tenant;
use opgate_edge::{RequestBody, ResponseFuture};
use serde_amqp::Value;
use serde_amqp::primitives::Binary;
use serde_json::json;

use super::*;
use crate::node::{ConnectionId, Content};
use crate::wire::json as values;

/// Answers with what it was asked, or as the path wants.
struct Mirror;

impl Frontend for Mirror {
    fn call(&self, request: http::Request<RequestBody>, _: &Arc<Peer>) -> ResponseFuture {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let answer = |status: u16, media_type: &'static str, body: String| {
                let mut response = Response::new(opgate_edge::Body::full(body));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                let headers = response.headers_mut();
                headers.insert("content-type", media_type.parse().unwrap());
                headers.insert("etag", "\"7\"".parse().unwrap());
                headers.insert("opc-request-id", "r".parse().unwrap());
                headers.insert("date", "today".parse().unwrap());
                response
            };
            match head.uri.path() {
                "/google" => answer(
                    404,
                    "application/json; charset=utf-8",
                    json!({"error": {"code": 404, "message": "not there"}}).to_string(),
                ),
                "/oci" => answer(
                    409,
                    "application/json",
                    json!({"code": "Conflict", "message": "too late"}).to_string(),
                ),
                "/odd" => answer(422, "application/json", json!({"why": ["x"]}).to_string()),
                "/words" => answer(500, "text/plain", "broken".to_owned()),
                "/data" => answer(200, "application/octet-stream", "\0\u{1}".to_owned()),
                "/nothing" => answer(204, "application/json", String::new()),
                "/stream" => answer(200, "text/event-stream", "event: x\n\n".to_owned()),
                "/large" => answer(200, "application/json", format!("\"{}\"", "x".repeat(2000))),
                _ => {
                    let caller = head.extensions.get::<Caller>().unwrap();
                    let headers = head.headers.iter().map(|(name, value)| {
                        (name.as_str().to_owned(), value.to_str().unwrap().into())
                    });
                    let seen = json!({
                        "method": head.method.as_str(),
                        "to": head.uri.to_string(),
                        "headers": serde_json::Value::Object(headers.collect()),
                        "body": str::from_utf8(&body).unwrap(),
                        "tenant": caller.tenant.as_str(),
                    });
                    answer(200, "application/json", seen.to_string())
                }
            }
        })
    }
}

fn message(method: &str, to: &str, body: Body<Value>) -> Message<Body<Value>> {
    let properties = Properties {
        subject: Some(method.to_owned()),
        to: Some(to.to_owned()),
        ..Properties::default()
    };
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(properties),
        application_properties: None,
        body,
        footer: None,
    }
}

fn value(value: impl Into<Value>) -> Body<Value> {
    Body::Value(AmqpValue(value.into()))
}

async fn asked(message: Message<Body<Value>>) -> Reply {
    let caller = Caller {
        tenant: Tenant::new("acme").unwrap(),
        principal: Arc::from("ann"),
        works_on: WorksOn::nothing(),
    };
    let node = HttpNode::new(Arc::new(Mirror), 1000);
    let (connection, node_address) = (ConnectionId(1), ADDRESS.into());
    let request = Request {
        caller,
        connection,
        link: 1,
        node: node_address,
        patience: None,
        message,
        values: None,
    };
    node.call(request).await
}

/// What the mirror saw.
async fn seen(message: Message<Body<Value>>) -> serde_json::Value {
    let reply = asked(message).await;
    assert_eq!(reply.subject.as_deref(), Some("200"), "{reply:?}");
    let Body::Value(AmqpValue(Content::Value(body))) = &reply.body else { panic!("{reply:?}") };
    values::of(body)
}

/// The text of a refusal, and its status.
fn said(reply: &Reply) -> (&str, &str) {
    let Body::Value(AmqpValue(Content::Value(Value::String(text)))) = &reply.body else {
        panic!("{reply:?}")
    };
    (reply.subject.as_deref().unwrap(), text)
}

fn property<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let value = reply.application_properties.0.get(name)?;
    let SimpleValue::String(text) = value else { panic!("{value:?}") };
    Some(text)
}

#[tokio::test]
async fn method_path_and_caller_are_the_requests() {
    let seen = seen(message("PUT", "/a%20b/c?x=%26&y", value(Value::Null))).await;
    assert_eq!(seen["method"], "PUT");
    assert_eq!(seen["to"], "/a%20b/c?x=%26&y");
    assert_eq!(seen["tenant"], "acme");
    assert_eq!((&seen["body"], &seen["headers"]), (&json!(""), &json!({})));
}

#[tokio::test]
async fn the_trace_of_a_message_is_the_requests_and_a_wrong_one_is_none() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let text = |text: &str| SimpleValue::String(text.to_owned());
    for (name, parent, state, expected) in [
        (
            "traceparent",
            text(PARENT),
            text("a=1"),
            json!({"traceparent": PARENT, "tracestate": "a=1"}),
        ),
        ("Diagnostic-Id", text(PARENT), text("a=1,a=2"), json!({"traceparent": PARENT})),
        (
            "traceparent",
            text(PARENT),
            SimpleValue::Double(1.0.into()),
            json!({"traceparent": PARENT}),
        ),
        ("traceparent", text(&PARENT.to_uppercase()), text("a=1"), json!({})),
        ("traceparent", text("a\nb"), text("a=1"), json!({})),
        ("traceparent", SimpleValue::Double(1.0.into()), text("a=1"), json!({})),
    ] {
        let mut request = message("GET", "/", value(Value::Null));
        let properties = [(name.to_owned(), parent), ("tracestate".to_owned(), state)];
        request.application_properties =
            Some(ApplicationProperties(properties.into_iter().collect()));
        assert_eq!(seen(request).await["headers"], expected, "{name}");
    }
}

#[tokio::test]
async fn values_are_json_and_bytes_are_themselves() {
    let map = || values::value(&json!({"a": [1, true, null, "x"], "b": {"c": 1.5}}));
    let list = || AmqpSequence(vec![Value::from(1), Value::from("x")]);
    let data = || Data(Binary::from("{}"));
    let plain = json!({"content-type": "application/json"});
    for (body, expected, headers) in [
        (value(map()), r#"{"a":[1,true,null,"x"],"b":{"c":1.5}}"#, &plain),
        (value("x"), "\"x\"", &plain),
        (Body::Sequence(Batch::new(vec![list(), list()])), r#"[1,"x",1,"x"]"#, &plain),
        (value(Value::Binary(Binary::from("raw"))), "raw", &json!({})),
        (Body::Data(Batch::new(vec![data(), data()])), "{}{}", &json!({})),
        (Body::Empty, "", &json!({})),
    ] {
        let seen = seen(message("POST", "/", body)).await;
        assert_eq!((&seen["body"], &seen["headers"]), (&json!(expected), headers));
    }
    // A text whose type is said has been written by its sender.
    let mut said = message("POST", "/", value("{}"));
    said.properties.as_mut().unwrap().content_type = Some("application/json".into());
    assert_eq!(seen(said).await["body"], "{}");
}

#[tokio::test]
async fn application_properties_on_the_list_are_headers_and_no_others() {
    let mut asking = message("GET", "/", Body::Empty);
    let properties = ApplicationProperties::builder()
        .insert("If-Match", "7")
        .insert("opc-retry-token", "once")
        .insert("nexus-request-id", 9_u64)
        .insert("opgate-flag", true)
        .insert("Accept", SimpleValue::Symbol("application/json".into()))
        .insert("authorization", "Signature x")
        .insert("host", "elsewhere")
        .insert("content-length", 3)
        .insert("x-y", "z")
        .build();
    asking.application_properties = Some(properties);
    let expected = json!({
        "if-match": "7",
        "opc-retry-token": "once",
        "nexus-request-id": "9",
        "opgate-flag": "true",
        "accept": "application/json",
    });
    assert_eq!(seen(asking).await["headers"], expected);
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_its_field() {
    let mut nothing = message("GET", "/", Body::Empty);
    nothing.properties = None;
    let mut nowhere = message("GET", "/", Body::Empty);
    nowhere.properties.as_mut().unwrap().to = None;
    let mut odd = message("GET", "/", Body::Empty);
    odd.application_properties =
        Some(ApplicationProperties::builder().insert("if-match", "a\nb").build());
    let mut number = message("GET", "/", Body::Empty);
    number.application_properties =
        Some(ApplicationProperties::builder().insert("if-match", 1.5_f64).build());
    let long = format!("/{}", "x".repeat(20_000));
    for (message, field) in [
        (nothing, "subject"),
        (nowhere, "to is missing"),
        (message("NO METHOD", "/", Body::Empty), "subject"),
        (message("GET", "", Body::Empty), "to"),
        (message("GET", "queues", Body::Empty), "to"),
        (message("GET", "/a#b", Body::Empty), "to"),
        (message("GET", "/a b", Body::Empty), "to"),
        (message("GET", &long, Body::Empty), "to"),
        (odd, "if-match"),
        (number, "application property if-match"),
    ] {
        let reply = asked(message).await;
        let (status, text) = said(&reply);
        assert!(status == "400" && text.starts_with(field), "{status} {text}");
        assert_eq!(property(&reply, "http:response"), Some("1.1"));
    }
}

#[tokio::test]
async fn an_error_is_a_text_with_all_of_it_beside() {
    let get = |path: &str| asked(message("GET", path, Body::Empty));
    let reply = get("/google").await;
    assert_eq!(said(&reply), ("404", "not there"));
    let all = json!({"error": {"code": 404, "message": "not there"}});
    assert_eq!(property(&reply, "opgate:error"), Some(&*all.to_string()));
    assert_eq!(said(&get("/oci").await), ("409", "too late"));
    assert_eq!(said(&get("/words").await), ("500", "broken"));
    // One that has no message is told as it is.
    assert_eq!(said(&get("/odd").await), ("422", r#"{"why":["x"]}"#));
}

#[tokio::test]
async fn headers_that_matter_come_back() {
    let reply = asked(message("GET", "/nothing", Body::Empty)).await;
    assert_eq!(reply.subject.as_deref(), Some("204"));
    assert!(matches!(reply.body, Body::Value(AmqpValue(Content::Value(Value::Null)))));
    assert_eq!(property(&reply, "http:response"), Some("1.1"));
    assert_eq!(property(&reply, "etag"), Some("\"7\""));
    assert_eq!(property(&reply, "opc-request-id"), Some("r"));
    assert_eq!(property(&reply, "date"), None);
}

#[tokio::test]
async fn bytes_are_data_and_what_has_no_end_or_is_too_large_is_refused() {
    let reply = asked(message("GET", "/data", Body::Empty)).await;
    assert_eq!(reply.content_type.as_deref(), Some("application/octet-stream"));
    let Body::Data(data) = &reply.body else { panic!("{reply:?}") };
    assert_eq!(data[0].0.as_slice(), b"\0\x01");
    assert_eq!(said(&asked(message("GET", "/stream", Body::Empty)).await).0, "406");
    assert_eq!(said(&asked(message("GET", "/large", Body::Empty)).await).0, "500");
}
