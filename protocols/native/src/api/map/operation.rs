//! An operation as this API shows it.

use std::collections::HashMap;

use opgate_core::{
    Callback, Cancel, Conflict, DeliveryState, Header, Link, LogEntry, Loss, Losses, Operation,
    Origin, Outcome, Payload, Progress, Resource, State, Timestamp, Trace, limits,
};
use opgate_rpc::wire;
use prost::Message as _;

use super::failure;
use crate::api::Names;
use crate::api::client as proto;

/// How much of an operation is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum View {
    /// Without input, result and log.
    Basic,
    Full,
}

/// Largest operation: one alone still makes a page, or an event, that a client takes.
const BYTES_MAX: usize = wire::MESSAGE_BYTES_MAX - 8 * 1024;
// So an input or a result alone fits.
const _: () = assert!(limits::PAYLOAD_BYTES + 32 * 1024 <= BYTES_MAX);

/// The operation. It is never larger than a client takes: what gives way, in this order, is the
/// input, the log, the resources, the links, the callbacks and the result, and `omitted` names it then.
pub(in crate::api) fn operation(
    operation: &Operation,
    view: View,
    names: &Names,
) -> proto::Operation {
    let mut shown = whole(operation, names);
    if view == View::Basic {
        (shown.input, shown.result) = (None, None);
        shown.log.clear();
    }
    fit(&mut shown, &GIVING_WAY);
    say_lost(&mut shown, operation);
    shown
}

/// What a table of many shows of one: nothing of it is long.
pub(in crate::api) fn row(operation: &Operation) -> proto::Operation {
    let shown = whole(operation, &Names::default());
    let error = shown.error.map(|error| {
        let proto::Failure { code, message, reason, .. } = error;
        proto::Failure { code, message, reason, ..proto::Failure::default() }
    });
    proto::Operation {
        id: shown.id,
        parent: shown.parent,
        service: shown.service,
        operation: shown.operation,
        state: shown.state,
        done: shown.done,
        version: shown.version,
        route: shown.route,
        backend: shown.backend,
        origin: shown.origin,
        create_time: shown.create_time,
        update_time: shown.update_time,
        end_time: shown.end_time,
        expire_time: shown.expire_time,
        progress: shown.progress,
        error,
        cancel: shown.cancel,
        native_state: shown.native_state,
        waiting: shown.waiting,
        ..proto::Operation::default()
    }
}

fn say_lost(shown: &mut proto::Operation, operation: &Operation) {
    shown.lost = lost(operation, shown).iter().map(|loss| loss.token().to_owned()).collect();
}

/// What was lost before, and what this shows otherwise or not at all.
pub(in crate::api) fn lost(operation: &Operation, shown: &proto::Operation) -> Losses {
    let progress = operation.progress.as_deref();
    let clamped = progress.is_some_and(|progress| progress.percent_shown() != progress.percent);
    let omitted = shown.omitted.iter().map(|field| match field.as_str() {
        "result" => Loss::Result.into(),
        "log" => Loss::Log.into(),
        "input" => Losses::NONE,
        _ => Loss::Metadata.into(),
    });
    omitted.fold(operation.lost, |lost, one| lost | one).with(Loss::PercentRounded, clamped)
}

/// The operation as a worker gets it: as [`operation`], but the input gives way last. It has no
/// result yet.
pub(in crate::api) fn leased(operation: &Operation, names: &Names) -> proto::Operation {
    let mut shown = whole(operation, names);
    let [input, rest @ ..] = GIVING_WAY;
    fit(&mut shown, &rest);
    fit(&mut shown, &[input]);
    say_lost(&mut shown, operation);
    shown
}

/// Takes a field away, if it is there.
type Take = fn(&mut proto::Operation) -> bool;

/// What may be left out of a reply, first to last.
const GIVING_WAY: [(&str, Take); 7] = [
    ("input", |shown| shown.input.take().is_some()),
    ("log", |shown| !std::mem::take(&mut shown.log).is_empty()),
    ("resources", |shown| !std::mem::take(&mut shown.resources).is_empty()),
    ("links_in", |shown| !std::mem::take(&mut shown.links_in).is_empty()),
    ("links_out", |shown| !std::mem::take(&mut shown.links_out).is_empty()),
    ("callbacks", |shown| !std::mem::take(&mut shown.callbacks).is_empty()),
    ("result", |shown| shown.result.take().is_some()),
];

fn fit(shown: &mut proto::Operation, giving_way: &[(&str, Take)]) {
    for (field, take) in giving_way {
        if shown.encoded_len() <= BYTES_MAX {
            return;
        }
        if take(shown) {
            shown.omitted.push((*field).to_owned());
        }
    }
}

fn whole(operation: &Operation, names: &Names) -> proto::Operation {
    let times = &operation.times;
    let result = match &operation.outcome {
        Some(Outcome::Succeeded(Some(payload))) => Some(self::payload(payload)),
        Some(Outcome::Succeeded(None) | Outcome::Failed(_) | Outcome::Canceled(_)) | None => None,
    };
    let error = match &operation.outcome {
        Some(Outcome::Failed(failure)) => Some(failure::shown(failure)),
        Some(Outcome::Canceled(failure)) => {
            Some(failure::canceled(failure.as_ref(), operation.cancel.as_deref()))
        }
        Some(Outcome::Succeeded(_)) | None => None,
    };
    proto::Operation {
        id: operation.id.to_string(),
        parent: operation.parent.as_str().to_owned(),
        service: operation.kind.service().to_owned(),
        operation: operation.kind.operation().to_owned(),
        state: state(operation.state).into(),
        done: operation.is_done(),
        version: operation.version.0,
        route: operation.routed.route.as_ref().to_owned(),
        backend: operation.routed.backend.as_ref().to_owned(),
        origin: Some(origin(&operation.origin)),
        create_time: Some(timestamp(times.accepted)),
        start_time: times.started.map(timestamp),
        update_time: Some(timestamp(times.updated)),
        end_time: times.closed.map(timestamp),
        deadline: operation.deadline.map(timestamp),
        expire_time: times.expires.map(timestamp),
        epoch: operation.epoch.0,
        progress: operation.progress.as_deref().map(progress),
        log: operation.log.iter().map(entry).collect(),
        log_dropped: operation.log_dropped,
        resources: operation.resources.iter().map(resource).collect(),
        input: Some(payload(&operation.input)),
        result,
        error,
        cancel: operation.cancel.as_deref().map(cancel),
        native_state: operation.native_state.as_ref().to_owned(),
        waiting: operation.waiting.as_ref().to_owned(),
        links_in: operation.links_in.iter().map(link).collect(),
        links_out: operation.links_out.iter().map(link).collect(),
        conflicts: operation.conflicts.iter().map(conflict).collect(),
        names: names.of(operation).map(|(face, name)| (face.to_owned(), name)).collect(),
        headers: operation.headers.iter().map(header).collect(),
        omitted: Vec::new(),
        callbacks: operation.callbacks.iter().map(callback).collect(),
        lost: Vec::new(),
        lost_on: HashMap::new(),
        trace: operation.trace.as_deref().map(trace),
    }
}

fn trace(trace: &Trace) -> proto::TraceContext {
    proto::TraceContext {
        traceparent: trace.parent.as_ref().to_owned(),
        tracestate: trace.state.as_ref().to_owned(),
    }
}

const fn state(state: State) -> proto::State {
    match state {
        State::Accepted => proto::State::Accepted,
        State::Running => proto::State::Running,
        State::Succeeded => proto::State::Succeeded,
        State::Failed => proto::State::Failed,
        State::Canceled => proto::State::Canceled,
    }
}

/// An instant.
pub(in crate::api) fn timestamp(timestamp: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = timestamp.seconds_and_nanos();
    prost_types::Timestamp { seconds, nanos }
}

fn origin(origin: &Origin) -> proto::Origin {
    proto::Origin {
        face: origin.face.name().to_owned(),
        endpoint: origin.endpoint.as_ref().to_owned(),
        principal: origin.principal.as_ref().to_owned(),
        request_id: origin.request_id.as_deref().unwrap_or_default().to_owned(),
    }
}

fn progress(progress: &Progress) -> proto::Progress {
    proto::Progress {
        percent: progress.percent_shown(),
        done: progress.done,
        total: progress.total,
        message: progress.message.as_ref().to_owned(),
    }
}

fn entry(entry: &LogEntry) -> proto::LogEntry {
    proto::LogEntry {
        time: Some(timestamp(entry.at)),
        error: entry.error,
        code: entry.code.as_ref().to_owned(),
        message: entry.message.as_ref().to_owned(),
    }
}

fn resource(resource: &Resource) -> proto::Resource {
    proto::Resource {
        entity_type: resource.entity_type.as_ref().to_owned(),
        action: resource.action.as_ref().to_owned(),
        identifier: resource.identifier.as_ref().to_owned(),
        uri: resource.uri.as_ref().to_owned(),
    }
}

fn link(link: &Link) -> proto::Link {
    proto::Link { url: link.url.as_ref().to_owned(), r#type: link.kind.as_ref().to_owned() }
}

/// Header values are bytes; the few that are no text are shown with what is none replaced.
fn header(header: &Header) -> proto::Header {
    let value = String::from_utf8_lossy(&header.value).into_owned();
    proto::Header { name: header.name.as_ref().to_owned(), value }
}

fn payload(payload: &Payload) -> proto::Payload {
    proto::Payload {
        media_type: payload.media_type.as_ref().to_owned(),
        encoding: payload.encoding.as_deref().unwrap_or_default().to_owned(),
        body: Some(proto::payload::Body::Data(payload.bytes.clone())),
        sections: payload.sections.clone(),
    }
}

fn cancel(cancel: &Cancel) -> proto::Cancel {
    proto::Cancel {
        request_time: Some(timestamp(cancel.requested)),
        by: cancel.by.as_ref().to_owned(),
        reason: cancel.reason.as_ref().to_owned(),
        delivery: cancel.delivery.name().to_owned(),
        attempts: cancel.attempts,
        delivery_time: Some(timestamp(cancel.changed)),
        problem: cancel.problem.as_ref().to_owned(),
    }
}

/// Without its headers, which hold secrets.
fn callback(callback: &Callback) -> proto::CallbackDelivery {
    let delivery = &callback.delivery;
    let state = match delivery.state {
        DeliveryState::Pending => proto::DeliveryState::Pending,
        DeliveryState::Delivered => proto::DeliveryState::Delivered,
        DeliveryState::Dead => proto::DeliveryState::Dead,
    };
    proto::CallbackDelivery {
        url: callback.url.as_ref().to_owned(),
        state: state.into(),
        attempts: delivery.attempts,
        last_attempt_time: delivery.last.map(timestamp),
        next_attempt_time: delivery.next.map(timestamp),
        problem: delivery.problem.as_ref().to_owned(),
        redrive_time: delivery.redriven.map(timestamp),
    }
}

fn conflict(conflict: &Conflict) -> proto::Conflict {
    proto::Conflict {
        time: Some(timestamp(conflict.at)),
        state: state(conflict.state).into(),
        message: conflict.message.as_ref().to_owned(),
    }
}
