//! What is sound passes byte for byte, however it is cut; and the other way as well.

use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::performatives::{Detach, Disposition, Open};
use proptest::prelude::*;
use serde_amqp::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::super::{Fence, Limits};
use super::peer::{HEADER, attach, begin, flow, frame, message, open, passed, raw, transfer};

/// What a peer may say in a session that it has begun, with a sender on handle 0 and a receiver on 1.
#[derive(Clone, Debug)]
enum Said {
    Empty,
    Flow(u32),
    Message(u32, Vec<u8>, usize),
    Disposition(u32, u16),
    Relink,
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        Just(Said::Empty),
        any::<u32>().prop_map(Said::Flow),
        (any::<u32>(), prop::collection::vec(any::<u8>(), 0..3000), 1..2000_usize)
            .prop_map(|(id, bytes, piece)| Said::Message(id, bytes, piece)),
        any::<(u32, u16)>().prop_map(|(first, more)| Said::Disposition(first, more)),
        Just(Said::Relink),
    ]
}

fn bytes(said: &Said) -> Vec<u8> {
    match said {
        Said::Empty => raw(0, &[]),
        Said::Flow(credit) => frame(0, &flow(Some(1), *credit), &[]),
        Said::Message(id, bytes, piece) => {
            let message = message(&Value::Binary(bytes.clone().into()));
            let count = message.len().div_ceil(*piece);
            let pieces = message.chunks(*piece).enumerate();
            let frames = pieces.map(|(at, piece)| frame(0, &transfer(*id, at + 1 < count), piece));
            frames.collect::<Vec<_>>().concat()
        }
        Said::Disposition(first, more) => {
            let last = Some(first.wrapping_add((*more).into()));
            let role = Role::Receiver;
            let settled = true;
            frame(
                0,
                &Disposition { role, first: *first, last, settled, state: None, batchable: false },
                &[],
            )
        }
        // Held back until our side has attached: here nobody does.
        Said::Relink => frame(0, &flow(None, 0), &[]),
    }
}

fn limits() -> Limits {
    Limits { frame: 16 * 1024, ..Limits::default() }
}

async fn through(written: &[u8], pieces: &[usize]) -> Vec<u8> {
    let (mut near, far) = duplex(64);
    let mut fence = Fence::new(far, &[], limits());
    let watch = fence.watch();
    let write = async {
        let mut rest = written;
        for piece in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            near.write_all(now).await.unwrap();
            rest = later;
        }
        drop(near);
    };
    let mut read = Vec::new();
    let ((), result) = tokio::join!(write, fence.read_to_end(&mut read));
    assert_eq!(watch.ended(), None);
    result.unwrap();
    read
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_a_peer_says_passes(
        said in prop::collection::vec(said(), 0..30),
        pieces in prop::collection::vec(1..5000_usize, 1..20),
    ) {
        let mut rest = frame(0, &begin(), &[]);
        rest.extend(frame(0, &attach("one", 0, Role::Sender), &[]));
        rest.extend(frame(0, &attach("two", 1, Role::Receiver), &[]));
        for said in &said {
            rest.extend(bytes(said));
        }
        let behind = |open: &Open| [&HEADER[..], &frame(0, open, &[]), &rest].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let read = runtime.block_on(through(&behind(&open()), &pieces));
        prop_assert_eq!(read, behind(&passed()));
    }

    #[test]
    fn what_we_write_passes(
        said in prop::collection::vec(said(), 0..30),
        piece in 1..20_000_usize,
    ) {
        let mut written = HEADER.to_vec();
        written.extend(frame(0, &open(), &[]));
        for said in &said {
            written.extend(bytes(said));
        }
        written.extend(frame(0, &Detach { handle: 0.into(), closed: true, error: None }, &[]));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let read = runtime.block_on(async {
            let (mut near, far) = duplex(100);
            let mut fence = Fence::new(far, &[], limits());
            let write = async {
                for piece in written.chunks(piece) {
                    fence.write_all(piece).await.unwrap();
                }
                // The end of a stream whose peer has gone is no matter of a close frame.
                fence.shutdown().await.unwrap();
            };
            let mut read = Vec::new();
            let reading = async {
                near.read_to_end(&mut read).await.unwrap();
                drop(near);
            };
            tokio::join!(write, reading);
            read
        });
        // At the end there is a close frame, as nobody has written one.
        prop_assert_eq!(&read[..written.len()], &written[..]);
        prop_assert!(read.len() > written.len());
    }
}
