//! Get, wait, cancel, delete.

use std::time::{Duration, Instant};

use prost::Message as _;
use tonic::{Code, Request};

use super::client::{Client, Name, Operation, error_info, list, named, refused};
use super::gateway::{Gateway, MAKE};
use super::raw::{Raw, framed, request, status};

const GET: &str = "google.longrunning.Operations/GetOperation";
const WAIT: &str = "google.longrunning.Operations/WaitOperation";
const CANCEL: &str = "google.longrunning.Operations/CancelOperation";

#[tokio::test]
async fn an_operation_runs_is_canceled_and_is_deleted() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let started = client.make("projects/p", "").await;
    assert!(!started.done && started.error.is_none() && started.response.is_none());
    assert!(started.name.starts_with("projects/p/operations/"), "{}", started.name);
    assert_eq!(client.get(&started.name).await.unwrap().name, started.name);

    let waiting = tokio::spawn({
        let (client, name) = (client.clone(), named(&started.name));
        async move { client.operations::<_, Operation>("WaitOperation", name).await }
    });
    for _ in 0..2 {
        let request = Request::new(named(&started.name));
        let canceled = client.call::<_, ()>(CANCEL, request).await.unwrap();
        assert_eq!(canceled.metadata().get("opgate-durability").unwrap(), "memory");
    }
    let waited = waiting.await.unwrap().unwrap();
    assert!(waited.done && waited.response.is_none());
    assert_eq!(waited.error.unwrap().code, 1);
    client.operations::<_, ()>("CancelOperation", named(&started.name)).await.unwrap();

    client.operations::<_, ()>("DeleteOperation", named(&started.name)).await.unwrap();
    for method in ["GetOperation", "WaitOperation", "CancelOperation", "DeleteOperation"] {
        let gone = client.operations::<_, Operation>(method, named(&started.name)).await;
        assert_eq!(refused(gone), Code::NotFound, "{method}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_wait_ends_with_the_latest_state_and_not_with_an_error() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let started = client.make("", "").await;
    let wait = |timeout: Option<prost_types::Duration>| Name { timeout, ..named(&started.name) };
    let zero = prost_types::Duration::default();
    let waited: Operation = client.operations("WaitOperation", wait(Some(zero))).await.unwrap();
    assert!(!waited.done && waited.name == started.name);

    // The caller's deadline ends it, a little early so that the answer arrives.
    let sent = framed(0, &wait(None).encode_to_vec());
    let mut raw = Raw::connect(&gateway).await;
    let began = Instant::now();
    let answer = raw.send(request(WAIT, &[("grpc-timeout", "400m")], &[sent])).await;
    let (code, body) = status(answer).await;
    let waited = Operation::decode(&body[5..]).unwrap();
    assert!(code == "0" && !waited.done && waited.name == started.name);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(10), "{took:?}");

    let negative = prost_types::Duration { seconds: -1, nanos: 0 };
    let answer = client.operations::<_, Operation>("WaitOperation", wait(Some(negative))).await;
    assert_eq!(refused(answer), Code::InvalidArgument);
    gateway.stop().await;
}

#[tokio::test]
async fn a_name_is_the_operations_own_or_not_found() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let started = client.make("projects/p", "nothing ").await;
    let id = started.name.rsplit('/').next().unwrap();
    for (name, code) in [
        (String::new(), Code::InvalidArgument),
        ("x".repeat(2000), Code::InvalidArgument),
        (format!("operations/{id}"), Code::NotFound),
        (format!("projects/q/operations/{id}"), Code::NotFound),
        (format!("projects/p/x/operations/{id}"), Code::NotFound),
        (format!("projects/p/operations/{id}x"), Code::NotFound),
        (format!("/projects/p/operations/{id}"), Code::NotFound),
        ("operations/zzz".to_owned(), Code::NotFound),
    ] {
        for method in ["GetOperation", "WaitOperation", "CancelOperation", "DeleteOperation"] {
            let answer = client.operations::<_, Operation>(method, named(&name)).await;
            assert_eq!(refused(answer), code, "{method} {name}");
        }
    }
    let status = client.get("projects/é/operations/x").await.unwrap_err();
    assert_eq!(status.message(), "no such operation: projects/é/operations/x");
    let info = error_info(&status);
    assert_eq!((&*info.reason, &*info.domain), ("NOT_FOUND", "opgate"));
    assert_eq!(info.metadata["name"], "projects/é/operations/x");
    assert!(client.get(&started.name).await.is_ok());
    gateway.stop().await;
}

#[tokio::test]
async fn a_deadline_that_passed_is_said_to_have_passed() {
    let gateway = Gateway::start().await;
    let started = Client::connect(gateway.address).await.make("", "nothing ").await;
    let sent = framed(0, &named(&started.name).encode_to_vec());
    let mut raw = Raw::connect(&gateway).await;
    for (method, timeout, code) in [
        (GET, "0m", "4"),
        (MAKE, "0n", "4"),
        (WAIT, "0S", "4"),
        (GET, "1 S", "3"),
        (GET, "123456789S", "3"),
        (GET, "99999999H", "0"),
        (WAIT, "10S", "0"),
    ] {
        let headers = [("grpc-timeout", timeout)];
        let answer = raw.send(request(method, &headers, std::slice::from_ref(&sent))).await;
        assert_eq!(status(answer).await.0, code, "{method} {timeout}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let started = client.make("", "nothing ").await;
    client.get(&started.name).await.unwrap();
    client.get("operations/x").await.unwrap_err();
    client.operations::<_, Operation>("ListOperations", list("")).await.unwrap();
    client.call::<_, ()>("acme.Nothing/Here", Request::new(named(""))).await.unwrap_err();
    let text = gateway.exporter.render().unwrap();
    for (method, code, count) in [
        ("start", "OK", 1),
        ("get", "OK", 1),
        ("get", "NOT_FOUND", 1),
        ("list", "OK", 1),
        ("other", "UNIMPLEMENTED", 1),
        ("wait", "OK", 0),
    ] {
        let line = format!(
            "opgate_requests_total{{protocol=\"grpc\",method=\"{method}\",code=\"{code}\"}} {count}"
        );
        assert!(text.lines().any(|found| found == line), "{line}");
    }
    gateway.stop().await;
}
