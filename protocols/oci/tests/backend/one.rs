//! One poller for each operation, whoever watches.

use std::sync::Arc;

use opgate_bus::Until;
use opgate_bus::core::State;
use tempfile::tempdir;
use tokio::task::JoinSet;

use crate::side::Setup;
use crate::upstream::{LONG, STARTED, Upstream};

#[tokio::test]
async fn fifty_who_wait_make_no_more_looks_than_one() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Arc::new(Setup::default().open(&dir, &upstream));
    let id = side.start().await;
    let mut waiters = JoinSet::new();
    for _ in 0..50 {
        let side = Arc::clone(&side);
        waiters.spawn(async move {
            side.bus.wait(&side.caller, id, Until::Done, LONG).await.unwrap().state
        });
    }
    upstream.start_call().await.start();
    // While one look is under way there is no other, so each of these is the next of the one poller.
    for percent in 0..20 {
        let look = upstream.look().await;
        assert!(upstream.is_quiet());
        look.show("IN_PROGRESS", &format!(r#""percentComplete":{percent}"#));
    }
    let look = upstream.look().await;
    assert!(upstream.is_quiet());
    look.show("SUCCEEDED", "");
    while let Some(state) = waiters.join_next().await {
        assert_eq!(state.unwrap(), State::Succeeded);
    }
    assert!(upstream.is_quiet());
    Arc::into_inner(side).unwrap().stop().await;
}

#[tokio::test]
async fn two_operations_that_share_a_work_request_each_look_at_it() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::default().open(&dir, &upstream);
    let first = side.start().await;
    upstream.start_call().await.start();
    let one = upstream.look().await;
    let second = side.start().await;
    upstream.start_call().await.answer(202, &[STARTED], "");
    let other = upstream.look().await;
    for look in [one, other] {
        look.show("SUCCEEDED", "");
    }
    for id in [first, second] {
        assert_eq!(side.ended(id).await.state, State::Succeeded);
    }
    side.stop().await;
}
