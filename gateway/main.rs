//! The daemon: command line, exit codes, signals.

mod cli;
mod journal;
mod logging;
mod manual;
mod ops;
mod progress;
mod ready;
mod reload;
mod routes;
mod supervisor;
mod table;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::Parser as _;
use opgate::settings::{InForce, Problems, Settings, Sources};
use opgate::{Gateway, StartError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use cli::{Cli, Command};
use logging::EXIT;
use ready::ReadyFile;
use reload::Reloads;
use supervisor::Supervisor;

/// Why the daemon ended, as `sysexits.h` numbers it.
#[derive(Clone, Copy, Debug)]
enum Exit {
    /// Wrong usage.
    Usage = 64,
    /// A defect of opgate.
    Internal = 70,
    /// The operating system refused something: a port, a thread.
    Os = 71,
    /// A file or directory cannot be made, or is somebody else's.
    CannotCreate = 73,
    /// Reading or writing failed, or gave what cannot be right.
    Io = 74,
    /// Wrong configuration: starting again does not help.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

fn main() -> ExitCode {
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refused) => {
            // Help and version are asked for, and go to standard output.
            let wrong = refused.use_stderr();
            return match refused.print() {
                Ok(()) if !wrong => ExitCode::SUCCESS,
                Ok(()) => Exit::Usage.into(),
                Err(_) => Exit::Io.into(),
            };
        }
    };
    match cli.command() {
        Command::Version { json } => version(json),
        Command::Journal(journal) => journal::run(&journal, &cli.sources()),
        Command::Completions { shell } => show(&manual::completions(shell)),
        Command::Man { command, dir } => man(&command, dir.as_deref()),
        Command::Check { print } => check(&cli.sources(), print),
        Command::Routes { json } => routes(&cli.sources(), json),
        Command::Ops(ops) => ops::run(&ops, &cli.sources(), cli.ready_file.as_deref()),
        Command::Run => run(&cli),
    }
}

fn version(json: bool) -> ExitCode {
    let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    show(&if json {
        format!("{}\n", serde_json::json!({ "name": name, "version": version }))
    } else {
        format!("{name} {version}\n")
    })
}

fn check(sources: &Sources, print: bool) -> ExitCode {
    match Settings::load(sources) {
        Ok((_, effective)) if print => show(&effective.to_string()),
        Ok(_) => ExitCode::SUCCESS,
        Err(problems) => complain(&problems),
    }
}

fn routes(sources: &Sources, json: bool) -> ExitCode {
    match Settings::load(sources) {
        Ok((settings, _)) => show(&routes::show(&settings, json)),
        Err(problems) => complain(&problems),
    }
}

fn man(command: &[String], dir: Option<&Path>) -> ExitCode {
    let shown = match dir {
        Some(dir) => manual::files(dir).map(|()| String::new()),
        None => manual::page(command).unwrap_or_else(|| {
            let text = format!("there is no command {:?}", command.join(" "));
            Err(io::Error::new(io::ErrorKind::NotFound, text))
        }),
    };
    match shown {
        Ok(page) => show(&page),
        Err(error) => match writeln!(io::stderr(), "opgate: {error}") {
            Ok(()) if dir.is_some() => Exit::CannotCreate.into(),
            Ok(()) if error.kind() == io::ErrorKind::NotFound => Exit::Usage.into(),
            Ok(()) | Err(_) => Exit::Io.into(),
        },
    }
}

/// Writes what was asked for.
fn show(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => Exit::Io.into(),
    }
}

/// Says what is wrong with the configuration.
fn complain(problems: &Problems) -> ExitCode {
    match writeln!(io::stderr(), "{problems}") {
        Ok(()) => Exit::Config.into(),
        Err(_) => Exit::Io.into(),
    }
}

fn run(cli: &Cli) -> ExitCode {
    let sources = cli.sources();
    let (settings, effective) = match Settings::load(&sources) {
        Ok(loaded) => loaded,
        Err(problems) => {
            logging::problems(&problems);
            return Exit::Config.into();
        }
    };
    let logging = logging::start(&settings.log);
    let ready_file = match ReadyFile::new(cli.ready_file.as_deref()) {
        Ok(file) => file,
        Err(error) => {
            error!(target: EXIT, %error, "an old ready file cannot be removed");
            return Exit::CannotCreate.into();
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(target: EXIT, %error, "no threads to run on");
            return Exit::Os.into();
        }
    };
    let code = runtime.block_on(async {
        let in_force = Mutex::new(InForce::new(&effective));
        let reloads = Reloads { sources, in_force, logging: &logging };
        tokio::select! {
            code = Box::pin(serve(settings, &ready_file, &reloads)) => code,
            // Never ends.
            () = logging.tell() => Exit::Internal.into(),
        }
    });
    logging.finish();
    // Whatever still runs was given its time, or was told to end at once.
    runtime.shutdown_background();
    if let Err(error) = ready_file.remove() {
        warn!(%error, "the ready file cannot be removed");
    }
    code
}

/// Serves until told to stop.
async fn serve(settings: Settings, ready_file: &ReadyFile<'_>, reloads: &Reloads<'_>) -> ExitCode {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            error!(target: EXIT, %error, "signals cannot be handled");
            return Exit::Os.into();
        }
    };
    let supervisor = Supervisor::default();
    supervisor.status("opening the journal");
    let started = tokio::select! {
        started = Box::pin(Gateway::start(settings, supervisor::recovery())) => started,
        _ = signals.next() => {
            info!("told to stop before it was ready");
            return ExitCode::SUCCESS;
        }
    };
    let running = match started {
        Ok(running) => running,
        Err(problem) => {
            error!(target: EXIT, "{problem}");
            return exit(&problem).into();
        }
    };
    let addresses = running.addresses();
    if let Err(error) = ready_file.write(addresses) {
        error!(target: EXIT, %error, "the ready file cannot be written");
        return Exit::CannotCreate.into();
    }
    supervisor.ready(addresses);
    let _watched = Supervisor::watch(running.liveness());
    info!(http = %addresses.http, amqp = %addresses.amqp, admin = %addresses.admin, "ready");
    while signals.asks_to_reload().await {
        reloads.reload(&running).await;
    }
    if let Err(error) = ready_file.remove() {
        warn!(%error, "the ready file cannot be removed");
    }
    info!("draining");
    supervisor.stopping();
    tokio::select! {
        () = Box::pin(running.drain()) => {
            info!("stopped");
            ExitCode::SUCCESS
        }
        number = signals.next() => {
            warn!(target: EXIT, "told to stop at once");
            // What a shell reports of a process that the signal killed.
            ExitCode::from(128 + number)
        }
    }
}

const fn exit(problem: &StartError) -> Exit {
    match problem {
        StartError::Internal(_) => Exit::Internal,
        StartError::Configuration(_) => Exit::Config,
        StartError::Directory(_) | StartError::Audit { .. } => Exit::CannotCreate,
        StartError::Journal(_) => Exit::Io,
        StartError::Listen { .. } => Exit::Os,
    }
}

/// The signals that ask for something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The number of the next one that asks for an end.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminate.recv() => 15,
            _ = self.interrupt.recv() => 2,
        }
    }

    /// Whether the next one asks for the settings to be read again, and not for an end. Several that
    /// come at once may count as one.
    async fn asks_to_reload(&mut self) -> bool {
        tokio::select! {
            _ = self.hangup.recv() => true,
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
        }
    }
}
