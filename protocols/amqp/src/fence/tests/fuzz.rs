//! Whatever a peer sends: nothing panics, memory stays bounded, and what passes is safe for the crate.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::Read as _;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use fe2o3_amqp::Receiver;
use fe2o3_amqp::acceptor::{
    ConnectionAcceptor, LinkAcceptor, LinkEndpoint, ListenerSessionHandle, SessionAcceptor,
};
use fe2o3_amqp::link::delivery::Delivery;
use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::messaging::message::__private::Deserializable;
use fe2o3_amqp_types::messaging::{Accepted, Body, DeliveryState, Message};
use fe2o3_amqp_types::performatives::{Close, Detach, Disposition, End};
use serde_amqp::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;

use super::super::walk::Walk;
use super::super::{Fence, LinkWatch, Short, Watch};
use super::past::Text;
use super::peer::{
    HEADER, attach, begin, flow, frame, limits, message, nested, open, raw, serve, transfer,
};

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// Panics of this thread, also those that a task has swallowed.
fn panics() -> usize {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            before(panic);
        }));
    });
    PANICS.get()
}

/// Frames that make sense, one for each byte but the last two of three: those change one of its bytes.
fn frames(bytes: &[u8]) -> Vec<u8> {
    let known = known();
    let mut frames = Vec::new();
    for choice in bytes.chunks(3) {
        let mut next = known[usize::from(choice[0]) % known.len()].clone();
        if let [_, at, to] = choice
            && *at != 0
        {
            let at = usize::from(*at) % next.len();
            next[at] = *to;
        }
        frames.extend(next);
    }
    frames
}

fn known() -> Vec<Vec<u8>> {
    let mut aborted = transfer(1, false);
    aborted.aborted = true;
    let disposition = Disposition {
        role: Role::Receiver,
        first: 0,
        last: Some(9),
        settled: true,
        state: None,
        batchable: false,
    };
    let detach = |handle: u32| Detach { handle: handle.into(), closed: true, error: None };
    let map = Value::Map(
        [(Value::from("a"), Value::List(vec![Value::Null, Value::from(1_u32)]))]
            .into_iter()
            .collect(),
    );
    vec![
        HEADER.to_vec(),
        frame(0, &open(), &[]),
        frame(0, &begin(), &[]),
        frame(0, &attach("one", 0, Role::Sender), &[]),
        frame(0, &attach("one", 1, Role::Receiver), &[]),
        frame(0, &flow(Some(1), 10), &[]),
        frame(0, &flow(None, 10), &[]),
        frame(0, &transfer(0, false), &message(&map)),
        frame(0, &transfer(1, true), &message(&Value::from("some text"))[..7]),
        frame(0, &transfer(1, false), &message(&Value::from("some text"))[7..]),
        frame(0, &transfer(2, false), &nested(40)),
        frame(0, &aborted, &[]),
        frame(0, &disposition, &[]),
        frame(0, &detach(0), &[]),
        frame(0, &detach(1), &[]),
        frame(0, &End { error: None }, &[]),
        frame(0, &Close { error: None }, &[]),
        raw(0, &[]),
        raw(
            0,
            &[
                0x00, 0xa3, 14, b'a', b'm', b'q', b'p', b':', b'b', b'e', b'g', b'i', b'n', b':',
                b'l', b'i', b's',
            ],
        ),
    ]
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_mins(1), future).await.unwrap() })
}

/// Through a fence alone.
fn through(bytes: &[u8]) {
    block_on(async {
        let (mut near, far) = duplex(bytes.len() + 1);
        let mut fence = Fence::new(far, &[], limits());
        near.write_all(bytes).await.unwrap();
        drop(near);
        let mut read = Vec::new();
        let result = fence.read_to_end(&mut read).await;
        assert_eq!(result.is_err(), fence.watch().ended().is_some());
        // A name made unique is a few bytes longer, in a list that may say its size in four.
        assert!(
            read.len() <= bytes.len() + 16 * bytes.len() / 20,
            "{} of {}",
            read.len(),
            bytes.len()
        );
    });
}

/// Through a fence to the crate.
fn served(bytes: &[u8]) {
    let before = panics();
    block_on(async {
        let (mut near, far) = duplex(1024 * 1024);
        let (sender, _got) = mpsc::unbounded_channel();
        let server = tokio::spawn(serve(Fence::new(far, &[], limits()), sender));
        near.write_all(bytes).await.unwrap();
        near.shutdown().await.unwrap();
        drop(near.read_to_end(&mut Vec::new()).await);
        server.await.unwrap();
    });
    assert_eq!(panics(), before);
}

/// The crate's side of links whose messages and replies go past it: each message is accepted, and answered over every
/// link that receives.
async fn serve_past(fence: Fence<DuplexStream>) {
    let watch = fence.watch();
    let acceptor = ConnectionAcceptor::builder().container_id("server").channel_max(7).build();
    let Ok(mut connection) = acceptor.accept(fence).await else { return };
    while let Some(incoming) = connection.next_incoming_session().await {
        let channel = incoming.channel;
        let acceptor = SessionAcceptor::builder().handle_max(31).build();
        let Ok(session) = acceptor.accept_incoming_session(incoming, &mut connection).await else {
            break;
        };
        tokio::spawn(links_past(session, watch.clone(), channel));
    }
    drop(connection.on_close().await);
}

async fn links_past(mut session: ListenerSessionHandle, watch: Watch, channel: u16) {
    let acceptor = LinkAcceptor::builder()
        .max_message_size(100_000_u64)
        .verify_incoming_source(false)
        .verify_incoming_target(false)
        .build();
    let replies: Arc<Mutex<Vec<LinkWatch>>> = Arc::default();
    let mut senders = Vec::new();
    while let Some(attach) = session.next_incoming_attach().await {
        let link = watch.link(channel, attach.handle.0);
        if let Some(link) = &link {
            if attach.role == Role::Sender {
                link.take_shorts();
            } else {
                link.send_past_crate();
                replies.lock().unwrap().push(link.clone());
            }
        }
        match (acceptor.accept_incoming_attach(attach, &mut session).await, link) {
            (Ok(LinkEndpoint::Receiver(receiver)), Some(link)) => {
                tokio::spawn(answer(receiver, link, Arc::clone(&replies)));
            }
            (Ok(LinkEndpoint::Sender(sender)), _) => senders.push(sender),
            (Ok(LinkEndpoint::Receiver(_)), None) => {}
            (Err(_), _) => return,
        }
    }
}

async fn answer(mut receiver: Receiver, link: LinkWatch, replies: Arc<Mutex<Vec<LinkWatch>>>) {
    let accepted = || DeliveryState::Accepted(Accepted {});
    loop {
        tokio::select! {
            biased;
            short = poll_fn(|cx| link.poll_short(cx)) => match short {
                Short::Message { id, settled, .. } => {
                    if !settled {
                        link.dispose(id, accepted());
                    }
                }
                Short::Beyond => return,
            },
            came = receiver.recv::<Body<Value>>() => {
                let Ok(delivery) = came else { return };
                let delivery: Delivery<Body<Value>> = delivery;
                link.came_by_crate();
                link.dispose(*delivery.delivery_id(), accepted());
                drop(receiver.accept(&delivery).await);
            }
        }
        for reply in &*replies.lock().unwrap() {
            reply.post(Box::new(Text::new(&"reply ".repeat(100), false, Arc::default())));
        }
    }
}

/// Through a fence to a server to which messages come past the crate.
fn served_past(bytes: &[u8]) {
    let before = panics();
    block_on(async {
        let (mut near, far) = duplex(1024 * 1024);
        let server = tokio::spawn(serve_past(Fence::new(far, &[], limits())));
        near.write_all(bytes).await.unwrap();
        near.shutdown().await.unwrap();
        drop(near.read_to_end(&mut Vec::new()).await);
        server.await.unwrap();
    });
    assert_eq!(panics(), before);
}

/// Without a fence the crate's panic is seen here: the other tests would tell.
#[test]
fn a_panic_of_the_crate_is_noticed() {
    let before = panics();
    block_on(async {
        let (mut near, far) = duplex(4096);
        let (sender, _got) = mpsc::unbounded_channel();
        let server = tokio::spawn(serve(far, sender));
        near.write_all(&[&HEADER[..], &frame(0, &open(), &[]), &[0, 0, 0, 5, 2]].concat())
            .await
            .unwrap();
        drop(near.read_to_end(&mut Vec::new()).await);
        drop(near);
        server.await.unwrap();
    });
    assert!(panics() > before);
}

/// As a message, which the crate reads if the walk lets it.
fn decoded(bytes: &[u8]) {
    if Walk::values(bytes, limits().items).is_ok() {
        drop(serde_amqp::from_reader::<Deserializable<Message<Body<Value>>>>(bytes));
    }
}

const BEGUN: [usize; 6] = [0, 1, 2, 3, 4, 5];

#[test]
fn fuzz_bytes_into_the_fence() {
    bolero::check!().for_each(|bytes: &[u8]| {
        through(bytes);
        through(&[&HEADER[..], bytes].concat());
        through(&[b"AMQP\x03\x01\x00\x00", bytes].concat());
        through(&frames(bytes));
    });
}

#[test]
fn fuzz_bytes_through_the_fence_into_the_crate() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let known = known();
        let begun = BEGUN.map(|at| known[at].clone()).concat();
        served(&[&begun, bytes].concat());
        served(&[begun, frames(bytes)].concat());
    });
}

#[test]
fn fuzz_bytes_past_the_crate() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let begun = BEGUN.map(|at| known()[at].clone()).concat();
        served_past(&[begun, frames(bytes)].concat());
    });
}

/// Codes and lengths that make up a message now and then.
const WORDS: [&[u8]; 24] = [
    &[0x00, 0x53, 0x70],
    &[0x00, 0x53, 0x72],
    &[0x00, 0x53, 0x73],
    &[0x00, 0x53, 0x74],
    &[0x00, 0x53, 0x75],
    &[0x00, 0x53, 0x76],
    &[0x00, 0x53, 0x77],
    &[0x00, 0xa3, 1, b'x'],
    &[0xc0, 3, 2],
    &[0xc0, 4, 1],
    &[0xc1, 5, 2],
    &[0xd0, 0, 0, 0, 6, 0, 0, 0, 2],
    &[0xd1, 0, 0, 0, 8, 0, 0, 0, 2],
    &[0xe0, 4, 2, 0x52, 1, 2],
    &[0xe0, 6, 2, 0xa3, 1, b'a', 1, b'b'],
    &[0xe0, 3, 1, 0x40],
    &[0xa1, 1, b'k'],
    &[0xa3, 2, b'o', b'p'],
    &[0xa0, 0],
    &[0x45],
    &[0x40],
    &[0x41],
    &[0x53, 7],
    &[0x98, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
];

#[test]
fn fuzz_messages() {
    bolero::check!().for_each(|bytes: &[u8]| {
        decoded(bytes);
        let words = bytes.iter().map(|byte| WORDS[usize::from(*byte) % WORDS.len()]);
        decoded(&words.collect::<Vec<_>>().concat());
    });
}

#[test]
fn the_corpora_of_others_harm_nobody() {
    let packed = &include_bytes!("corpora/qpid-proton.gz")[..];
    let mut all = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut all).unwrap();
    let mut rest = &all[..];
    let (mut streams, mut messages) = (0, 0);
    let before = peak();
    while let Some((kind, after)) = rest.split_first() {
        let (length, after) = after.split_first_chunk::<4>().unwrap();
        let (bytes, after) = after.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap());
        rest = after;
        if *kind == 0 {
            streams += 1;
            through(bytes);
            served(bytes);
        } else {
            messages += 1;
            decoded(bytes);
            let sent = [
                &BEGUN.map(|at| known()[at].clone()).concat()[..],
                &frame(0, &transfer(0, false), bytes),
            ];
            if bytes.len() < 16_000 {
                served(&sent.concat());
            }
        }
    }
    assert!(streams > 1_000 && messages > 200, "{streams} streams, {messages} messages");
    assert!(peak() < before + 200 * 1024, "{before} KiB before, {} KiB after", peak());
}

/// The most memory that the process ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
