//! The log, to standard error: standard output is for what a command was asked for.

mod fold;

use std::io::{self, IsTerminal};
use std::time::Duration;

use opgate::settings::{Log, LogFormat, Problems};
use tokio::time::MissedTickBehavior;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt;

use fold::{Fold, REPEATED};

/// The target of what says why the daemon ended otherwise than it was asked to: shown at any level.
pub(crate) const EXIT: &str = "opgate::exit";

/// Libraries that warn of what a client does, which would let it fill the log.
const LIBRARIES: [&str; 4] = ["h2", "hyper", "rustls", "tonic"];
/// How often it is looked whether something that was counted is to be told.
const TELL: Duration = Duration::from_secs(1);

/// The log of a running daemon.
pub(crate) struct Logging {
    fold: Fold,
    level: Box<dyn Fn(EnvFilter) -> bool + Send + Sync>,
}

impl Logging {
    /// Has another level hold from now on.
    pub(crate) fn set_level(&self, level: &str) {
        if !(self.level)(filter(level)) {
            tracing::error!("the log level stays as it was");
        }
    }

    /// Tells of what was counted and not logged, while the daemon runs.
    pub(crate) async fn tell(&self) {
        let mut ticks = tokio::time::interval(TELL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.fold.tell();
        }
    }

    /// Tells of the rest of it.
    pub(crate) fn finish(&self) {
        self.fold.finish();
    }
}

/// Starts logging.
pub(crate) fn start(log: &Log) -> Logging {
    let fold = Fold::default();
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter(&log.level)).with_writer(io::stderr);
    let (started, level): (_, Box<dyn Fn(EnvFilter) -> bool + Send + Sync>) = if is_text(log.format)
    {
        let lines = lines.with_ansi(io::stderr().is_terminal()).with_filter_reloading();
        let level = lines.reload_handle();
        let started = lines.finish().with(fold.clone()).try_init();
        (started, Box::new(move |filter| level.reload(filter).is_ok()))
    } else {
        let lines = lines.json().flatten_event(true).with_current_span(false);
        let lines = lines.with_filter_reloading();
        let level = lines.reload_handle();
        let started = lines.finish().with(fold.clone()).try_init();
        (started, Box::new(move |filter| level.reload(filter).is_ok()))
    };
    // Only a second call fails, and the first one's log is as good.
    started.unwrap_or_default();
    Logging { fold, level }
}

/// What is logged at a configured level. Of the libraries only errors are, unless it names them.
fn filter(level: &str) -> EnvFilter {
    // What holds for everything, as far as it says so: the libraries never get more than that.
    let words = level.split(',').filter(|word| !word.is_empty());
    let everything = words.filter_map(|word| word.parse::<LevelFilter>().ok()).next_back();
    let quiet = everything.unwrap_or(LevelFilter::OFF).min(LevelFilter::ERROR);
    let quiet = LIBRARIES.map(|library| format!("{library}={quiet}")).join(",");
    // Of two directives for one target the later one holds.
    // What was counted is told wherever the first of its kind was logged.
    EnvFilter::builder().parse_lossy(format!("{quiet},{level},{EXIT}=warn,{REPEATED}=warn"))
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
    drop(start(&Log { level: "error".to_owned(), format: LogFormat::Auto }));
    for problem in problems.iter() {
        tracing::error!(target: EXIT, key = problem.key, origin = problem.origin, "{problem}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{error, info, subscriber, warn};

    use super::*;

    /// A log that is kept.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Which of a set of events are logged at a level.
    fn logged(level: &str) -> Vec<String> {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter(level))
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .with_level(false)
            .with_target(false)
            .without_time()
            .finish();
        subscriber::with_default(log, || {
            info!("own info");
            warn!(target: "h2::proto::streams", "h2 warning");
            error!(target: "h2::proto::streams", "h2 error");
            warn!(target: "hyper_util::server", "hyper warning");
            warn!(target: "rustls::conn", "rustls warning");
            warn!(target: "tonic::transport", "tonic warning");
            warn!(target: EXIT, "why it ended");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn warnings_that_clients_cause_are_not_logged_unless_asked_for() {
        for level in ["trace", "info"] {
            assert_eq!(logged(level), ["own info", "h2 error", "why it ended"], "{level}");
        }
        for level in ["info,h2=warn", "h2=debug,info"] {
            let expected = ["own info", "h2 warning", "h2 error", "why it ended"];
            assert_eq!(logged(level), expected, "{level}");
        }
        let expected = ["own info", "h2 error", "hyper warning", "why it ended"];
        assert_eq!(logged("info,hyper=warn"), expected);
    }

    #[test]
    fn why_the_daemon_ended_is_logged_at_any_level() {
        for level in ["off", "opgate_store=debug", "off,opgate::exit=off"] {
            assert_eq!(logged(level), ["why it ended"], "{level}");
        }
        assert_eq!(logged("error"), ["h2 error", "why it ended"]);
    }
}
