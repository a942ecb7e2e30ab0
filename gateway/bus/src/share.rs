//! Work that several operations share: by which key, and how each of them follows it.
//!
//! ```text
//!   start --+-- a job of its key runs ----> joins it ----+
//!           +-- none does ----> begins one with it ------+--> follows it: progress, log, resources, its end
//!
//!   canceled, deleted, past its deadline, ended by hand --> leaves it; the last one has the job canceled
//! ```
//!
//! Joining and leaving are changes of the job in the same batch of the journal as what they follow from
//! ([`opgate_core::Share`]): there is nothing to count, and nothing to make up for after a crash. The job is carried out
//! as any operation is, by one lease; what follows it is a lease of another kind, of which there may be any number.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use opgate_core::{
    Dedupe, DedupeKey, Error, ErrorKind, Fingerprint, KeySpace, Link, LogEntry, Operation,
    OperationId, Outcome, Payload, Report, Timestamp,
};
use opgate_store::Snapshot;
use opgate_template::Source;
use serde_json::Value;
use tokio::time::timeout;

use crate::backend::{Admission, Backend, Offer};
use crate::lease::Lease;
use crate::news::changed_resources;
use crate::router::Target;
use crate::sight::record_lost;
use crate::start::Caller;

/// How long what could not be told, or read, waits for another change before it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether operations may share jobs by what this template makes of their input.
///
/// # Errors
/// What is wrong with it.
pub fn check_share(template: &str) -> Result<(), String> {
    let template = Value::String(template.to_owned());
    opgate_template::check(&template).map_err(|problem| problem.to_string())?;
    if opgate_template::reads_input(&template) {
        return Ok(());
    }
    let text = "must refer to the input, as \"${/digest}\" does: all operations of the route would share one job";
    Err(text.to_owned())
}

/// By what the job of a start is known to others that share it; none where it is carried out for itself.
pub(crate) fn key(
    caller: &Caller,
    target: &Target,
    input: &Payload,
    now: Timestamp,
) -> Option<Dedupe> {
    let template = target.share.as_deref()?;
    let input: Option<Value> =
        if input.is_json() { serde_json::from_slice(&input.bytes).ok() } else { None };
    let source = Source { input: input.as_ref(), id: None };
    let text = opgate_template::text(template, &source).ok().flatten();
    let text = text.filter(|text| !text.is_empty())?;
    let space = KeySpace::new(&format!("share {}", target.route.name));
    Some(Dedupe {
        key: DedupeKey::derive(&caller.tenant, &space, &text),
        space,
        // Whatever else they are given: the key says that it is the same work.
        fingerprint: Fingerprint::of_request([]),
        until: now,
        live: true,
    })
}

/// Carries out an interest: tells what its job tells, and ends as that does.
#[derive(Debug)]
pub(crate) struct Follower;

impl Backend for Follower {
    fn admit(&self, _offer: &Offer<'_>) -> Result<Admission, Error> {
        Ok(Admission::Accept)
    }

    fn run(&self, lease: Lease) -> Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>> {
        Box::pin(async move {
            match lease.operation().job() {
                Some(job) => Ok(follow(&lease, job).await),
                None => Err(Error::new(ErrorKind::Internal, "it shares no job")),
            }
        })
    }
}

async fn follow(lease: &Lease, job: OperationId) -> Outcome {
    let mut now = Arc::clone(lease.operation());
    let waiter = lease.store().newer(job);
    loop {
        let changed = pin!(waiter.changed());
        let mut whole = true;
        match lease.store().get(job).await {
            Ok(Some(job)) => {
                if let Some(report) = news(&now, &job) {
                    match lease.report(report).await {
                        Ok(snapshot) => now = snapshot,
                        Err(error) => {
                            tracing::debug!(
                                %error,
                                operation = %now.id,
                                trace_id = now.trace_id(),
                                "what its job told was not",
                            );
                            whole = false;
                        }
                    }
                }
                if let Some(outcome) = &job.outcome {
                    return outcome.clone();
                }
            }
            Ok(None) => {
                return Outcome::Failed(record_lost(
                    "the work that it shared is not known any more",
                ));
            }
            Err(error) => {
                tracing::debug!(%error, %job, "a job cannot be read");
                whole = false;
            }
        }
        if whole {
            changed.await;
        } else {
            // Either will do.
            let _changed = timeout(PAUSE, changed).await;
        }
    }
}

/// What a job tells that an operation that shares it has not told yet.
fn news(now: &Snapshot, job: &Operation) -> Option<Report> {
    fn differs<T: PartialEq + Clone>(now: &T, job: &T) -> Option<T> {
        (now != job).then(|| job.clone())
    }
    let log = job.log.iter().filter(|line: &&LogEntry| !now.log.contains(line));
    let links = job.links_out.iter().filter(|link: &&Link| !now.links_out.contains(link));
    let progress = job.progress.as_deref().filter(|told| now.progress.as_deref() != Some(told));
    let report = Report {
        progress: progress.cloned(),
        log: log.cloned().collect(),
        resources: changed_resources(now, &job.resources),
        links: links.cloned().collect(),
        native_ref: differs(&now.routed.native_ref, &job.routed.native_ref),
        native_state: differs(&now.native_state, &job.native_state),
        waiting: differs(&now.waiting, &job.waiting),
        lost: job.lost.without(now.lost),
        ..Report::default()
    };
    (report != Report::default()).then_some(report)
}
