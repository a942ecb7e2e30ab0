//! Starting operations.

use opgate_native::client::{
    Callback, Header, Link, Payload, StartOperationRequest, State, payload::Body,
};
use tonic::Code::{AlreadyExists, InvalidArgument, NotFound};

use crate::gateway::{Gateway, data, json, number, refused, start};

#[tokio::test]
async fn an_operation_is_started_by_its_route_or_by_its_kind() {
    let mut gateway = Gateway::start().await;
    let by_route = gateway.begin("echo", "[1]").await;
    assert_eq!((&*by_route.service, &*by_route.operation), ("showcase", "echo"));
    assert_eq!((by_route.state(), by_route.done, by_route.version), (State::Succeeded, true, 1));
    assert_eq!(data(by_route.result.as_ref()), ("application/json", &b"[1]"[..]));
    assert_eq!(by_route.names["other"], format!("other/{}", by_route.id));
    assert_eq!(gateway.get(&by_route.id).await, by_route);
    assert_eq!(gateway.get(&format!("other/{}", by_route.id)).await, by_route);
    assert_eq!(gateway.get(&format!("{}-sealed", by_route.id)).await, by_route);

    let by_kind = StartOperationRequest {
        service: "showcase".to_owned(),
        operation: "echo".to_owned(),
        ..StartOperationRequest::default()
    };
    let by_kind = gateway.operations.start_operation(by_kind).await.unwrap().into_inner();
    assert_eq!(by_kind.route, "echo");
    assert_eq!(data(by_kind.input.as_ref()), ("application/octet-stream", &b""[..]));
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_start_brings_is_kept() {
    let mut gateway = Gateway::start().await;
    let link = Link { url: "https://h/p".to_owned(), r#type: "a.B".to_owned() };
    let header = Header { name: "X-Case".to_owned(), value: "é".to_owned() };
    let asked = StartOperationRequest {
        parent: "projects/p".to_owned(),
        timeout: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        headers: vec![header.clone()],
        links: vec![link.clone()],
        callbacks: vec![Callback { url: "https://h/done".to_owned(), headers: vec![] }],
        ..start("inspect", "{}")
    };
    let mut request = tonic::Request::new(asked);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.metadata_mut().insert("traceparent", trace.parse().unwrap());
    let operation = gateway.operations.start_operation(request).await.unwrap().into_inner();
    assert_eq!(operation.parent, "projects/p");
    assert_eq!((operation.headers, operation.links_in), (vec![header], vec![link]));
    let (created, deadline) = (operation.create_time.unwrap(), operation.deadline.unwrap());
    // It is made durable a moment after its deadline was told, perhaps in the next second.
    assert!((59..=60).contains(&(deadline.seconds - created.seconds)), "{created} {deadline}");
    let (_, seen) = data(operation.result.as_ref());
    let seen: serde_json::Value = serde_json::from_slice(seen).unwrap();
    assert!(seen.to_string().contains(trace), "{seen}");
    let origin = operation.origin.unwrap();
    assert_eq!((&*origin.face, &*origin.principal), ("native", "anonymous"));
    gateway.stop().await;
}

#[tokio::test]
async fn every_form_of_content_is_taken() {
    let mut gateway = Gateway::start().await;
    for (body, expected) in [
        (Body::Json(number(0.5)), ("application/json", &b"0.5"[..])),
        (Body::Text("é".to_owned()), ("text/plain; charset=utf-8", "é".as_bytes())),
        (Body::Data(vec![0, 255].into()), ("application/octet-stream", &[0, 255][..])),
    ] {
        let input = Payload { body: Some(body), ..Payload::default() };
        let request = StartOperationRequest { input: Some(input), ..start("echo", "") };
        let operation = gateway.operations.start_operation(request).await.unwrap().into_inner();
        assert_eq!(data(operation.result.as_ref()), expected);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_repeat_is_the_same_operation() {
    let mut gateway = Gateway::start().await;
    let request = |input: &str| StartOperationRequest {
        request_id: "once".to_owned(),
        ..start("echo", input)
    };
    let first = gateway.operations.start_operation(request("1")).await.unwrap().into_inner();
    assert_eq!(first.origin.as_ref().unwrap().request_id, "once");
    let again = gateway.operations.start_operation(request("1")).await.unwrap().into_inner();
    assert_eq!(again, first);
    let other = gateway.operations.start_operation(request("2")).await;
    assert_eq!(other.unwrap_err().code(), AlreadyExists);
    // The header says the same where the field is empty.
    let mut keyed = tonic::Request::new(start("echo", "1"));
    keyed.metadata_mut().insert("idempotency-key", "once".parse().unwrap());
    let keyed = gateway.operations.start_operation(keyed).await.unwrap().into_inner();
    assert_eq!(keyed.id, first.id);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_start_is_named() {
    let mut gateway = Gateway::start().await;
    let plain = || start("echo", "{}");
    let kind = |service: &str, operation: &str| StartOperationRequest {
        route: String::new(),
        service: service.to_owned(),
        operation: operation.to_owned(),
        ..plain()
    };
    let odd_json = Payload { body: Some(Body::Json(number(f64::NAN))), ..Payload::default() };
    let odd_type = Payload { media_type: "a\n".to_owned(), ..json("1") };
    let duration = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let header = |name: &str, value: &str| Header { name: name.into(), value: value.into() };
    let callback = |url: &str| Callback { url: url.to_owned(), headers: vec![] };
    let link = |url: &str| Link { url: url.to_owned(), r#type: String::new() };
    let cases = [
        (start("nowhere", ""), NotFound, "route"),
        (kind("", ""), InvalidArgument, "route"),
        (kind("showcase", ""), InvalidArgument, "route"),
        (kind("showcase", "nothing"), NotFound, "operation"),
        (kind("showcase", "sleep"), InvalidArgument, "route"),
        (StartOperationRequest { service: "x".into(), ..plain() }, InvalidArgument, "service"),
        (StartOperationRequest { operation: "x".into(), ..plain() }, InvalidArgument, "operation"),
        (StartOperationRequest { parent: "a//b".into(), ..plain() }, InvalidArgument, "parent"),
        (StartOperationRequest { parent: "a\n".into(), ..plain() }, InvalidArgument, "parent"),
        (StartOperationRequest { input: Some(odd_json), ..plain() }, InvalidArgument, "input.json"),
        (
            StartOperationRequest { input: Some(odd_type), ..plain() },
            InvalidArgument,
            "input.media_type",
        ),
        (
            StartOperationRequest { request_id: "x".repeat(257), ..plain() },
            InvalidArgument,
            "request_id",
        ),
        (StartOperationRequest { timeout: duration(0, 0), ..plain() }, InvalidArgument, "timeout"),
        (StartOperationRequest { timeout: duration(-1, 0), ..plain() }, InvalidArgument, "timeout"),
        (StartOperationRequest { timeout: duration(1, -1), ..plain() }, InvalidArgument, "timeout"),
        (
            StartOperationRequest { headers: vec![header("a b", "")], ..plain() },
            InvalidArgument,
            "headers",
        ),
        (
            StartOperationRequest { headers: vec![header("a", "\n")], ..plain() },
            InvalidArgument,
            "headers",
        ),
        (
            StartOperationRequest { headers: vec![header("a", ""); 129], ..plain() },
            InvalidArgument,
            "headers",
        ),
        (StartOperationRequest { links: vec![link("")], ..plain() }, InvalidArgument, "links"),
        (StartOperationRequest { links: vec![link("x"); 65], ..plain() }, InvalidArgument, "links"),
        (
            StartOperationRequest { callbacks: vec![callback("ftp://h")], ..plain() },
            InvalidArgument,
            "callbacks.url",
        ),
        (
            StartOperationRequest { callbacks: vec![callback("http://127.1/")], ..plain() },
            InvalidArgument,
            "callbacks.url",
        ),
        (
            StartOperationRequest { callbacks: vec![callback("http://h"); 17], ..plain() },
            InvalidArgument,
            "callbacks",
        ),
    ];
    for (request, code, field) in cases {
        let text = format!("{request:?}");
        let answer = gateway.operations.start_operation(request).await;
        assert_eq!(refused(answer), (code, field.to_owned()), "{text}");
    }
    let ambiguous = gateway.operations.start_operation(kind("showcase", "sleep")).await;
    let text = ambiguous.unwrap_err().message().to_owned();
    assert!(text.contains("sleep-a, sleep-b"), "{text}");
    gateway.stop().await;
}
