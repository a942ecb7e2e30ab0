//! `opgate journal`: a data directory looked at as it lies, also while a daemon has it.

use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use opgate::settings::{Settings, Sources};
use opgate_core::State;
use opgate_core::filter::{Predicate as _, canonical};
use opgate_native::Shown;
use opgate_store::{CopyError, LAYOUT, OpenError, Records, Stats, Verified};
use serde_json::{Map, Value, json};

use crate::progress::Progress;
use crate::{Exit, complain, show};

const AFTER_HELP: &str = "\
Nothing is changed, and no daemon is asked: whoever may read the directory may do this, while a daemon has it too.
While one command reads, the daemon's write-ahead log grows.

Exit codes: 0 done; 64 wrong usage; 73 the copy cannot be made; 74 the journal is damaged or cannot be read;
78 a later opgate wrote it, or wrong configuration.";

/// `opgate journal`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Journal {
    /// The data directory. Left out: the one of the settings
    #[arg(long, value_name = "DIR", global = true)]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Action {
    /// Read everything, and hold it against its checksums and indexes
    Verify {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write every operation, oldest first, one JSON object on a line
    Dump {
        /// Only what matches, such as 'done = false'
        #[arg(long, value_name = "FILTER", default_value = "")]
        filter: String,
        /// With log, input and result
        #[arg(long)]
        full: bool,
    },
    /// Count what there is
    Stats {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a copy of it as of now: a data directory of its own, that a daemon goes on from
    Snapshot {
        /// A directory that is empty, or not there yet
        #[arg(value_name = "DEST")]
        dest: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Damaged(String),
    #[error("{0}")]
    Internal(String),
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl Failed {
    const fn exit(&self) -> Exit {
        match self {
            Self::Open(OpenError::Newer { .. }) => Exit::Config,
            Self::Open(_)
            | Self::Damaged(_)
            | Self::Output(_)
            | Self::Copy(CopyError::Failed(_)) => Exit::Io,
            Self::Copy(CopyError::Occupied(_) | CopyError::Directory { .. }) => Exit::CannotCreate,
            Self::Usage(_) => Exit::Usage,
            Self::Internal(_) => Exit::Internal,
        }
    }
}

/// Does it.
pub(crate) fn run(journal: &Journal, sources: &Sources) -> ExitCode {
    let dir = match &journal.dir {
        Some(dir) => dir.clone(),
        None => match Settings::load(sources) {
            Ok((settings, _)) => settings.data.dir,
            Err(problems) => return complain(&problems),
        },
    };
    let done = match &journal.action {
        Action::Verify { json } => verify(&dir, *json),
        Action::Dump { filter, full } => dump(&dir, filter, *full),
        Action::Stats { json } => stats(&dir, *json),
        Action::Snapshot { dest, json } => snapshot(&dir, dest, *json),
    };
    match done {
        Ok(code) => code,
        // Whoever reads has read enough.
        Err(Failed::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failed) => match writeln!(io::stderr(), "opgate: {failed}") {
            Ok(()) => failed.exit().into(),
            Err(_) => Exit::Io.into(),
        },
    }
}

fn verify(dir: &Path, as_json: bool) -> Result<ExitCode, Failed> {
    let mut progress = Progress::new();
    let found =
        Records::open(dir)?.verify(&mut |done, all| progress.of("operations", done, all))?;
    drop(progress);
    let Verified { operations, bytes, problems, untold } = found;
    let sound = problems.is_empty();
    let text = if as_json {
        pretty(&json!({
            "directory": dir.display().to_string(),
            "sound": sound,
            "operations": operations,
            "bytes": bytes,
            "problems": problems,
            "moreProblems": untold,
        }))
    } else {
        let mut lines = problems;
        if untold > 0 {
            lines.push(format!("and {untold} more"));
        }
        let word = if sound { "sound" } else { "damaged" };
        lines.push(format!("{}: {word}: {operations} operations, {bytes} bytes", dir.display()));
        lines.join("\n") + "\n"
    };
    let shown = show(&text);
    Ok(if sound { shown } else { Exit::Io.into() })
}

fn dump(dir: &Path, filter: &str, full: bool) -> Result<ExitCode, Failed> {
    let wanted = canonical(filter).map_err(|error| Failed::Usage(error.to_string()))?;
    let shown = Shown::new().map_err(Failed::Internal)?;
    let records = Records::open(dir)?;
    let (mut out, mut damaged, mut end) = (io::BufWriter::new(io::stdout().lock()), 0_u64, Ok(()));
    records.each(&mut |found| {
        let line = match found {
            Ok(snapshot) if !wanted.passes(&snapshot) => return ControlFlow::Continue(()),
            Ok(snapshot) => match shown.one(&snapshot, full) {
                Ok(operation) => format!(
                    "{{\"position\":{},\"tenant\":{},\"deleted\":{},\"operation\":{}}}\n",
                    snapshot.seq.0,
                    Value::from(snapshot.tenant.as_str()),
                    snapshot.removed.is_some(),
                    String::from_utf8_lossy(&operation)
                ),
                Err(error) => {
                    damaged += 1;
                    format!(
                        "{}\n",
                        json!({ "position": snapshot.seq.0, "problem": error.to_string() })
                    )
                }
            },
            Err((seq, problem)) => {
                damaged += 1;
                format!("{}\n", json!({ "position": seq.0, "problem": problem }))
            }
        };
        end = out.write_all(line.as_bytes());
        if end.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    end.and_then(|()| out.flush())?;
    if damaged > 0 {
        return Err(Failed::Damaged(format!("{damaged} operations cannot be read")));
    }
    Ok(ExitCode::SUCCESS)
}

fn stats(dir: &Path, as_json: bool) -> Result<ExitCode, Failed> {
    let found = Records::open(dir)?.stats()?;
    Ok(show(&if as_json { pretty(&counted(dir, &found)) } else { told(dir, &found) }))
}

fn snapshot(dir: &Path, dest: &Path, as_json: bool) -> Result<ExitCode, Failed> {
    let records = Records::open(dir)?;
    let mut progress = Progress::new();
    records.copy_to(dest, &mut |done, all| progress.of("pages", done, all))?;
    drop(progress);
    let found = records.stats()?;
    let operations: u64 = found.counts.iter().sum();
    Ok(show(&if as_json {
        pretty(&json!({
            "directory": dest.display().to_string(),
            "operations": operations,
            "position": found.last.0,
        }))
    } else {
        format!("{}: {operations} operations, up to position {}\n", dest.display(), found.last.0)
    }))
}

fn counted(dir: &Path, found: &Stats) -> Value {
    let states = State::ALL.into_iter().zip(found.counts);
    let states: Map<String, Value> =
        states.map(|(state, count)| (state.name().to_owned(), count.into())).collect();
    let live = found.live.iter().map(|live| {
        json!({
            "route": &*live.route,
            "backend": &*live.backend,
            "count": live.count,
            "oldestCreateTime": live.oldest.to_rfc3339(),
        })
    });
    json!({
        "directory": dir.display().to_string(),
        "layout": found.layout,
        "latestLayout": LAYOUT,
        "inUse": found.in_use,
        "position": found.last.0,
        "operations": states,
        "owedCallbacks": found.owed,
        "parents": found.parents,
        "live": live.collect::<Vec<_>>(),
        "databaseBytes": found.database_bytes,
        "freeBytes": found.free_bytes,
        "logBytes": found.log_bytes,
    })
}

fn told(dir: &Path, found: &Stats) -> String {
    let mut lines = vec![
        ("directory", dir.display().to_string()),
        ("layout", format!("{} of {LAYOUT}", found.layout)),
        ("in use", if found.in_use { "yes" } else { "no" }.to_owned()),
        ("position", found.last.0.to_string()),
    ];
    let states = State::ALL.into_iter().zip(found.counts);
    lines.extend(states.map(|(state, count)| (state.name(), count.to_string())));
    lines.push(("owed callbacks", found.owed.to_string()));
    lines.push(("parents", found.parents.to_string()));
    for live in &found.live {
        let (route, backend) = (&live.route, &live.backend);
        let text = format!(
            "{} of route {route}, backend {backend}, the oldest from {}",
            live.count,
            live.oldest.to_rfc3339()
        );
        lines.push(("live", text));
    }
    lines.push(("database", format!("{} bytes, {} free", found.database_bytes, found.free_bytes)));
    lines.push(("log", format!("{} bytes", found.log_bytes)));
    let lines = lines.iter().map(|(label, value)| format!("{label:<14}  {value}\n"));
    lines.collect::<Vec<_>>().concat()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
