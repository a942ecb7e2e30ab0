//! Learning how an operation does that runs upstream.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use opgate_bus::{Backoff, Lease, Line, Lines, Snapshot};
use opgate_core::{Error, ErrorKind, LogEntry, Outcome, Report, Retry, limits};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

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

/// What may be in the way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The work request itself is not seen.
    Unseen,
    /// One of its lists is not.
    Unlisted(List),
}

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
    /// The trouble that there is, each told by a line of the log.
    troubles: Vec<Trouble>,
    /// Since when nothing is seen.
    blind: Option<Instant>,
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
            troubles: Vec::new(),
            blind: None,
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
                self.trouble(Trouble::Unseen, &error.message).await?;
                return Ok((None, asked_for(&error)));
            }
        };
        let ended = match look.looked {
            Looked::Seen(seen) => self.seen(&seen, &look.body).await?,
            Looked::Blind(blind) => self.unseen(blind).await?,
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
        self.blind = None;
        self.over(Trouble::Unseen);
        let (lines, problems) = self.lines(seen).await;
        let fresh = self.lines.fresh(&lines, problems.is_empty(), self.lease.now());
        if let Some(report) = news::report(&self.now, seen, fresh) {
            self.now = self.lease.report(report).await?;
        }
        for (list, problem) in &problems {
            self.trouble(Trouble::Unlisted(*list), problem).await?;
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
        Ok(Some(reply::outcome(seen, &lines, body)))
    }

    /// Bears it for a while that nothing is seen. Returns the end once that was too long.
    async fn unseen(&mut self, blind: Blind) -> Result<Option<Outcome>, Error> {
        let since = *self.blind.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.inner.settings.grace {
            return Ok(Some(Outcome::Failed(blind.into_failure())));
        }
        self.trouble(Trouble::Unseen, &blind.text).await?;
        Ok(None)
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
                self.over(Trouble::Unlisted(list));
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

    /// Tells of trouble, once for as long as it lasts.
    async fn trouble(&mut self, trouble: Trouble, problem: &str) -> Result<(), Error> {
        if !self.troubles.contains(&trouble) {
            let what = match trouble {
                Trouble::Unseen => "the work request cannot be looked at",
                Trouble::Unlisted(List::Errors) => "the work request's errors cannot be listed",
                Trouble::Unlisted(List::Logs) => "the work request's logs cannot be listed",
            };
            let log = vec![line(self.lease, &format!("{what}: {problem}"))];
            self.now = self.lease.report(Report { log, ..Report::default() }).await?;
            self.troubles.push(trouble);
        }
        Ok(())
    }

    /// Trouble that there is no more is told when it comes back.
    fn over(&mut self, trouble: Trouble) {
        self.troubles.retain(|known| *known != trouble);
    }
}

/// How long the API wants to be left alone that answered with an error.
const fn asked_for(error: &Error) -> Option<Duration> {
    match error.retry {
        Retry::After(wait) => Some(wait),
        Retry::Never | Retry::SameRequest | Retry::Unknown => None,
    }
}

/// A line of the log about trouble with the upstream. It has no code: it is no error of the work.
pub(super) fn line(lease: &Lease, text: &str) -> LogEntry {
    LogEntry {
        at: lease.now(),
        error: true,
        code: Box::default(),
        message: limits::clip(text).into(),
    }
}
