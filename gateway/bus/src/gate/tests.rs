use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn breaking() -> Gate {
    let breaking = Breaking { failures: 2, pause: SECOND, longest: 60 * SECOND };
    Gate::new(None, Some(breaking), None)
}

/// Has it opened.
async fn fail(gate: &Gate, times: usize) {
    for _ in 0..times {
        gate.pass().await.failed();
    }
}

#[tokio::test(start_paused = true)]
async fn calls_are_made_in_the_order_they_came_and_at_the_rate() {
    let rate = Rate { calls: 10, period: SECOND, burst: 5 };
    let gate = Gate::new(Some(rate), None, None);
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..25_u32 {
        let gate = gate.clone();
        calls.spawn(async move {
            gate.pass().await.answered();
            (number, start.elapsed())
        });
        tokio::task::yield_now().await;
    }
    let mut made = Vec::new();
    while let Some(call) = calls.join_next().await {
        made.push(call.unwrap());
    }
    assert!(made.is_sorted_by_key(|(number, _)| *number), "{made:?}");
    assert!(made.iter().take(5).all(|(_, at)| at.is_zero()), "{made:?}");
    let last = made.last().unwrap().1;
    // Twenty after the burst, a tenth of a second each; timers round up.
    assert!((2 * SECOND..2 * SECOND + SECOND / 10).contains(&last), "{made:?}");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_line_takes_no_turn_along() {
    let gate = Gate::new(Some(Rate { calls: 1, period: SECOND, burst: 1 }), None, None);
    let start = Instant::now();
    gate.pass().await.answered();
    for _ in 0..10 {
        let left = tokio::time::timeout(SECOND / 20, gate.pass()).await;
        assert!(left.is_err());
    }
    gate.pass().await.answered();
    assert!(start.elapsed() < SECOND + SECOND / 10, "{:?}", start.elapsed());
    assert_eq!(gate.0.as_ref().unwrap().lock().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn one_call_finds_out_whether_an_upstream_is_back_and_all_others_wait_for_it() {
    let gate = breaking();
    fail(&gate, 2).await;
    assert!(!gate.is_closed());
    let mut others = JoinSet::new();
    for _ in 0..10 {
        let gate = gate.clone();
        others.spawn(async move { gate.pass().await });
    }
    let probe = others.join_next().await.unwrap().unwrap();
    assert!(probe.is_probe());
    sleep(1000 * SECOND).await;
    assert!(others.try_join_next().is_none(), "a second one was let through");
    probe.failed();
    let probe = others.join_next().await.unwrap().unwrap();
    assert!(probe.is_probe());
    // Its lease was over before it was made.
    drop(probe);
    let probe = others.join_next().await.unwrap().unwrap();
    assert!(probe.is_probe());
    probe.answered();
    let mut rest = 0;
    while let Some(pass) = others.join_next().await {
        let pass = pass.unwrap();
        assert!(!pass.is_probe());
        pass.answered();
        rest += 1;
    }
    assert_eq!(rest, 7);
    assert!(gate.is_closed());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_leased_while_it_is_left_alone_and_one_to_find_out() {
    let gate = breaking();
    assert_eq!(gate.leasing(Instant::now(), None), Leasing::Free);
    fail(&gate, 2).await;
    let Leasing::Not(Some(until)) = gate.leasing(Instant::now(), None) else { panic!() };
    let Leasing::One(occasion) = gate.leasing(until, None) else { panic!() };
    assert_eq!(gate.leasing(until, Some(occasion)), Leasing::Not(None));
    sleep_until(until).await;
    let probe = gate.pass().await;
    assert_eq!(gate.leasing(until, None), Leasing::Not(None));
    probe.failed();
    let Leasing::Not(Some(until)) = gate.leasing(until, Some(occasion)) else { panic!() };
    // Another occasion.
    assert!(matches!(gate.leasing(until, Some(occasion)), Leasing::One(_)));
    // Whoever waits in line will find out.
    let waits = tokio::spawn({
        let gate = gate.clone();
        async move { gate.pass().await.answered() }
    });
    tokio::task::yield_now().await;
    assert_eq!(gate.leasing(until, Some(occasion)), Leasing::Not(None));
    waits.await.unwrap();
    assert_eq!(gate.leasing(until, None), Leasing::Free);
}

#[tokio::test(start_paused = true)]
async fn a_gate_without_bounds_lets_everything_pass() {
    let gate = Gate::new(None, None, None);
    for _ in 0..100 {
        gate.pass().await.failed();
    }
    assert!(gate.is_closed());
}

#[tokio::test(start_paused = true)]
async fn another_rate_holds_for_those_who_wait_already() {
    let slow = Rate { calls: 1, period: Duration::from_hours(1), burst: 1 };
    let gate = Gate::new(Some(slow), None, None);
    gate.pass().await.answered();
    let began = Instant::now();
    let waiting = gate.clone();
    let waits = tokio::spawn(async move { waiting.pass().await.answered() });
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    assert!(gate.govern(Some(Rate { calls: 10, ..slow }), None));
    // A new bucket is full.
    waits.await.unwrap();
    assert_eq!(Instant::now(), began);
    assert!(gate.govern(None, None));
    gate.pass().await.answered();
    gate.pass().await.answered();
    assert_eq!(Instant::now(), began);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_is_taken_away_lets_those_pass_who_wait() {
    let breaking =
        Breaking { failures: 1, pause: Duration::from_hours(1), longest: Duration::from_hours(1) };
    let gate = Gate::new(None, Some(breaking), None);
    gate.pass().await.failed();
    assert!(!gate.is_closed());
    // Another one leaves it open for as long as it was to be.
    assert!(gate.govern(None, Some(Breaking { failures: 9, ..breaking })));
    assert!(!gate.is_closed());
    let waiting = gate.clone();
    let waits = tokio::spawn(async move { waiting.pass().await.answered() });
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    assert!(gate.govern(None, None));
    waits.await.unwrap();
    assert!(gate.is_closed());
    assert!(!Gate::default().govern(None, None));
}
