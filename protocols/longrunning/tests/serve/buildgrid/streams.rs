//! Execute and `WaitExecution`.

use std::time::Duration;

use opgate_bus::{Caller, Watch};
use opgate_core::{Parent, Seq};
use opgate_longrunning::HttpForm;
use tonic::{Code, Request, Status, Streaming};

use super::{EXECUTE, code, stage, start, start_with};
use crate::client::{Client, Listed, Name, Operation, list, named, refused};
use crate::gateway::SCRIPT;
use crate::rest::ask;

const WAIT: &str = "build.bazel.remote.execution.v2.Execution/WaitExecution";

#[derive(Clone, PartialEq, prost::Message)]
struct Digest {
    #[prost(string, tag = "1")]
    hash: String,
    #[prost(int64, tag = "2")]
    size_bytes: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Execute {
    #[prost(string, tag = "1")]
    instance_name: String,
    #[prost(bool, tag = "3")]
    skip_cache_lookup: bool,
    #[prost(message, optional, tag = "6")]
    action_digest: Option<Digest>,
}

fn request(instance: &str, script: &str) -> Request<Execute> {
    let mut request = Request::new(Execute {
        instance_name: instance.to_owned(),
        skip_cache_lookup: true,
        action_digest: Some(Digest { hash: "ab12".to_owned(), size_bytes: 34 }),
    });
    request.metadata_mut().insert(SCRIPT, script.parse().unwrap());
    request
}

async fn execute(
    client: &Client,
    instance: &str,
    script: &str,
) -> Result<Streaming<Operation>, Status> {
    Ok(client.stream(EXECUTE, request(instance, script)).await?.into_inner())
}

async fn wait(client: &Client, name: &str) -> Result<Streaming<Operation>, Status> {
    Ok(client.stream(WAIT, Request::new(named(name))).await?.into_inner())
}

async fn next(stream: &mut Streaming<Operation>) -> Operation {
    stream.message().await.unwrap().unwrap()
}

async fn cancel(client: &Client, name: &str) {
    let _: () = client.operations("CancelOperation", named(name)).await.unwrap();
}

/// Every message up to the end, which must be well.
async fn rest(mut stream: Streaming<Operation>) -> Vec<Operation> {
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        messages.push(message);
    }
    messages
}

#[tokio::test]
async fn an_execution_is_streamed_until_it_is_done() {
    let (gateway, client) = start().await;
    for (instance, before) in [("main", "main/"), ("a/b", "a/b/"), ("", "/")] {
        let mut stream = execute(&client, instance, "").await.unwrap();
        let first = next(&mut stream).await;
        assert!(first.name.starts_with(before) && !first.done, "{}", first.name);
        assert_eq!(client.get(&first.name).await.unwrap().name, first.name);
        // Another caller waits for the same one.
        let other = wait(&client, &first.name).await.unwrap();
        cancel(&client, &first.name).await;
        for messages in [rest(stream).await, rest(other).await] {
            let last = messages.last().unwrap();
            assert_eq!((&*last.name, code(last)), (&*first.name, 1));
            assert!(messages.iter().rev().skip(1).all(|message| !message.done));
            assert!(messages.is_sorted_by_key(stage));
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_done_is_one_message() {
    let (gateway, client) = start().await;
    let response = client.stream(EXECUTE, request("main", "nothing ")).await.unwrap();
    assert_eq!(response.metadata().get("opgate-durability").unwrap(), "memory");
    let executed = rest(response.into_inner()).await;
    assert_eq!((executed.len(), code(&executed[0])), (1, 0));
    let waited = rest(wait(&client, &executed[0].name).await.unwrap()).await;
    assert_eq!(waited, executed);
    let failed = rest(execute(&client, "main", "fail no such blob").await.unwrap()).await;
    assert_eq!((failed.len(), code(&failed[0])), (1, 5));
    gateway.stop().await;
}

#[tokio::test]
async fn a_filter_finds_an_execution_by_its_action() {
    let (gateway, client) = start().await;
    let executed = rest(execute(&client, "main", "nothing ").await.unwrap()).await;
    client.make("main", "nothing ").await;
    for (filter, expected) in [("action_digest=ab12/34", 1), ("action_digest=ab12/35", 0)] {
        let request = crate::client::List { filter: filter.to_owned(), ..list("main") };
        let listed: Listed = client.operations("ListOperations", request).await.unwrap();
        assert_eq!(listed.operations.len(), expected);
        assert!(listed.operations.iter().all(|operation| operation.name == executed[0].name));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_refused_starts_nothing() {
    let (gateway, client) = start().await;
    for (instance, script, expected) in [
        ("nowhere", "", Code::InvalidArgument),
        ("main/x", "", Code::InvalidArgument),
        ("main", "refuse no more room", Code::ResourceExhausted),
    ] {
        assert_eq!(refused(execute(&client, instance, script).await), expected, "{instance}");
    }
    for name in ["main/00000000000000000000000007", "nowhere/00000000000000000000000007", "x"] {
        assert_eq!(refused(wait(&client, name).await), Code::NotFound, "{name}");
    }
    assert_eq!(refused(wait(&client, "").await), Code::InvalidArgument);
    let all: Listed = client.operations("ListOperations", list("operations")).await.unwrap();
    assert_eq!(all.operations, []);
    gateway.stop().await;
}

#[tokio::test]
async fn without_an_instance_there_is_no_execution() {
    let (gateway, client) = start_with(|settings| settings.buildgrid.clear()).await;
    assert_eq!(refused(wait(&client, "main/x").await), Code::Unimplemented);
    assert_eq!(refused(execute(&client, "main", "").await), Code::InvalidArgument);
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_execution_running() {
    let (gateway, client) = start().await;
    let mut stream = execute(&client, "main", "").await.unwrap();
    let name = next(&mut stream).await.name;
    drop(stream);
    let mut again = wait(&client, &name).await.unwrap();
    assert!(!next(&mut again).await.done);
    cancel(&client, &name).await;
    assert_eq!(code(rest(again).await.last().unwrap()), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_in_which_nothing_happens_repeats_itself() {
    let limit = Duration::from_millis(20);
    let (gateway, client) = start_with(|settings| settings.wait_limit = limit).await;
    let mut stream = execute(&client, "main", "").await.unwrap();
    let mut last = next(&mut stream).await;
    // It is taken up at some time; then nothing happens any more.
    while stage(&last) != 3 {
        last = next(&mut stream).await;
    }
    for _ in 0..3 {
        assert_eq!(next(&mut stream).await, last);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_removed_operation_ends_its_stream() {
    let (gateway, client) = start().await;
    let mut stream = execute(&client, "main", "").await.unwrap();
    let name = next(&mut stream).await.name;
    let _: () = client.operations("DeleteOperation", named(&name)).await.unwrap();
    let ended = loop {
        match stream.message().await {
            Ok(message) => assert!(!message.unwrap().done),
            Err(status) => break status.code(),
        }
    };
    assert_eq!(ended, Code::NotFound);
    gateway.stop().await;
}

#[tokio::test]
async fn a_drain_ends_streams_with_unavailable() {
    let (gateway, client) = start().await;
    let mut stream = execute(&client, "main", "").await.unwrap();
    next(&mut stream).await;
    let stopped = tokio::spawn(gateway.stop());
    let ended = loop {
        match stream.message().await {
            Ok(message) => assert!(!message.unwrap().done),
            Err(status) => break status.code(),
        }
    };
    assert_eq!(ended, Code::Unavailable);
    drop((stream, client));
    stopped.await.unwrap();
}

#[tokio::test]
async fn what_was_started_is_named_even_where_it_cannot_be_followed() {
    let (gateway, client) = start().await;
    let everything = || Watch::Scope { scope: Parent::root(), after: Seq(0), filter: None };
    let watch = || gateway.bus.watch(&Caller::anonymous(), everything()).ok();
    let held: Vec<_> = std::iter::from_fn(watch).collect();
    assert!(!held.is_empty());
    let mut stream = execute(&client, "main", "").await.unwrap();
    let name = next(&mut stream).await.name;
    assert_eq!(stream.message().await.unwrap_err().code(), Code::ResourceExhausted);
    drop(held);
    let timeout = Some(prost_types::Duration { seconds: 0, nanos: 1 });
    let asked = Name { name: name.clone(), timeout };
    let waited: Operation = client.operations("WaitOperation", asked).await.unwrap();
    assert!(!waited.done && waited.name == name);
    gateway.stop().await;
}

#[tokio::test]
async fn over_rest_too_an_execution_needs_an_instance() {
    let (gateway, client) = start_with(|settings| {
        let execute = settings.doors.iter_mut().find(|door| door.method == EXECUTE).unwrap();
        let request = "POST /v2/{instance_name=*}/actions:execute".to_owned();
        execute.http = Some(HttpForm { request, body: Some("*".to_owned()) });
    })
    .await;
    let refused = ask(&gateway, "POST", "/v2/nowhere/actions:execute").await;
    assert_eq!(refused.status, 400);
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("instance_name: "), "{message}");
    let started = ask(&gateway, "POST", "/v2/main/actions:execute").await.json();
    let name = started["name"].as_str().unwrap();
    assert!(name.starts_with("main/"), "{name}");
    assert_eq!(client.get(name).await.unwrap().name, name);
    gateway.stop().await;
}
