//! What the holder of a lease may do, and until when.

use std::time::Duration;

use opgate_bus::core::{Code, ErrorKind, Failure, Outcome, Report, State};
use opgate_bus::{Ask, Pull};
use tempfile::tempdir;

use super::support::{Setup, about, ask, look, succeeded, tenant};
use crate::support::kind;

#[tokio::test]
async fn every_word_of_its_worker_extends_a_lease() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    shop.start().await;
    let minute = Duration::from_mins(1);
    let leased = shop.lease(Ask { length: Some(minute), ..ask() }).await;
    let now = || shop.store.clock().now();
    assert_eq!(leased.length, minute);
    assert!(about(leased.until, now().plus(minute)), "{leased:?}");
    let version = leased.snapshot.version;
    let held = shop.bus.report(&leased.token, Report::default(), None).await.unwrap();
    assert!(about(held.until, now().plus(minute)), "{held:?}");
    assert_eq!(held.snapshot.version, version, "a report that says nothing was written");
    let hour = Duration::from_hours(1);
    let held = shop.bus.report(&leased.token, Report::default(), Some(hour)).await.unwrap();
    assert!(about(held.until, now().plus(hour)), "{held:?}");
    for extend in [Duration::from_millis(999), hour + Duration::from_millis(1)] {
        let error = shop.bus.report(&leased.token, Report::default(), Some(extend)).await;
        assert_eq!(error.unwrap_err().field.unwrap().field, "extend");
    }
}

#[tokio::test]
async fn what_was_completed_may_be_completed_again_only_the_same_way() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let leased = shop.begun().await;
    let first = shop.bus.complete(&leased.token, succeeded()).await.unwrap();
    assert!(!first.repeated);
    let again = shop.bus.complete(&leased.token, succeeded()).await.unwrap();
    assert!(again.repeated);
    let otherwise = Outcome::Canceled(None);
    let error = shop.bus.complete(&leased.token, otherwise).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::FailedPrecondition);
    assert_eq!(error.message, "the lease is over: the operation has ended: SUCCEEDED");
    let late = shop.bus.report(&leased.token, Report::default(), None).await;
    assert_eq!(kind(late), ErrorKind::FailedPrecondition);
    assert_eq!(shop.ended(leased.snapshot.id).await.state, State::Succeeded);
}

#[tokio::test]
async fn an_operation_that_is_given_back_is_leased_under_the_next_epoch() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let first = shop.begun().await;
    shop.bus.release(&first.token, None, Some("out of paper")).await.unwrap();
    let error = shop.bus.report(&first.token, Report::default(), None).await.unwrap_err();
    assert_eq!(error.message, "the lease is over: the operation was given back");
    let second = shop.lease(look()).await;
    assert_eq!(second.snapshot.id, first.snapshot.id);
    assert_eq!(second.snapshot.epoch.0, 2);
    assert_eq!(&*second.snapshot.log[0].message, "given back by ann: out of paper");
    let error = shop.bus.complete(&first.token, succeeded()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert_eq!(error.message, "the lease is over: the operation was leased again, as number 2");
    let stranger = tenant("stranger");
    assert_eq!(kind(shop.bus.get(&stranger, first.snapshot.id).await), ErrorKind::NotFound);
    let too_long = Some(Duration::from_secs(3601));
    let error = shop.bus.release(&second.token, too_long, None).await.unwrap_err();
    assert_eq!(error.field.unwrap().field, "after");
    shop.bus.complete(&second.token, succeeded()).await.unwrap();
}

#[tokio::test]
async fn what_a_worker_failed_at_is_an_attempt() {
    let dir = tempdir().unwrap();
    let pull = Pull { attempts: 2, ..Pull::default() };
    let shop = Setup { pull, ..Setup::at(&dir) }.open();
    let first = shop.begun().await;
    assert_eq!(first.failed, 0);
    shop.bus.fail(&first.token, "was cut off").await.unwrap();
    let again = shop.bus.fail(&first.token, "was cut off").await.unwrap_err();
    assert_eq!(again.message, "the lease is over: the operation was given back");
    let second = shop.lease(look()).await;
    assert_eq!((second.snapshot.id, second.failed), (first.snapshot.id, 1));
    let line = &second.snapshot.log[0];
    assert_eq!((line.error, &*line.message), (true, "attempt 1 of 2: ann was cut off"));
    shop.bus.fail(&second.token, "gave it up").await.unwrap();
    let ended = shop.ended(first.snapshot.id).await;
    let failure = ended.outcome.as_ref().and_then(Outcome::failure).unwrap();
    assert_eq!(failure.reason.as_deref(), Some("lease_expired"));
    assert_eq!(&*ended.log[1].message, "attempt 2 of 2: ann gave it up");
    let late = shop.bus.fail(&second.token, "").await.unwrap_err();
    assert_eq!(late.message, "the lease is over: the operation has ended: FAILED");
}

#[tokio::test]
async fn a_failed_attempt_at_what_is_being_canceled_ends_it_as_canceled() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let leased = shop.begun().await;
    shop.bus.cancel(&shop.caller, leased.snapshot.id, "enough").await.unwrap();
    shop.bus.fail(&leased.token, "was cut off").await.unwrap();
    assert_eq!(shop.ended(leased.snapshot.id).await.state, State::Canceled);
}

#[tokio::test]
async fn what_was_ended_by_hand_is_no_business_of_its_worker_any_more() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let leased = shop.begun().await;
    let outcome = Outcome::Failed(Failure::new(Code::Aborted, "enough"));
    let by = tenant("default");
    shop.bus.finish(&by, leased.snapshot.id, outcome.clone()).await.unwrap();
    let late = shop.bus.report(&leased.token, Report::default(), None).await.unwrap_err();
    let ended = "the lease is over: the operation has ended: FAILED";
    assert_eq!((late.kind, &*late.message), (ErrorKind::FailedPrecondition, ended));
    let late = shop.bus.complete(&leased.token, succeeded()).await.unwrap_err();
    assert_eq!(late.message, ended);
    let late = shop.bus.release(&leased.token, None, None).await.unwrap_err();
    assert_eq!(late.message, ended);
    let operation = shop.get(leased.snapshot.id).await;
    assert_eq!(operation.outcome, Some(outcome));
    assert_eq!(&*operation.log[0].message, "completed by hand as FAILED by default: enough");
}

#[tokio::test]
async fn a_removal_hides_an_operation_whose_worker_goes_on_and_sees_it() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let leased = shop.begun().await;
    shop.bus.remove(&shop.caller, leased.snapshot.id).await.unwrap();
    let held = shop.bus.report(&leased.token, Report::default(), None).await.unwrap();
    assert!(held.snapshot.removed.is_some());
    let receipt = shop.bus.complete(&leased.token, succeeded()).await.unwrap();
    assert_eq!(receipt.snapshot.state, State::Succeeded);
}

#[tokio::test]
async fn what_is_refused_for_its_content_changes_nothing() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let leased = shop.begun().await;
    let link = opgate_bus::core::Link { url: "x".repeat(5000).into(), kind: "log".into() };
    let report = Report { links: vec![link], ..Report::default() };
    let hour = Some(Duration::from_hours(1));
    let error = shop.bus.report(&leased.token, report, hour).await.unwrap_err();
    assert_eq!(error.field.unwrap().field, "links.url");
    let huge = opgate_bus::core::Payload::new("text/plain", vec![0; 5 * 1024 * 1024]);
    let error = shop.bus.complete(&leased.token, Outcome::Succeeded(Some(huge))).await;
    assert_eq!(kind(error), ErrorKind::PayloadTooLarge);
    assert_eq!(shop.get(leased.snapshot.id).await.version, leased.snapshot.version);
    shop.bus.complete(&leased.token, succeeded()).await.unwrap();
}

#[tokio::test]
async fn what_is_no_token_is_refused_by_name() {
    let dir = tempdir().unwrap();
    let shop = Setup::at(&dir).open();
    let leased = shop.begun().await;
    // The first character, which is part of the nonce.
    let first = if leased.token.starts_with('A') { "B" } else { "A" };
    let altered = format!("{first}{}", leased.token.split_at(1).1);
    for token in ["", "x", &altered] {
        let bus = &shop.bus;
        let errors = [
            bus.report(token, Report::default(), None).await.unwrap_err(),
            bus.complete(token, succeeded()).await.unwrap_err(),
            bus.release(token, None, None).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind, ErrorKind::InvalidArgument);
            assert_eq!(error.field.unwrap().field, "lease");
        }
    }
}
