//! The fields of the canonical operation, as opgate's own API shows them.
//!
//! | field | type |
//! |---|---|
//! | `id`, `parent`, `service`, `operation` (or `kind`), `route`, `backend`, `principal`, `native_state`, `waiting` | text |
//! | `state` | `ACCEPTED`, `RUNNING`, `SUCCEEDED`, `FAILED`, `CANCELED` |
//! | `face` | `native`, `grpc`, `rest`, `oci`, `nexus`, `amqp` |
//! | `done`, `cancel_requested`, `canceling` | boolean |
//! | `create_time`, `start_time`, `update_time`, `end_time`, `deadline`, `expire_time` | timestamp |
//! | `progress.percent`, `progress.done`, `progress.total` | number |
//! | `progress.message` | text |
//! | `error.code` | a code by name or number |
//! | `error.message`, `error.reason` | text |
//! | `callbacks.state` | `PENDING`, `DELIVERED`, `DEAD`: of any callback |
//! | `callbacks.url`, `callbacks.problem` | text |
//! | `callbacks.attempts` | number |
//! | `epoch`, `version` | number |
//!
//! An empty text is not set. A literal by itself is looked for in all texts but the principal and
//! those of callbacks.

use super::expr::Operator;
use super::schema::{FieldType, Needs, Resolved, Schema, Subject, is_field};
use super::value::{Found, Value};
use super::{Bound, Filter, Predicate, quoted};
use crate::error::Error;
use crate::failure::Failure;
use crate::operation::{Callback, DeliveryState, Face, Operation, Outcome, Progress, State};
use crate::time::Timestamp;

/// A filter on the canonical operation.
///
/// # Errors
/// As [`Filter::parse`] and [`Filter::bind`].
pub fn canonical(text: &str) -> Result<Canonical, Error> {
    Ok(Canonical(Filter::parse(text)?.bind(&Fields)?))
}

/// A filter on the canonical operation. It needs no payloads.
#[derive(Clone, Debug)]
pub struct Canonical(Bound<Field>);

impl Predicate for Canonical {
    fn early(&self, without_payloads: &Operation) -> Option<bool> {
        self.0.test(without_payloads)
    }

    fn passes(&self, operation: &Operation) -> bool {
        self.0.test(operation).unwrap_or(false)
    }

    fn only_live(&self) -> bool {
        self.0.implies(&|field, operator, literal, truth| {
            let equals = matches!(operator, Operator::Eq | Operator::Has);
            let is = match operator {
                Operator::Eq | Operator::Has => truth,
                Operator::Ne => !truth,
                Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge => return false,
            };
            // The other two are set for every operation: what is not true is false.
            if *field == Field::State {
                let mut live = State::ALL.into_iter().filter(|state| !state.is_terminal());
                return equals && truth && live.any(|state| state.name() == literal.text);
            }
            let wanted = literal.truth().map(|value| value == is);
            (*field == Field::Done && wanted == Some(false))
                || (*field == Field::Canceling && wanted == Some(true))
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Id,
    Parent,
    Service,
    Kind,
    State,
    Done,
    Route,
    Backend,
    Face,
    Principal,
    CancelRequested,
    Canceling,
    CreateTime,
    StartTime,
    UpdateTime,
    EndTime,
    Deadline,
    ExpireTime,
    Progress,
    ProgressPercent,
    ProgressDone,
    ProgressTotal,
    ProgressMessage,
    Error,
    ErrorCode,
    ErrorMessage,
    ErrorReason,
    NativeState,
    Waiting,
    Callbacks,
    Callback(Part),
    Epoch,
    Version,
}

/// A field of each callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Url,
    State,
    Attempts,
    Problem,
}

const STATES: [&str; State::ALL.len()] = {
    let mut names = [""; State::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = State::ALL[at].name();
        at += 1;
    }
    names
};

const FACES: [&str; Face::ALL.len()] = {
    let mut names = [""; Face::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Face::ALL[at].name();
        at += 1;
    }
    names
};

const DELIVERIES: [&str; DeliveryState::ALL.len()] = {
    let mut names = [""; DeliveryState::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = DeliveryState::ALL[at].name();
        at += 1;
    }
    names
};

const FIELDS: [(&[&str], Field, FieldType); 37] = [
    (&["id"], Field::Id, FieldType::Text),
    (&["parent"], Field::Parent, FieldType::Text),
    (&["service"], Field::Service, FieldType::Text),
    (&["operation"], Field::Kind, FieldType::Text),
    (&["kind"], Field::Kind, FieldType::Text),
    (&["state"], Field::State, FieldType::Names(&STATES)),
    (&["done"], Field::Done, FieldType::Bool),
    (&["route"], Field::Route, FieldType::Text),
    (&["backend"], Field::Backend, FieldType::Text),
    (&["face"], Field::Face, FieldType::Names(&FACES)),
    (&["principal"], Field::Principal, FieldType::Text),
    (&["cancel_requested"], Field::CancelRequested, FieldType::Bool),
    (&["canceling"], Field::Canceling, FieldType::Bool),
    (&["create_time"], Field::CreateTime, FieldType::Time),
    (&["start_time"], Field::StartTime, FieldType::Time),
    (&["update_time"], Field::UpdateTime, FieldType::Time),
    (&["end_time"], Field::EndTime, FieldType::Time),
    (&["deadline"], Field::Deadline, FieldType::Time),
    (&["expire_time"], Field::ExpireTime, FieldType::Time),
    (&["progress"], Field::Progress, FieldType::Message),
    (&["progress", "percent"], Field::ProgressPercent, FieldType::Number),
    (&["progress", "done"], Field::ProgressDone, FieldType::Number),
    (&["progress", "total"], Field::ProgressTotal, FieldType::Number),
    (&["progress", "message"], Field::ProgressMessage, FieldType::Text),
    (&["error"], Field::Error, FieldType::Message),
    (&["error", "code"], Field::ErrorCode, FieldType::Code),
    (&["error", "message"], Field::ErrorMessage, FieldType::Text),
    (&["error", "reason"], Field::ErrorReason, FieldType::Text),
    (&["native_state"], Field::NativeState, FieldType::Text),
    (&["waiting"], Field::Waiting, FieldType::Text),
    (&["callbacks"], Field::Callbacks, FieldType::Message),
    (&["callbacks", "url"], Field::Callback(Part::Url), FieldType::Text),
    (&["callbacks", "state"], Field::Callback(Part::State), FieldType::Names(&DELIVERIES)),
    (&["callbacks", "attempts"], Field::Callback(Part::Attempts), FieldType::Number),
    (&["callbacks", "problem"], Field::Callback(Part::Problem), FieldType::Text),
    (&["epoch"], Field::Epoch, FieldType::Number),
    (&["version"], Field::Version, FieldType::Number),
];

struct Fields;

impl Schema for Fields {
    type Field = Field;

    fn resolve(&self, path: &[String]) -> Result<Resolved<Field>, String> {
        let meant = FIELDS.iter().find(|(names, ..)| {
            names.len() == path.len()
                && path.iter().zip(*names).all(|(segment, name)| is_field(segment, name))
        });
        if let Some((_, field, of)) = meant {
            return Ok(Resolved { field: *field, of: *of, needs: Needs::Record });
        }
        let known: Vec<String> = FIELDS.iter().map(|(names, ..)| names.join(".")).collect();
        Err(format!("no field {}; there are {}", quoted(&path.join(".")), known.join(", ")))
    }

    fn anywhere(&self) -> Needs {
        Needs::Record
    }
}

impl Subject<Field> for Operation {
    fn any(&self, field: &Field, test: &mut dyn FnMut(Found<'_>) -> bool) -> Option<bool> {
        if *field == Field::Id {
            return Some(test(Value::Text(self.id.to_text().as_str()).into()));
        }
        if let Field::Callback(part) = field {
            let mut of_one =
                |callback| part_of(callback, *part).is_some_and(|value| test(value.into()));
            return Some(self.callbacks.iter().any(&mut of_one));
        }
        Some(value(self, *field).is_some_and(|value| test(value.into())))
    }

    fn anywhere(&self, test: &mut dyn FnMut(&str) -> bool) -> Option<bool> {
        let progress = self.progress.as_deref().map_or("", |progress| &progress.message);
        let failure = self.outcome.as_ref().and_then(Outcome::failure);
        let error = failure.map_or("", |failure| &failure.message);
        let reason = failure.and_then(|failure| failure.reason.as_deref()).unwrap_or_default();
        let texts = [
            self.id.to_text().as_str(),
            self.parent.as_str(),
            self.kind.service(),
            self.kind.operation(),
            &self.routed.route,
            &self.routed.backend,
            &self.native_state,
            &self.waiting,
            progress,
            error,
            reason,
        ]
        .into_iter()
        .any(test);
        Some(texts)
    }
}

fn value(operation: &Operation, field: Field) -> Option<Value<'_>> {
    let progress = || operation.progress.as_deref();
    let failure = || operation.outcome.as_ref().and_then(Outcome::failure);
    let times = &operation.times;
    match field {
        // Its text is made on the stack of who asks, and of callbacks there are many.
        Field::Id | Field::Callback(_) => None,
        Field::Callbacks => (!operation.callbacks.is_empty()).then_some(Value::Opaque(true)),
        Field::Parent => text(operation.parent.as_str()),
        Field::Service => text(operation.kind.service()),
        Field::Kind => text(operation.kind.operation()),
        Field::State => Some(Value::Name(operation.state.name(), None)),
        Field::Done => Some(Value::Bool(operation.is_done())),
        Field::Route => text(&operation.routed.route),
        Field::Backend => text(&operation.routed.backend),
        Field::Face => Some(Value::Name(operation.origin.face.name(), None)),
        Field::Principal => text(&operation.origin.principal),
        Field::CancelRequested => Some(Value::Bool(operation.cancel.is_some())),
        Field::Canceling => Some(Value::Bool(operation.is_canceling())),
        Field::CreateTime => Some(time(times.accepted)),
        Field::StartTime => times.started.map(time),
        Field::UpdateTime => Some(time(times.updated)),
        Field::EndTime => times.closed.map(time),
        Field::Deadline => operation.deadline.map(time),
        Field::ExpireTime => times.expires.map(time),
        Field::Progress => progress().map(|_| Value::Opaque(true)),
        Field::ProgressPercent => progress().and_then(Progress::percent_shown).map(Value::Float),
        Field::ProgressDone => progress()?.done.map(|done| Value::Int(done.into())),
        Field::ProgressTotal => progress()?.total.map(|total| Value::Int(total.into())),
        Field::ProgressMessage => text(&progress()?.message),
        Field::Error => failure().map(|_| Value::Opaque(true)),
        Field::ErrorCode => failure().map(code),
        Field::ErrorMessage => text(&failure()?.message),
        Field::ErrorReason => text(failure()?.reason.as_deref()?),
        Field::NativeState => text(&operation.native_state),
        Field::Waiting => text(&operation.waiting),
        Field::Epoch => Some(Value::Int(operation.epoch.0.into())),
        Field::Version => Some(Value::Int(operation.version.0.into())),
    }
}

fn part_of(callback: &Callback, part: Part) -> Option<Value<'_>> {
    let delivery = &callback.delivery;
    match part {
        Part::Url => text(&callback.url),
        Part::State => Some(Value::Name(delivery.state.name(), None)),
        Part::Attempts => Some(Value::Int(delivery.attempts.into())),
        Part::Problem => text(&delivery.problem),
    }
}

fn text(text: &str) -> Option<Value<'_>> {
    (!text.is_empty()).then_some(Value::Text(text))
}

fn time(time: Timestamp) -> Value<'static> {
    Value::Time(time.nanos().into())
}

const fn code(failure: &Failure) -> Value<'static> {
    Value::Name(failure.code.name(), Some(failure.code.number()))
}
