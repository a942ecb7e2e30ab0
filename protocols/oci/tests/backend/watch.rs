//! Looking at a work request.

use std::time::{Duration, Instant};

use opgate_bus::core::{Code, Outcome, State};
use opgate_bus::{ORPHANED, ResourceRule};
use tempfile::tempdir;

use crate::side::{Setup, log};
use crate::upstream::Upstream;

const RESOURCE: &str = r#""entityType":"compartment","identifier":"ocid1.compartment.oc1..c/1""#;

#[tokio::test]
async fn what_appears_upstream_appears_in_the_operation() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let rule = ResourceRule {
        entity_type: "compartment".into(),
        action: "DELETED".into(),
        identifier: "${/compartmentId}".into(),
        uri: "/20160918/compartments/${/compartmentId}".into(),
    };
    let setup = Setup { resources: vec![rule], ..Setup::default() };
    let side = setup.open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    upstream.look().await.show("ACCEPTED", r#""errors":null,"logs":null,"resources":null"#);
    let now = side.until(id, |now| &*now.native_state == "ACCEPTED").await;
    assert_eq!((now.state, &*now.resources[0].action), (State::Running, "IN_PROGRESS"));

    let working = format!(
        r#""percentComplete":40.5,"resources":[{{{RESOURCE},"actionType":"IN_PROGRESS"}}],
           "logs":[{{"message":"emptying","timestamp":"2026-01-02T03:04:05.678Z"}}]"#
    );
    upstream.look().await.show("IN_PROGRESS", &working);
    let now = side.until(id, |now| &*now.native_state == "IN_PROGRESS").await;
    assert_eq!(now.progress.as_ref().unwrap().percent, Some(40.5));
    assert_eq!((&*now.resources[0].action, &*now.resources[0].becomes), ("IN_PROGRESS", "DELETED"));
    assert_eq!((log(&now), now.log[0].at.millis()), (vec!["emptying"], 1_767_323_045_678));

    // The same again is no change.
    upstream.look().await.show("IN_PROGRESS", &working);
    let look = upstream.look().await;
    assert_eq!(side.bus.get(&side.caller, id).await.unwrap().version, now.version);
    look.show("WAITING", &working);
    let waiting = side.until(id, |now| !now.waiting.is_empty()).await;
    assert_eq!((waiting.state, &*waiting.waiting), (State::Running, "WAITING"));
    upstream.look().await.show("NEEDS_ATTENTION", &working);
    side.until(id, |now| &*now.waiting == "NEEDS_ATTENTION").await;
    upstream.look().await.show("inprogress", &working);
    let now = side.until(id, |now| &*now.native_state == "inprogress").await;
    assert_eq!(&*now.waiting, "");

    let done = format!(
        r#""percentComplete":100,"resources":[{{{RESOURCE},"actionType":"DELETED"}}],
           "logs":[{{"message":"emptying","timestamp":"2026-01-02T03:04:05.678Z"}},
                   {{"message":"done","timestamp":"2026-01-02T03:04:06Z"}}]"#
    );
    upstream.look().await.show("COMPLETED", &done);
    let ended = side.ended(id).await;
    assert_eq!((ended.state, log(&ended)), (State::Succeeded, vec!["emptying", "done"]));
    assert_eq!(ended.progress.as_ref().unwrap().percent, Some(100.0));
    assert_eq!((ended.resources.len(), &*ended.resources[0].action), (1, "DELETED"));
    side.stop().await;
}

#[tokio::test]
async fn a_failure_carries_the_errors() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    upstream.look().await.show(
        "FAILED",
        r#""errors":[{"code":"LimitExceeded","message":"too many","timestamp":"2026-01-02T03:04:05Z"},
                     {"code":"Other","message":"and more","timestamp":"2026-01-02T03:04:06Z"}]"#,
    );
    let ended = side.ended(id).await;
    let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
    assert_eq!((failure.code, &*failure.message), (Code::ResourceExhausted, "too many; and more"));
    let native = failure.native.as_ref().unwrap();
    assert!(native.bytes.starts_with(br#"{"status":"FAILED""#));
    let entries: Vec<(bool, &str, &str)> =
        ended.log.iter().map(|entry| (entry.error, &*entry.code, &*entry.message)).collect();
    assert_eq!(entries, [(true, "LimitExceeded", "too many"), (true, "Other", "and more")]);
    side.stop().await;
}

#[tokio::test]
async fn every_end_has_its_outcome() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    for (status, state) in [
        ("SUCCEEDED", State::Succeeded),
        ("SKIPPED", State::Succeeded),
        ("failed", State::Failed),
        ("PARTIALLY_SUCCEEDED", State::Failed),
        ("CANCELED", State::Canceled),
        ("CANCELLED", State::Canceled),
    ] {
        let id = side.start().await;
        upstream.start_call().await.start();
        upstream.look().await.show("SOMETHING_NEW", "");
        upstream.look().await.show(status, "");
        let ended = side.ended(id).await;
        assert_eq!((ended.state, &*ended.native_state), (state, status));
    }
    side.stop().await;
}

#[tokio::test]
async fn the_load_balancer_is_read_too() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let options = [
        ("request", "DELETE /20170115/loadBalancers/{compartmentId}"),
        ("dialect", "load-balancer"),
    ];
    let side = Setup::with(&options).open(&dir, &upstream);
    let id = side.start().await;
    upstream.call().await.start();
    let path = "/20170115/loadBalancerWorkRequests/ocid1.workrequest.oc1..w";
    let look = upstream.expect(&http::Method::GET, path).await;
    let body = r#"{"lifecycleState":"FAILED","message":"no",
        "errorDetails":[{"errorCode":"BAD_INPUT","message":"no such shape"}]}"#;
    look.answer(200, &[], body);
    let ended = side.ended(id).await;
    let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
    assert_eq!((failure.code, &*failure.message), (Code::InvalidArgument, "no such shape"));
    assert_eq!(&*ended.progress.as_ref().unwrap().message, "no");
    side.stop().await;
}

#[tokio::test]
async fn trouble_does_not_end_it_and_is_told_once() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    for status in [500, 401, 403, 503] {
        upstream.look().await.refuse(status, "X", "no");
    }
    drop(upstream.look().await);
    upstream.look().await.answer(200, &[], "<html>");
    upstream.look().await.show("IN_PROGRESS", "");
    // Told again once it was over.
    upstream.look().await.refuse(500, "X", "again");
    upstream.look().await.show("SUCCEEDED", "");
    let ended = side.ended(id).await;
    assert_eq!(ended.state, State::Succeeded);
    let text = "the work request cannot be looked at: 500 X: ";
    assert_eq!(log(&ended), [format!("{text}no"), format!("{text}again")]);
    side.stop().await;
}

#[tokio::test]
async fn what_is_not_found_is_looked_for_and_may_come_back() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    // Not there yet, there, gone, there again.
    upstream.look().await.refuse(404, "NotAuthorizedOrNotFound", "not found");
    upstream.look().await.show("IN_PROGRESS", "");
    for _ in 0..5 {
        upstream.look().await.refuse(404, "NotAuthorizedOrNotFound", "not found");
    }
    let look = upstream.look().await;
    side.until(id, |now| &*now.native_state == ORPHANED).await;
    look.show("IN_PROGRESS", "");
    side.until(id, |now| &*now.native_state == "IN_PROGRESS").await;
    upstream.look().await.show("SUCCEEDED", "");
    let ended = side.ended(id).await;
    assert_eq!((ended.state, log(&ended).len()), (State::Succeeded, 2), "{ended:?}");
    side.stop().await;
}

#[tokio::test]
async fn what_is_not_found_for_too_long_is_lost() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let setup = Setup { grace: Duration::from_millis(1), ..Setup::default() };
    let side = setup.open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    upstream.look().await.show("IN_PROGRESS", "");
    let began = Instant::now();
    upstream.look().await.refuse(404, "NotAuthorizedOrNotFound", "not found");
    // Not at once: it is looked for once more at least.
    let again = upstream.look().await;
    assert!(began.elapsed() >= Duration::from_millis(1));
    again.refuse(404, "NotAuthorizedOrNotFound", "not found");
    let ended = side.ended(id).await;
    let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
    assert_eq!((failure.code, failure.reason.as_deref()), (Code::Unavailable, Some("record_lost")));
    assert!(failure.message.contains("NotAuthorizedOrNotFound"), "{failure:?}");
    side.stop().await;
}

#[tokio::test]
async fn an_end_by_an_unknown_word_is_borne_for_as_long() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let setup = Setup { grace: Duration::ZERO, ..Setup::default() };
    let side = setup.open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    upstream.look().await.show("BAFFLED", "");
    upstream.look().await.show("BAFFLED", r#""timeFinished":"2026-01-02T03:04:05Z""#);
    let ended = side.ended(id).await;
    let Some(Outcome::Failed(failure)) = &ended.outcome else { panic!("{ended:?}") };
    assert_eq!((failure.code, failure.reason.as_deref()), (Code::Unknown, Some("unknown_status")));
    side.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_borne_for_as_long() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    for body in ["<html>", r#"{"percentComplete":40}"#] {
        let setup = Setup { grace: Duration::from_millis(1), ..Setup::default() };
        let side = setup.open(&dir, &upstream);
        let id = side.start().await;
        upstream.start_call().await.start();
        let began = Instant::now();
        upstream.look().await.answer(200, &[], body);
        let again = upstream.look().await;
        assert!(began.elapsed() >= Duration::from_millis(1));
        again.answer(200, &[], body);
        let ended = side.ended(id).await;
        let failure = ended.outcome.as_ref().unwrap().failure().unwrap();
        assert_eq!((failure.code, failure.reason.as_deref()), (Code::Unknown, Some("unreadable")));
        assert_eq!(failure.native.as_ref().unwrap().bytes, body);
        assert!(log(&ended)[0].starts_with("the work request cannot be looked at: "), "{ended:?}");
        side.stop().await;
    }
}

#[tokio::test]
async fn an_upstream_that_asks_to_be_left_alone_is() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let id = side.start().await;
    upstream.start_call().await.start();
    let began = Instant::now();
    upstream.look().await.answer(200, &[("retry-after", "1")], r#"{"status":"IN_PROGRESS"}"#);
    let look = upstream.look().await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    look.answer(429, &[("retry-after", "1")], "");
    let began = Instant::now();
    let look = upstream.look().await;
    assert!(began.elapsed() >= Duration::from_millis(900));
    look.show("SUCCEEDED", "");
    side.ended(id).await;
    side.stop().await;
}
