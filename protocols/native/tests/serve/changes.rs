//! Canceling, deleting and completing.

use opgate_native::client::{
    CancelOperationRequest, CompleteOperationRequest, DeleteOperationRequest, Failure, Outcome,
    Payload, State, WaitOperationRequest, outcome::Outcome as How,
};
use tonic::Code::{Aborted, InvalidArgument, NotFound};

use crate::gateway::{Gateway, data, json, named, refused};

const HELD: &str = r#"{"hold": true}"#;

fn cancel(name: &str, version: u64) -> CancelOperationRequest {
    CancelOperationRequest { name: name.to_owned(), reason: "enough".to_owned(), version }
}

fn complete(name: &str, how: How) -> CompleteOperationRequest {
    let outcome = Some(Outcome { outcome: Some(how) });
    CompleteOperationRequest { name: name.to_owned(), outcome, version: 0 }
}

#[tokio::test]
async fn a_cancellation_is_asked_for_and_the_end_tells() {
    let mut gateway = Gateway::start().await;
    let held = gateway.begin("run", HELD).await;
    let newer = WaitOperationRequest { name: held.id.clone(), version: 1, timeout: None };
    let running = gateway.operations.wait_operation(newer).await.unwrap().into_inner();
    assert_eq!(running.state(), State::Running);
    let asked =
        gateway.operations.cancel_operation(cancel(&held.id, 0)).await.unwrap().into_inner();
    let cancel = asked.cancel.unwrap();
    assert_eq!((&*cancel.by, &*cancel.reason), ("anonymous", "enough"));
    let wait = WaitOperationRequest { name: held.id.clone(), ..Default::default() };
    let ended = gateway.operations.wait_operation(wait).await.unwrap().into_inner();
    assert_eq!(ended.state(), State::Canceled);
    assert_eq!(ended.error.unwrap().code, "CANCELLED");
    // Once it has ended, asking again changes nothing.
    let again = self::cancel(&held.id, 0);
    let again = gateway.operations.cancel_operation(again).await.unwrap().into_inner();
    assert_eq!(again.version, ended.version);
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_deleted_is_not_found() {
    let mut gateway = Gateway::start().await;
    let operation = gateway.begin("echo", "1").await;
    let delete = DeleteOperationRequest { name: operation.id.clone(), version: 0 };
    gateway.operations.delete_operation(delete.clone()).await.unwrap();
    let absent = (NotFound, String::new());
    assert_eq!(refused(gateway.operations.get_operation(named(&operation.id)).await), absent);
    assert_eq!(refused(gateway.operations.delete_operation(delete).await), absent);
    gateway.stop().await;
}

#[tokio::test]
async fn an_operation_is_completed_by_hand_and_the_log_says_by_whom() {
    let mut gateway = Gateway::start().await;
    let failure =
        Failure { code: "NOT_FOUND".into(), message: "gone".into(), ..Default::default() };
    for (how, state) in [
        (How::Succeeded(json("[1]")), State::Succeeded),
        (How::Succeeded(Payload::default()), State::Succeeded),
        (How::Failed(failure.clone()), State::Failed),
        (How::Canceled(Failure::default()), State::Canceled),
    ] {
        let held = gateway.begin("run", HELD).await;
        let request = complete(&held.id, how.clone());
        let ended = gateway.operations.complete_operation(request.clone()).await;
        let ended = ended.unwrap().into_inner();
        assert_eq!(ended.state(), state);
        assert!(ended.log[0].message.contains("anonymous"), "{:?}", ended.log);
        match &how {
            How::Succeeded(result) if result == &Payload::default() => {
                assert!(ended.result.is_none());
            }
            How::Succeeded(_) => assert_eq!(data(ended.result.as_ref()).1, b"[1]"),
            How::Failed(_) => {
                let error = ended.error.as_ref().unwrap();
                assert_eq!((&*error.code, &*error.message), ("NOT_FOUND", "gone"));
            }
            How::Canceled(_) => assert_eq!(ended.error.as_ref().unwrap().code, "CANCELLED"),
        }
        // The same end is acknowledged, another refused.
        let again = gateway.operations.complete_operation(request).await.unwrap().into_inner();
        assert_eq!(again.version, ended.version);
        let other = complete(&held.id, How::Succeeded(json("2")));
        let other = gateway.operations.complete_operation(other).await;
        assert_eq!(other.unwrap_err().code(), Aborted);
        assert_eq!(gateway.get(&held.id).await.conflicts.len(), 1);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_change_may_name_the_version_it_is_for() {
    let mut gateway = Gateway::start().await;
    let operation = gateway.begin("echo", "1").await;
    let (name, version) = (operation.id.clone(), operation.version);
    let stale = gateway.operations.cancel_operation(cancel(&name, version + 1)).await;
    assert_eq!(stale.unwrap_err().code(), Aborted);
    let delete = |version| DeleteOperationRequest { name: name.clone(), version };
    let stale = gateway.operations.delete_operation(delete(version + 1)).await;
    assert_eq!(stale.unwrap_err().code(), Aborted);
    let stale = CompleteOperationRequest {
        version: version + 1,
        ..complete(&name, How::Succeeded(Payload::default()))
    };
    let stale = gateway.operations.complete_operation(stale).await;
    assert_eq!(stale.unwrap_err().code(), Aborted);
    gateway.operations.delete_operation(delete(version)).await.unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_an_outcome_is_named() {
    let mut gateway = Gateway::start().await;
    let held = gateway.begin("run", HELD).await;
    let failure = |code: &str| Failure { code: code.to_owned(), ..Failure::default() };
    for (how, field) in [
        (None, "outcome"),
        (Some(How::Failed(failure("OK"))), "outcome.failed.code"),
        (Some(How::Canceled(failure("nonsense"))), "outcome.canceled.code"),
    ] {
        let outcome = Some(Outcome { outcome: how });
        let request = CompleteOperationRequest { name: held.id.clone(), outcome, version: 0 };
        let answer = gateway.operations.complete_operation(request).await;
        assert_eq!(refused(answer), (InvalidArgument, field.to_owned()));
    }
    gateway.stop().await;
}
