//! Whether the dispatcher has heard of everything that was acknowledged before somebody asked for work.
//!
//! What is acknowledged is on its way to its queue. Without this, who asks for work right after would be told
//! that there is none.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, watch};

/// Those who want to know, and up to whom it has answered. They are counted, not kept.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    asked: AtomicU64,
    nudge: Notify,
    heard: watch::Sender<u64>,
}

impl Hearing {
    /// Resolves once the dispatcher has heard of everything that was published before this was first polled.
    pub(super) async fn up_to_now(&self) {
        let ticket = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.nudge.notify_one();
        // Its sender is here: it cannot be closed.
        let mut answers = self.heard.subscribe();
        let _answered = answers.wait_for(|heard| *heard >= ticket).await;
    }

    /// Resolves once somebody wants to know.
    pub(crate) async fn wanted(&self) {
        self.nudge.notified().await;
    }

    /// Who has asked so far. To be taken before the look at what is published.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// Tells those who had asked by then.
    pub(crate) fn answer(&self, asked: u64) {
        self.heard.send_replace(asked);
    }
}
