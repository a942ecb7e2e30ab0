//! Reading, listing and waiting.

use std::time::Duration;

use opgate_native::client::{
    GetOperationRequest, ListOperationsRequest, State, View, WaitOperationRequest,
};
use tonic::Code::{InvalidArgument, NotFound};

use crate::gateway::{Gateway, named, payload, refused, start};

const HELD: &str = r#"{"hold": true}"#;

fn list(parent: &str) -> ListOperationsRequest {
    ListOperationsRequest { parent: parent.to_owned(), ..ListOperationsRequest::default() }
}

#[tokio::test]
async fn a_name_that_leads_nowhere() {
    let mut gateway = Gateway::start().await;
    let absent = "operations/00000000000000000000000007";
    for (name, code, field) in [
        ("", InvalidArgument, "name"),
        (&*"x".repeat(5000), InvalidArgument, "name"),
        ("operations/nonsense", NotFound, ""),
        (absent, NotFound, ""),
    ] {
        let expected = (code, field.to_owned());
        assert_eq!(refused(gateway.operations.get_operation(named(name)).await), expected);
        let wait = WaitOperationRequest { name: name.to_owned(), ..Default::default() };
        assert_eq!(refused(gateway.operations.wait_operation(wait).await), expected);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_list_is_paged_newest_first_and_without_content() {
    let mut gateway = Gateway::start().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let request = opgate_native::client::StartOperationRequest {
            parent: "projects/p".to_owned(),
            ..start("echo", "1")
        };
        let started = gateway.operations.start_operation(request).await.unwrap();
        ids.insert(0, started.into_inner().id);
    }
    gateway.begin("echo", "2").await;
    let mut seen = Vec::new();
    let mut request = ListOperationsRequest { page_size: 2, ..list("projects") };
    loop {
        let page = gateway.operations.list_operations(request.clone()).await.unwrap().into_inner();
        for operation in page.operations {
            assert!(operation.input.is_none() && operation.result.is_none());
            seen.push(operation.id);
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen, ids);
    let full = ListOperationsRequest { view: View::Full.into(), ..list("projects/p/") };
    let full = gateway.operations.list_operations(full).await.unwrap().into_inner();
    assert!(full.operations.iter().all(|operation| operation.input.is_some()));
    let all = gateway.operations.list_operations(list("")).await.unwrap().into_inner();
    assert_eq!(all.operations.len(), 6);
    gateway.stop().await;
}

#[tokio::test]
async fn a_list_is_filtered_by_what_it_shows() {
    let mut gateway = Gateway::start().await;
    let running = gateway.begin("run", HELD).await;
    gateway.begin("echo", "1").await;
    for (filter, expected) in [
        ("operation = run AND NOT done", 1),
        ("state = SUCCEEDED", 1),
        ("service = showcase", 2),
        ("route = nothing", 0),
    ] {
        let request = ListOperationsRequest { filter: filter.to_owned(), ..list("") };
        let page = gateway.operations.list_operations(request).await.unwrap().into_inner();
        assert_eq!(page.operations.len(), expected, "{filter}");
    }
    assert!(!running.done);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_list_is_named() {
    let mut gateway = Gateway::start().await;
    let first = ListOperationsRequest { page_size: 1, ..list("") };
    for _ in 0..2 {
        gateway.begin("echo", "1").await;
    }
    let token = gateway.operations.list_operations(first).await.unwrap().into_inner();
    let page_token = token.next_page_token;
    for (request, field) in [
        (ListOperationsRequest { page_size: -1, ..list("") }, "page_size"),
        (ListOperationsRequest { page_token: "x".to_owned(), ..list("") }, "page_token"),
        (ListOperationsRequest { page_token, ..list("a") }, "page_token"),
        (ListOperationsRequest { filter: "state = (".to_owned(), ..list("") }, "filter"),
        (ListOperationsRequest { filter: "nothing = 1".to_owned(), ..list("") }, "filter"),
        (ListOperationsRequest { view: 7, ..list("") }, "view"),
        (list("a\n"), "parent"),
    ] {
        let answer = gateway.operations.list_operations(request).await;
        assert_eq!(refused(answer), (InvalidArgument, field.to_owned()));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn replies_are_bounded() {
    let mut gateway = Gateway::start().await;
    // One operation with a large input and the same as its result: more than a client takes.
    let large = vec![b'x'; 3 * 1024 * 1024];
    let mut ids = Vec::new();
    for _ in 0..3 {
        let mut request = start("echo", "");
        request.input = Some(payload("text/plain", &large));
        let started = gateway.operations.start_operation(request).await.unwrap().into_inner();
        assert_eq!(started.omitted, ["input"]);
        assert!(started.input.is_none() && started.result.is_some());
        ids.insert(0, started.id);
    }
    // A page is as short as it must be, and the walk still complete.
    let mut request = ListOperationsRequest { view: View::Full.into(), ..list("") };
    let mut seen = Vec::new();
    loop {
        let page = gateway.operations.list_operations(request.clone()).await.unwrap().into_inner();
        assert!(page.operations.len() <= 1);
        seen.extend(page.operations.into_iter().map(|operation| operation.id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen, ids);
    gateway.stop().await;
}

#[tokio::test]
async fn a_wait_answers_at_the_end_at_a_later_version_and_at_its_limit() {
    let mut gateway = Gateway::start().await;
    let ended = gateway.begin("run", r#"{"duration": "50ms"}"#).await;
    let wait = |name: &str, millis: i32, version| WaitOperationRequest {
        name: name.to_owned(),
        timeout: Some(prost_types::Duration {
            seconds: i64::from(millis / 1000),
            nanos: millis % 1000 * 1_000_000,
        }),
        version,
    };
    let mut operations = gateway.operations.clone();
    let answer = operations.wait_operation(wait(&ended.id, 30_000, 0)).await.unwrap().into_inner();
    assert_eq!(answer.state(), State::Succeeded);

    let held = gateway.begin("run", HELD).await;
    let answer = operations.wait_operation(wait(&held.id, 30_000, 1)).await.unwrap().into_inner();
    assert_eq!((answer.state(), answer.version), (State::Running, 2));
    let answer = operations.wait_operation(wait(&held.id, 20, 0)).await.unwrap().into_inner();
    assert_eq!(answer.state(), State::Running);

    // The caller's own deadline ends a wait in time for its answer.
    let mut short = tonic::Request::new(wait(&held.id, 30_000, 0));
    short.set_timeout(Duration::from_secs(3));
    let answer = operations.wait_operation(short).await.unwrap().into_inner();
    assert_eq!(answer.state(), State::Running);

    let negative = wait(&held.id, -1, 0);
    let refused = refused(operations.wait_operation(negative).await);
    assert_eq!(refused, (InvalidArgument, "timeout".to_owned()));
    gateway.stop().await;
}

#[tokio::test]
async fn a_method_that_is_not_there_is_unimplemented() {
    let gateway = Gateway::start().await;
    let channel = format!("http://{}", gateway.address);
    let channel = tonic::transport::Channel::from_shared(channel).unwrap().connect().await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    for path in ["/opgate.v1.Operations/Nothing", "/opgate.v1.Nothing/GetOperation"] {
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<GetOperationRequest, GetOperationRequest>::default();
        let request = tonic::Request::new(named("x"));
        let answer = client.unary(request, path.parse().unwrap(), codec).await;
        assert_eq!(answer.unwrap_err().code(), tonic::Code::Unimplemented);
    }
    drop(client);
    gateway.stop().await;
}
