//! What is sent past the crate, beside what it sends itself over the same session.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use fe2o3_amqp::Sender;
use fe2o3_amqp::acceptor::{ConnectionAcceptor, LinkAcceptor, LinkEndpoint, SessionAcceptor};
use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState, Outcome};
use fe2o3_amqp_types::performatives::{Detach, Disposition, Flow, Open, Performative, Transfer};
use tokio::io::duplex;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::sending::Letter;
use super::super::{Fence, LinkWatch, Watch};
use super::peer::{Peer, attach, begin, flow, frame, limits, open};

const REPLIES: u32 = 3;
const WORK: u32 = 4;
const OTHERS: u32 = 5;

/// What became of letters.
#[derive(Debug, Default)]
pub(super) struct Fate {
    sent: AtomicUsize,
    lost: AtomicUsize,
    credited: AtomicUsize,
}

#[derive(Debug)]
pub(super) struct Text {
    bytes: Vec<u8>,
    settled: bool,
    is_sent: bool,
    fate: Arc<Fate>,
}

impl Text {
    pub(super) fn new(text: &str, settled: bool, fate: Arc<Fate>) -> Self {
        Self { bytes: text.as_bytes().to_vec(), settled, is_sent: false, fate }
    }
}

impl Letter for Text {
    fn write(&mut self, limit: u64) -> Option<Vec<u8>> {
        Some(self.bytes.clone()).filter(|bytes| bytes.len() as u64 <= limit)
    }

    fn is_settled(&self) -> bool {
        self.settled
    }

    fn has_credit(&mut self) {
        self.fate.credited.fetch_add(1, SeqCst);
    }

    fn sent(mut self: Box<Self>) {
        self.is_sent = true;
        self.fate.sent.fetch_add(1, SeqCst);
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        if !self.is_sent {
            self.fate.lost.fetch_add(1, SeqCst);
        }
    }
}

/// A session with three links over which its peer receives: one of the crate's, between two past it.
struct Both {
    peer: Peer,
    replies: LinkWatch,
    others: LinkWatch,
    work: Sender,
    fate: Arc<Fate>,
}

async fn accept(
    fence: Fence<tokio::io::DuplexStream>,
    watch: Watch,
    ready: oneshot::Sender<Sender>,
) {
    let mut connection = ConnectionAcceptor::new("server").accept(fence).await.unwrap();
    let session = connection.next_incoming_session().await.unwrap();
    let session = SessionAcceptor::new().accept_incoming_session(session, &mut connection).await;
    let mut session = session.unwrap();
    let links =
        LinkAcceptor::builder().verify_incoming_source(false).verify_incoming_target(false).build();
    let mut senders = Vec::new();
    for handle in [REPLIES, WORK, OTHERS] {
        let attach = session.next_incoming_attach().await.unwrap();
        assert_eq!(attach.handle.0, handle);
        if handle != WORK {
            watch.link(0, handle).unwrap().send_past_crate();
        }
        let accepted = links.accept_incoming_attach(attach, &mut session).await.unwrap();
        let LinkEndpoint::Sender(sender) = accepted else { panic!("no sender") };
        senders.push(sender);
    }
    assert!(ready.send(senders.remove(1)).is_ok());
    drop(senders[0].on_detach().await);
    drop(senders.remove(0));
    drop(connection.on_close().await);
    drop(session);
}

impl Both {
    /// Without credit for either.
    async fn start() -> Self {
        Self::opened(open()).await
    }

    async fn opened(open: Open) -> Self {
        let (near, far) = duplex(1024 * 1024);
        let fence = Fence::new(far, &[], limits());
        let watch = fence.watch();
        let (sender, ready) = oneshot::channel();
        tokio::spawn(accept(fence, watch.clone(), sender));
        let mut peer = Peer(near);
        peer.open(&open).await;
        peer.write(&frame(0, &begin(), &[])).await;
        for (name, handle) in [("replies", REPLIES), ("work", WORK), ("others", OTHERS)] {
            peer.write(&frame(0, &attach(name, handle, Role::Receiver), &[])).await;
            peer.until(|frame| matches!(frame, Performative::Attach(_))).await;
        }
        let [replies, others] = [REPLIES, OTHERS].map(|handle| watch.link(0, handle).unwrap());
        Self { peer, replies, others, work: ready.await.unwrap(), fate: Arc::default() }
    }

    async fn with_credit(credit: u32) -> Self {
        let mut both = Self::start().await;
        for handle in [REPLIES, WORK] {
            both.tell(flow(Some(handle), credit)).await;
        }
        both
    }

    async fn tell(&mut self, flow: Flow) {
        self.peer.write(&frame(0, &flow, &[])).await;
    }

    fn post(&self, text: &str, settled: bool) {
        self.replies.post(Box::new(Text::new(text, settled, Arc::clone(&self.fate))));
    }

    /// The next delivery: its handle, its id, and its payload, whole.
    async fn delivery(&mut self) -> (u32, u32, Vec<u8>) {
        let read = async {
            let mut begun: Option<(Transfer, Vec<u8>)> = None;
            loop {
                let (_, performative, payload) = self.peer.read().await.unwrap();
                let Performative::Transfer(transfer) = performative else { continue };
                let more = transfer.more;
                let (_, whole) = begun.get_or_insert_with(|| (transfer, Vec::new()));
                whole.extend(payload);
                if !more {
                    let (first, whole) = begun.unwrap();
                    return (first.handle.0, first.delivery_id.unwrap(), whole);
                }
            }
        };
        timeout(Duration::from_secs(20), read).await.unwrap()
    }

    /// Nothing but Flows comes until the peer's question is answered.
    async fn nothing_comes(&mut self, place: Flow) {
        self.tell(Flow {
            handle: None,
            echo: true,
            delivery_count: None,
            link_credit: None,
            ..place
        })
        .await;
        let (_, next, _) = self.peer.read().await.unwrap();
        assert!(matches!(next, Performative::Flow(_)), "{next:?}");
    }
}

fn accepted(first: u32, last: u32) -> Disposition {
    let state = Some(DeliveryState::Accepted(Accepted {}));
    Disposition {
        role: Role::Receiver,
        first,
        last: Some(last),
        settled: true,
        state,
        batchable: false,
    }
}

#[tokio::test]
async fn deliveries_of_both_have_ids_of_one_sequence_and_outcomes_find_their_own() {
    let mut both = Both::with_credit(100).await;
    both.post("one", true);
    both.post("two", false);
    assert_eq!(both.delivery().await, (0, 0, b"one".to_vec()));
    assert_eq!(both.delivery().await, (0, 1, b"two".to_vec()));
    let a = both.work.send_batchable("a").await.unwrap();
    assert_eq!(both.delivery().await.1, 2);
    both.post(&"three ".repeat(10_000), false);
    assert_eq!(both.delivery().await, (0, 3, "three ".repeat(10_000).into_bytes()));
    let b = both.work.send_batchable("b".repeat(100_000)).await.unwrap();
    assert_eq!(both.delivery().await.1, 4);
    let c = both.work.send_batchable("c").await.unwrap();
    assert_eq!(both.delivery().await.1, 5);
    // Of `c` nothing is said.
    both.peer.write(&frame(0, &accepted(0, 4), &[])).await;
    for sent in [a, b] {
        let outcome = timeout(Duration::from_secs(20), sent).await.unwrap().unwrap();
        assert!(matches!(outcome, Outcome::Accepted(_)));
    }
    both.peer.write(&frame(0, &accepted(5, 5), &[])).await;
    timeout(Duration::from_secs(20), c).await.unwrap().unwrap();
    assert_eq!(both.fate.sent.load(SeqCst), 3);
}

#[tokio::test]
async fn what_is_posted_waits_for_credit_and_for_the_window_of_the_session() {
    let mut both = Both::start().await;
    for text in ["one", "two", "three"] {
        both.post(text, true);
    }
    both.nothing_comes(flow(None, 0)).await;
    assert_eq!(both.fate.credited.load(SeqCst), 0);
    both.tell(flow(Some(REPLIES), 1)).await;
    assert_eq!(both.delivery().await.2, b"one");
    // Credit for both, and room for one.
    both.tell(Flow { next_incoming_id: Some(1), incoming_window: 1, ..flow(Some(REPLIES), 9) })
        .await;
    assert_eq!(both.delivery().await.2, b"two");
    both.nothing_comes(Flow { next_incoming_id: Some(1), incoming_window: 1, ..flow(None, 0) })
        .await;
    assert!(both.fate.credited.load(SeqCst) > 0);
    both.tell(Flow { next_incoming_id: Some(2), ..flow(None, 0) }).await;
    assert_eq!(both.delivery().await, (0, 2, b"three".to_vec()));
}

#[tokio::test]
async fn the_crate_keeps_to_the_window_whatever_went_past_it() {
    let mut both = Both::with_credit(100).await;
    for _ in 0..10 {
        both.post("reply", true);
        both.delivery().await;
    }
    // And what it says of its own links has the session's numbers.
    let asks = Flow { next_incoming_id: Some(10), echo: true, ..flow(Some(WORK), 100) };
    both.tell(asks).await;
    let is_flow = |frame: &Performative| matches!(frame, Performative::Flow(_));
    let Performative::Flow(told) = both.peer.until(is_flow).await else { unreachable!() };
    assert_eq!((told.handle.is_some(), told.next_outgoing_id), (true, 10));
    let narrow = Flow { next_incoming_id: Some(10), incoming_window: 2, ..flow(None, 0) };
    both.nothing_comes(narrow.clone()).await;
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(both.work.send_batchable("work").await.unwrap());
    }
    assert_eq!(both.delivery().await.1, 10);
    assert_eq!(both.delivery().await.1, 11);
    both.nothing_comes(narrow).await;
    both.tell(Flow { next_incoming_id: Some(12), ..flow(None, 0) }).await;
    assert_eq!(both.delivery().await.1, 12);
}

#[tokio::test]
async fn a_link_tells_how_it_stands_and_is_drained_when_what_is_ready_was_sent() {
    let mut both = Both::with_credit(5).await;
    both.post("one", true);
    both.delivery().await;
    both.tell(Flow { echo: true, ..flow(Some(REPLIES), 5) }).await;
    let is_flow = |frame: &Performative| matches!(frame, Performative::Flow(_));
    let Performative::Flow(told) = both.peer.until(is_flow).await else { unreachable!() };
    assert_eq!((told.delivery_count, told.link_credit), (Some(1), Some(4)));
    assert_eq!(told.next_outgoing_id, 1);
    both.post("two", true);
    both.tell(Flow { drain: true, ..flow(Some(REPLIES), 9) }).await;
    assert_eq!(both.delivery().await.2, b"two");
    let Performative::Flow(told) = both.peer.until(is_flow).await else { unreachable!() };
    assert_eq!((told.delivery_count, told.link_credit), (Some(9), Some(0)));
    assert_eq!(told.next_outgoing_id, 2);
    both.post("three", true);
    both.nothing_comes(flow(None, 0)).await;
    both.tell(Flow { delivery_count: Some(9), ..flow(Some(REPLIES), 1) }).await;
    assert_eq!(both.delivery().await.2, b"three");
}

#[tokio::test]
async fn what_still_waits_when_its_link_is_detached_is_lost() {
    let mut both = Both::start().await;
    both.post("one", true);
    both.nothing_comes(flow(None, 0)).await;
    let detach = Detach { handle: REPLIES.into(), closed: true, error: None };
    both.peer.write(&frame(0, &detach, &[])).await;
    both.peer.until(|frame| matches!(frame, Performative::Detach(_))).await;
    assert!(both.replies.is_detached());
    both.post("two", true);
    both.nothing_comes(flow(None, 0)).await;
    assert_eq!(both.fate.lost.load(SeqCst), 2);
}

#[tokio::test]
async fn both_share_the_window_of_the_session() {
    let mut both = Both::start().await;
    let narrow = |from| Flow { next_incoming_id: Some(from), incoming_window: 10, ..flow(None, 0) };
    for handle in [REPLIES, WORK] {
        both.tell(Flow { incoming_window: 10, ..flow(Some(handle), 100) }).await;
    }
    let mut outcomes = Vec::new();
    for _ in 0..20 {
        both.post("reply", true);
        outcomes.push(both.work.send_batchable("work").await.unwrap());
    }
    let (mut came, mut asked) = (0, 0);
    let mut of = [0; 2];
    let all = async {
        while came < 40 {
            both.tell(Flow { echo: true, ..narrow(asked) }).await;
            loop {
                let next = both.peer.read().await.unwrap().1;
                if let Performative::Transfer(transfer) = next {
                    assert_eq!(transfer.delivery_id, Some(came));
                    came += 1;
                    of[usize::from(transfer.handle.0 == 1)] += 1;
                    // The crate may have as many on their way as it was last told.
                    assert!(came - asked <= 20, "{came} of {}", asked + 10);
                } else {
                    assert!(matches!(next, Performative::Flow(_)), "{next:?}");
                    break;
                }
            }
            asked = came;
        }
    };
    timeout(Duration::from_secs(20), all).await.unwrap();
    assert_eq!(of, [20, 20]);
}

#[tokio::test]
async fn a_link_with_much_to_say_leaves_others_their_turn() {
    let mut both = Both::with_credit(100).await;
    both.tell(flow(Some(OTHERS), 1)).await;
    for _ in 0..20 {
        both.post(&"much ".repeat(20_000), true);
    }
    both.others.post(Box::new(Text::new("little", true, Arc::clone(&both.fate))));
    let mut before = 0;
    let little = async {
        loop {
            let (_, performative, payload) = both.peer.read().await.unwrap();
            if payload == b"little" {
                return;
            }
            before += u32::from(matches!(performative, Performative::Transfer(_)));
        }
    };
    timeout(Duration::from_secs(20), little).await.unwrap();
    // What had been written when it was posted: less than one of the twenty.
    assert!(before < 8, "{before}");
}

#[tokio::test]
async fn a_peer_that_takes_next_to_nothing_in_a_frame_is_given_as_much_as_each_must_take() {
    let mut both = Both::opened(Open { max_frame_size: 9_u32.into(), ..open() }).await;
    both.tell(flow(Some(REPLIES), 5)).await;
    both.post(&"long ".repeat(200), true);
    assert_eq!(both.delivery().await.2.len(), 1000);
}
