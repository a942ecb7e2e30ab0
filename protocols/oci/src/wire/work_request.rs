//! Work requests as objects: every operation has a valid one in every dialect.
//!
//! | dialect | | without | a summary also without |
//! |---|---|---|---|
//! | identity | `errors`, `logs` inside | | `logs` |
//! | work-requests | | | `resources` |
//! | container-engine | | `percentComplete` | |
//! | modern | `timeUpdated` | | |
//! | load-balancer | an object of its own | | |

use std::borrow::Cow;

use opgate_core::{FAILED, Operation, Resource, State, Timestamp};
use serde::Serialize;

use super::dialect::Dialect;
use super::state;

mod entries;
mod lost;

pub(crate) use entries::joined;
pub use entries::{ErrorEntry, Log, code_word, errors, logs};
pub use lost::lost;

/// What opgate knows of an operation beside its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its OCID.
    pub id: String,
    /// The OCID of its compartment.
    pub compartment: String,
}

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What a get answers.
    Whole,
    /// What a list has.
    Summary,
}

/// Something a work request is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    entity_type: &'a str,
    action_type: &'static str,
    identifier: &'a str,
    entity_uri: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkRequest<'a> {
    id: &'a str,
    operation_type: &'a str,
    status: &'static str,
    compartment_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Vec<Shown<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent_complete: Option<f64>,
    time_accepted: String,
    time_started: Option<String>,
    time_finished: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_updated: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<ErrorEntry<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<Vec<Log<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LoadBalancerWorkRequest<'a> {
    id: &'a str,
    load_balancer_id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    compartment_id: &'a str,
    lifecycle_state: &'static str,
    message: Cow<'a, str>,
    time_accepted: String,
    time_finished: Option<String>,
    error_details: Vec<LoadBalancerError<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LoadBalancerError<'a> {
    error_code: &'static str,
    message: Cow<'a, str>,
}

/// The JSON of an operation's work request.
pub fn write(
    operation: &Operation,
    named: &Named,
    dialect: Dialect,
    extent: Extent,
) -> Result<Vec<u8>, serde_json::Error> {
    if dialect == Dialect::LoadBalancer {
        return serde_json::to_vec(&load_balancer(operation, named));
    }
    let whole = extent == Extent::Whole;
    let (identity, work_requests) =
        (dialect == Dialect::Identity, dialect == Dialect::WorkRequests);
    serde_json::to_vec(&WorkRequest {
        id: &named.id,
        operation_type: operation.kind.operation(),
        status: state::of(operation),
        compartment_id: &named.compartment,
        resources: (whole || !work_requests).then(|| resources(operation, named, dialect)),
        percent_complete: (dialect != Dialect::ContainerEngine).then(|| percent(operation)),
        time_accepted: operation.times.accepted.to_rfc3339(),
        time_started: operation.times.started.map(Timestamp::to_rfc3339),
        time_finished: operation.times.closed.map(Timestamp::to_rfc3339),
        time_updated: (dialect == Dialect::Modern).then(|| operation.times.updated.to_rfc3339()),
        errors: identity.then(|| errors(operation)),
        logs: (identity && whole).then(|| logs(operation)),
    })
}

/// How far an operation is, 0 to 100: 100 exactly if it has succeeded, 0 where nobody knows.
pub fn percent(operation: &Operation) -> f64 {
    /// What is not done yet is not shown as done, whatever its backend says.
    const MOST: f64 = 99.0;
    if operation.state == State::Succeeded {
        return 100.0;
    }
    let Some(progress) = &operation.progress else { return 0.0 };
    let counted = || {
        let (done, total) = (u128::from(progress.done?), u128::from(progress.total?));
        let percent = (100 * done.min(total)).checked_div(total)?;
        Some(f64::from(u8::try_from(percent).unwrap_or(100)))
    };
    // Not -0, which reads oddly.
    progress.percent_shown().or_else(counted).unwrap_or_default().min(MOST) + 0.0
}

const CREATED: &str = "CREATED";
const UPDATED: &str = "UPDATED";
const DELETED: &str = "DELETED";
const RELATED: &str = "RELATED";
const IN_PROGRESS: &str = "IN_PROGRESS";
const CANCELED_CREATE: &str = "CANCELED_CREATE";
const CANCELED_UPDATE: &str = "CANCELED_UPDATE";
const CANCELED_DELETE: &str = "CANCELED_DELETE";
/// The actions that every dialect knows.
const ACTIONS: [&str; 5] = [CREATED, UPDATED, DELETED, RELATED, IN_PROGRESS];

/// What an operation works on. Never empty: where nobody has said, it is the operation itself.
fn resources<'a>(operation: &'a Operation, named: &'a Named, dialect: Dialect) -> Vec<Shown<'a>> {
    let or = |text: &'a str, other: &'a str| if text.is_empty() { other } else { text };
    let service = operation.kind.service();
    let one = |resource: &'a Resource| Shown {
        entity_type: or(&resource.entity_type, service),
        action_type: action(operation.state, resource, dialect),
        identifier: or(&resource.identifier, &named.id),
        entity_uri: Some(&*resource.uri).filter(|uri| !uri.is_empty()),
    };
    if !operation.resources.is_empty() {
        return operation.resources.iter().map(one).collect();
    }
    let action_type = unsaid(operation.state, dialect);
    vec![Shown { entity_type: service, action_type, identifier: &named.id, entity_uri: None }]
}

/// The action where nobody has said what became of a thing: as its operation is.
const fn unsaid(state: State, dialect: Dialect) -> &'static str {
    match state {
        State::Accepted | State::Running => IN_PROGRESS,
        State::Succeeded => RELATED,
        State::Failed | State::Canceled => failed(dialect),
    }
}

/// The action of a resource, in a word that the dialect's clients know.
fn action(state: State, resource: &Resource, dialect: Dialect) -> &'static str {
    let is = |word: &&str| resource.action.eq_ignore_ascii_case(word);
    let has_words = dialect == Dialect::ContainerEngine;
    if is(&FAILED) {
        let canceled = match &*resource.becomes {
            CREATED => Some(CANCELED_CREATE),
            UPDATED => Some(CANCELED_UPDATE),
            DELETED => Some(CANCELED_DELETE),
            _ => None,
        };
        let has_words = has_words && state == State::Canceled;
        return canceled.filter(|_| has_words).unwrap_or_else(|| failed(dialect));
    }
    if let Some(canceled) = [CANCELED_CREATE, CANCELED_UPDATE, CANCELED_DELETE].into_iter().find(is)
    {
        return if has_words { canceled } else { failed(dialect) };
    }
    match ACTIONS.into_iter().find(is) {
        // Nothing is in progress of what has ended.
        Some(IN_PROGRESS) => unsaid(state, dialect),
        known => known.unwrap_or(RELATED),
    }
}

const fn failed(dialect: Dialect) -> &'static str {
    if dialect.has_failed_action() { FAILED } else { RELATED }
}

fn load_balancer<'a>(operation: &'a Operation, named: &'a Named) -> LoadBalancerWorkRequest<'a> {
    let of_balancer = |resource: &&Resource| {
        resource.entity_type.to_ascii_lowercase().replace(['_', '-'], "").contains("loadbalancer")
    };
    let resource =
        operation.resources.iter().find(of_balancer).or_else(|| operation.resources.first());
    let identifier = resource.map(|resource| &*resource.identifier).filter(|id| !id.is_empty());
    let details: Vec<_> = errors(operation)
        .into_iter()
        .map(|error| LoadBalancerError {
            error_code: if error.is_input() { "BAD_INPUT" } else { "INTERNAL_ERROR" },
            message: error.message,
        })
        .collect();
    let progress = operation.progress.as_ref().map(|progress| &*progress.message);
    let canceling = operation.cancel.as_ref().filter(|_| operation.is_canceling());
    let (lifecycle_state, said): (_, Cow<'a, str>) = match operation.state {
        State::Accepted => (state::ACCEPTED, "".into()),
        State::Running => {
            let canceling = canceling.map(|cancel| cancel.stands().into());
            (state::IN_PROGRESS, canceling.unwrap_or_else(|| progress.unwrap_or_default().into()))
        }
        State::Succeeded => (state::SUCCEEDED, progress.unwrap_or_default().into()),
        // There is no other word for the end of what was canceled.
        State::Failed | State::Canceled => (
            state::FAILED,
            details.first().map_or_else(|| "Canceled".into(), |error| error.message.clone()),
        ),
    };
    LoadBalancerWorkRequest {
        id: &named.id,
        load_balancer_id: identifier.unwrap_or(&named.id),
        kind: operation.kind.operation(),
        compartment_id: &named.compartment,
        lifecycle_state,
        message: said,
        time_accepted: operation.times.accepted.to_rfc3339(),
        time_finished: operation.times.closed.map(Timestamp::to_rfc3339),
        error_details: details,
    }
}

#[cfg(test)]
mod tests;
