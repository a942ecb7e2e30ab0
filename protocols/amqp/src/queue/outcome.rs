//! What the end of a delivery means for its operation.

use bytes::Bytes;
use fe2o3_amqp::connection::ConnectionStopReason;
use fe2o3_amqp::link::{LinkStateError, SendError, SessionStopReason};
use fe2o3_amqp_types::definitions::{Error as Condition, ErrorCondition};
use fe2o3_amqp_types::messaging::{Modified, Outcome as Settled};
use opgate_core::{Code, Failure, Outcome};
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;

use crate::wire::{json, status};

/// What becomes of the lease.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Done, with the result that was sent, if any.
    Succeeded,
    /// Ended otherwise.
    Ended(Outcome),
    /// Back to the queue; `elsewhere`: not to this link.
    Released { elsewhere: bool },
    /// Back to the queue, as an attempt that failed; `why` goes on after the worker's name.
    Failed { elsewhere: bool, why: &'static str },
}

const HERE: Verdict = Verdict::Released { elsewhere: false };

impl Verdict {
    /// How a worker settled a delivery, or why it never will.
    pub(super) fn of(settled: Result<Settled, SendError>) -> Self {
        match settled {
            Ok(Settled::Accepted(_)) => Self::Succeeded,
            Ok(Settled::Rejected(rejected)) => {
                let failure = failure(rejected.error);
                Self::Ended(if failure.code == Code::Cancelled {
                    Outcome::Canceled(Some(failure))
                } else {
                    Outcome::Failed(failure)
                })
            }
            Ok(Settled::Released(_)) => HERE,
            Ok(Settled::Modified(Modified { delivery_failed, undeliverable_here, .. })) => {
                let elsewhere = undeliverable_here == Some(true);
                if delivery_failed == Some(true) {
                    Self::Failed { elsewhere, why: "failed at it" }
                } else {
                    Self::Released { elsewhere }
                }
            }
            Err(error) => Self::without(&error),
        }
    }

    /// What becomes of a lease whose delivery was never settled with an outcome. A worker that says
    /// good-bye gives back what it has; one whose connection breaks has failed at it, for it may be what
    /// broke it.
    fn without(error: &SendError) -> Self {
        match error {
            SendError::LinkStateError(LinkStateError::SessionStopped(
                SessionStopReason::ConnectionStopped(ConnectionStopReason::Closed),
            )) => Self::Failed { elsewhere: false, why: "was cut off" },
            SendError::LinkStateError(_)
            | SendError::Detached(_)
            | SendError::NonTerminalDeliveryState
            | SendError::IllegalDeliveryState
            | SendError::MessageSizeExceeded(_)
            | SendError::MessageEncodeError => HERE,
        }
    }
}

/// The failure that a worker rejected its delivery with.
fn failure(error: Option<Condition>) -> Failure {
    let Some(Condition { condition, description, info }) = error else {
        return Failure::new(Code::Unknown, "its worker rejected it without a reason");
    };
    let condition = name(condition);
    let text = description.unwrap_or_else(|| condition.as_str().to_owned());
    let mut failure = status::failure(0, &text, Some(condition.as_str()));
    if let Some(native) = &mut failure.native {
        native.http = None;
        if let Some(info) = info {
            let pairs = info.into_iter().map(|(key, value)| (Value::Symbol(key), value)).collect();
            native.bytes = Bytes::from(json::of(&Value::Map(pairs)).to_string());
        }
    }
    failure
}

fn name(condition: ErrorCondition) -> Symbol {
    match condition {
        ErrorCondition::AmqpError(known) => Symbol::from(&known),
        ErrorCondition::ConnectionError(known) => Symbol::from(&known),
        ErrorCondition::SessionError(known) => Symbol::from(&known),
        ErrorCondition::LinkError(known) => Symbol::from(&known),
        ErrorCondition::Custom(name) => name,
    }
}
