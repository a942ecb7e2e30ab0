//! One connection while it lasts: a task that writes requests, and one that reads replies.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fe2o3_amqp::link::delivery::DeliveryFut;
use fe2o3_amqp::link::{LinkStateError, RecvError, SendError};
use fe2o3_amqp::{Delivery, Receiver, Sendable, Sender};
use fe2o3_amqp_types::definitions;
use fe2o3_amqp_types::messaging::{Body, Message, Modified, Outcome};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::dial::{self, Dialed};
use super::flight::Flight;
use super::{Answer, Exchanged, Strays};
use crate::wire::came::{self, Values};
use crate::wire::encoded::Encoded;

/// How long a peer has to answer a Close.
const CLOSE: Duration = Duration::from_secs(1);
/// Links that one request is tried on.
const LINKS: u32 = 2;

/// Whether a request is the writer's already. Which of the two comes first decides what it means that
/// nobody waits any more.
mod turn {
    pub(super) const QUEUED: u8 = 0;
    pub(super) const TAKEN: u8 = 1;
    pub(super) const GIVEN_UP: u8 = 2;
}

type Settled = DeliveryFut<Result<Outcome, SendError>>;

/// What became of handing a request to the connection.
enum Handed {
    /// It is on its way.
    Written(Settled),
    /// It is not, and could be sent again.
    Unsent(String),
    /// It never can be.
    Unsendable(String),
}

/// A request on its way to the writer.
pub(super) struct Outgoing {
    message: Message<Body<Encoded>>,
    turn: Arc<AtomicU8>,
    given_up: CancellationToken,
    handed: oneshot::Sender<Handed>,
}

/// A connection that is there, or was until just now. Dropped, it is closed.
#[derive(Debug)]
pub(super) struct Live {
    queue: mpsc::Sender<Outgoing>,
    flight: Arc<Flight<Answer>>,
    /// Where replies are to be sent.
    pub(super) reply_to: Option<String>,
    state: Arc<State>,
    _close: DropGuard,
}

/// What both tasks and all requests know.
#[derive(Debug)]
struct State {
    /// Set when it is of no use any more.
    gone: CancellationToken,
    /// Why.
    problem: OnceLock<String>,
}

impl State {
    fn end(&self, problem: impl Into<String>) {
        self.problem.get_or_init(|| problem.into());
        self.gone.cancel();
    }

    fn problem(&self) -> &str {
        self.problem.get().map_or("it was closed", String::as_str)
    }
}

impl Live {
    /// Takes a connection up. `strays` counts the replies that nobody waits for.
    pub(super) fn new(
        dialed: Dialed,
        node: &Arc<str>,
        container: &Arc<str>,
        in_flight: usize,
        strays: Strays,
    ) -> Self {
        let gone = CancellationToken::new();
        let state = Arc::new(State { gone: gone.clone(), problem: OnceLock::new() });
        let flight = Arc::new(Flight::default());
        // As many as may be in flight: nobody waits here.
        let (queue, waiting) = mpsc::channel(in_flight.max(1));
        let Dialed { connection, session, requests, replies, reply_to, cut } = dialed;
        tokio::spawn(read(replies, Arc::clone(&flight), Arc::clone(&state), strays));
        let writer = Writer {
            session,
            link: Some(requests),
            links: 0,
            node: Arc::clone(node),
            container: Arc::clone(container),
            state: Arc::clone(&state),
        };
        tokio::spawn(async move {
            let mut connection = connection;
            writer.run(waiting).await;
            // The peer is told, and is given a moment to answer; then it is over in any case.
            timeout(CLOSE, connection.close()).await.ok();
            drop(cut);
        });
        Self { queue, flight, reply_to, state, _close: gone.drop_guard() }
    }

    /// Whether it is of no use any more.
    pub(super) fn is_gone(&self) -> bool {
        self.state.gone.is_cancelled()
    }

    /// Why it is of no use any more.
    pub(super) fn problem(&self) -> &str {
        self.state.problem()
    }

    /// Sends a request and waits for its reply.
    pub(super) async fn exchange(
        &self,
        id: &str,
        message: Message<Body<Encoded>>,
        until: Instant,
    ) -> Exchanged {
        let mut expected = self.flight.expect(id);
        let turn = Arc::new(AtomicU8::new(turn::QUEUED));
        let given_up = CancellationToken::new();
        let (handed, mut verdict) = oneshot::channel();
        // Whoever does not wait any longer is not to be sent for.
        let _guard = given_up.clone().drop_guard();
        let outgoing =
            Outgoing { message, turn: Arc::clone(&turn), given_up: given_up.clone(), handed };
        if self.queue.try_send(outgoing).is_err() {
            return Exchanged::Unsent(self.state.problem().to_owned());
        }
        let verdict = tokio::select! {
            verdict = &mut verdict => verdict,
            () = sleep_until(until) => {
                let claim = turn.compare_exchange(
                    turn::QUEUED,
                    turn::GIVEN_UP,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
                if claim.is_ok() {
                    return Exchanged::Unsent("its turn did not come in time".to_owned());
                }
                given_up.cancel();
                verdict.await
            }
        };
        let settled = match verdict {
            Ok(Handed::Written(settled)) => settled,
            Ok(Handed::Unsent(problem)) => return Exchanged::Unsent(problem),
            Ok(Handed::Unsendable(problem)) => return Exchanged::Unsendable(problem),
            // The writer ended. What it had not taken is not sent.
            Err(_) if turn.load(Ordering::Acquire) == turn::QUEUED => {
                return Exchanged::Unsent(self.state.problem().to_owned());
            }
            Err(_) => return Exchanged::Unknown(self.state.problem().to_owned()),
        };
        let returned = async {
            match settled.await {
                Ok(outcome) => match returned(outcome) {
                    Some(returned) => returned,
                    None => std::future::pending().await,
                },
                // Its link is gone. The reply may come all the same.
                Err(_) => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            biased;
            answer = expected.reply() => return Exchanged::Answered(Box::new(answer)),
            returned = returned => return returned,
            () = self.state.gone.cancelled() => format!("the connection was lost: {}", self.state.problem()),
            () = sleep_until(until) => "no reply came in time".to_owned(),
        };
        // One that came at the same moment counts.
        match expected.ready() {
            Some(answer) => Exchanged::Answered(Box::new(answer)),
            None => Exchanged::Unknown(ended),
        }
    }
}

/// What it means that a request was settled; nothing where its reply is to come.
fn returned(outcome: Outcome) -> Option<Exchanged> {
    match outcome {
        Outcome::Accepted(_) => None,
        Outcome::Rejected(rejected) => Some(Exchanged::Rejected(rejected.error)),
        Outcome::Modified(Modified { undeliverable_here: Some(true), .. }) => {
            let error = definitions::Error::new(
                definitions::AmqpError::NotAllowed,
                "the node says that it can never take the request".to_owned(),
                None,
            );
            Some(Exchanged::Rejected(Some(error)))
        }
        Outcome::Modified(Modified { delivery_failed: Some(true), .. }) => {
            Some(Exchanged::Unknown("the node says that it failed to take the request".to_owned()))
        }
        Outcome::Released(_) | Outcome::Modified(_) => {
            Some(Exchanged::Unsent("the node gave the request back".to_owned()))
        }
    }
}

/// Writes requests one after the other, as the node gives credit for them.
struct Writer {
    session: fe2o3_amqp::session::SessionHandle<()>,
    /// The link, as long as there is one.
    link: Option<Sender>,
    /// How many there were before it.
    links: u64,
    node: Arc<str>,
    container: Arc<str>,
    state: Arc<State>,
}

impl Writer {
    async fn run(mut self, mut waiting: mpsc::Receiver<Outgoing>) {
        loop {
            let detached = async {
                match &mut self.link {
                    Some(link) => link.on_detach().await,
                    None => std::future::pending().await,
                }
            };
            let outgoing = tokio::select! {
                biased;
                () = self.state.gone.cancelled() => return,
                // A link that nobody uses may go: the next request makes a new one.
                _ = detached => {
                    self.link = None;
                    continue;
                }
                outgoing = waiting.recv() => outgoing,
            };
            // The queue's other end is dropped with the connection.
            let Some(outgoing) = outgoing else { return };
            let claim = outgoing.turn.compare_exchange(
                turn::QUEUED,
                turn::TAKEN,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            if claim.is_err() {
                continue;
            }
            let Outgoing { message, given_up, handed, .. } = outgoing;
            if given_up.is_cancelled() {
                continue;
            }
            let verdict = self.write(message, &given_up).await;
            // Nobody is there to be told where the one who asked is gone.
            handed.send(verdict).ok();
        }
    }

    async fn write(
        &mut self,
        message: Message<Body<Encoded>>,
        given_up: &CancellationToken,
    ) -> Handed {
        let sendable = Sendable::builder().message(message).build();
        let state = Arc::clone(&self.state);
        let mut problem = String::new();
        for _ in 0..LINKS {
            // Nothing happens to the request but by being polled: what comes first is not raced.
            let link = tokio::select! {
                biased;
                () = state.gone.cancelled() => return Handed::Unsent(state.problem().to_owned()),
                () = given_up.cancelled() => {
                    // An attach that nobody answers is in the way of the next one.
                    if self.link.is_none() {
                        state.end("a link was not attached in time");
                    }
                    return Handed::Unsent("no link was attached in time".to_owned());
                }
                link = self.link() => link,
            };
            let link = match link {
                Ok(link) => link,
                Err(undialed) => {
                    state.end(undialed.problem.clone());
                    return Handed::Unsent(undialed.problem);
                }
            };
            let sent = tokio::select! {
                biased;
                () = state.gone.cancelled() => return Handed::Unsent(state.problem().to_owned()),
                () = given_up.cancelled() => {
                    // A part of it may be on its way: the rest of the link would be taken for more.
                    self.link = None;
                    return Handed::Unsent("the node gave no credit in time".to_owned());
                }
                sent = link.send_batchable_ref(&sendable) => sent,
            };
            match sent {
                Ok(settled) => return Handed::Written(settled),
                Err(SendError::MessageSizeExceeded(exceeded)) => {
                    return Handed::Unsendable(exceeded.to_string());
                }
                Err(error @ SendError::MessageEncodeError) => {
                    return Handed::Unsendable(error.to_string());
                }
                Err(SendError::LinkStateError(LinkStateError::SessionStopped(reason))) => {
                    let stopped = format!("the session ended: {reason:?}");
                    state.end(stopped.clone());
                    return Handed::Unsent(stopped);
                }
                // All of these come before the last of its frames is handed over.
                Err(
                    error @ (SendError::LinkStateError(_)
                    | SendError::Detached(_)
                    | SendError::NonTerminalDeliveryState
                    | SendError::IllegalDeliveryState),
                ) => {
                    problem = format!("the node detached the link: {error}");
                    self.link = None;
                }
            }
        }
        Handed::Unsent(problem)
    }

    /// The link, attached anew where there is none.
    async fn link(&mut self) -> Result<&mut Sender, dial::Undialed> {
        if self.link.is_none() {
            self.links += 1;
            let attached =
                dial::requests(&mut self.session, &self.node, &self.container, self.links).await?;
            self.link = Some(attached);
        }
        match &mut self.link {
            Some(link) => Ok(link),
            None => Err(dial::Undialed::new("there is no link")),
        }
    }
}

/// Reads replies until there are no more.
async fn read(
    mut replies: Receiver,
    flight: Arc<Flight<Answer>>,
    state: Arc<State>,
    strays: Strays,
) {
    loop {
        let received = tokio::select! {
            biased;
            () = state.gone.cancelled() => return,
            received = replies.recv::<Values>() => received,
        };
        let settled = match received {
            Ok(delivery) => {
                // Settled first: it renews the credit, and what waits may end the process.
                let settled = replies.accept(&delivery).await;
                match answer(delivery) {
                    Ok(answer) => {
                        let correlation = answer.correlation.clone();
                        if flight.answer(correlation.as_ref(), answer).is_err() {
                            strays.count(correlation.as_ref());
                        }
                    }
                    Err(came::Unreadable) => strays.count(None),
                }
                settled
            }
            // One message that is none: the others are not to suffer.
            Err(RecvError::MessageDecode(error)) => {
                strays.count(None);
                replies.reject(error.info, None).await
            }
            Err(error) => return state.end(format!("the replies' link ended: {error}")),
        };
        if let Err(error) = settled {
            return state.end(format!("the replies' link ended: {error}"));
        }
    }
}

fn answer(delivery: Delivery<Values>) -> Result<Answer, came::Unreadable> {
    let (message, values) = came::parted(delivery.into_message())?;
    let correlation = message.properties.as_ref().and_then(|known| known.correlation_id.clone());
    Ok(Answer { correlation, message, values })
}
