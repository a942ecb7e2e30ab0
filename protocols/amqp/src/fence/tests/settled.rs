//! Outcomes that a receiver tells without settling.

use std::time::Duration;

use fe2o3_amqp::Sender;
use fe2o3_amqp::acceptor::{ConnectionAcceptor, LinkAcceptor, LinkEndpoint, SessionAcceptor};
use fe2o3_amqp_types::definitions::{AmqpError, Error, Handle, ReceiverSettleMode, Role};
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState, Outcome, Received, Rejected, Released};
use fe2o3_amqp_types::performatives::{Detach, Disposition, Performative};
use tokio::io::{AsyncRead, AsyncWrite, duplex};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::{Fence, Limits, LinkWatch, Watch};
use super::peer::{Peer, attach, begin, flow, frame, limits, open};

const PATIENCE: Duration = Duration::from_secs(20);

/// A link over which the crate sends, to a receiver that settles second.
struct Sending {
    peer: Peer,
    watch: Watch,
    link: LinkWatch,
    sender: Sender,
}

/// The crate's side of one link.
async fn accept<Io>(io: Io, sender: oneshot::Sender<Sender>)
where
    Io: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin + 'static,
{
    let mut connection = ConnectionAcceptor::new("server").accept(io).await.unwrap();
    let session = connection.next_incoming_session().await.unwrap();
    let session = SessionAcceptor::new().accept_incoming_session(session, &mut connection).await;
    let mut session = session.unwrap();
    let links =
        LinkAcceptor::builder().verify_incoming_source(false).verify_incoming_target(false).build();
    let attach = session.next_incoming_attach().await.unwrap();
    let accepted = links.accept_incoming_attach(attach, &mut session).await.unwrap();
    let LinkEndpoint::Sender(accepted) = accepted else { panic!("no sender") };
    assert!(sender.send(accepted).is_ok());
    drop(connection.on_close().await);
    drop(session);
}

impl Sending {
    async fn start() -> Self {
        Self::with(limits()).await
    }

    async fn with(limits: Limits) -> Self {
        let (near, far) = duplex(1024 * 1024);
        let fence = Fence::new(far, &[], limits);
        let watch = fence.watch();
        let (sender, accepted) = oneshot::channel();
        tokio::spawn(accept(fence, sender));
        let mut peer = Peer(near);
        peer.open(&open()).await;
        peer.write(&frame(0, &begin(), &[])).await;
        let mut second = attach("work", 3, Role::Receiver);
        second.rcv_settle_mode = ReceiverSettleMode::Second;
        peer.write(&frame(0, &second, &[])).await;
        let answer = peer.until(|frame| matches!(frame, Performative::Attach(_))).await;
        let Performative::Attach(answer) = answer else { unreachable!() };
        assert_eq!(answer.rcv_settle_mode, ReceiverSettleMode::Second);
        peer.write(&frame(0, &flow(Some(3), 100), &[])).await;
        let link = watch.link(0, 3).unwrap();
        flows(&link, 1).await;
        Self { peer, watch, link, sender: accepted.await.unwrap() }
    }

    /// Sends one, and has it arrive: what its outcome will be, and its id.
    async fn send(&mut self) -> (tokio::task::JoinHandle<Outcome>, u32) {
        let settled = self.sender.send_batchable("work").await.unwrap();
        let outcome = tokio::spawn(async move { settled.await.unwrap() });
        let transfer = self.peer.until(|frame| matches!(frame, Performative::Transfer(_))).await;
        let Performative::Transfer(transfer) = transfer else { unreachable!() };
        (outcome, transfer.delivery_id.unwrap())
    }

    async fn tell(&mut self, first: u32, last: Option<u32>, settled: bool, state: DeliveryState) {
        let told = told(first, last, settled, state);
        self.peer.write(&frame(0, &told, &[])).await;
    }

    /// What comes next must settle: which deliveries, and how.
    async fn settled(&mut self) -> (u32, u32, Option<DeliveryState>) {
        let next = timeout(PATIENCE, self.peer.read()).await.unwrap();
        let Some((0, Performative::Disposition(settled), _)) = next else { panic!("{next:?}") };
        assert_eq!((settled.role, settled.settled), (Role::Sender, true));
        (settled.first, settled.last.unwrap_or(settled.first), settled.state)
    }
}

fn told(first: u32, last: Option<u32>, settled: bool, state: DeliveryState) -> Disposition {
    let state = Some(state);
    Disposition { role: Role::Receiver, first, last, settled, state, batchable: false }
}

fn accepted() -> DeliveryState {
    DeliveryState::Accepted(Accepted {})
}

fn released() -> DeliveryState {
    DeliveryState::Released(Released {})
}

/// Waits until so many flow frames have come.
async fn flows(link: &LinkWatch, count: u64) {
    let came = async {
        while link.flows() < count {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, came).await.unwrap();
}

async fn known(outcome: tokio::task::JoinHandle<Outcome>) -> Outcome {
    timeout(PATIENCE, outcome).await.unwrap().unwrap()
}

#[tokio::test]
async fn each_is_settled_at_once_where_nobody_holds_it() {
    let mut sending = Sending::start().await;
    let mut outcomes = Vec::new();
    for expected in 0..5 {
        let (outcome, id) = sending.send().await;
        assert_eq!(id, expected);
        outcomes.push(outcome);
    }
    // The last one of each disposition, too: the crate by itself leaves it out.
    sending.tell(4, None, false, accepted()).await;
    assert_eq!(sending.settled().await, (4, 4, Some(accepted())));
    let why = Error::new(AmqpError::NotFound, Some("x".repeat(10_000)), None);
    let rejected = DeliveryState::Rejected(Rejected { error: Some(why) });
    sending.tell(1, Some(2), false, rejected).await;
    let rejected = DeliveryState::Rejected(Rejected { error: None });
    assert_eq!(sending.settled().await, (1, 2, Some(rejected)));
    // Two runs: what is between them is settled already.
    sending.tell(0, Some(u32::from(u8::MAX)), false, released()).await;
    assert_eq!(sending.settled().await, (0, 0, Some(released())));
    assert_eq!(sending.settled().await, (3, 3, Some(released())));
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let outcome = known(outcome).await;
        let as_told = match number {
            4 => matches!(outcome, Outcome::Accepted(_)),
            1 | 2 => matches!(outcome, Outcome::Rejected(Rejected { error: Some(_) })),
            _ => matches!(outcome, Outcome::Released(_)),
        };
        assert!(as_told, "{number}: {outcome:?}");
    }
}

#[tokio::test]
async fn what_is_held_is_settled_when_that_is_said_and_as_is_said() {
    let mut sending = Sending::start().await;
    sending.link.hold();
    let (first, _) = sending.send().await;
    let (second, _) = sending.send().await;
    sending.tell(0, Some(1), false, accepted()).await;
    // The outcome is known, and nothing is said of it: the next frame is that of a third.
    assert!(matches!(known(first).await, Outcome::Accepted(_)));
    assert!(matches!(known(second).await, Outcome::Accepted(_)));
    let (third, _) = sending.send().await;
    sending.link.settle(1, accepted());
    assert_eq!(sending.settled().await, (1, 1, Some(accepted())));
    let error = Error::new(AmqpError::PreconditionFailed, Some("too late".to_owned()), None);
    let too_late = DeliveryState::Rejected(Rejected { error: Some(error) });
    sending.link.settle(0, too_late.clone());
    assert_eq!(sending.settled().await, (0, 0, Some(too_late)));
    // Once only, and never what its receiver has settled itself.
    sending.link.settle(0, accepted());
    sending.tell(2, None, true, accepted()).await;
    assert!(matches!(known(third).await, Outcome::Accepted(_)));
    sending.link.settle(2, accepted());
    let (fourth, id) = sending.send().await;
    sending.tell(id, None, false, accepted()).await;
    assert!(matches!(known(fourth).await, Outcome::Accepted(_)));
    sending.tell(id, None, true, accepted()).await;
    // What comes after it has been read by then.
    let (fifth, id) = sending.send().await;
    sending.tell(id, None, false, released()).await;
    sending.link.settle(3, accepted());
    assert!(matches!(known(fifth).await, Outcome::Released(_)));
    sending.link.settle(4, released());
    assert_eq!(sending.settled().await, (4, 4, Some(released())));
}

#[tokio::test]
async fn what_is_no_outcome_settles_nothing() {
    let mut sending = Sending::start().await;
    let (outcome, id) = sending.send().await;
    let received = DeliveryState::Received(Received { section_number: 0, section_offset: 7 });
    sending.tell(id, None, false, received).await;
    let nothing = Disposition { state: None, ..told(id, None, false, accepted()) };
    sending.peer.write(&frame(0, &nothing, &[])).await;
    sending.tell(id, None, false, accepted()).await;
    assert_eq!(sending.settled().await, (id, id, Some(accepted())));
    assert!(matches!(known(outcome).await, Outcome::Accepted(_)));
}

#[tokio::test]
async fn what_a_detached_link_has_left_is_not_settled_any_more() {
    let mut sending = Sending::start().await;
    sending.link.hold();
    let (told, _) = sending.send().await;
    let (open, _) = sending.send().await;
    sending.tell(0, None, false, accepted()).await;
    assert!(matches!(known(told).await, Outcome::Accepted(_)));
    let detach = Detach { handle: Handle(3), closed: true, error: None };
    sending.peer.write(&frame(0, &detach, &[])).await;
    sending.peer.until(|frame| matches!(frame, Performative::Detach(_))).await;
    assert!(sending.watch.link(0, 3).is_none());
    sending.link.settle(0, accepted());
    open.abort();
    // The session goes on, and nothing was said of either.
    sending.peer.write(&frame(0, &attach("next", 3, Role::Receiver), &[])).await;
    drop(sending.sender);
    let end = fe2o3_amqp_types::performatives::End { error: None };
    sending.peer.write(&frame(0, &end, &[])).await;
    let next = timeout(PATIENCE, sending.peer.read()).await.unwrap();
    assert!(matches!(next, Some((0, Performative::End(_), _))), "{next:?}");
    assert_eq!(sending.watch.ended(), None);
}

/// A request to drain the link, for so much credit.
fn drain(credit: u32) -> Vec<u8> {
    let mut drain = flow(Some(3), credit);
    drain.drain = true;
    frame(0, &drain, &[])
}

impl Sending {
    /// Reads on to what is not an answer of the session's alone: a flow of the link, or a transfer.
    async fn flow_or_transfer(&mut self) -> Performative {
        let of_link = |frame: &Performative| matches!(frame, Performative::Flow(flow) if flow.handle.is_some());
        let ours =
            |frame: &Performative| of_link(frame) || matches!(frame, Performative::Transfer(_));
        self.peer.until(ours).await
    }

    async fn is_drained(&mut self, limit: u32) {
        let next = self.flow_or_transfer().await;
        let Performative::Flow(flow) = next else { panic!("{next:?}") };
        assert_eq!((flow.delivery_count, flow.link_credit), (Some(limit), Some(0)));
    }
}

#[tokio::test]
async fn a_link_is_drained_when_its_server_has_sent_what_it_has() {
    // Otherwise there would not be a moment for it.
    let limits = Limits { drain: Duration::ZERO, ..limits() };
    let mut sending = Sending::with(limits).await;
    sending.link.serve_drains(true);
    sending.peer.write(&drain(7)).await;
    flows(&sending.link, 2).await;
    for begun in 0..3 {
        // Said of what was asked before.
        sending.link.drained(begun, 1);
        drop(sending.sender.send_batchable("ready").await.unwrap());
    }
    sending.link.drained(4, 2);
    drop(sending.sender.send_batchable("ready").await.unwrap());
    for _ in 0..4 {
        let next = sending.flow_or_transfer().await;
        assert!(matches!(next, Performative::Transfer(_)), "{next:?}");
    }
    sending.is_drained(7).await;
    assert_eq!((sending.link.credit(), sending.link.sent()), (0, 7));
    // With nothing to send, too, and by the time alone where the server does not care.
    sending.peer.write(&drain(9)).await;
    flows(&sending.link, 3).await;
    sending.link.drained(4, 3);
    sending.is_drained(9).await;
    sending.link.serve_drains(false);
    sending.peer.write(&drain(12)).await;
    sending.is_drained(12).await;
}
