//! Learning how an operation does that runs upstream.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use opgate_bus::{Backoff, Lease, Line, Lines, Sight, Snapshot};
use opgate_core::{Error, ErrorKind, Outcome, Report, Retry};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Inner;
use super::dialect::Lists;
use super::news;
use super::plan::Plan;
use super::read::refusal::retry_after;
use super::read::{self, WorkRequest};
use super::reply::{self, Blind, Listed, Looked};
use super::request::{self, Addressed, List, Part};

/// Largest work request, or page of one of its lists, in bytes.
const LOOK_BYTES: usize = 1024 * 1024;
/// Pages of a list that are read at one look: a thousand lines, four times what an operation keeps.
const PAGES: usize = 10;

/// One look.
struct Look {
    looked: Looked,
    /// The work request, as it came.
    body: Bytes,
    /// Not to be asked again before this long.
    wait: Option<Duration>,
}

/// What cannot be done when there is trouble.
const UNSEEN: &str = "the work request cannot be looked at";

/// What one lease knows of its work request.
struct Watch<'a> {
    inner: &'a Inner,
    lease: &'a Lease,
    addressed: Addressed<'a>,
    id: &'a str,
    /// The operation as it was last told.
    now: Arc<Snapshot>,
    lines: Lines,
    /// The lists that the API does not have.
    absent: Vec<List>,
    sight: Sight,
    /// The lists that are not seen, each told by a line of the log.
    unlisted: Vec<List>,
    /// Whether the end was seen without all errors and logs.
    ended: bool,
    /// Not to be asked again before this long, as the answer to a list said.
    wait: Option<Duration>,
}

impl Inner {
    /// Looks at a work request until it has ended. The waits between two looks grow; `hurry` begins
    /// anew with short ones.
    pub(super) async fn watch(
        &self,
        lease: &Lease,
        plan: &Plan<'_>,
        id: &str,
        hurry: &Notify,
    ) -> Result<Outcome, Error> {
        let mut watch = Watch {
            inner: self,
            lease,
            addressed: request::addressed(&self.settings.endpoint, plan, lease),
            id,
            now: Arc::clone(lease.operation()),
            lines: Lines::of(lease.operation()),
            absent: Vec::new(),
            sight: Sight::of(lease.operation(), UNSEEN, self.settings.grace),
            unlisted: Vec::new(),
            ended: false,
            wait: None,
        };
        let (first, longest) = (self.settings.poll_first, self.settings.poll_longest);
        let backoff = Backoff { first, longest, attempts: u32::MAX };
        let mut looks = 0_u32;
        loop {
            let (ended, wait) = watch.step().await?;
            if let Some(outcome) = ended {
                return Ok(outcome);
            }
            looks = looks.saturating_add(1);
            tokio::select! {
                () = sleep(backoff.after(looks).max(wait.unwrap_or_default())) => {}
                () = hurry.notified() => looks = 0,
            }
        }
    }
}

impl Watch<'_> {
    /// Looks once and tells what is new. Returns the end, where it has come, or how long the API
    /// wants to be left alone.
    async fn step(&mut self) -> Result<(Option<Outcome>, Option<Duration>), Error> {
        let look = match self.look().await {
            Ok(look) => look,
            // The operation goes on, whatever keeps us from looking.
            Err(error) => {
                self.sight.trouble(self.lease, &mut self.now, &error.message).await?;
                return Ok((None, asked_for(&error)));
            }
        };
        let ended = match look.looked {
            Looked::Seen(seen) => self.seen(&seen, &look.body).await?,
            Looked::Blind(blind) => {
                self.sight.lost(self.lease, &mut self.now, blind.into_failure()).await?
            }
        };
        Ok((ended, look.wait.max(self.wait.take())))
    }

    async fn look(&self) -> Result<Look, Error> {
        let request = self.addressed.look(self.id)?;
        let reply = match self.ask(request).await {
            Ok(reply) => reply,
            // It will be too large the next time as well.
            Err(error) if error.kind == ErrorKind::PayloadTooLarge => {
                let looked = Looked::Blind(Blind::too_large(&error));
                return Ok(Look { looked, body: Bytes::new(), wait: None });
            }
            Err(error) => return Err(error),
        };
        let looked = reply::looked(&reply)?;
        Ok(Look { looked, wait: retry_after(reply.headers()), body: reply.into_body() })
    }

    /// Tells what is new of a work request. Returns the end, where it has come.
    async fn seen(&mut self, seen: &WorkRequest, body: &Bytes) -> Result<Option<Outcome>, Error> {
        self.sight.regained();
        let (lines, problems) = self.lines(seen).await;
        let fresh = self.lines.fresh(&lines, problems.is_empty(), self.lease.now());
        if let Some(report) = news::report(&self.now, seen, fresh) {
            self.now = self.lease.report(report).await?;
        }
        for (list, problem) in &problems {
            self.unlisted(*list, problem).await?;
        }
        if !seen.phase.is_end() {
            return Ok(None);
        }
        // The reason of a failure may be among what could not be had just now: it is worth one more
        // look, and not the end.
        if !problems.is_empty() && !self.ended {
            self.ended = true;
            return Ok(None);
        }
        // What an earlier look could read is a reason as well.
        let mut lines = lines;
        if !problems.is_empty() {
            lines.extend(news::told(&self.now));
        }
        let (outcome, lost) = reply::outcome(seen, &lines, body);
        self.lease.note_lost(lost);
        Ok(Some(outcome))
    }

    /// All errors and logs of a work request that can be had, and what kept others away.
    async fn lines(&mut self, seen: &WorkRequest) -> (Vec<Line>, Vec<(List, String)>) {
        let mut lines = seen.lines.clone();
        let mut problems = Vec::new();
        for list in [List::Errors, List::Logs] {
            // Some are there later than the work request itself: what failed has a reason.
            if self.absent.contains(&list) && !seen.phase.has_reason() {
                continue;
            }
            let read = match (Lists::of(self.addressed.plan.dialect), seen.compartment.as_deref()) {
                (Lists::Inside, _) | (Lists::OfCompartment, None) => continue,
                (Lists::Paged, _) => self.pages(list, &mut lines).await,
                (Lists::OfCompartment, Some(compartment)) => {
                    self.page(list, Part::Of(compartment), &mut lines).await.map(drop)
                }
            };
            let Err(error) = read else {
                self.unlisted.retain(|known| *known != list);
                continue;
            };
            self.wait = asked_for(&error);
            problems.push((list, error.message.into_owned()));
            if self.wait.is_some() {
                break;
            }
        }
        (lines, problems)
    }

    async fn pages(&mut self, list: List, lines: &mut Vec<Line>) -> Result<(), Error> {
        let mut token: Option<String> = None;
        for _ in 0..PAGES {
            let next = self.page(list, Part::Page(token.as_deref()), lines).await?;
            if next.is_none() || next == token {
                return Ok(());
            }
            token = next;
        }
        Ok(())
    }

    /// Reads one page of a list; returns the token of the next.
    async fn page(
        &mut self,
        list: List,
        part: Part<'_>,
        lines: &mut Vec<Line>,
    ) -> Result<Option<String>, Error> {
        let request = self.addressed.list(self.id, list, part)?;
        let reply = self.ask(request).await?;
        let Listed::Page(next) = reply::listed(&reply)? else {
            self.absent.push(list);
            return Ok(None);
        };
        let page = read::page(reply.body(), list == List::Errors);
        lines.extend(page.map_err(|problem| reply::broken(&problem))?);
        Ok(next)
    }

    async fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        self.inner.send(request, self.inner.settings.timeout, LOOK_BYTES).await
    }

    /// Tells that a list is not seen, once for as long as that lasts.
    async fn unlisted(&mut self, list: List, problem: &str) -> Result<(), Error> {
        if !self.unlisted.contains(&list) {
            let what = match list {
                List::Errors => "errors",
                List::Logs => "logs",
            };
            let text = format!("the work request's {what} cannot be listed: {problem}");
            let log = vec![self.lease.line(&text)];
            self.now = self.lease.report(Report { log, ..Report::default() }).await?;
            self.unlisted.push(list);
        }
        Ok(())
    }
}

/// How long the API wants to be left alone that answered with an error.
const fn asked_for(error: &Error) -> Option<Duration> {
    match error.retry {
        Retry::After(wait) => Some(wait),
        Retry::Never | Retry::SameRequest | Retry::Unknown => None,
    }
}
