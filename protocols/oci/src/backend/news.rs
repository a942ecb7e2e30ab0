//! What of a look at a work request has not been told before.

use opgate_bus::{Line, changed_resources};
use opgate_core::{LogEntry, Operation, Progress, Report};

use super::read::WorkRequest;
use super::read::phase::Phase;

/// The work's own errors that an operation's log has: opgate's lines have no code.
pub(super) fn told(now: &Operation) -> impl Iterator<Item = Line> {
    let own = now.log.iter().filter(|entry| entry.error && !entry.code.is_empty());
    own.map(|entry| Line {
        at: Some(entry.at),
        error: true,
        code: entry.code.as_ref().to_owned(),
        message: entry.message.as_ref().to_owned(),
    })
}

/// What a look changes of an operation; nothing where it changes nothing.
pub(super) fn report(now: &Operation, seen: &WorkRequest, log: Vec<LogEntry>) -> Option<Report> {
    let waiting = if seen.phase == Phase::Waiting { &*seen.status } else { "" };
    let report = Report {
        progress: progress(now, seen),
        log,
        resources: changed_resources(now, &seen.resources),
        native_state: (*now.native_state != *seen.status).then(|| seen.status.as_str().into()),
        waiting: (*now.waiting != *waiting).then(|| waiting.into()),
        ..Report::default()
    };
    (report != Report::default()).then_some(report)
}

/// What was said of the progress; what is not said stays as it was.
fn progress(now: &Operation, seen: &WorkRequest) -> Option<Progress> {
    let before = now.progress.as_deref().cloned().unwrap_or_default();
    let message = if seen.message.is_empty() { &*before.message } else { &*seen.message };
    let progress = Progress {
        percent: seen.percent.or(before.percent),
        message: message.into(),
        ..before.clone()
    };
    (progress != before).then_some(progress)
}

#[cfg(test)]
mod tests;
