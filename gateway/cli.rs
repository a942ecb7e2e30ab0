//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use opgate::settings::Sources;

use crate::journal::Journal;
use crate::ops::Ops;

const AFTER_HELP: &str = "\
Settings come from the shipped defaults, then each --config, then variables of the form
OPGATE__SECTION__KEY (OPGATE__HTTP__LISTEN sets http.listen), then each --set.

Exit codes: 0 done, 64 wrong usage, 70 internal error, 71 cannot listen,
73 data directory cannot be made or is in use, 74 journal damaged or not writable,
78 wrong configuration; 130 or 143 stopped at once by a second SIGINT or SIGTERM.";

/// The operations gateway: one daemon for every ecosystem's long-running operations.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Settings file over the defaults; may be repeated
    #[arg(
        short,
        long,
        value_name = "FILE",
        global = true,
        env = "OPGATE_CONFIG",
        hide_env_values = true
    )]
    config: Vec<PathBuf>,
    #[arg(
        short,
        long,
        value_name = "KEY=VALUE",
        global = true,
        help = "One setting; may be repeated [env: OPGATE__SECTION__KEY]"
    )]
    set: Vec<String>,
    #[arg(
        long,
        value_name = "LEVEL",
        global = true,
        help = "Short for --set log.level=LEVEL [env: OPGATE__LOG__LEVEL]"
    )]
    log: Option<String>,
    /// Write the addresses there, as JSON, once ready
    #[arg(
        long,
        value_name = "PATH",
        global = true,
        env = "OPGATE_READY_FILE",
        hide_env_values = true
    )]
    pub(crate) ready_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Default, Subcommand)]
pub(crate) enum Command {
    /// Serve until SIGTERM or SIGINT, the second of which stops at once (the default)
    #[default]
    Run,
    /// Check the settings and the files they name, and say everything that is wrong
    Check {
        /// Show the settings in effect, each with where it came from
        #[arg(long)]
        print: bool,
    },
    /// Show the routes, their backends, and the requests that start them
    Routes {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Start, show and steer operations of a running gateway
    Ops(Box<Ops>),
    /// Check, show, count and copy a data directory, also while a daemon has it
    Journal(Journal),
    /// Write the completions of this command line for a shell
    Completions {
        #[arg(value_name = "SHELL", value_enum)]
        shell: Shell,
    },
    /// Write the manual page of a command, in roff
    Man {
        /// Such as: ops list
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
        /// All pages, as files in this directory
        #[arg(long, value_name = "DIR", conflicts_with = "command")]
        dir: Option<PathBuf>,
    },
    /// Show the version
    Version {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

impl Cli {
    /// Where settings come from.
    pub(crate) fn sources(&self) -> Sources {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let log = self.log.iter().map(|level| format!("log.level={level}"));
        Sources {
            files: self.config.clone(),
            environment: std::env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            set: self.set.iter().cloned().chain(log).collect(),
        }
    }

    /// What to do.
    pub(crate) fn command(&mut self) -> Command {
        self.command.take().unwrap_or_default()
    }
}
