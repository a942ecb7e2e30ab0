//! Starts that are refused.

use opgate_bus::core::{Code, State};
use tempfile::tempdir;

use crate::side::{Setup, log};
use crate::upstream::Upstream;

#[tokio::test]
async fn what_is_refused_for_good_fails_with_the_words_of_the_upstream() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    for (status, oci, code) in [
        (400, "InvalidParameter", Code::InvalidArgument),
        (400, "LimitExceeded", Code::ResourceExhausted),
        (401, "NotAuthenticated", Code::Unauthenticated),
        (404, "NotAuthorizedOrNotFound", Code::NotFound),
        (409, "Conflict", Code::Aborted),
        (409, "InvalidatedRetryToken", Code::AlreadyExists),
        (412, "NoEtagMatch", Code::Aborted),
        (501, "MethodNotImplemented", Code::Unimplemented),
    ] {
        let id = side.start().await;
        upstream.start_call().await.refuse(status, oci, "because");
        let ended = side.ended(id).await;
        let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
        assert_eq!((failure.code, failure.retryable), (code, Some(false)), "{oci}");
        assert_eq!(failure.reason.as_deref(), Some(oci));
        let text = format!("{status} {oci}: because");
        assert!(failure.message.starts_with(&text), "{failure:?}");
        let native = failure.native.as_ref().unwrap();
        assert_eq!((&*native.protocol, &*native.code, native.http), ("oci", oci, Some(status)));
        let body = format!(r#"{{"code":"{oci}","message":"because"}}"#);
        assert_eq!(native.bytes, body);
    }
    assert!(upstream.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn a_signature_that_is_not_believed_is_a_matter_of_the_configuration() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.refuse(401, "NotAuthenticated", "no");
    let ended = side.ended(id).await;
    let text = &ended.outcome.as_ref().unwrap().failure().unwrap().message;
    for word in ["tenancy", "user", "key_file", "clock"] {
        assert!(text.contains(word), "{text}");
    }
    side.stop().await;
}

#[tokio::test]
async fn what_passes_is_asked_for_again_by_the_same_token_and_a_bounded_number_of_times() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let id = side.start().await;
    for (status, code) in [(409, "IncorrectState"), (429, "TooManyRequests")] {
        upstream.start_call().await.refuse(status, code, "busy");
    }
    upstream.start_call().await.start();
    upstream.look().await.show("SUCCEEDED", "");
    let ended = side.ended(id).await;
    assert_eq!((ended.state, ended.epoch.0, ended.log.len()), (State::Succeeded, 3, 2));
    assert!(log(&ended)[0].contains("409 IncorrectState: busy"), "{ended:?}");

    let id = side.start().await;
    for _ in 0..3 {
        upstream.start_call().await.refuse(503, "ServiceUnavailable", "later");
    }
    let ended = side.ended(id).await;
    let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
    assert_eq!(failure.code, Code::Unavailable);
    assert!(failure.message.contains("503 ServiceUnavailable: later"), "{failure:?}");
    assert!(upstream.is_quiet());
    side.stop().await;
}

#[tokio::test]
async fn what_is_gone_when_it_is_deleted_again_may_have_been_deleted_by_the_first() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let id = side.start().await;
    drop(upstream.start_call().await);
    upstream.start_call().await.refuse(404, "NotAuthorizedOrNotFound", "not found");
    let ended = side.ended(id).await;
    let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
    assert_eq!(failure.code, Code::NotFound);
    assert!(failure.message.contains("an earlier attempt may have deleted it"), "{failure:?}");
    side.stop().await;
}
