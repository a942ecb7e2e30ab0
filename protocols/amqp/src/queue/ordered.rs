//! What a peer sent first is read first.
//!
//! A worker sends its result and settles the delivery right after. The two are read by two tasks, that of
//! the link and that of the delivery, so whoever hears that a delivery is settled asks the connection's
//! links whether a result is on its way: what came before lies in their buffers by then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

/// How long messages that have come may take to be read.
const PATIENCE: Duration = Duration::from_secs(5);

type Ask = oneshot::Sender<()>;

/// The links of one connection over which messages come. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Inbound {
    links: Arc<Mutex<Links>>,
    /// What had been lost when this was made.
    lost: u64,
}

#[derive(Debug, Default)]
struct Links {
    asks: Vec<mpsc::UnboundedSender<Ask>>,
    /// How often messages have been lost: links that ended with some unread, and messages that nobody
    /// could read.
    lost: u64,
}

/// One such link, for whoever reads it. Unless it is told otherwise, it ends with messages unread.
#[derive(Debug)]
pub struct Reading {
    asks: mpsc::UnboundedReceiver<Ask>,
    /// Who asked after the last look at the link.
    asked: Vec<Ask>,
    links: Arc<Mutex<Links>>,
    read: bool,
}

fn lock(links: &Mutex<Links>) -> MutexGuard<'_, Links> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbound {
    /// A link more.
    pub fn reading(&self) -> Reading {
        let (ask, asks) = mpsc::unbounded_channel();
        let mut links = lock(&self.links);
        links.asks.retain(|link| !link.is_closed());
        links.asks.push(ask);
        Reading { asks, asked: Vec::new(), links: Arc::clone(&self.links), read: false }
    }

    /// The same links, for whoever waits for nothing that came before.
    #[must_use]
    pub fn from_now(&self) -> Self {
        Self { links: Arc::clone(&self.links), lost: lock(&self.links).lost }
    }

    /// Resolves once everything that had come over these links is read. False: it was not read in time, or
    /// something has been lost since this was made.
    pub async fn read(&self) -> bool {
        let links = lock(&self.links).asks.clone();
        let asked: Vec<oneshot::Receiver<()>> = links
            .into_iter()
            .filter_map(|link| {
                let (ask, answer) = oneshot::channel();
                link.send(ask).is_ok().then_some(answer)
            })
            .collect();
        let all = async {
            for answer in asked {
                // A link that has ended says itself whether it was read to its end.
                answer.await.unwrap_or_default();
            }
        };
        let in_time = timeout(PATIENCE, all).await.is_ok();
        in_time && lock(&self.links).lost == self.lost
    }
}

impl Reading {
    /// Answers who waits, and ends when somebody has asked: the link is to be looked at once more then, before that one is
    /// answered, for a message may have come between the last look and the question. To be polled after the link itself,
    /// and only when that has nothing to read: the last branch of a biased `select!` in a loop.
    pub async fn idle(&mut self) {
        // Who has used up its turn was not shown what the link has.
        consume_budget().await;
        for ask in self.asked.drain(..) {
            // Whoever asked may have gone.
            ask.send(()).unwrap_or_default();
        }
        match self.asks.recv().await {
            Some(ask) => self.asked.push(ask),
            None => std::future::pending().await,
        }
    }

    /// A message came that nobody can read.
    pub fn lose(&self) {
        lock(&self.links).lost += 1;
    }

    /// The link has ended, and everything that came over it is read.
    pub fn end(mut self) {
        self.read = true;
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if !self.read {
            self.lose();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_link_is_read_before_it_is_idle() {
        let inbound = Inbound::default();
        let mut reading = inbound.reading();
        inbound.reading().end();
        let (link, mut messages) = mpsc::channel(10);
        for message in 0..5 {
            link.send(message).await.unwrap();
        }
        let reader = tokio::spawn(async move {
            let mut read = Vec::new();
            loop {
                tokio::select! {
                    biased;
                    message = messages.recv() => match message {
                        Some(message) => read.push(message),
                        None => return read,
                    },
                    () = reading.idle() => {}
                }
            }
        });
        assert!(inbound.read().await);
        drop(link);
        assert_eq!(reader.await.unwrap(), [0, 1, 2, 3, 4]);
        // The reader did not say that it had read all.
        assert!(!inbound.read().await);
        assert!(inbound.from_now().read().await, "nothing to wait for any more");
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_right_after_the_last_look_is_read_first() {
        let inbound = Inbound::default();
        let mut reading = inbound.reading();
        let (mut link, mut asked, mut read) = (Vec::new(), None, false);
        let reader = async {
            loop {
                let look = std::future::poll_fn(|_| {
                    let next = link.pop().map_or(Poll::Pending, Poll::Ready);
                    if next.is_pending() && asked.is_none() {
                        // The link is found empty; before anything else, a message comes, and its delivery is settled.
                        link.push("a result");
                        let (ask, answer) = oneshot::channel();
                        lock(&inbound.links).asks[0].send(ask).unwrap();
                        asked = Some(answer);
                    }
                    next
                });
                tokio::select! {
                    biased;
                    _message = look => {
                        let answer = asked.as_mut().unwrap().try_recv();
                        assert_eq!(answer, Err(oneshot::error::TryRecvError::Empty));
                        read = true;
                    }
                    () = reading.idle() => {}
                }
            }
        };
        let never: Result<(), _> = timeout(PATIENCE, reader).await;
        assert!(never.is_err() && read, "it was not read");
        assert_eq!(asked.unwrap().try_recv(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lost_or_late_is_not_read() {
        let inbound = Inbound::default();
        let reading = inbound.reading();
        assert!(!inbound.read().await, "nobody reads");
        reading.lose();
        reading.end();
        assert!(!inbound.read().await);
        assert!(inbound.from_now().read().await);
    }
}
