//! A delivery carried to its end.

use std::collections::HashSet;
use std::time::Duration;

use fe2o3_amqp::connection::ConnectionStopReason;
use fe2o3_amqp::link::{LinkStateError, SendError, SessionStopReason};
use fe2o3_amqp_types::definitions::AmqpError;
use fe2o3_amqp_types::messaging::{
    Accepted, AmqpValue, Body, DeliveryState, Message, Modified, Outcome as Settled, Rejected,
    Released,
};
use fe2o3_amqp_types::primitives::Symbol;
use opgate_bus::{Caller, Pull};
use opgate_core::{Code, Failure, Outcome, Payload, State, limits};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_amqp::Value;
use tokio::sync::oneshot;

use super::{CONNECTION, Shop, about};
use crate::node::{ConnectionId, Taking};
use crate::queue::open::key;
use crate::queue::{Settings, Shared, report};

type Settling = oneshot::Sender<Result<Settled, SendError>>;

/// A delivery that is settled by hand.
fn carried(
    shop: &Shop,
    leased: opgate_bus::Leased,
) -> (Settling, tokio::task::JoinHandle<DeliveryState>) {
    let (settle, settled) = oneshot::channel();
    let delivery = shop.delivery(leased);
    let carried = tokio::spawn(delivery.carry(async { settled.await.unwrap() }));
    (settle, carried)
}

fn take(shared: &Shared, connection: ConnectionId, message: Message<Body<Value>>) -> Taking {
    report::take(shared, connection, message, None)
}

fn text(text: &str) -> Body<Value> {
    Body::Value(AmqpValue(Value::String(text.to_owned())))
}

fn cut_off() -> SendError {
    let reason = SessionStopReason::ConnectionStopped(ConnectionStopReason::Closed);
    SendError::LinkStateError(LinkStateError::SessionStopped(reason))
}

/// Has a delivery be settled so; what its worker hears of it.
async fn settle(
    shop: &Shop,
    leased: opgate_bus::Leased,
    how: Result<Settled, SendError>,
) -> DeliveryState {
    let (settle, carried) = carried(shop, leased);
    settle.send(how).unwrap();
    let heard = carried.await.unwrap();
    assert_eq!(shop.shared().open.counts(), (0, 0));
    heard
}

/// What a worker hears whose outcome was not taken.
fn refusal(heard: DeliveryState) -> (Symbol, String) {
    let DeliveryState::Rejected(Rejected { error: Some(error) }) = heard else {
        panic!("{heard:?}")
    };
    let condition = serde_amqp::to_value(&error.condition).unwrap();
    let Value::Symbol(condition) = condition else { panic!("{condition:?}") };
    (condition, error.description.unwrap())
}

fn accepted() -> DeliveryState {
    DeliveryState::Accepted(Accepted {})
}

#[tokio::test]
async fn what_is_accepted_has_the_result_that_was_sent_before() {
    let shop = Shop::new();
    for result in [Some("done"), None] {
        let leased = shop.begun().await;
        let (id, token) = (leased.snapshot.id, leased.token.clone());
        let (settle, carried) = carried(&shop, leased);
        if let Some(result) = result {
            for sent in ["first", result] {
                take(shop.shared(), CONNECTION, about(&token, None, text(sent))).await.unwrap();
            }
        }
        settle.send(Ok(Settled::Accepted(Accepted {}))).unwrap();
        assert_eq!(carried.await.unwrap(), accepted());
        let result = result.map(|result| Payload::new("text/plain; charset=utf-8", result));
        assert_eq!(shop.get(id).await.outcome, Some(Outcome::Succeeded(result)));
        let late = take(shop.shared(), CONNECTION, about(&token, None, text("late"))).await;
        let late = late.unwrap_err();
        assert_eq!(
            late.description.as_deref(),
            Some("no delivery of this connection with such a message id is open")
        );
    }
}

#[tokio::test]
async fn nobody_speaks_for_a_worker_on_another_connection() {
    let shop = Shop::new();
    let leased = shop.begun().await;
    let (id, token) = (leased.snapshot.id, leased.token.clone());
    let (settle, carried) = carried(&shop, leased);
    let other = ConnectionId(CONNECTION.0 + 1);
    take(shop.shared(), CONNECTION, about(&token, None, text("mine"))).await.unwrap();
    for subject in [None, Some("opgate:report")] {
        for body in [text("theirs"), Body::Empty] {
            let sent = take(shop.shared(), other, about(&token, subject, body)).await;
            assert_eq!(sent.unwrap_err().condition, AmqpError::PreconditionFailed.into());
        }
    }
    settle.send(Ok(Settled::Accepted(Accepted {}))).unwrap();
    carried.await.unwrap();
    let mine = Payload::new("text/plain; charset=utf-8", "mine");
    assert_eq!(shop.get(id).await.outcome, Some(Outcome::Succeeded(Some(mine))));
}

#[tokio::test]
async fn a_result_that_is_refused_is_not_left_out() {
    let shop = Shop::new();
    let leased = shop.begun().await;
    let (id, token) = (leased.snapshot.id, leased.token.clone());
    let (settle, carried) = carried(&shop, leased);
    let long = text(&"x".repeat(limits::PAYLOAD_BYTES + 1));
    assert!(take(shop.shared(), CONNECTION, about(&token, None, long)).await.is_err());
    settle.send(Ok(Settled::Accepted(Accepted {}))).unwrap();
    carried.await.unwrap();
    let ended = shop.ended(id).await;
    let failure = ended.outcome.as_ref().and_then(Outcome::failure).unwrap();
    assert_eq!(failure.reason.as_deref(), Some("outcome_refused"));
}

#[tokio::test]
async fn a_result_without_room_is_no_fault_of_its_operation() {
    let shop = Shop::open(Pull::default(), Settings { held_bytes: 3, ..Settings::default() });
    let leased = shop.begun().await;
    let (id, token) = (leased.snapshot.id, leased.token.clone());
    let (settle, carried) = carried(&shop, leased);
    let refused = take(shop.shared(), CONNECTION, about(&token, None, text("long"))).await;
    assert!(refused.is_err());
    settle.send(Ok(Settled::Accepted(Accepted {}))).unwrap();
    let (condition, _) = refusal(carried.await.unwrap());
    assert_eq!(condition.as_str(), "com.microsoft:server-busy");
    // It rests: the room may take a moment.
    assert!(!shop.get(id).await.is_done());
    let again = shop.lease().await;
    assert_eq!((again.snapshot.id, again.snapshot.epoch.0, again.failed), (id, 2, 0));
    let log: Vec<&str> = again.snapshot.log.iter().map(|line| &*line.message).collect();
    assert!(log[0].ends_with("results of as many bytes as allowed wait to be settled"), "{log:?}");
}

#[tokio::test]
async fn what_may_have_been_lost_is_an_attempt_that_failed() {
    let shop = Shop::new();
    for sent in [false, true] {
        let leased = shop.begun().await;
        let (id, token) = (leased.snapshot.id, leased.token.clone());
        let delivery = shop.delivery(leased);
        // A link over which results come ends, and nobody says that it was read.
        drop(delivery.inbound.reading());
        if sent {
            take(shop.shared(), CONNECTION, about(&token, None, text("done"))).await.unwrap();
        }
        let heard = delivery.carry(async { Ok(Settled::Accepted(Accepted {})) }).await;
        assert_eq!(heard == accepted(), sent);
        if sent {
            assert_eq!(shop.ended(id).await.state, State::Succeeded);
            continue;
        }
        let second = shop.lease().await;
        assert_eq!((second.snapshot.id, second.failed), (id, 1));
        let log = &second.snapshot.log[0].message;
        assert!(log.ends_with("accepted it, and what it had sent before was lost"), "{log:?}");
        // What had been lost before is not what this one waits for.
        let delivery = shop.delivery(second);
        delivery.carry(async { Ok(Settled::Accepted(Accepted {})) }).await;
        assert_eq!(shop.ended(id).await.outcome, Some(Outcome::Succeeded(None)));
    }
}

#[tokio::test]
async fn what_is_given_back_is_leased_again_and_failures_are_counted() {
    let shop = Shop::new();
    let leased = shop.begun().await;
    let id = leased.snapshot.id;
    let heard = settle(&shop, leased, Ok(Settled::Released(Released {}))).await;
    assert_eq!(heard, DeliveryState::Released(Released {}));
    let second = shop.lease().await;
    assert_eq!((second.snapshot.id, second.snapshot.epoch.0, second.failed), (id, 2, 0));
    let failed = Modified {
        delivery_failed: Some(true),
        undeliverable_here: None,
        message_annotations: None,
    };
    let heard = settle(&shop, second, Ok(Settled::Modified(failed.clone()))).await;
    assert_eq!(heard, DeliveryState::Modified(failed));
    let third = shop.lease().await;
    assert_eq!((third.snapshot.epoch.0, third.failed), (3, 1));
    settle(&shop, third, Err(cut_off())).await;
    let fourth = shop.lease().await;
    assert_eq!((fourth.snapshot.epoch.0, fourth.failed), (4, 2));
    let log: Vec<&str> = fourth.snapshot.log.iter().map(|line| &*line.message).collect();
    assert_eq!(log, ["attempt 1 of 3: ann@a failed at it", "attempt 2 of 3: ann@a was cut off"]);
    settle(&shop, fourth, Err(cut_off())).await;
    assert_eq!(shop.ended(id).await.state, State::Failed);
}

#[tokio::test]
async fn a_stop_waits_until_what_was_settled_is_written() {
    let shop = Shop::new();
    let leased = shop.begun().await;
    let id = leased.snapshot.id;
    let (settle, settled) = oneshot::channel();
    let carried = shop.delivery(leased).carry(async { settled.await.unwrap() });
    shop.shared().deliveries.spawn(carried);
    let mut stop = std::pin::pin!(shop.queues.settled());
    let early = std::future::poll_fn(|cx| std::task::Poll::Ready(stop.as_mut().poll(cx))).await;
    assert!(early.is_pending());
    settle.send(Ok(Settled::Accepted(Accepted {}))).unwrap();
    stop.await;
    assert!(shop.get(id).await.is_done());
}

#[tokio::test]
async fn what_a_worker_does_not_want_is_remembered() {
    let shop = Shop::new();
    let leased = shop.begun().await;
    let id = leased.snapshot.id;
    let delivery = shop.delivery(leased);
    let unwanted = std::sync::Arc::clone(&delivery.unwanted);
    let elsewhere = Modified {
        delivery_failed: None,
        undeliverable_here: Some(true),
        message_annotations: None,
    };
    delivery.carry(async { Ok(Settled::Modified(elsewhere)) }).await;
    assert!(unwanted.has(id));
    assert_eq!(shop.lease().await.failed, 0);
}

#[tokio::test]
async fn what_is_rejected_fails() {
    let shop = Shop::new();
    let leased = shop.begun().await;
    let id = leased.snapshot.id;
    settle(&shop, leased, Ok(Settled::Rejected(Rejected { error: None }))).await;
    assert_eq!(shop.ended(id).await.state, State::Failed);
}

#[tokio::test]
async fn who_is_late_changes_nothing() {
    let shop = Shop::new();
    let leased = shop.begun().await;
    let id = leased.snapshot.id;
    let (settle, carried) = carried(&shop, leased);
    let by_hand = Outcome::Failed(Failure::new(Code::Aborted, "enough"));
    shop.bus().finish(&Caller::anonymous(), id, by_hand.clone()).await.unwrap();
    settle.send(Ok(Settled::Accepted(Accepted {}))).unwrap();
    let (condition, _) = refusal(carried.await.unwrap());
    assert_eq!(condition.as_str(), "amqp:precondition-failed");
    let ended = shop.ended(id).await;
    assert_eq!(ended.outcome, Some(by_hand));
    // Kept for the audit.
    assert_eq!(ended.conflicts[0].state, State::Succeeded);
}

#[tokio::test]
async fn a_lease_is_extended_while_its_delivery_is_open() {
    let lease = Duration::from_secs(3);
    let shop = Shop::open(Pull { lease, ..Pull::default() }, Settings::default());
    let leased = shop.begun().await;
    let id = leased.snapshot.id;
    let (settle, carried) = carried(&shop, leased);
    tokio::time::sleep(2 * lease).await;
    settle.send(Ok(Settled::Accepted(Accepted {}))).unwrap();
    carried.await.unwrap();
    let ended = shop.get(id).await;
    assert_eq!((ended.state, ended.epoch.0), (State::Succeeded, 1));
    assert!(ended.log.is_empty(), "{:?}", ended.log);
}

#[tokio::test]
async fn a_worker_that_takes_too_long_loses_its_lease() {
    let lease = Duration::from_secs(1);
    let settings = Settings { longest: Some(Duration::ZERO), ..Settings::default() };
    let shop = Shop::open(Pull { lease, ..Pull::default() }, settings);
    let leased = shop.begun().await;
    let id = leased.snapshot.id;
    let (settle, carried) = carried(&shop, leased);
    let second = shop.lease().await;
    assert_eq!((second.snapshot.id, second.snapshot.epoch.0, second.failed), (id, 2, 1));
    settle.send(Ok(Settled::Accepted(Accepted {}))).unwrap();
    let (condition, _) = refusal(carried.await.unwrap());
    assert_eq!(condition.as_str(), "amqp:precondition-failed");
    assert_eq!(shop.get(id).await.state, State::Running, "who is late ended it");
}

#[tokio::test]
async fn who_has_lost_its_lease_hears_so_with_its_result() {
    let lease = Duration::from_secs(1);
    let shop = Shop::open(Pull { lease, ..Pull::default() }, Settings::default());
    let leased = shop.begun().await;
    let (id, token) = (leased.snapshot.id, leased.token.clone());
    let open = std::sync::Arc::clone(&shop.shared().open);
    let (settle, carried) = carried(&shop, leased);
    // It ends otherwise; the next extension finds that out.
    let by_hand = Outcome::Failed(Failure::new(Code::Aborted, "enough"));
    shop.bus().finish(&Caller::anonymous(), id, by_hand).await.unwrap();
    while open.has(&key(CONNECTION, &token)) {
        tokio::time::sleep(lease / 100).await;
    }
    let result = take(shop.shared(), CONNECTION, about(&token, None, text("done"))).await;
    let told = result.unwrap_err();
    assert_eq!(told.condition, AmqpError::PreconditionFailed.into());
    settle.send(Ok(Settled::Accepted(Accepted {}))).unwrap();
    let heard = refusal(carried.await.unwrap());
    assert_eq!(heard, ("amqp:precondition-failed".into(), "the lease is over".to_owned()));
}

#[tokio::test]
async fn a_report_is_written_down_and_tells_of_a_cancellation() {
    let shop = Shop::new();
    let leased = shop.begun().await;
    let (id, token) = (leased.snapshot.id, leased.token.clone());
    let (settle, carried) = carried(&shop, leased);
    let report = |fields: &[(&str, Value)]| {
        let map = fields.iter().map(|(name, value)| (Value::from(*name), value.clone())).collect();
        let body = Body::Value(AmqpValue(Value::Map(map)));
        take(shop.shared(), CONNECTION, about(&token, Some("opgate:report"), body))
    };
    let lines = Value::List(vec![Value::from("begun"), Value::from("halfway")]);
    report(&[("percent", Value::Int(50)), ("message", Value::from("half")), ("log", lines)])
        .await
        .unwrap();
    let shown = shop.get(id).await;
    let progress = shown.progress.as_ref().unwrap();
    assert_eq!((progress.percent, &*progress.message), (Some(50.0), "half"));
    assert_eq!(shown.log.len(), 2);
    for (field, value, text) in [
        ("percent", Value::Int(101), "body.percent: must be a number from 0 to 100"),
        ("done", Value::Int(-1), "body.done: must be an integer from 0 on"),
        ("log", Value::Int(1), "body.log: must be a text"),
    ] {
        let refused = report(&[(field, value)]).await.unwrap_err();
        assert_eq!(refused.description.as_deref(), Some(text));
    }
    assert!(report(&[("x", Value::Int(1))]).await.is_err());
    shop.bus().cancel(&Caller::anonymous(), id, "enough").await.unwrap();
    let told = report(&[("percent", Value::Int(60))]).await.unwrap_err();
    assert_eq!(told.description.as_deref(), Some("enough"));
    assert_eq!(shop.get(id).await.progress.as_ref().unwrap().percent, Some(60.0));
    settle.send(Ok(Settled::Released(Released {}))).unwrap();
    carried.await.unwrap();
    assert_eq!(shop.ended(id).await.state, State::Canceled);
    let late = report(&[]).await.unwrap_err();
    assert_eq!(
        late.description.as_deref(),
        Some("no delivery of this connection with such a message id is open")
    );
}

#[derive(Clone, Copy, Debug)]
enum Do {
    Start,
    Lease,
    Accept(usize),
    Release(usize),
    Fail(usize),
    Reject(usize),
    Lose(usize),
    FinishByHand(usize),
}

fn doing() -> impl Strategy<Value = Do> {
    let which = any::<usize>();
    prop_oneof![
        3 => Just(Do::Start),
        4 => Just(Do::Lease),
        2 => which.prop_map(Do::Accept),
        1 => which.prop_map(Do::Release),
        1 => which.prop_map(Do::Fail),
        1 => which.prop_map(Do::Reject),
        1 => which.prop_map(Do::Lose),
        1 => which.prop_map(Do::FinishByHand),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever workers do, no operation is in two open deliveries whose leases hold, each ends once,
    /// and none is lost: what nobody has is there to be leased.
    #[test]
    fn every_lease_is_ended_once(steps in vec(doing(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let pull = Pull { attempts: u32::MAX, ..Pull::default() };
            let shop = Shop::open(pull, Settings::default());
            let mut waiting = 0_usize;
            let mut ids = Vec::new();
            let mut by_hand = HashSet::new();
            let mut open = Vec::new();
            for step in steps {
                let (n, how) = match step {
                    Do::Start => {
                        ids.push(shop.start().await);
                        waiting += 1;
                        continue;
                    }
                    Do::Lease if waiting == 0 => continue,
                    Do::Lease => {
                        let leased = shop.lease().await;
                        waiting -= 1;
                        let id = leased.snapshot.id;
                        prop_assert!(open.iter().all(|(other, _, _)| *other != id), "with two");
                        let (settle, carried) = carried(&shop, leased);
                        open.push((id, settle, carried));
                        continue;
                    }
                    Do::FinishByHand(n) => {
                        let Some((id, ..)) = open.get(n % open.len().max(1)) else { continue };
                        let outcome = Outcome::Succeeded(None);
                        by_hand.insert(*id);
                        shop.bus().finish(&Caller::anonymous(), *id, outcome).await.unwrap();
                        continue;
                    }
                    Do::Accept(n) => (n, Ok(Settled::Accepted(Accepted {}))),
                    Do::Release(n) => (n, Ok(Settled::Released(Released {}))),
                    Do::Fail(n) => (n, Ok(Settled::Modified(Modified {
                        delivery_failed: Some(true),
                        undeliverable_here: None,
                        message_annotations: None,
                    }))),
                    Do::Reject(n) => (n, Ok(Settled::Rejected(Rejected { error: None }))),
                    Do::Lose(n) => (n, Err(cut_off())),
                };
                if open.is_empty() {
                    continue;
                }
                let (id, settle, carried) = open.swap_remove(n % open.len());
                settle.send(how).unwrap();
                carried.await.unwrap();
                if !shop.get(id).await.is_done() {
                    waiting += 1;
                }
            }
            for (_, settle, carried) in open {
                settle.send(Ok(Settled::Accepted(Accepted {}))).unwrap();
                carried.await.unwrap();
            }
            for _ in 0..waiting {
                let leased = shop.lease().await;
                settle(&shop, leased, Ok(Settled::Accepted(Accepted {}))).await;
            }
            for id in ids {
                let ended = shop.ended(id).await;
                // Who was late is in the audit, and nobody else.
                prop_assert!(ended.conflicts.is_empty() || by_hand.contains(&id), "{ended:?}");
            }
            Ok(())
        })?;
    }
}
