//! Callbacks as this API shows them, and their redrive.

use opgate_native::client::{
    Callback, CallbackDelivery, DeliveryState, Header, ListOperationsRequest, Operation,
    RedriveCallbacksRequest, StartOperationRequest,
};
use tonic::Code::{Aborted, FailedPrecondition, NotFound};

use crate::gateway::{Gateway, refused, start};

fn to(url: &str) -> Callback {
    let secret = Header { name: "authorization".to_owned(), value: "Bearer secret".to_owned() };
    Callback { url: url.to_owned(), headers: vec![secret] }
}

/// An operation that has ended, once each of its callbacks was attempted.
async fn told(gateway: &mut Gateway, urls: &[&str]) -> Operation {
    let callbacks = urls.iter().copied().map(to).collect();
    let request = StartOperationRequest { callbacks, ..start("echo", "1") };
    let id = gateway.operations.start_operation(request).await.unwrap().into_inner().id;
    settled(gateway, &id).await
}

async fn settled(gateway: &mut Gateway, id: &str) -> Operation {
    loop {
        let now = gateway.get(id).await;
        if now.callbacks.iter().all(|callback| callback.attempts > 0) {
            return now;
        }
        tokio::task::yield_now().await;
    }
}

fn redrive(id: &str, version: u64) -> RedriveCallbacksRequest {
    RedriveCallbacksRequest { name: id.to_owned(), version }
}

#[tokio::test]
async fn an_operation_shows_how_far_its_callbacks_are_and_no_secret() {
    let mut gateway = Gateway::start().await;
    let urls = ["http://a/taken", "http://b/busy?key=1/busy", "http://c/gone"];
    let shown = told(&mut gateway, &urls).await;
    let states: Vec<_> = shown.callbacks.iter().map(CallbackDelivery::state).collect();
    assert_eq!(states, [DeliveryState::Delivered, DeliveryState::Pending, DeliveryState::Dead]);
    let [taken, busy, dead] = &shown.callbacks[..] else { panic!("{shown:?}") };
    assert_eq!([&*taken.url, &busy.url, &dead.url], urls);
    assert_eq!([&*taken.problem, &busy.problem, &dead.problem], ["", "busy", "404 Not Found"]);
    assert!(shown.callbacks.iter().all(|callback| callback.last_attempt_time.is_some()));
    assert!(busy.next_attempt_time.is_some());
    assert_eq!([&taken.next_attempt_time, &dead.next_attempt_time], [&None, &None]);
    assert!(!format!("{shown:?}").contains("secret"));
    gateway.stop().await;
}

#[tokio::test]
async fn dead_letters_are_found_and_redriven() {
    let mut gateway = Gateway::start().await;
    told(&mut gateway, &["http://a/taken"]).await;
    let dead = told(&mut gateway, &["http://a/taken", "http://c/gone"]).await;
    let filter = "callbacks.state = \"DEAD\" AND callbacks.url:\"//c/\"".to_owned();
    let list = ListOperationsRequest { filter, ..ListOperationsRequest::default() };
    let found = gateway.operations.list_operations(list.clone()).await.unwrap().into_inner();
    let ids: Vec<&str> = found.operations.iter().map(|found| &*found.id).collect();
    assert_eq!(ids, [&*dead.id]);

    let redriven = gateway.operations.redrive_callbacks(redrive(&dead.id, dead.version)).await;
    let redriven = redriven.unwrap().into_inner();
    let callback = &redriven.callbacks[1];
    assert_eq!((callback.state(), callback.attempts), (DeliveryState::Pending, 0));
    assert!(callback.redrive_time.is_some());
    assert_eq!(redriven.callbacks[0], dead.callbacks[0]);
    let again = settled(&mut gateway, &dead.id).await;
    assert_eq!(again.callbacks[1].state(), DeliveryState::Dead);
    assert!(again.version > redriven.version);
    gateway.stop().await;
}

#[tokio::test]
async fn what_has_no_dead_letter_is_not_redriven() {
    let mut gateway = Gateway::start().await;
    let fine = told(&mut gateway, &["http://a/taken"]).await;
    let operations = &mut gateway.operations;
    let none = refused(operations.redrive_callbacks(redrive(&fine.id, 0)).await);
    assert_eq!(none.0, FailedPrecondition);
    let other = refused(operations.redrive_callbacks(redrive(&fine.id, 1_000)).await);
    assert_eq!(other.0, Aborted);
    let absent = fine.id.replace(|digit: char| digit.is_ascii_digit(), "0");
    let absent = refused(operations.redrive_callbacks(redrive(&absent, 0)).await);
    assert_eq!(absent.0, NotFound);
    gateway.stop().await;
}
