//! What harms the crate ends the connection, with the reason; what came before it was served.

use fe2o3_amqp_types::definitions::{DeliveryTag, Role};
use fe2o3_amqp_types::messaging::Body;
use fe2o3_amqp_types::performatives::{Detach, Disposition, Performative};
use serde_amqp::Value;

use super::super::{Fault, Refusal};
use super::peer::{
    HEADER, Opened, attach, begin, fenced, flow, frame, limits, message, nested, open, opened, raw,
    transfer,
};

const FRAMING: &str = "amqp:connection:framing-error";
const DECODE: &str = "amqp:decode-error";
const LIMIT: &str = "amqp:resource-limit-exceeded";

/// After `bytes` the connection ends with this condition, and the server's task with it.
async fn ends(mut opened: Opened, bytes: &[u8], condition: &str) -> Refusal {
    opened.peer.write(bytes).await;
    assert_eq!(opened.peer.closed().await, condition);
    drop(opened.peer);
    opened.server.await.unwrap();
    opened.watch.ended().unwrap().clone()
}

/// A message was sent and received before.
async fn with_sender() -> Opened {
    let mut opened = opened().await;
    opened.peer.sender().await;
    opened.peer.write(&frame(0, &transfer(0, false), &message(&Value::Uint(7)))).await;
    let Some(Body::Value(got)) = opened.got.recv().await else { panic!("no message") };
    assert_eq!(got.0, Value::Uint(7));
    opened
}

#[tokio::test]
async fn a_frame_too_small_for_its_head() {
    for size in 0..8 {
        let refusal = ends(opened().await, &[0, 0, 0, size, 2, 0, 0, 0], FRAMING).await;
        assert_eq!(refusal, Refusal::FrameTooSmall { size: size.into() });
    }
}

#[tokio::test]
async fn a_frame_larger_than_we_take_before_it_comes() {
    let refusal = ends(opened().await, &[0x7f, 0xff, 0xff, 0xff, 2, 0, 0, 0], FRAMING).await;
    assert_eq!(refusal, Refusal::FrameTooLarge { size: 0x7fff_ffff, limit: 16 * 1024 });
}

#[tokio::test]
async fn a_head_that_lies() {
    for doff in [0, 1, 3, 255] {
        let refusal = ends(opened().await, &[0, 0, 0, 8, doff, 0, 0, 0], FRAMING).await;
        assert_eq!(refusal, Refusal::DataOffset { doff, size: 8 });
    }
    let refusal = ends(opened().await, &[0, 0, 0, 8, 2, 1, 0, 0], FRAMING).await;
    assert_eq!(refusal, Refusal::FrameType { found: 1, expected: 0 });
}

#[tokio::test]
async fn a_length_bomb_before_the_open_frame() {
    let bomb = raw(0, &[0x00, 0xb3, 0xc0, 0, 0, 0, b'a', b'm']);
    let opened = fenced(limits());
    let refusal = ends_unopened(opened, &[&HEADER[..], &bomb].concat()).await;
    assert_eq!(refusal, Refusal::Encoding(Fault::Length));
}

/// As [`ends`], where nothing has been read yet.
async fn ends_unopened(mut opened: Opened, bytes: &[u8]) -> Refusal {
    use tokio::io::AsyncReadExt as _;
    opened.peer.write(bytes).await;
    let mut header = [0; 8];
    opened.peer.0.read_exact(&mut header).await.unwrap();
    assert_eq!(opened.peer.closed().await, DECODE);
    drop(opened.peer);
    opened.server.await.unwrap();
    opened.watch.ended().unwrap().clone()
}

#[tokio::test]
async fn sasl_frames_are_judged_as_well() {
    for (bytes, expected) in [
        (vec![0, 0, 0, 5, 2], Refusal::FrameTooSmall { size: 5 }),
        (vec![0, 0, 0, 8, 9, 1, 0, 0], Refusal::DataOffset { doff: 9, size: 8 }),
        (vec![0, 0, 0, 8, 2, 0, 0, 0], Refusal::FrameType { found: 0, expected: 1 }),
        (
            vec![0, 0, 0, 15, 2, 1, 0, 0, 0x00, 0xb3, 0xc0, 0, 0, 0, 1],
            Refusal::Encoding(Fault::Length),
        ),
    ] {
        use tokio::io::AsyncReadExt as _;
        let (mut near, far) = tokio::io::duplex(4096);
        let mut fence = super::super::Fence::new(far, b"AMQP", limits());
        let watch = fence.watch();
        tokio::io::AsyncWriteExt::write_all(&mut near, &[b"\x03\x01\x00\x00", &bytes[..]].concat())
            .await
            .unwrap();
        drop(near);
        assert_eq!(fence.opening().await.unwrap(), super::super::Opening::Sasl);
        let mut read = Vec::new();
        fence.read_to_end(&mut read).await.unwrap_err();
        assert_eq!(read, b"AMQP\x03\x01\x00\x00");
        assert_eq!(watch.ended(), Some(&expected));
    }
}

#[tokio::test]
async fn values_too_deep_in_properties_and_in_messages() {
    // Open, begin or attach with nested lists as their properties.
    let body = [&[0x00, 0x53, 0x11][..], &nested(500)].concat();
    let refusal = ends(opened().await, &raw(0, &body), DECODE).await;
    assert_eq!(refusal, Refusal::Encoding(Fault::Depth));
    let deep = [&[0x00, 0x53, 0x77][..], &nested(500)].concat();
    let refusal = ends(with_sender().await, &frame(0, &transfer(1, false), &deep), DECODE).await;
    assert_eq!(refusal, Refusal::Message(Fault::Depth));
    // In a message of many frames the last one is not needed.
    let deep = [&[0x00, 0x53, 0x77][..], &nested(6_000)].concat();
    let pieces = deep.chunks(8_000).map(|piece| frame(0, &transfer(1, true), piece));
    let refusal = ends(with_sender().await, &pieces.collect::<Vec<_>>().concat(), DECODE).await;
    assert_eq!(refusal, Refusal::Message(Fault::Depth));
}

#[tokio::test]
async fn a_disposition_of_four_billion_deliveries() {
    let all = Disposition {
        role: Role::Receiver,
        first: 0,
        last: Some(u32::MAX - 1),
        settled: true,
        state: None,
        batchable: false,
    };
    let mut opened = opened().await;
    opened.peer.write(&frame(0, &begin(), &[])).await;
    let refusal = ends(opened, &frame(0, &all, &[]), LIMIT).await;
    assert_eq!(refusal, Refusal::Disposition { count: u64::from(u32::MAX), limit: 65_536 });
}

#[tokio::test]
async fn channels_sessions_handles_and_links_beyond_what_was_said() {
    let refusal = ends(opened().await, &frame(8, &begin(), &[]), FRAMING).await;
    assert_eq!(refusal, Refusal::Channel { channel: 8, limit: 7 });
    let sessions = (0..5).map(|channel| frame(channel, &begin(), &[])).collect::<Vec<_>>().concat();
    let refusal = ends(opened().await, &sessions, LIMIT).await;
    assert_eq!(refusal, Refusal::Sessions { limit: 4 });
    let twice = frame(1, &begin(), &[]).repeat(2);
    let refusal = ends(opened().await, &twice, "amqp:not-allowed").await;
    assert_eq!(refusal, Refusal::Begin { channel: 1 });

    let begun = frame(0, &begin(), &[]);
    let link = |handle| frame(0, &attach(&format!("link-{handle}"), handle, Role::Receiver), &[]);
    let refusal = ends(opened().await, &[begun.clone(), link(32)].concat(), FRAMING).await;
    assert_eq!(refusal, Refusal::Handle { handle: 32, limit: 31 });
    let links = (0..21).map(link).collect::<Vec<_>>().concat();
    let refusal = ends(opened().await, &[begun.clone(), links].concat(), LIMIT).await;
    assert_eq!(refusal, Refusal::Links { limit: 20 });
    let twice = [begun.clone(), link(1), link(1)].concat();
    let refusal = ends(opened().await, &twice, "amqp:session:handle-in-use").await;
    assert_eq!(refusal, Refusal::HandleInUse { handle: 1 });
}

#[tokio::test]
async fn flows_that_the_crate_would_keep_for_ever() {
    let nobodys = [frame(0, &begin(), &[]), frame(0, &flow(Some(9), 1), &[])].concat();
    let refusal = ends(opened().await, &nobodys, "amqp:session:unattached-handle").await;
    assert_eq!(refusal, Refusal::Unattached { handle: 9 });
}

#[tokio::test]
async fn deliveries_without_credit() {
    let mut opened = opened().await;
    opened.peer.sender().await;
    // The crate gives 200 and renews what was received: none of these is ever complete.
    let begins = |id| {
        let aborted = [frame(0, &transfer(id, true), b""), {
            let mut last = transfer(id, false);
            last.aborted = true;
            frame(0, &last, b"")
        }];
        aborted.concat()
    };
    let many = (0..2_000).map(begins).collect::<Vec<_>>().concat();
    let refusal = ends(opened, &many, "amqp:link:transfer-limit-exceeded").await;
    assert_eq!(refusal, Refusal::Credit);
}

#[tokio::test]
async fn a_message_of_many_empty_frames() {
    let empty = (0..2_000).map(|_| frame(0, &transfer(1, true), b"")).collect::<Vec<_>>().concat();
    let refusal = ends(with_sender().await, &empty, "amqp:link:message-size-exceeded").await;
    assert_eq!(refusal, Refusal::MessageTooLarge { limit: 100_000 });
}

#[tokio::test]
async fn a_delivery_within_another() {
    let two =
        [frame(0, &transfer(1, true), &[0xb0, 0, 0, 0, 9]), frame(0, &transfer(2, false), b"")];
    let refusal = ends(with_sender().await, &two.concat(), "amqp:not-allowed").await;
    assert_eq!(refusal, Refusal::Interleaved);
    // What says that it resumes another would be read by itself.
    let mut resumed = transfer(2, false);
    resumed.resume = true;
    resumed.delivery_tag = Some(DeliveryTag::from(vec![9]));
    let two = [frame(0, &transfer(1, true), &[0xb0, 0, 0, 0, 9]), frame(0, &resumed, b"")];
    let refusal = ends(with_sender().await, &two.concat(), "amqp:not-allowed").await;
    assert_eq!(refusal, Refusal::Interleaved);
}

#[tokio::test]
async fn frames_out_of_place() {
    let refusal = ends(opened().await, &frame(0, &open(), &[]), "amqp:not-allowed").await;
    assert_eq!(refusal, Refusal::Open);
    let detach = Detach { handle: 0.into(), closed: true, error: None };
    let refusal = ends(opened().await, &frame(3, &detach, &[]), "amqp:not-allowed").await;
    assert_eq!(refusal, Refusal::NoSession { channel: 3 });
    let refusal =
        ends(opened().await, &raw(0, &[0x00, 0x53, 0x10, 0x45]), "amqp:not-allowed").await;
    assert_eq!(refusal, Refusal::Open);
    let refusal = ends(opened().await, &raw(0, &[0x00, 0x53, 0x11, 0x45]), DECODE).await;
    assert!(matches!(refusal, Refusal::Performative(_)));
    let refusal = ends(opened().await, &raw(0, &[0x40]), DECODE).await;
    assert!(matches!(refusal, Refusal::Performative(_)));
}

#[tokio::test]
async fn a_message_larger_than_the_link_takes_costs_the_link_only() {
    let mut opened = with_sender().await;
    let long = message(&Value::Binary(vec![0; 150_000].into()));
    for (index, piece) in long.chunks(10_000).enumerate() {
        let more = (index + 1) * 10_000 < long.len();
        opened.peer.write(&frame(0, &transfer(1, more), piece)).await;
    }
    let detach = opened.peer.read().await;
    let Some((_, detach, _)) = detach else { panic!("{:?}", opened.watch) };
    let Performative::Detach(Detach { error: Some(error), .. }) = detach else {
        panic!("{detach:?}")
    };
    assert!(format!("{error:?}").contains("MessageSizeExceeded"), "{error:?}");
    assert_eq!(opened.watch.ended(), None);
}

#[tokio::test]
async fn a_bystander_is_unharmed() {
    let mut bystander = with_sender().await;
    for _ in 0..20 {
        ends(opened().await, &raw(0, &[0x00, 0xb3, 0xff, 0xff, 0xff, 0xff]), DECODE).await;
    }
    bystander.peer.write(&frame(0, &transfer(1, false), &message(&Value::Uint(8)))).await;
    let Some(Body::Value(got)) = bystander.got.recv().await else { panic!("no message") };
    assert_eq!(got.0, Value::Uint(8));
}
