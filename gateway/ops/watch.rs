//! `opgate ops watch`.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use super::args::Output;
use super::client::{self, Refusal, path, refused};
use super::{Failed, Session, show, write};
use crate::progress::Progress;

/// How long a gateway may be away that was there.
const AWAY: Duration = Duration::from_mins(1);
/// Between two looks for it.
const PAUSE: Duration = Duration::from_millis(500);

/// What is watched, and how far that has come.
struct Watching<'a> {
    session: &'a Session,
    /// Where the events are; the cursor is put behind it as a parameter.
    path: String,
    /// After which event to go on.
    cursor: String,
    /// Whether there is one operation, with an end.
    one: bool,
    last: Option<Value>,
    progress: Progress,
    /// Whether each change is a line of standard output.
    lines: bool,
}

impl Session {
    /// Follows an operation to its end.
    pub(super) async fn watch(&self, name: &str) -> Result<(), Failed> {
        let mut watching = Watching::new(self, path(name, ":watch"), true);
        watching.until_the_end().await?;
        let Watching { last, lines, progress, .. } = watching;
        drop(progress);
        let last = last.unwrap_or_default();
        if !lines {
            self.show(&last)?;
        }
        if last["state"] == "SUCCEEDED" { Ok(()) } else { Err(Failed::Ended) }
    }

    /// Follows whatever changes.
    pub(super) async fn watch_all(&self, parent: &str, filter: &str) -> Result<(), Failed> {
        let mut path = "/opgate/v1/operations:watch".to_owned();
        for (key, value) in [("parent", parent), ("filter", filter)] {
            if !value.is_empty() {
                path = with(&path, key, value);
            }
        }
        Watching::new(self, path, false).until_the_end().await
    }
}

impl<'a> Watching<'a> {
    fn new(session: &'a Session, path: String, one: bool) -> Self {
        let progress = Progress::new();
        // A bar says it all to who looks at a terminal; whoever reads a pipe gets each change.
        let bar = one && progress.is_seen() && io::stdout().is_terminal();
        let lines = session.output == Output::Json || !bar;
        Self { session, path, cursor: String::new(), one, last: None, progress, lines }
    }

    /// Follows it over as many connections as it takes.
    async fn until_the_end(&mut self) -> Result<(), Failed> {
        let mut since: Option<Instant> = None;
        loop {
            let before = self.cursor.clone();
            match self.follow().await {
                Ok(()) => return Ok(()),
                Err(Failed::Request(error)) if passes(&error) => {
                    if self.cursor != before {
                        since = None;
                    }
                    // A gateway that was never there is not waited for.
                    if self.last.is_none() {
                        return Err(error.into());
                    }
                    if since.get_or_insert_with(Instant::now).elapsed() > AWAY {
                        return Err(error.into());
                    }
                    self.progress.say(None, "the gateway is away: looking for it", true);
                    sleep(PAUSE).await;
                }
                Err(failed) => return Err(failed),
            }
        }
    }

    /// Follows it over one connection; returns after its end.
    async fn follow(&mut self) -> Result<(), Failed> {
        let mut events = if self.cursor.is_empty() {
            self.session.client.events(&self.path).await?
        } else {
            self.session.client.events(&with(&self.path, "from", &self.cursor)).await?
        };
        loop {
            let event = events.next().await?;
            match &*event.kind {
                "operation" | "deleted" => {
                    self.cursor = event.id;
                    self.show(&event.data, event.kind == "deleted")?;
                    let gone = self.one && event.kind == "deleted";
                    self.last = Some(event.data);
                    if gone {
                        let (status, message) =
                            ("NOT_FOUND".to_owned(), "it was deleted".to_owned());
                        return Err(Refusal::Refused { status, message }.into());
                    }
                }
                "end" => return Ok(()),
                "error" => return Err(refused(&event.data).into()),
                _ => {}
            }
        }
    }

    fn show(&mut self, operation: &Value, deleted: bool) -> Result<(), Failed> {
        if self.lines {
            self.progress.wipe();
            write(&match self.session.output {
                Output::Json => format!("{operation}\n"),
                Output::Table | Output::Wide => show::change(operation, deleted, !self.one),
            })?;
        }
        if self.one && operation["done"] != true {
            let percent = operation.pointer("/progress/percent").and_then(Value::as_f64);
            self.progress.say(percent, &show::doing(operation), false);
        }
        Ok(())
    }
}

/// A path with one more parameter.
fn with(path: &str, key: &str, value: &str) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}{key}={}", client::value(value))
}

/// Whether it may be otherwise in a moment: the gateway is being restarted.
fn passes(error: &Refusal) -> bool {
    match error {
        Refusal::Unreachable { .. } => true,
        Refusal::Refused { status, .. } => status == "UNAVAILABLE",
    }
}
