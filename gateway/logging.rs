//! The log, to standard error: standard output is for what a command was asked for.

use std::io::{self, IsTerminal};

use opgate::settings::{Log, LogFormat, Problems};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging.
pub(crate) fn start(log: &Log) {
    let filter = EnvFilter::builder().parse_lossy(&log.level);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = if is_text(log.format) {
        lines.with_ansi(io::stderr().is_terminal()).finish().try_init()
    } else {
        lines.json().flatten_event(true).with_current_span(false).finish().try_init()
    };
    // Only a second call fails, and the first one's log is as good.
    started.unwrap_or_default();
}

fn is_text(format: LogFormat) -> bool {
    match format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Text => true,
    }
}

/// Logs what is wrong with the settings, which could not say how to log: one event for each.
pub(crate) fn problems(problems: &Problems) {
    start(&Log { level: "error".to_owned(), format: LogFormat::Auto });
    for problem in problems.iter() {
        tracing::error!(key = problem.key, origin = problem.origin, "{problem}");
    }
}
