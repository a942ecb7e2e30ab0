//! How operations end.

use std::time::Duration;

use opgate_bus::core::{Code, Failure, Outcome};
use opgate_rpc::proto::{Any, RetryInfo, Status};
use tempfile::tempdir;

use crate::side::Setup;
use crate::upstream::{NAME, Operation, START, Upstream, WAIT};

/// What an operation that is done is here.
async fn ends(operation: Operation) -> Outcome {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let id = side.start().await;
    upstream.expect(START).await.runs(None);
    let done = Operation { name: NAME.to_owned(), done: true, ..operation };
    upstream.expect(WAIT).await.show(&done);
    side.ended(id).await.outcome.clone().unwrap()
}

fn error(code: i32, details: Vec<Any>) -> Operation {
    let status = Status { code, message: "m".to_owned(), details };
    Operation { error: Some(status), ..Operation::default() }
}

fn failed(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other @ (Outcome::Succeeded(_) | Outcome::Canceled(_)) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_error_is_the_failure_with_its_details() {
    let wait = RetryInfo { retry_delay: Some(Duration::from_secs(7).into()) };
    let details = vec![Any::new("acme.v1.Why", &b"\xff"[..]), Any::pack(RetryInfo::NAME, &wait)];
    let failure = failed(ends(error(9, details.clone())).await);
    assert_eq!((failure.code, &*failure.message), (Code::FailedPrecondition, "m"));
    assert_eq!(
        (failure.retryable, failure.retry_after),
        (Some(true), Some(Duration::from_secs(7)))
    );
    let kept: Vec<(&str, &[u8])> =
        failure.details.iter().map(|detail| (&*detail.type_url, &*detail.value)).collect();
    let given: Vec<(&str, &[u8])> =
        details.iter().map(|detail| (&*detail.type_url, &*detail.value)).collect();
    assert_eq!(kept, given);
}

#[tokio::test]
async fn a_cancellation_is_one_whoever_asked_for_it() {
    let Outcome::Canceled(Some(failure)) = ends(error(1, Vec::new())).await else { panic!() };
    assert_eq!(&*failure.message, "m");
}

#[tokio::test]
async fn an_end_that_says_nothing_is_a_success_and_an_error_without_a_code_is_none() {
    assert_eq!(ends(Operation::default()).await, Outcome::Succeeded(None));
    for code in [0, 99] {
        let failure = failed(ends(error(code, Vec::new())).await);
        assert_eq!((failure.code, failure.native.unwrap().code), (Code::Unknown, code.to_string()));
    }
}

#[tokio::test]
async fn more_details_than_a_record_holds_do_not_keep_it_from_ending() {
    let details = vec![Any::new("a.B", ""); 1000];
    let failure = failed(ends(error(5, details)).await);
    assert_eq!((failure.code, failure.details.len()), (Code::NotFound, 64));
    let huge = vec![Any::new("a.B", vec![0; 4_180_000])];
    let failure = failed(ends(error(5, huge)).await);
    assert!(!failure.message.is_empty());
}
