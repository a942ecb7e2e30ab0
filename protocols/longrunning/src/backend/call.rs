//! One call to an upstream service.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use opgate_bus::Pass;
use opgate_core::{Code, Error, ErrorKind, Operation, Retry};
use opgate_egress::{Answered, Health, Limits, Multiplexed, Problem};
use opgate_rpc::headers::put_trace;
use opgate_rpc::proto::Status;
use opgate_rpc::status;
use opgate_rpc::wire::{self, client};
use prost::Message;

use super::Inner;

/// Largest answer, in bytes: what a stock client takes.
const ANSWER_BYTES: usize = wire::MESSAGE_BYTES_MAX;

/// Why there is no message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Unanswered {
    /// The service refused.
    Refused(Status),
    /// It did not look at it: the same call may be made again.
    Unsent(String),
    /// There was no answer in time, or none at all; it may have looked at it.
    Lost {
        /// Why.
        problem: String,
        /// Whether that was the time.
        late: bool,
    },
    /// The answer is larger than what is taken.
    TooLarge(String),
    /// The answer is none to this call.
    Broken(String),
}

/// One method, and what it is called with.
pub(super) struct Called<'a> {
    /// `package.Service/Method`.
    pub(super) method: &'a str,
    /// What the call carries beside what every one does.
    pub(super) headers: HeaderMap,
    /// The message.
    pub(super) message: &'a [u8],
    /// When it ends.
    pub(super) within: Duration,
}

impl Inner {
    /// Makes a call on behalf of an operation when its turn has come, and returns the message it is answered with.
    pub(super) async fn call(
        &self,
        line: &Multiplexed,
        operation: &Operation,
        called: Called<'_>,
    ) -> Result<Bytes, Unanswered> {
        let pass = self.settings.gate.pass().await;
        self.call_now(pass, line, operation, called).await
    }

    /// The same for one whose turn it is.
    pub(super) async fn call_now(
        &self,
        pass: Pass,
        line: &Multiplexed,
        operation: &Operation,
        called: Called<'_>,
    ) -> Result<Bytes, Unanswered> {
        let Called { method, mut headers, message, within } = called;
        client::head(&mut headers, within);
        put_trace(operation.trace.as_deref(), &mut headers);
        self.settings.credentials.apply(&mut headers);
        let mut request = Request::new(client::body(message));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = line
            .url(&format!("/{method}"))
            .map_err(|error| Unanswered::Unsent(format!("/{method} is no path: {error}")))?;
        *request.headers_mut() = headers;
        let limits = Limits {
            connect: self.settings.timeout.min(within),
            total: within,
            reply_bytes: ANSWER_BYTES + wire::PREFIX_BYTES,
        };
        let sent = Box::pin(line.send(request, limits)).await;
        let patient = within >= self.settings.timeout;
        let health = Health::of(sent.as_ref().map(|answered| answered.head.status), patient);
        let answer = match sent {
            Ok(Answered { head, body, trailers }) => {
                let answer =
                    client::answer(head.status, &head.headers, body, &trailers, ANSWER_BYTES);
                answer.map_err(|unanswered| match unanswered {
                    client::Unanswered::Refused(status) => Unanswered::Refused(status),
                    client::Unanswered::Broken(problem) => Unanswered::Broken(problem),
                })
            }
            Err(problem) => Err(lost(&problem)),
        };
        let (health, is_wait) =
            (judged(&answer, health), std::ptr::eq(line, &raw const self.waiting));
        match (health, &answer) {
            (Health::Alive, _) => pass.answered(),
            // What ends a wait is often whoever stands in between, and tired of it.
            (Health::Down, Err(Unanswered::Unsent(_))) => pass.failed(),
            (Health::Down, _) if !is_wait => pass.failed(),
            (Health::Down | Health::Unknown, _) => drop(pass),
        }
        answer
    }

    /// As [`Inner::call`], for a message of a type that is known here.
    pub(super) async fn ask<M: Message + Default>(
        &self,
        line: &Multiplexed,
        operation: &Operation,
        called: Called<'_>,
    ) -> Result<M, Unanswered> {
        let message = self.call(line, operation, called).await?;
        M::decode(message).map_err(|error| {
            Unanswered::Broken(format!("the answer is not of the type that is expected: {error}"))
        })
    }
}

/// How the service does: UNAVAILABLE is said by whoever stands in front as well, unless it says when to come back.
fn judged(answer: &Result<Bytes, Unanswered>, health: Health) -> Health {
    match answer {
        Err(Unanswered::Refused(refused)) => {
            let away = Code::from_number(refused.code) == Some(Code::Unavailable);
            let told = status::retry_after(refused).is_some();
            if away && !told { Health::Down } else { Health::Alive }
        }
        Ok(_)
        | Err(
            Unanswered::Unsent(_)
            | Unanswered::Lost { .. }
            | Unanswered::TooLarge(_)
            | Unanswered::Broken(_),
        ) => health,
    }
}

/// A call without an answer.
fn lost(problem: &Problem) -> Unanswered {
    let text = problem.to_string();
    let told = match problem {
        Problem::Cut { problem, .. } => &**problem,
        Problem::Refused(_)
        | Problem::Unreachable(_)
        | Problem::TimedOut { .. }
        | Problem::TooLarge(_)
        | Problem::Broken(_) => problem,
    };
    match told {
        Problem::TooLarge(_) => Unanswered::TooLarge(text),
        Problem::TimedOut { sent: true, .. } => Unanswered::Lost { problem: text, late: true },
        Problem::Refused(_) | Problem::Unreachable(_) | Problem::TimedOut { sent: false, .. } => {
            Unanswered::Unsent(text)
        }
        Problem::Cut { .. } | Problem::Broken(_) => Unanswered::Lost { problem: text, late: false },
    }
}

impl Unanswered {
    /// In one line, for people.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Refused(refused) => refusal(refused),
            Self::Unsent(problem) => format!("the upstream is not reached: {problem}"),
            Self::Lost { problem, .. } => format!("the upstream did not answer: {problem}"),
            Self::TooLarge(problem) | Self::Broken(problem) => {
                format!("the upstream's answer cannot be read: {problem}")
            }
        }
    }

    /// What it means for the request that was made here.
    pub(super) fn error(&self, retry: Retry) -> Error {
        let kind = match self {
            Self::Lost { late: true, .. } => ErrorKind::DeadlineExceeded,
            Self::Refused(_) | Self::Unsent(_) | Self::Lost { .. } => ErrorKind::Unavailable,
            Self::TooLarge(_) => ErrorKind::PayloadTooLarge,
            Self::Broken(_) => ErrorKind::Internal,
        };
        Error::new(kind, self.text()).with_retry(retry)
    }
}

/// A status in one line.
pub(super) fn refusal(refused: &Status) -> String {
    let failure = status::failure(refused);
    format!("the upstream answered {}: {}", failure.code.name(), failure.message)
}
