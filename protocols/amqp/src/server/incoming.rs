//! A message that has come over a link, by the crate or past it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::RecvError;
use fe2o3_amqp::link::delivery::{Delivery, DeliveryInfo};
use fe2o3_amqp_types::messaging::Message;
use fe2o3_amqp_types::messaging::message::DecodeIntoMessage as _;
use serde_amqp::read::SliceReader;

use crate::fence::{LinkWatch, Short};
use crate::wire::came::Values;

/// A message, and which delivery brought it.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) message: Message<Values>,
    pub(super) delivery: Delivered,
}

/// A delivery, for those who tell what becomes of it.
#[derive(Clone, Debug)]
pub(super) enum Delivered {
    /// It has come past the crate.
    Past {
        /// Its id.
        id: u32,
        /// Whether its sender has settled it.
        settled: bool,
    },
    /// The crate has brought it.
    ByCrate(DeliveryInfo),
}

/// What a link has next.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are messages")]
pub(super) enum Next {
    /// A message.
    Message(Incoming),
    /// One that cannot be decoded, and why not.
    Unreadable(Delivered, String),
    /// One for which no credit was given.
    Beyond,
    /// Its end.
    End(RecvError),
}

/// A link over which messages come, both ways put together in the order in which they came.
#[derive(Debug)]
pub(super) struct Inlet {
    pub(super) receiver: Receiver,
    /// What the fence sees of it.
    pub(super) watch: Option<LinkWatch>,
    /// What the crate has brought, until all has been taken that came past it before that.
    held: Option<Next>,
}

impl Inlet {
    pub(super) fn new(receiver: Receiver, watch: Option<LinkWatch>) -> Self {
        Self { receiver, watch, held: None }
    }

    /// The next that comes. Can be dropped and called again: nothing is lost.
    pub(super) async fn next(&mut self) -> Next {
        if self.held.is_none() {
            let Self { receiver, watch, .. } = self;
            let received = tokio::select! {
                biased;
                short = poll_fn(|cx| next_short(watch.as_ref(), cx)) => return Next::of_short(short),
                received = receiver.recv::<Values>() => received,
            };
            self.held = Some(Next::of_crate(received));
        }
        // As long as the crate has something, nothing more comes past it: what is there came before.
        let watch = self.watch.as_ref();
        if let Poll::Ready(short) = poll_fn(|cx| Poll::Ready(next_short(watch, cx))).await {
            return Next::of_short(short);
        }
        let Some(next) = self.held.take() else { return std::future::pending().await };
        if let (Next::Message(_) | Next::Unreadable(..), Some(watch)) = (&next, watch) {
            watch.came_by_crate();
        }
        next
    }
}

fn next_short(watch: Option<&LinkWatch>, cx: &mut Context<'_>) -> Poll<Short> {
    watch.map_or(Poll::Pending, |watch| watch.poll_short(cx))
}

impl Next {
    fn of_crate(received: Result<Delivery<Values>, RecvError>) -> Self {
        match received {
            Ok(delivery) => {
                let by = Delivered::ByCrate(DeliveryInfo::from(&delivery));
                Self::Message(Incoming { message: delivery.into_message(), delivery: by })
            }
            Err(RecvError::MessageDecode(problem)) => {
                let text = problem.source.to_string();
                Self::Unreadable(Delivered::ByCrate(problem.info), text)
            }
            Err(RecvError::TransferLimitExceeded) => Self::Beyond,
            Err(end) => Self::End(end),
        }
    }

    fn of_short(short: Short) -> Self {
        let Short::Message { id, settled, payload } = short else { return Self::Beyond };
        let delivery = Delivered::Past { id, settled };
        match Values::decode_message_from_reader(SliceReader::new(&payload)) {
            Ok(message) => Self::Message(Incoming { message, delivery }),
            Err(error) => Self::Unreadable(delivery, error.to_string()),
        }
    }
}
