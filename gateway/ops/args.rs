//! What can be said on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use opgate::settings::parse_duration;

/// Exit codes of these commands, for `--help`.
const AFTER_HELP: &str = "\
NAME is an operation's id, or the name any protocol gave it.

Exit codes: 0 done; 1 the operation ended without success (wait, start --wait);
2 the gateway refused the request; 64 wrong usage; 69 the gateway cannot be
reached; 75 the time was over before the operation ended (wait).";

/// `opgate ops`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Ops {
    /// Where the gateway listens, as http[s]://HOST:PORT. Left out: as the ready file or the
    /// settings say
    #[arg(long, value_name = "URL", global = true, env = "OPGATE_ADDRESS", hide_env_values = true)]
    pub(super) address: Option<String>,
    /// Authorities to believe over https besides the system's, in PEM
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        env = "OPGATE_CA_FILE",
        hide_env_values = true
    )]
    pub(super) ca_file: Option<PathBuf>,
    /// Where its admin listener is, for `backends`. Left out: as the ready file or the settings say
    #[arg(
        long,
        value_name = "URL",
        global = true,
        env = "OPGATE_ADMIN_ADDRESS",
        hide_env_values = true
    )]
    pub(super) admin_address: Option<String>,
    /// How results are shown
    #[arg(short, long, value_enum, global = true, default_value_t = Output::Table)]
    pub(super) output: Output,
    #[command(subcommand)]
    pub(super) action: Action,
}

/// How results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    Table,
    /// The same with more columns
    Wide,
    /// As the gateway's API gives them: see docs/cli.md
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Start an operation
    Start(Box<Start>),
    /// Show an operation: its names on every face, and what happened to it
    Get {
        #[arg(value_name = "NAME", allow_hyphen_values = true)]
        name: String,
    },
    /// List operations, newest first
    List(List),
    /// Wait until an operation has ended
    Wait {
        #[arg(value_name = "NAME", allow_hyphen_values = true)]
        name: String,
        /// How long to wait at most, such as 10m. Left out: until it has ended
        #[arg(long, value_name = "TIME", value_parser = duration)]
        timeout: Option<Duration>,
    },
    /// Follow an operation to its end, with its progress; or, without a name, every change there is
    Watch {
        #[arg(value_name = "NAME", allow_hyphen_values = true)]
        name: Option<String>,
        /// Without a name: only what lies beneath this one
        #[arg(long, value_name = "NAME", default_value = "", conflicts_with = "name")]
        parent: String,
        /// Without a name: only what matches
        #[arg(long, value_name = "FILTER", default_value = "", conflicts_with = "name")]
        filter: String,
    },
    /// Ask for an operation's cancellation
    Cancel {
        #[arg(value_name = "NAME", allow_hyphen_values = true)]
        name: String,
        /// Why, for the record
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Forget an operation. Its work goes on
    Delete {
        #[arg(value_name = "NAME", allow_hyphen_values = true)]
        name: String,
    },
    /// End an operation by hand. Its log says who did
    Complete(Box<Complete>),
    /// Have an operation taken up anew by its backend, now: one that rests between attempts, or that its upstream has
    /// lost. Of one that has ended: callbacks that were given up or refused are delivered once more. `list --state
    /// orphaned,undelivered` shows such
    Redrive {
        #[arg(value_name = "NAME", required = true, allow_hyphen_values = true)]
        names: Vec<String>,
    },
    /// Show how it stands with each backend: what it has, what waits, whether its upstream is called
    Backends,
}

/// `start`.
#[derive(Debug, Args)]
pub(super) struct Start {
    /// The route that takes it, by its name in the configuration
    #[arg(value_name = "ROUTE", required_unless_present = "service")]
    pub(super) route: Option<String>,
    /// Instead of a route: the kind of operation
    #[arg(long, value_name = "NAME", requires = "operation", conflicts_with = "route")]
    pub(super) service: Option<String>,
    #[arg(long, value_name = "NAME", requires = "service", help = "And which of its operations")]
    pub(super) operation: Option<String>,
    /// Beneath which name it is listed
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(super) parent: String,
    #[command(flatten)]
    pub(super) input: Content,
    /// A repeat with the same id is the same operation
    #[arg(long, value_name = "ID", default_value = "")]
    pub(super) request_id: String,
    /// How long it may take, such as 1h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) timeout: Option<Duration>,
    /// Wait until it has ended
    #[arg(long)]
    pub(super) wait: bool,
}

/// `list`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only what lies beneath this name
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(super) parent: String,
    /// Only what matches, such as 'state = RUNNING AND service = "identity"'
    #[arg(long, value_name = "FILTER", default_value = "")]
    pub(super) filter: String,
    /// Only what is in one of these states, separated by commas
    #[arg(long, value_name = "STATE", value_enum, value_delimiter = ',', ignore_case = true)]
    pub(super) state: Vec<ListState>,
    /// Only what this backend carries out
    #[arg(long, value_name = "NAME")]
    pub(super) backend: Option<String>,
    /// Only what this route took
    #[arg(long, value_name = "NAME")]
    pub(super) route: Option<String>,
    /// Only what was started at least so long ago, such as 1h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) older_than: Option<Duration>,
    /// Only what was started at most so long ago
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) newer_than: Option<Duration>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, conflicts_with = "all",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
    /// All of them
    #[arg(long)]
    pub(super) all: bool,
}

/// A state to list, or a word for several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ListState {
    Accepted,
    Running,
    Succeeded,
    Failed,
    Canceled,
    /// Has not ended
    Live,
    /// Has not ended, and somebody asked for its cancellation
    Canceling,
    /// Its upstream does not know it any more
    Orphaned,
    /// A callback of it could not be delivered
    Undelivered,
}

/// How an operation ends by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum End {
    Succeeded,
    Failed,
    Canceled,
}

/// `complete`.
#[derive(Debug, Args)]
pub(super) struct Complete {
    #[arg(value_name = "NAME", allow_hyphen_values = true)]
    pub(super) name: String,
    /// How it ends
    #[arg(long, value_enum)]
    pub(super) outcome: End,
    /// For a failure: a code of google.rpc.Code, by name or number. Left out: UNKNOWN
    #[arg(long, value_name = "CODE", value_parser = code)]
    pub(super) code: Option<&'static str>,
    /// Why it failed or was canceled
    #[arg(long, value_name = "TEXT")]
    pub(super) message: Option<String>,
    #[command(flatten)]
    pub(super) result: Content,
}

/// Content, in one of its forms.
#[derive(Debug, Args)]
#[group(multiple = true)]
pub(super) struct Content {
    /// JSON text
    #[arg(long, value_name = "JSON", value_parser = json, group = "content")]
    pub(super) json: Option<serde_json::Value>,
    /// Plain text
    #[arg(long, value_name = "TEXT", group = "content")]
    pub(super) text: Option<String>,
    /// The content of a file, or of standard input for "-"
    #[arg(long, value_name = "PATH", group = "content")]
    pub(super) file: Option<PathBuf>,
    /// Bytes in base64
    #[arg(long, value_name = "BASE64", group = "content")]
    pub(super) value_base64: Option<String>,
    /// The media type of the file or bytes. Left out: application/octet-stream
    #[arg(long, value_name = "TYPE", requires = "content", conflicts_with_all = ["json", "text"])]
    pub(super) media_type: Option<String>,
    /// Instead of a media type: the bytes are the protobuf message of this type
    #[arg(long, value_name = "URL", requires = "content",
          conflicts_with_all = ["json", "text", "media_type"])]
    pub(super) type_url: Option<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .ok_or_else(|| "a whole number and a unit is expected: ms, s, m, h or d".to_owned())
}

fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

/// The name of a code, by its name or number.
fn code(text: &str) -> Result<&'static str, String> {
    let by_number = text.parse().ok().and_then(opgate::Code::from_number);
    by_number.or_else(|| opgate::Code::from_name(text)).map(opgate::Code::name).ok_or_else(|| {
        let known: Vec<&str> = opgate::Code::ALL.into_iter().map(opgate::Code::name).collect();
        format!("a number from 1 to 16 or one of {} is expected", known.join(", "))
    })
}
