//! What a process leaves to the next one.

use opgate_bus::core::{CancelDelivery, Epoch, Outcome, State};
use opgate_rpc::proto::Any;
use tempfile::tempdir;

use crate::side::{Setup, delivered};
use crate::upstream::{CANCEL, GET, NAME, START, Upstream, WAIT};

fn thing() -> Any {
    Any::new("acme.v1.Thing", "")
}

#[tokio::test]
async fn what_has_a_name_is_never_started_again() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let first = Setup::default().open(&dir, &upstream);
    let id = first.start().await;
    upstream.expect(START).await.runs(None);
    let wait = upstream.expect(WAIT).await;
    first.stop().await;
    drop(wait);

    let second = Setup::default().open(&dir, &upstream);
    // Whether it has ended in the meantime is not waited for.
    let get = upstream.expect(GET).await;
    assert_eq!(get.named().name, NAME);
    let resumed = second.until(id, |now| now.epoch == Epoch(2)).await;
    assert_eq!(resumed.routed.native_ref, NAME);
    get.runs(None);
    upstream.expect(WAIT).await.done(thing());
    assert_eq!(second.ended(id).await.state, State::Succeeded);
    assert!(upstream.is_quiet());
    second.stop().await;
}

#[tokio::test]
async fn a_call_of_which_nobody_knows_is_made_again_only_where_it_may() {
    for idempotent in [true, false] {
        let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
        let setup = if idempotent { Setup::idempotent() } else { Setup::default() };
        let first = setup.open(&dir, &upstream);
        let id = first.start().await;
        let call = upstream.expect(START).await;
        let key = call.header("idempotency-key").unwrap().to_owned();
        first.stop().await;
        drop(call);

        let second = setup.open(&dir, &upstream);
        if idempotent {
            let call = upstream.expect(START).await;
            assert_eq!(call.header("idempotency-key"), Some(&*key));
            call.done(thing());
            assert_eq!(second.ended(id).await.state, State::Succeeded);
        } else {
            let ended = second.ended(id).await;
            let Some(Outcome::Failed(failure)) = &ended.outcome else { panic!("{ended:?}") };
            assert_eq!(failure.reason.as_deref(), Some("outcome_unknown"));
        }
        assert!(upstream.is_quiet());
        second.stop().await;
    }
}

#[tokio::test]
async fn a_cancel_that_was_taken_is_not_passed_on_again() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let first = Setup::polling().open(&dir, &upstream);
    let id = first.start().await;
    upstream.expect(START).await.runs(None);
    let get = upstream.expect(GET).await;
    first.cancel(id).await;
    upstream.expect(CANCEL).await.message(b"");
    first.until(id, |now| delivered(now, CancelDelivery::Acked)).await;
    // Looked at once, as the end may be near.
    let again = upstream.expect(GET).await;
    first.stop().await;
    drop((get, again));

    let second = Setup::polling().open(&dir, &upstream);
    upstream.expect(GET).await.done(thing());
    assert_eq!(second.ended(id).await.state, State::Succeeded);
    assert!(upstream.is_quiet());
    second.stop().await;
}
