//! Completions: the receiver that a start named is told how its operation ended.
//!
//! One `POST` to the callback URL, byte for byte as it was given, with the headers that the start
//! gave for it, what Nexus says of an operation that has ended, and its result or failure. A completion is the
//! one form of callback, whichever face started the operation. [`message`] makes the request,
//! [`answer`] judges what came back; when to try again is the bus's.

mod answer;
mod message;
mod signature;
mod time;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Uri;
use opgate_bus::{Notice, Notifier, Told};
use opgate_core::Callback;
use opgate_egress::{Client, Credentials, Destination, Guard, Limits, Pattern, Trust};

pub use signature::{Secret, SecretError};

/// Largest answer that is read: there is nothing in one but the reason of a refusal.
const REPLY_BYTES: usize = 64 * 1024;

/// What of completions is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where they may go.
    pub guard: Guard,
    /// Time for one attempt. Default 10 s, as Temporal has it.
    pub timeout: Duration,
    /// Receivers that get more than others. The first that has a destination counts.
    pub receivers: Vec<Receiver>,
}

/// What some receivers get beside the completion.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    /// Which receivers.
    pub hosts: Vec<Pattern>,
    /// Headers of opgate's own; they win over those that a start gave.
    pub credentials: Credentials,
    /// Signs by Standard Webhooks, with each of the secrets; with none it does not.
    pub secrets: Vec<Secret>,
}

/// Sends completions. Clones share the client.
#[derive(Clone, Debug)]
pub struct Callbacks {
    client: Client,
    settings: Arc<Settings>,
}

impl Callbacks {
    /// Sends through `client`.
    pub fn new(client: Client, settings: Settings) -> Self {
        Self { client, settings: Arc::new(settings) }
    }

    /// One attempt.
    async fn send(self, notice: Notice) -> Told {
        let Some(callback) = notice.target() else {
            return Told::Refused { problem: "the operation has no such callback".to_owned() };
        };
        let destination = match self.settings.guard.admit(&callback.url) {
            Ok(destination) => destination,
            Err(refusal) => return Told::Refused { problem: refusal.to_string() },
        };
        let receiver = self.settings.receiver(&destination);
        let now = SystemTime::now();
        let request = match message::completion(&notice, callback, receiver, now) {
            Ok(request) => request,
            Err(told) => return told,
        };
        let timeout = self.settings.timeout;
        let limits = Limits { connect: timeout, total: timeout, reply_bytes: REPLY_BYTES };
        match self.client.send(Trust::Guarded(&self.settings.guard), request, limits).await {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                answer::judge(head.status, &head.headers, &body, SystemTime::now())
            }
            Err(problem) => answer::of_none(problem),
        }
    }
}

impl Settings {
    fn receiver(&self, destination: &Destination) -> Option<&Receiver> {
        let takes =
            |receiver: &&Receiver| receiver.hosts.iter().any(|host| host.takes(destination));
        self.receivers.iter().find(takes)
    }
}

impl Notifier for Callbacks {
    fn destination(&self, callback: &Callback) -> Arc<str> {
        let destination =
            callback.url.parse::<Uri>().ok().and_then(|url| Destination::of(&url).ok());
        // What leads nowhere is refused at its first attempt, each for itself.
        destination.map_or_else(|| Arc::from(&*callback.url), |it| it.to_string().into())
    }

    fn notify(&self, notice: Notice) -> Pin<Box<dyn Future<Output = Told> + Send>> {
        Box::pin(self.clone().send(notice))
    }
}

#[cfg(test)]
mod tests;
