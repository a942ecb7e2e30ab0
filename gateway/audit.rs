//! The audit log: a line for each decision about what somebody asked for.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use opgate_bus::{Auditor, Decided, Decision};
use opgate_core::Face;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tracing::error;

use crate::settings::AuditSink;

/// Lines that may wait to be written, a few hundred bytes each. More are lost, and counted where they would stand.
const QUEUE: usize = 65_536;

/// Writes lines, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Audit {
    sender: SyncSender<Word>,
    /// Lines that found no room, or could not be written, and of which nothing was said yet.
    lost: Arc<AtomicU64>,
    /// Whether that lines are lost was logged since a line was last written.
    told: Mutex<bool>,
}

/// What the thread is told.
enum Word {
    Line(String),
    Reopen,
    /// To answer once all before it is written.
    Flush(oneshot::Sender<()>),
}

/// Where lines go.
enum Sink {
    Stdout,
    File { path: PathBuf, out: Option<BufWriter<File>> },
}

impl Audit {
    /// Opens the sink; none where nothing is kept.
    ///
    /// # Errors
    /// The file cannot be opened, and why.
    pub(crate) fn open(sink: &AuditSink) -> Result<Option<Self>, (PathBuf, io::Error)> {
        let sink = match sink {
            AuditSink::Off => return Ok(None),
            AuditSink::Stdout => Sink::Stdout,
            AuditSink::File(path) => {
                let failed = |error| (path.clone(), error);
                let out = Some(BufWriter::new(appended(path).map_err(failed)?));
                Sink::File { path: path.clone(), out }
            }
        };
        let (sender, words) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer { sink, lost: Arc::clone(&lost) };
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&words))
            .map_err(|error| (PathBuf::new(), error))?;
        Ok(Some(Self { sender, lost, told: Mutex::new(false) }))
    }

    /// Opens the file anew: it may have been moved away.
    pub(crate) fn reopen(&self) {
        // With a full queue the thread is stuck with the old one, which the next signal may mend.
        if self.sender.try_send(Word::Reopen).is_err() {
            error!("the audit file is not opened anew: too much waits to be written");
        }
    }

    /// Waits until what was noted is written.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let sender = self.sender.clone();
        let sent = tokio::task::spawn_blocking(move || sender.send(Word::Flush(done)).is_ok());
        if sent.await.unwrap_or(false) {
            // The thread answers, or has ended.
            written.await.unwrap_or_default();
        }
    }
}

impl Auditor for Audit {
    fn note(&self, decided: &Decided<'_>) {
        let full = self.sender.try_send(Word::Line(line(decided).to_string())).is_err();
        if full {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if full && !*told {
            error!("the audit log cannot be written as fast as it grows: lines are lost");
        }
        *told = full;
    }
}

/// The keys that every line has, in this order.
fn line(decided: &Decided<'_>) -> Value {
    let Decided { at, action, decision, caller, via, operation, route, snapshot } = decided;
    let reason = match decision {
        Decision::Refused(kind) => Some(kind.name()),
        Decision::Done | Decision::Repeated | Decision::Unknown => None,
    };
    json!({
        "time": at.to_rfc3339(),
        "action": action.name(),
        "decision": decision.name(),
        "reason": reason,
        "principal": &*caller.principal,
        "tenant": caller.tenant.as_str(),
        "face": via.face.map(Face::name),
        "peer": via.peer.map(|peer| peer.to_string()),
        "operation": operation.map(|id| id.to_string()),
        "route": snapshot.map(|snapshot| &*snapshot.routed.route).or(*route),
        "service": snapshot.map(|snapshot| snapshot.kind.service()),
        "kind": snapshot.map(|snapshot| snapshot.kind.operation()),
        "parent": snapshot.map(|snapshot| snapshot.parent.as_str()),
        "state": snapshot.map(|snapshot| snapshot.state.name()),
        "version": snapshot.map(|snapshot| snapshot.version.0),
        "traceId": snapshot.and_then(|snapshot| snapshot.trace_id()),
        "lost": 0,
    })
}

/// A line that says how many are missing before it, with the keys that every line has.
fn missing(count: u64) -> Value {
    let keys = [
        "time",
        "action",
        "decision",
        "reason",
        "principal",
        "tenant",
        "face",
        "peer",
        "operation",
        "route",
        "service",
        "kind",
        "parent",
        "state",
        "version",
        "traceId",
    ];
    let mut line: serde_json::Map<String, Value> =
        keys.into_iter().map(|key| (key.to_owned(), Value::Null)).collect();
    line.insert("action".to_owned(), "lost".into());
    line.insert("lost".to_owned(), count.into());
    Value::Object(line)
}

/// The file, which is made if it is missing and read by nobody else.
fn appended(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

struct Writer {
    sink: Sink,
    lost: Arc<AtomicU64>,
}

impl Writer {
    /// Writes until nobody is left who could ask for it.
    fn run(mut self, words: &Receiver<Word>) {
        let mut failing = false;
        while let Ok(first) = words.recv() {
            let mut next = Some(first);
            let mut waiting = Vec::new();
            let mut lines = 0;
            let mut written = Ok(());
            while let Some(word) = next {
                match word {
                    Word::Line(line) => {
                        lines += 1;
                        written = written.and_then(|()| self.write(&line));
                    }
                    Word::Reopen => {
                        written = written.and_then(|()| self.flush());
                        self.reopen();
                    }
                    Word::Flush(done) => waiting.push(done),
                }
                next = words.try_recv().ok();
            }
            match written.and_then(|()| self.flush()) {
                Ok(()) => failing = false,
                Err(error) => {
                    self.lost.fetch_add(lines, Ordering::Relaxed);
                    if !failing {
                        error!(%error, "the audit log cannot be written");
                    }
                    failing = true;
                    // What is half written is not to be written once more when there is room.
                    self.reopen();
                }
            }
            for done in waiting {
                // Whoever waits may have gone.
                done.send(()).unwrap_or_default();
            }
        }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let told = self.put(&missing(lost).to_string());
            if told.is_err() {
                self.lost.fetch_add(lost, Ordering::Relaxed);
                return told;
            }
        }
        self.put(line)
    }

    fn put(&mut self, line: &str) -> io::Result<()> {
        match &mut self.sink {
            Sink::Stdout => writeln!(io::stdout(), "{line}"),
            Sink::File { out: Some(out), .. } => writeln!(out, "{line}"),
            Sink::File { out: None, .. } => Err(io::Error::other("the file is not open")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Stdout => io::stdout().flush(),
            Sink::File { out: Some(out), .. } => out.flush(),
            Sink::File { out: None, .. } => Ok(()),
        }
    }

    /// Opens the file anew. Where that fails, lines go on to the old one.
    fn reopen(&mut self) {
        let Sink::File { path, out } = &mut self.sink else { return };
        match appended(path) {
            // What was not written to the old one was counted.
            Ok(file) => {
                if let Some(old) = out.replace(BufWriter::new(file)) {
                    let (_, unwritten) = old.into_parts();
                    drop(unwritten);
                }
            }
            Err(error) => error!(%error, path = %path.display(), "the audit file cannot be opened"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_tells_of_lost_ones_has_all_keys() {
        let line = missing(7);
        assert_eq!((&line["action"], &line["lost"]), (&"lost".into(), &7.into()));
        assert_eq!(line.as_object().map(serde_json::Map::len), Some(17));
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_once_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit");
        let lost = Arc::new(AtomicU64::new(3));
        let out = Some(BufWriter::new(appended(&path).unwrap()));
        let mut writer = Writer { sink: Sink::File { path: path.clone(), out }, lost };
        writer.write("{}").and_then(|()| writer.flush()).unwrap();
        let moved = dir.path().join("audit.1");
        std::fs::rename(&path, &moved).unwrap();
        writer.reopen();
        writer.write("[]").and_then(|()| writer.flush()).unwrap();
        let lines = |path| std::fs::read_to_string(path).unwrap();
        assert_eq!(lines(&moved), format!("{}\n{{}}\n", missing(3)));
        assert_eq!(lines(&path), "[]\n");
    }
}
