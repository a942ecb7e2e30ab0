//! Following changes over gRPC.

use opgate_native::client::{
    CancelOperationRequest, DeleteOperationRequest, OperationEvent, State, View,
    WatchOperationRequest, WatchOperationsRequest,
};
use tonic::Code::{InvalidArgument, NotFound, Unavailable};
use tonic::Streaming;

use crate::gateway::{Gateway, refused};

fn one(name: &str, from: u64) -> WatchOperationRequest {
    WatchOperationRequest { name: name.to_owned(), from, ..WatchOperationRequest::default() }
}

fn all(from: &str) -> WatchOperationsRequest {
    WatchOperationsRequest { from: from.to_owned(), ..WatchOperationsRequest::default() }
}

async fn next(events: &mut Streaming<OperationEvent>) -> OperationEvent {
    events.message().await.unwrap().unwrap()
}

#[tokio::test]
async fn a_watch_of_one_operation_ends_with_it() {
    let mut gateway = Gateway::start().await;
    let held = gateway.begin("run", r#"{"hold": true}"#).await;
    let mut operations = gateway.operations.clone();
    let mut events = operations.watch_operation(one(&held.id, 0)).await.unwrap().into_inner();
    let mut last = next(&mut events).await;
    let cancel = CancelOperationRequest { name: held.id.clone(), ..Default::default() };
    operations.cancel_operation(cancel).await.unwrap();
    let mut cursors = vec![last.cursor.parse::<u64>().unwrap()];
    while let Some(event) = events.message().await.unwrap() {
        cursors.push(event.cursor.parse().unwrap());
        last = event;
    }
    let operation = last.operation.unwrap();
    assert!(operation.done && operation.input.is_some());
    assert_eq!(operation.version.to_string(), last.cursor);
    assert!(cursors.is_sorted_by(|a, b| a < b), "{cursors:?}");
    // Who has seen the last version is told that there is no more.
    let from = operation.version;
    let mut events = operations.watch_operation(one(&held.id, from)).await.unwrap().into_inner();
    assert_eq!(events.message().await.unwrap(), None);
    drop(operations);
    gateway.stop().await;
}

#[tokio::test]
async fn a_watch_of_a_scope_goes_on_where_another_left_off() {
    let mut gateway = Gateway::start().await;
    let first = gateway.begin("echo", "1").await;
    let mut operations = gateway.operations.clone();
    let mut events = operations.watch_operations(all("")).await.unwrap().into_inner();
    let seen = next(&mut events).await;
    let shown = seen.operation.unwrap();
    assert_eq!(shown.id, first.id);
    assert!(shown.input.is_none(), "a watch of a scope shows no content unless it is asked to");
    drop(events);
    let second = gateway.begin("echo", "2").await;
    let delete = DeleteOperationRequest { name: first.id.clone(), version: 0 };
    operations.delete_operation(delete).await.unwrap();
    let request = WatchOperationsRequest { view: View::Full.into(), ..all(&seen.cursor) };
    let mut events = operations.watch_operations(request).await.unwrap().into_inner();
    let event = next(&mut events).await;
    let shown = event.operation.unwrap();
    assert_eq!((shown.id, shown.state, event.deleted), (second.id, State::Succeeded.into(), false));
    assert!(shown.input.is_some());
    let event = next(&mut events).await;
    let shown = event.operation.unwrap();
    assert_eq!((shown.id, event.deleted), (first.id, true));
    assert!(shown.input.is_none(), "what was deleted is shown by its name only");
    // At the end of the gateway a watch says that it is to be taken up again.
    gateway.bus.quiesce().await;
    assert_eq!(events.message().await.unwrap_err().code(), Unavailable);
    drop((events, operations));
    gateway.stop().await;
}

#[tokio::test]
async fn a_watch_of_a_scope_sees_what_its_filter_and_its_parent_let_through() {
    let mut gateway = Gateway::start().await;
    gateway.begin("echo", "1").await;
    let held = gateway.begin("run", r#"{"hold": true}"#).await;
    let request = WatchOperationsRequest { filter: "operation = run".to_owned(), ..all("") };
    let mut operations = gateway.operations.clone();
    let mut events = operations.watch_operations(request).await.unwrap().into_inner();
    assert_eq!(next(&mut events).await.operation.unwrap().id, held.id);
    drop(events);
    drop(operations);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_watch_is_named() {
    let mut gateway = Gateway::start().await;
    let absent = one("00000000000000000000000007", 0);
    let answer = refused(gateway.operations.watch_operation(absent).await);
    assert_eq!(answer, (NotFound, String::new()));
    for (request, field) in [
        (all("x"), "from"),
        (all("-1"), "from"),
        (WatchOperationsRequest { parent: "\n".to_owned(), ..all("") }, "parent"),
        (WatchOperationsRequest { filter: "(".to_owned(), ..all("") }, "filter"),
        (WatchOperationsRequest { view: 9, ..all("") }, "view"),
    ] {
        let answer = refused(gateway.operations.watch_operations(request).await);
        assert_eq!(answer, (InvalidArgument, field.to_owned()));
    }
    gateway.stop().await;
}
