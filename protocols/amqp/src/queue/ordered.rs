//! What a peer sent first is read first.
//!
//! A worker sends its result and settles the delivery right after. The two are read by two tasks, that of
//! the link and that of the delivery, so whoever hears that a delivery is settled asks the connection's
//! links whether a result is on its way: what came before lies in their buffers by then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How long messages that have come may take to be read.
const PATIENCE: Duration = Duration::from_secs(5);

type Ask = oneshot::Sender<()>;

/// The links of one connection over which messages come. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Inbound(Arc<Mutex<Vec<mpsc::UnboundedSender<Ask>>>>);

/// One such link, for whoever reads it.
#[derive(Debug)]
pub struct Reading(mpsc::UnboundedReceiver<Ask>);

impl Inbound {
    /// A link more.
    pub fn reading(&self) -> Reading {
        let (ask, asks) = mpsc::unbounded_channel();
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| !link.is_closed());
        links.push(ask);
        Reading(asks)
    }

    /// Resolves once everything that had come over these links is read.
    pub async fn read(&self) {
        let links = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked: Vec<oneshot::Receiver<()>> = links
            .into_iter()
            .filter_map(|link| {
                let (ask, answer) = oneshot::channel();
                link.send(ask).is_ok().then_some(answer)
            })
            .collect();
        let all = async {
            for answer in asked {
                // A link that has ended has nothing to read any more.
                answer.await.unwrap_or_default();
            }
        };
        if timeout(PATIENCE, all).await.is_err() {
            tracing::debug!("messages of a worker were not read in time");
        }
    }
}

impl Reading {
    /// Answers who waits; never ends. To be polled after the link itself, and only when that has nothing
    /// to read: the last branch of a biased `select!`.
    pub async fn idle(&mut self) {
        loop {
            match self.0.recv().await {
                // Whoever asked may have gone.
                Some(ask) => ask.send(()).unwrap_or_default(),
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_link_is_read_before_it_is_idle() {
        let inbound = Inbound::default();
        let mut reading = inbound.reading();
        let ended = inbound.reading();
        drop(ended);
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
        inbound.read().await;
        drop(link);
        assert_eq!(reader.await.unwrap(), [0, 1, 2, 3, 4]);
        // Nothing to wait for any more.
        inbound.read().await;
    }
}
