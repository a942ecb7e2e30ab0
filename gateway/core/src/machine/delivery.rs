//! The delivery of callbacks: what may be recorded of it once the operation has ended.

use super::Decision;
use crate::command::{Attempt, Attempted, Event};
use crate::error::{Error, ErrorKind};
use crate::limits;
use crate::operation::{Callback, Delivery, DeliveryState, Operation};
use crate::time::Timestamp;

pub(super) fn attempt(operation: &Operation, attempt: Box<Attempt>) -> Decision {
    let Some(callback) = operation.callbacks.get(attempt.callback) else {
        return Error::invalid("callback", "the operation has no such callback").into();
    };
    if !operation.is_done() {
        let text = "the operation has not ended: there is nothing to deliver yet";
        return Error::new(ErrorKind::FailedPrecondition, text).into();
    }
    let Delivery { state, attempts, .. } = callback.delivery;
    if state != DeliveryState::Pending {
        let text = format!("the callback is not owed: {}", state.name());
        return Error::new(ErrorKind::FailedPrecondition, text).into();
    }
    let given_up = attempt.number == attempts && matches!(attempt.result, Attempted::Dead { .. });
    if Some(attempt.number) != attempts.checked_add(1) && !given_up {
        let text = format!("attempt {} follows {attempts}", attempt.number);
        return Error::new(ErrorKind::Conflict, text).into();
    }
    Decision::Change(vec![Event::Attempted(attempt)])
}

pub(super) fn redrive(operation: &Operation) -> Decision {
    if operation.removed.is_some() {
        return Error::not_found().into();
    }
    if operation.callbacks.iter().any(is_dead) {
        return Decision::Change(vec![Event::Redriven]);
    }
    let text = "no callback of the operation is a dead letter";
    Error::new(ErrorKind::FailedPrecondition, text).into()
}

pub(super) fn attempted(operation: &mut Operation, attempt: &Attempt, at: Timestamp) {
    let Some(callback) = operation.callbacks.get_mut(attempt.callback) else { return };
    let (state, next, problem) = match &attempt.result {
        Attempted::Delivered => (DeliveryState::Delivered, None, ""),
        Attempted::Again { next, problem } => (DeliveryState::Pending, Some(*next), &**problem),
        Attempted::Dead { problem } => (DeliveryState::Dead, None, &**problem),
    };
    let delivery = &mut callback.delivery;
    if attempt.number > delivery.attempts {
        (delivery.attempts, delivery.last) = (attempt.number, Some(at));
    }
    (delivery.state, delivery.next) = (state, next);
    delivery.problem = limits::clip(problem).into();
}

pub(super) fn redriven(operation: &mut Operation, at: Timestamp) {
    for callback in operation.callbacks.iter_mut().filter(|callback| is_dead(callback)) {
        let delivery = &mut callback.delivery;
        (delivery.state, delivery.attempts) = (DeliveryState::Pending, 0);
        delivery.redriven = Some(at);
    }
}

fn is_dead(callback: &Callback) -> bool {
    callback.delivery.state == DeliveryState::Dead
}
