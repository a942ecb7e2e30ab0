//! What can be asked about, and what an operation has of it.

use std::cmp::Ordering;

use opgate_core::Timestamp;

use crate::buildgrid::request;
use crate::buildgrid::said::Subject;
use crate::buildgrid::stage::Stage;

/// Longest ISO 8601 time with nanoseconds and a zone; what is longer is none.
const TIME_BYTES_MAX: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Stage,
    Name,
    Command,
    Platform,
    ActionDigest,
    InvocationId,
    CorrelatedInvocationsId,
    ToolName,
    ToolVersion,
    ActionMnemonic,
    TargetId,
    ConfigurationId,
    QueuedTime,
    StartTime,
    CompletedTime,
    ClientWorkflow,
    ClientActor,
    ClientSubject,
}

/// A value of a key: in a filter, or of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Stage(Stage),
    /// In nanoseconds since the Unix epoch. A filter may name any year.
    Time(i128),
    Text(String),
}

/// Values of different kinds have no order; one key has values of one kind only.
impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Stage(this), Self::Stage(other)) => Some(this.cmp(other)),
            (Self::Time(this), Self::Time(other)) => Some(this.cmp(other)),
            (Self::Text(this), Self::Text(other)) => Some(this.cmp(other)),
            (Self::Stage(_) | Self::Time(_) | Self::Text(_), _) => None,
        }
    }
}

impl Key {
    pub(super) const ALL: [(&'static str, Self); 18] = [
        ("stage", Self::Stage),
        ("name", Self::Name),
        ("command", Self::Command),
        ("platform", Self::Platform),
        ("action_digest", Self::ActionDigest),
        ("invocation_id", Self::InvocationId),
        ("correlated_invocations_id", Self::CorrelatedInvocationsId),
        ("tool_name", Self::ToolName),
        ("tool_version", Self::ToolVersion),
        ("action_mnemonic", Self::ActionMnemonic),
        ("target_id", Self::TargetId),
        ("configuration_id", Self::ConfigurationId),
        ("queued_time", Self::QueuedTime),
        ("start_time", Self::StartTime),
        ("completed_time", Self::CompletedTime),
        ("client_workflow", Self::ClientWorkflow),
        ("client_actor", Self::ClientActor),
        ("client_subject", Self::ClientSubject),
    ];

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, key)| key)
    }

    /// Whether it is read from the operation's input.
    pub(super) const fn needs_input(self) -> bool {
        matches!(self, Self::ActionDigest)
    }

    /// Reads a value; what is allowed, where it is none.
    pub(super) fn value(self, text: &str) -> Result<Value, &'static str> {
        match self {
            Self::Stage => Stage::from_name(&text.to_ascii_uppercase())
                .map(Value::Stage)
                .ok_or("is no stage: UNKNOWN, CACHE_CHECK, QUEUED, EXECUTING or COMPLETED"),
            Self::QueuedTime | Self::StartTime | Self::CompletedTime => time(text)
                .map(Value::Time)
                .ok_or("is no time: a date, or a date and time, such as 2026-01-02T03:04:05Z"),
            Self::ActionDigest if !is_digest(text) => {
                Err("is no digest: HASH/SIZE in lower-case hexadecimal and decimal digits")
            }
            Self::Platform
                if !text.split_once(':').is_some_and(|(k, v)| !k.is_empty() && !v.is_empty()) =>
            {
                Err("is no platform property: KEY:VALUE")
            }
            Self::Name
            | Self::Command
            | Self::Platform
            | Self::ActionDigest
            | Self::InvocationId
            | Self::CorrelatedInvocationsId
            | Self::ToolName
            | Self::ToolVersion
            | Self::ActionMnemonic
            | Self::TargetId
            | Self::ConfigurationId
            | Self::ClientWorkflow
            | Self::ClientActor
            | Self::ClientSubject => Ok(Value::Text(text.to_owned())),
        }
    }

    /// What an operation has; none where it has not, an empty text included.
    pub(super) fn read(self, subject: &Subject<'_>) -> Option<Value> {
        let (operation, said) = (subject.operation, || subject.metadata());
        let times = &operation.times;
        let tool = || said().tool_details.as_ref();
        let text = match self {
            Self::Stage => return Some(Value::Stage(Stage::of(operation))),
            Self::QueuedTime => return Some(instant(times.accepted)),
            Self::StartTime => return times.started.map(instant),
            Self::CompletedTime => return times.closed.map(instant),
            Self::Command | Self::Platform => return None,
            Self::ActionDigest => {
                let digest = request::action_digest(operation)?;
                return Some(Value::Text(format!("{}/{}", digest.hash, digest.size_bytes)));
            }
            Self::Name => return Some(Value::Text(operation.id.to_string())),
            Self::InvocationId => &said().tool_invocation_id,
            Self::CorrelatedInvocationsId => &said().correlated_invocations_id,
            Self::ToolName => &tool()?.tool_name,
            Self::ToolVersion => &tool()?.tool_version,
            Self::ActionMnemonic => &said().action_mnemonic,
            Self::TargetId => &said().target_id,
            Self::ConfigurationId => &said().configuration_id,
            Self::ClientWorkflow => subject.header("x-request-workflow")?,
            Self::ClientActor => subject.header("x-request-actor")?,
            Self::ClientSubject => subject.header("x-request-subject")?,
        };
        (!text.is_empty()).then(|| Value::Text(text.to_owned()))
    }
}

fn instant(time: Timestamp) -> Value {
    let (seconds, nanos) = time.seconds_and_nanos();
    Value::Time(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
}

fn time(text: &str) -> Option<i128> {
    // Years of four digits, as ISO 8601 has them where nothing else is agreed upon.
    let year = text.get(..4).filter(|_| text.len() <= TIME_BYTES_MAX)?;
    let of_time = |byte: u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b':' | b'.' | b'T' | b'Z');
    if !year.bytes().all(|byte| byte.is_ascii_digit()) || !text.bytes().all(of_time) {
        return None;
    }
    let time: prost_types::Timestamp = text.parse().ok()?;
    Some(i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos))
}

fn is_digest(text: &str) -> bool {
    text.split_once('/').is_some_and(|(hash, size)| {
        !hash.is_empty()
            && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && !size.is_empty()
            && size.bytes().all(|byte| byte.is_ascii_digit())
    })
}
