//! Carrying out a run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opgate_bus::Lease;
use opgate_bus::core::{
    CancelDelivery, Error, LogEntry, Outcome, Progress, Report, Timestamp, limits,
};

use super::instruction::Play;
use super::schedule::Schedule;

/// Least time between two reports of one operation: each is a durable change. Steps that fall
/// within it are reported together.
const REPORT_EVERY: Duration = Duration::from_millis(50);

/// Runs until the play's end, or until it is canceled where it honours that.
pub(super) async fn play(lease: &Lease, play: Play) -> Result<Outcome, Error> {
    let operation = lease.operation();
    let schedule = Schedule {
        started: operation.times.started.unwrap_or_else(now),
        duration: play.duration,
        steps: play.steps,
    };
    let refused_before =
        operation.cancel.as_ref().is_some_and(|cancel| cancel.delivery == CancelDelivery::Refused);
    // A lease after a restart goes on after the last step that was reported.
    let done = operation.progress.as_ref().and_then(|progress| progress.done).unwrap_or(0);
    let mut done = u32::try_from(done).unwrap_or(u32::MAX);
    let mut listening = !refused_before;
    if !play.links.is_empty() && operation.links_out.is_empty() {
        lease.report(Report { links: play.links.clone(), ..Report::default() }).await?;
    }

    loop {
        let next = advance(lease, &schedule, &mut done).await?;
        let Some(pause) = next.or(play.hold.then_some(Duration::MAX)) else {
            return Ok(play.outcome);
        };
        tokio::select! {
            () = pause_for(pause) => {}
            () = lease.canceled(), if listening => {
                if play.honor_cancel {
                    lease.report(delivered(CancelDelivery::Acked)).await?;
                    return Ok(Outcome::Canceled(None));
                }
                lease.report(delivered(CancelDelivery::Refused)).await?;
                listening = false;
            }
        }
    }
}

/// Reports the steps that are due and says how long until there is something to do again; `None`
/// when the schedule is over.
async fn advance(
    lease: &Lease,
    schedule: &Schedule,
    done: &mut u32,
) -> Result<Option<Duration>, Error> {
    let now = now();
    let reached = schedule.reached(now);
    if reached > *done {
        lease.report(steps(schedule, *done, reached)).await?;
        *done = reached;
    }
    if now >= schedule.end() {
        return Ok(None);
    }
    let next = if reached < schedule.steps {
        schedule.due(reached + 1).max(now.plus(REPORT_EVERY)).min(schedule.end())
    } else {
        schedule.end()
    };
    Ok(Some(next.since(now)))
}

/// One report for the steps after `done` up to `reached`.
fn steps(schedule: &Schedule, done: u32, reached: u32) -> Report {
    let total = schedule.steps;
    let message = |step: u32| format!("step {step} of {total}").into_boxed_str();
    // Older lines than the operation keeps need not be sent.
    let kept = u32::try_from(limits::LOG_ENTRIES).unwrap_or(u32::MAX);
    let first = done.max(reached.saturating_sub(kept)) + 1;
    Report {
        progress: Some(Progress {
            percent: Some(100.0 * f64::from(reached) / f64::from(total)),
            done: Some(u64::from(reached)),
            total: Some(u64::from(total)),
            message: message(reached),
        }),
        log: (first..=reached)
            .map(|step| LogEntry {
                at: schedule.due(step),
                error: false,
                code: Box::default(),
                message: message(step),
            })
            .collect(),
        ..Report::default()
    }
}

fn delivered(delivery: CancelDelivery) -> Report {
    Report { cancel: Some(delivery.into()), ..Report::default() }
}

/// Sleeps; for ever where the duration is the longest there is.
async fn pause_for(duration: Duration) {
    if duration == Duration::MAX {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(duration).await;
}

/// The clock on the wall: `started` was read from one, perhaps by an earlier process.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
