//! What the crate does not do by itself.

use std::time::Duration;

use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::messaging::Body;
use fe2o3_amqp_types::performatives::{Attach, Close, Detach, Performative, Transfer};
use serde_amqp::Value;
use serde_amqp::primitives::{OrderedMap, Symbol};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::{Limits, Refusal};
use super::peer::{
    HEADER, attach, begin, fenced, flow, frame, limits, message, open, opened, passed, transfer,
};

#[tokio::test]
async fn the_second_link_of_a_pair_is_answered_under_its_name() {
    let mut opened = opened().await;
    let name = "management-link-pair";
    opened.peer.write(&frame(0, &begin(), &[])).await;
    opened.peer.write(&frame(0, &attach(name, 0, Role::Sender), &[])).await;
    opened.peer.write(&frame(0, &attach(name, 1, Role::Receiver), &[])).await;
    let mut roles = Vec::new();
    while roles.len() < 2 {
        let answer = opened.peer.until(|frame| matches!(frame, Performative::Attach(_))).await;
        let Performative::Attach(Attach { name: answered, role, .. }) = answer else {
            unreachable!()
        };
        assert_eq!(answered, name);
        roles.push(role);
    }
    assert!(roles.contains(&Role::Sender) && roles.contains(&Role::Receiver), "{roles:?}");
    assert_eq!(opened.watch.link(0, 1).unwrap().name(), name);
    // And again, once both are detached.
    for handle in [0, 1] {
        let detach = Detach { handle: handle.into(), closed: true, error: None };
        opened.peer.write(&frame(0, &detach, &[])).await;
        opened.peer.until(|frame| matches!(frame, Performative::Detach(_))).await;
    }
    assert!(opened.watch.link(0, 1).is_none());
    opened.peer.write(&frame(0, &attach(name, 1, Role::Receiver), &[])).await;
    opened.peer.until(|frame| matches!(frame, Performative::Attach(_))).await;
    assert_eq!(opened.watch.ended(), None);
}

#[tokio::test]
async fn a_second_link_of_one_name_and_direction_can_be_told_and_is_answered_under_its_name() {
    let mut opened = opened().await;
    opened.peer.write(&frame(0, &begin(), &[])).await;
    // However the peer calls them, and in whatever order.
    for (handle, name) in [(0, "a"), (1, "a#in"), (2, "a"), (3, "a"), (4, "a#in")] {
        opened.peer.write(&frame(0, &attach(name, handle, Role::Sender), &[])).await;
        let answer = opened.peer.until(|frame| matches!(frame, Performative::Attach(_))).await;
        let Performative::Attach(answer) = answer else { unreachable!() };
        assert_eq!(answer.name, name);
        let link = opened.watch.link(0, handle).unwrap();
        assert_eq!((link.name(), link.is_second()), (name, handle > 1));
    }
    let detach = Detach { handle: 1.into(), closed: true, error: None };
    opened.peer.write(&frame(0, &detach, &[])).await;
    opened.peer.until(|frame| matches!(frame, Performative::Detach(_))).await;
    assert_eq!(opened.watch.ended(), None);
}

#[tokio::test]
async fn a_session_that_begins_and_ends_in_one_breath_is_answered() {
    let mut opened = opened().await;
    let end = fe2o3_amqp_types::performatives::End { error: None };
    for _ in 0..100 {
        let breath = [frame(1, &begin(), &[]), frame(1, &end, &[])].concat().repeat(2);
        // In any pieces.
        for piece in breath.chunks(7) {
            opened.peer.write(piece).await;
        }
        for _ in 0..2 {
            opened.peer.until(|frame| matches!(frame, Performative::End(_))).await;
        }
    }
    assert_eq!(opened.watch.ended(), None);
}

#[tokio::test]
async fn heartbeats_come_twice_in_an_idle_time_out() {
    let mut opened = fenced(limits());
    let mut open = open();
    open.idle_time_out = Some(1_000);
    opened.peer.open(&open).await;
    assert_eq!(opened.watch.peer().unwrap().idle_time_out, Some(1_000));
    let mut empty = [0; 8];
    let first = tokio::time::Instant::now();
    for _ in 0..4 {
        opened.peer.0.read_exact(&mut empty).await.unwrap();
        assert_eq!(empty, [0, 0, 0, 8, 2, 0, 0, 0]);
    }
    assert!(first.elapsed() < Duration::from_millis(3_500), "{:?}", first.elapsed());
}

#[tokio::test]
async fn an_idle_time_out_of_a_millisecond_costs_no_thousand_frames() {
    let mut opened = fenced(Limits { idle: Duration::from_mins(1), ..limits() });
    let mut open = open();
    open.idle_time_out = Some(1_000);
    opened.peer.open(&open).await;
    let mut byte = [0];
    // The first tick is at once.
    opened.peer.0.read_exact(&mut [0; 8]).await.unwrap();
    tokio::time::timeout(Duration::from_millis(300), opened.peer.0.read(&mut byte))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn extended_headers_and_large_opens_are_cut_down() {
    let mut opened = fenced(limits());
    let mut open = open();
    open.properties =
        Some(OrderedMap::from_iter([(Symbol::from("product"), Value::String("x".repeat(2_000)))]));
    opened.peer.open(&open).await;
    assert_eq!(opened.watch.peer().unwrap().properties, open.properties);
    let mut extended = frame(0, &begin(), &[]);
    extended.splice(8..8, [1, 2, 3, 4]);
    extended[3] += 4;
    extended[4] = 3;
    opened.peer.write(&extended).await;
    opened.peer.until(|frame| matches!(frame, Performative::Begin(_))).await;
}

#[tokio::test]
async fn a_link_that_is_attached_and_detached_in_one_breath_is_forgotten() {
    let mut opened = opened().await;
    opened.peer.write(&frame(0, &begin(), &[])).await;
    for _ in 0..100 {
        let detach = Detach { handle: 5.into(), closed: true, error: None };
        let both = [frame(0, &attach("brief", 5, Role::Sender), &[]), frame(0, &detach, &[])];
        opened.peer.write(&both.concat()).await;
        opened.peer.until(|frame| matches!(frame, Performative::Detach(_))).await;
    }
    assert_eq!(opened.watch.ended(), None);
    assert!(opened.watch.link(0, 5).is_none());
}

#[tokio::test]
async fn a_delivery_that_is_aborted_is_forgotten() {
    let mut opened = opened().await;
    opened.peer.sender().await;
    let link = opened.watch.link(0, 0).unwrap();
    link.take_shorts();
    // At once, and when it has begun, settled or not.
    for (id, settled) in (0..40).zip([true, false].into_iter().cycle()) {
        let begun = Transfer { settled: Some(settled), ..transfer(id, true) };
        let aborted = Transfer { aborted: true, ..transfer(id, false) };
        let begins = if id % 4 < 2 { frame(0, &begun, b"\x00") } else { Vec::new() };
        opened.peer.write(&[begins, frame(0, &aborted, &[])].concat()).await;
    }
    opened.peer.write(&frame(0, &attach("next", 1, Role::Sender), &[])).await;
    opened.peer.until(|frame| matches!(frame, Performative::Attach(_))).await;
    assert_eq!((opened.watch.ended(), link.noted(), link.unread()), (None, 0, 0));
}

#[tokio::test]
async fn credit_and_drain_are_seen() {
    let mut opened = opened().await;
    opened.peer.write(&frame(0, &begin(), &[])).await;
    opened.peer.write(&frame(0, &attach("replies", 3, Role::Receiver), &[])).await;
    opened.peer.write(&frame(0, &flow(Some(3), 5), &[])).await;
    // The server waits for its outcome before it sends another.
    opened.peer.until(|frame| matches!(frame, Performative::Transfer(_))).await;
    let link = opened.watch.link(0, 3).unwrap();
    assert_eq!((link.limit(), link.sent(), link.credit(), link.drain()), (5, 1, 4, false));
    let mut drain = flow(Some(3), 7);
    drain.drain = true;
    opened.peer.write(&frame(0, &drain, &[])).await;
    opened.peer.until(|frame| matches!(frame, Performative::Flow(_))).await;
    assert_eq!((link.limit(), link.drain(), link.flows()), (7, true, 2));
    assert_eq!((link.sent(), link.credit()), (7, 0));
}

#[tokio::test]
async fn what_is_ready_is_sent_before_a_link_is_drained() {
    let mut opened = opened().await;
    opened.peer.write(&frame(0, &begin(), &[])).await;
    opened.peer.write(&frame(0, &attach("replies", 3, Role::Receiver), &[])).await;
    opened.peer.until(|frame| matches!(frame, Performative::Attach(_))).await;
    let mut drain = flow(Some(3), 7);
    drain.drain = true;
    opened.peer.write(&frame(0, &drain, &[])).await;
    let ours =
        |frame: &Performative| matches!(frame, Performative::Transfer(_) | Performative::Flow(_));
    assert!(matches!(opened.peer.until(ours).await, Performative::Transfer(_)));
    let Performative::Flow(flow) = opened.peer.until(ours).await else {
        panic!("another transfer")
    };
    assert_eq!((flow.delivery_count, flow.link_credit), (Some(7), Some(0)));
}

#[tokio::test]
async fn what_came_with_the_header_is_read_again() {
    let (mut near, far) = tokio::io::duplex(4096);
    let mut fence = super::super::Fence::new(far, &HEADER[..3], limits());
    near.write_all(&HEADER[3..]).await.unwrap();
    near.write_all(&frame(0, &open(), &[])).await.unwrap();
    near.shutdown().await.unwrap();
    assert_eq!(fence.opening().await.unwrap(), super::super::Opening::Amqp);
    let mut all = Vec::new();
    fence.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, [&HEADER[..], &frame(0, &passed(), &[])].concat());
}

#[tokio::test]
async fn replies_are_written_together_and_none_is_kept_back() {
    let mut opened = opened().await;
    opened.peer.sender().await;
    for batch in 0..5 {
        let batch = (batch * 100..(batch + 1) * 100).map(|id| {
            let mut unsettled = transfer(id, false);
            unsettled.settled = Some(false);
            frame(0, &unsettled, &message(&Value::Uint(id)))
        });
        opened.peer.write(&batch.collect::<Vec<_>>().concat()).await;
        let mut settled = 0;
        while settled < 100 {
            let settles = |frame: &Performative| matches!(frame, Performative::Disposition(_));
            let Performative::Disposition(settles) = opened.peer.until(settles).await else {
                unreachable!()
            };
            settled += settles.last.unwrap_or(settles.first) - settles.first + 1;
        }
    }
    for id in 0..500 {
        let Some(Body::Value(got)) = opened.got.recv().await else { panic!("no message") };
        assert_eq!(got.0, Value::Uint(id));
    }
    opened.peer.write(&frame(0, &Close { error: None }, &[])).await;
    opened.peer.until(|frame| matches!(frame, Performative::Close(_))).await;
    drop(opened.peer);
    opened.server.await.unwrap();
    assert_eq!(opened.watch.ended(), None);
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_given_up() {
    let (near, far) = tokio::io::duplex(1024);
    let limits = Limits { stall: Duration::from_millis(300), ..limits() };
    let mut fence = super::super::Fence::new(far, &[], limits);
    let watch = fence.watch();
    let frame = frame(0, &transfer(0, false), &[0; 8000]);
    let write = async {
        loop {
            fence.write_all(&frame).await?;
        }
    };
    let write: std::io::Result<()> =
        tokio::time::timeout(Duration::from_secs(20), write).await.unwrap();
    write.unwrap_err();
    assert_eq!(watch.ended(), Some(&Refusal::Stalled));
    drop(near);
}
