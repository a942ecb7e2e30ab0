//! A message that has come over a link, by the crate or past it.

use std::future::poll_fn;
use std::task::Poll;

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::RecvError;
use fe2o3_amqp::link::delivery::DeliveryInfo;
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
    end: Option<RecvError>,
}

impl Inlet {
    pub(super) fn new(receiver: Receiver, watch: Option<LinkWatch>) -> Self {
        Self { receiver, watch, end: None }
    }

    /// The next that comes. Can be dropped and called again: nothing is lost.
    pub(super) async fn next(&mut self) -> Next {
        let Self { receiver, watch, end } = self;
        let short =
            || poll_fn(|cx| watch.as_ref().map_or(Poll::Pending, |watch| watch.poll_short(cx)));
        if end.is_none() {
            let received = tokio::select! {
                biased;
                short = short() => return Next::of(short),
                received = receiver.recv::<Values>() => received,
            };
            let by_crate = || watch.iter().for_each(LinkWatch::came_by_crate);
            match received {
                Ok(delivery) => {
                    by_crate();
                    let by = Delivered::ByCrate(DeliveryInfo::from(&delivery));
                    return Next::Message(Incoming {
                        message: delivery.into_message(),
                        delivery: by,
                    });
                }
                Err(RecvError::MessageDecode(problem)) => {
                    by_crate();
                    let text = problem.source.to_string();
                    return Next::Unreadable(Delivered::ByCrate(problem.info), text);
                }
                Err(RecvError::TransferLimitExceeded) => return Next::Beyond,
                Err(other) => *end = Some(other),
            }
        }
        // What came before the end comes first.
        let mut short = std::pin::pin!(short());
        if let Poll::Ready(short) = poll_fn(|cx| Poll::Ready(short.as_mut().poll(cx))).await {
            return Next::of(short);
        }
        match end.take() {
            Some(end) => Next::End(end),
            None => std::future::pending().await,
        }
    }
}

impl Next {
    fn of(short: Short) -> Self {
        let Short::Message { id, settled, payload } = short else { return Self::Beyond };
        let delivery = Delivered::Past { id, settled };
        match Values::decode_message_from_reader(SliceReader::new(&payload)) {
            Ok(message) => Self::Message(Incoming { message, delivery }),
            Err(error) => Self::Unreadable(delivery, error.to_string()),
        }
    }
}
