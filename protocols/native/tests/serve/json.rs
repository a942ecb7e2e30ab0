//! The same API as JSON over HTTP.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use opgate_native::DESCRIPTORS;
use prost_reflect::{DescriptorPool, ServiceDescriptor};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::gateway::{BUILDS, Gateway, named};

/// Sends a request, on a connection of its own.
async fn send(
    address: SocketAddr,
    request: (&str, &str),
    body: &str,
    headers: &[(&'static str, &str)],
) -> Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (method, path) = request;
    let mut request = Request::new(Full::new(Bytes::from(body.to_owned())));
    *request.method_mut() = method.parse::<Method>().unwrap();
    *request.uri_mut() = format!("/opgate/v1/{path}").parse().unwrap();
    request.headers_mut().insert("host", "opgate".parse().unwrap());
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    sender.send_request(request).await.unwrap()
}

/// The status, the headers and the JSON of an answer.
async fn answer(response: Response<Incoming>) -> (u16, HeaderMap, Value) {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let json = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    (parts.status.as_u16(), parts.headers, json)
}

pub(crate) async fn call(address: SocketAddr, method: &str, path: &str, body: Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, _, json) = answer(send(address, (method, path), &body, &[]).await).await;
    assert_eq!(status, 200, "{method} {path}: {json}");
    json
}

async fn refused(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Value) {
    let (status, _, json) = answer(send(address, (method, path), body, &[]).await).await;
    assert_eq!(json["error"]["code"], status, "{json}");
    (status, json["error"].clone())
}

/// Server-sent events, to the end of the reply.
async fn events(response: Response<Incoming>) -> Vec<(String, String, Value)> {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    parse(std::str::from_utf8(&body).unwrap())
}

fn parse(text: &str) -> Vec<(String, String, Value)> {
    let field = |event: &str, name: &str| {
        let value = event.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or_default().to_owned()
    };
    text.split_terminator("\n\n")
        .filter(|event| !event.starts_with(':'))
        .map(|event| {
            let data = serde_json::from_str(&field(event, "data: ")).unwrap();
            (field(event, "event: "), field(event, "id: "), data)
        })
        .collect()
}

#[tokio::test]
async fn every_method_does_over_json_what_it_does_over_grpc() {
    let mut gateway = Gateway::start().await;
    let address = gateway.address;
    let mut tried = BTreeSet::new();
    let mut tries = |method: &'static str| assert!(tried.insert(method));

    tries("StartOperation");
    let start = json!({"route": "run", "parent": "p", "input": {"json": {"hold": true}}});
    let started = call(address, "POST", "operations", start).await;
    let id = started["id"].as_str().unwrap();
    let same = gateway.get(id).await;
    assert_eq!((&same.id, &*same.parent, same.done), (&id.to_owned(), "p", false));

    tries("WaitOperation");
    let waited =
        call(address, "GET", &format!("operations/{id}:wait?version=1"), Value::Null).await;
    assert_eq!(waited["state"], "RUNNING");
    tries("GetOperation");
    let shown = call(address, "GET", &format!("operations/other/{id}"), Value::Null).await;
    let same = gateway.get(id).await;
    assert_eq!(shown["version"], same.version.to_string());
    assert_eq!(shown["input"], json!({"mediaType": "application/json", "json": {"hold": true}}));
    assert_eq!(shown["names"], json!({"other": format!("other/{id}")}));
    tries("ListOperations");
    let page = call(address, "GET", "operations?parent=p&pageSize=5&view=FULL", Value::Null).await;
    assert_eq!(page["operations"], json!([shown]));
    tries("CancelOperation");
    let body = json!({"reason": "enough", "version": same.version});
    call(address, "POST", &format!("operations/{id}:cancel"), body).await;
    let waited = call(address, "POST", &format!("operations/{id}:wait"), json!({})).await;
    assert_eq!(
        (&waited["state"], &waited["cancel"]["reason"]),
        (&json!("CANCELED"), &json!("enough"))
    );
    tries("WatchOperation");
    let seen =
        events(send(address, ("GET", &format!("operations/{id}:watch")), "", &[]).await).await;
    assert_eq!(seen[0].2, waited);
    assert_eq!(seen[1].0, "end");

    let held = call(
        address,
        "POST",
        "operations",
        json!({"route": "run", "input": {"json": {"hold": true}}}),
    );
    let held = held.await["id"].as_str().unwrap().to_owned();
    tries("CompleteOperation");
    let outcome = json!({"outcome": {"succeeded": {"text": "by hand"}}});
    let ended = call(address, "POST", &format!("operations/{held}:complete"), outcome).await;
    assert_eq!(ended["state"], "SUCCEEDED");
    assert_eq!(ended["result"]["data"], STANDARD.encode("by hand"));
    tries("DeleteOperation");
    let deleted = call(address, "DELETE", &format!("operations/{held}"), Value::Null).await;
    assert_eq!(deleted, json!({}));
    assert_eq!(
        gateway.operations.get_operation(named(&held)).await.unwrap_err().code(),
        tonic::Code::NotFound
    );

    call(address, "POST", "operations", json!({"route": "build", "input": {"json": [1]}})).await;
    let lease =
        || call(address, "POST", "queues/builds:lease", json!({"wait": "20s", "worker": "w"}));
    tries("LeaseOperations");
    let leased = lease().await;
    let token = leased["leases"][0]["lease"].as_str().unwrap().to_owned();
    assert_eq!(leased["leases"][0]["operation"]["input"]["json"], json!([1]));
    tries("ReportLease");
    let body = json!({"progress": {"percent": 50}, "extend": "60s"});
    let held = call(address, "POST", &format!("leases/{token}:report"), body).await;
    assert!(held.get("cancelRequested").is_none() && held["version"].is_string());
    tries("ReleaseLease");
    let body = json!({"message": "busy"});
    assert_eq!(call(address, "POST", &format!("leases/{token}:release"), body).await, json!({}));
    let leased = lease().await;
    let token = leased["leases"][0]["lease"].as_str().unwrap();
    tries("FinishLease");
    let body = json!({"outcome": {"failed": {"code": "ABORTED", "message": "no"}}});
    let ended = call(address, "POST", &format!("leases/{token}:finish"), body).await;
    assert_eq!((&ended["error"]["code"], &ended["epoch"]), (&json!("ABORTED"), &json!(2)));

    tries("WatchOperations");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = b"GET /opgate/v1/operations:watch HTTP/1.1\r\nhost: opgate\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut text = String::new();
    let mut buffer = vec![0; 64 * 1024];
    while text.matches("event: ").count() < 3 {
        let reading = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut buffer));
        let read = reading.await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    assert!(text.contains("event: deleted") && text.contains("event: operation"), "{text}");
    drop(stream);

    let body = json!({"route": "echo", "callbacks": [{"url": "http://c/gone"}]});
    let id = call(address, "POST", "operations", body).await["id"].as_str().unwrap().to_owned();
    let mut owing = json!({});
    while owing["callbacks"][0]["state"] != "DEAD" {
        owing = call(address, "GET", &format!("operations/{id}"), Value::Null).await;
    }
    assert_eq!(owing["callbacks"][0]["problem"], "404 Not Found");
    tries("RedriveCallbacks");
    let body = json!({"version": owing["version"]});
    let redriven = call(address, "POST", &format!("operations/{id}:redrive"), body).await;
    assert_eq!(redriven["callbacks"][0]["state"], "PENDING");

    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let services = pool.services().filter(|known| known.full_name().starts_with("opgate.v1."));
    let methods = services.flat_map(|service| names(&service));
    assert_eq!(
        tried.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(),
        methods.into_iter().collect()
    );
    gateway.stop().await;
}

fn names(service: &ServiceDescriptor) -> Vec<String> {
    service.methods().map(|method| method.name().to_owned()).collect()
}

#[tokio::test]
async fn json_content_is_kept_as_it_came() {
    let gateway = Gateway::start().await;
    for (content, inline) in [
        (r#"{"z":1,"a":[1.5,true,null]}"#, true),
        (r#"{"n":9007199254740993}"#, false),
        (r#"{"n":12345678901234567890123}"#, false),
        (r#"{"n":0.12345678901234567890}"#, false),
        (r#"{"a":1,"a":2}"#, false),
    ] {
        let body = format!(r#"{{"route":"echo","input":{{"json":{content}}}}}"#);
        let path = "operations?prettyPrint=false";
        let response = send(gateway.address, ("POST", path), &body, &[]).await;
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&text).unwrap();
        let json = format!("\"json\":{content}");
        let data = format!("\"data\":\"{}\"", STANDARD.encode(content));
        assert_eq!((text.contains(&json), text.contains(&data)), (inline, !inline), "{text}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_in_json() {
    let gateway = Gateway::start().await;
    let address = gateway.address;
    for (method, path, body, status, code) in [
        ("GET", "nothing", "", 404, "NOT_FOUND"),
        ("PUT", "operations", "", 404, "NOT_FOUND"),
        ("GET", "operations/nonsense", "", 404, "NOT_FOUND"),
        ("POST", "operations", "{", 400, "INVALID_ARGUMENT"),
        ("POST", "operations", r#"{"nothing": 1}"#, 400, "INVALID_ARGUMENT"),
        ("POST", "operations", r#"{"route": 1}"#, 400, "INVALID_ARGUMENT"),
        (
            "POST",
            "operations",
            r#"{"route":"echo","input":{"json":1,"text":"a"}}"#,
            400,
            "INVALID_ARGUMENT",
        ),
        ("GET", "operations?pageSize=x", "", 400, "INVALID_ARGUMENT"),
        ("GET", "operations?nothing=1", "", 400, "INVALID_ARGUMENT"),
        ("GET", "operations:watch?from=x", "", 400, "INVALID_ARGUMENT"),
        ("GET", "operations/00000000000000000000000007:watch", "", 404, "NOT_FOUND"),
        ("POST", "queues/nothing:lease", "{}", 404, "NOT_FOUND"),
        ("POST", "leases/nothing:report", "{}", 400, "INVALID_ARGUMENT"),
    ] {
        let (found, error) = refused(address, method, path, body).await;
        assert_eq!((found, error["status"].as_str().unwrap()), (status, code), "{method} {path}");
        assert_eq!(error["details"][0]["domain"], "opgate", "{error}");
    }
    let large = format!(r#"{{"route": "{}"}}"#, "x".repeat(4 * 1024 * 1024));
    let (status, error) = refused(address, "POST", "operations", &large).await;
    assert_eq!((status, error["status"].as_str().unwrap()), (413, "RESOURCE_EXHAUSTED"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_version_is_a_tag() {
    let mut gateway = Gateway::start().await;
    let started = gateway.begin("echo", "1").await;
    let path = format!("operations/{}", started.id);
    let (status, headers, _) = answer(send(gateway.address, ("GET", &path), "", &[]).await).await;
    assert_eq!((status, headers["etag"].to_str().unwrap()), (200, "\"1\""));
    for (tag, expected) in [("\"1\"", 304), ("\"2\"", 200)] {
        let headers = [("if-none-match", tag)];
        let response = send(gateway.address, ("GET", &path), "", &headers).await;
        assert_eq!(answer(response).await.0, expected);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_watch_is_taken_up_after_the_event_seen_last() {
    let mut gateway = Gateway::start().await;
    let started = gateway.begin("run", r#"{"duration": "20ms", "steps": 2}"#).await;
    let path = format!("operations/{}:watch", started.id);
    let whole = events(send(gateway.address, ("GET", &path), "", &[]).await).await;
    let (kind, id, last) = whole[whole.len() - 2].clone();
    assert_eq!((&*kind, &last["done"], &last["version"]), ("operation", &json!(true), &json!(id)));
    let before = (id.parse::<u64>().unwrap() - 1).to_string();
    for (known, expected) in [(&*before, vec!["operation", "end"]), (&*id, vec!["end"])] {
        // What was seen since counts, not where the watch began.
        let path = format!("{path}?from=1");
        let headers = [("last-event-id", known)];
        let seen = events(send(gateway.address, ("GET", &path), "", &headers).await).await;
        assert_eq!(seen.iter().map(|event| &*event.0).collect::<Vec<_>>(), expected);
    }
    let headers = [("last-event-id", "x")];
    let response = send(gateway.address, ("GET", &path), "", &headers).await;
    assert_eq!(answer(response).await.0, 400);
    gateway.stop().await;
}

#[tokio::test]
async fn a_watch_ends_with_an_error_when_the_gateway_stops() {
    let mut gateway = Gateway::start().await;
    let held = gateway.begin("run", r#"{"hold": true}"#).await;
    let path = format!("operations/{}:watch", held.id);
    let response = send(gateway.address, ("GET", &path), "", &[]).await;
    let (seen, ()) = tokio::join!(events(response), gateway.bus.quiesce());
    let (kind, _, error) = seen.last().unwrap();
    assert_eq!((&**kind, &error["error"]["status"]), ("error", &json!("UNAVAILABLE")));
    gateway.stop().await;
}

#[tokio::test]
async fn a_slow_reader_misses_versions_in_between_and_never_the_last() {
    const REPORTS: usize = 400;
    let mut gateway = Gateway::start().await;
    let started = gateway.begin("build", "1").await;
    let ask = opgate_native::client::LeaseOperationsRequest {
        queue: BUILDS.to_owned(),
        wait: Some(prost_types::Duration { seconds: 20, nanos: 0 }),
        ..Default::default()
    };
    let leased = gateway.workers.lease_operations(ask).await.unwrap().into_inner();
    let lease = leased.leases[0].lease.clone();
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!("GET /opgate/v1/operations/{}:watch HTTP/1.1\r\n", started.id);
    let head = format!("{head}host: opgate\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // Together they are far more than the buffers of two sockets hold.
    let entry = opgate_native::client::LogEntry { message: "m".repeat(1000), ..Default::default() };
    for _ in 0..REPORTS {
        let report = opgate_native::client::ReportLeaseRequest {
            lease: lease.clone(),
            log: vec![entry.clone()],
            ..Default::default()
        };
        gateway.workers.report_lease(report).await.unwrap();
    }
    let outcome = opgate_native::client::outcome::Outcome::Succeeded(
        opgate_native::client::Payload::default(),
    );
    let finish = opgate_native::client::FinishLeaseRequest {
        lease,
        outcome: Some(opgate_native::client::Outcome { outcome: Some(outcome) }),
    };
    let ended = gateway.workers.finish_lease(finish).await.unwrap().into_inner();
    let mut text = Vec::new();
    let reading = stream.read_to_end(&mut text);
    tokio::time::timeout(Duration::from_secs(30), reading).await.unwrap().unwrap();
    let text = String::from_utf8(text).unwrap();
    let ids: Vec<u64> =
        text.lines().filter_map(|line| line.strip_prefix("id: ")?.trim().parse().ok()).collect();
    assert!(ids.len() < REPORTS / 2, "{} events", ids.len());
    assert!(ids.is_sorted_by(|a, b| a < b));
    assert_eq!(ids.last(), Some(&ended.version));
    gateway.stop().await;
}
