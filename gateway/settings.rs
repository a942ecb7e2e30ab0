//! Settings: layered, typed, and checked as a whole.
//!
//! The shipped `config/opgate.toml` is the only source of defaults. `config` lays the sources over
//! one another; [`section`] then reads every key into its type and notes whatever is wrong, so that
//! one run tells all. Serde would stop at the first problem, and coerce what it should refuse.

mod amqp;
mod amqp_backend;
mod amqp_doors;
mod callbacks;
mod console;
mod doors;
mod forms;
mod longrunning_backend;
mod manner;
mod nexus;
mod oci;
mod oci_backend;
mod oci_keys;
mod parts;
mod problem;
mod reload;
mod resources;
mod routes;
mod section;
mod sources;
mod text;
mod tls;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use amqp_backend::AmqpBackend;
pub use callbacks::Callbacks;
pub use console::Console;
pub use longrunning_backend::LongrunningBackend;
pub use manner::Manner;
pub use nexus::Nexus;
pub(crate) use nexus::is_loopback;
pub use oci::Oci;
pub use oci_backend::OciBackend;
pub use oci_keys::OciKeys;
pub use opgate_bus::Callbacks as Delivery;
pub use opgate_longrunning::{DescriptorSet, InputForm};
pub use opgate_store::Durability;
pub use problem::{Problem, Problems};
pub use reload::InForce;
pub use routes::{Backend, BackendKind, GrpcDoor, Route, Worker};
pub use sources::Sources;
pub use text::Effective;
pub use tls::Tls;
pub use units::duration as parse_duration;

use section::{Findings, Section};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Everything that can be configured. Made by [`Settings::load`] only, so always checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where and how operations are kept.
    pub data: Storage,
    /// The listener of all HTTP protocols.
    pub http: Http,
    /// The listener of metrics and health.
    pub admin: Listener,
    /// The web console there; none: it is off.
    pub console: Option<Console>,
    /// Waits.
    pub wait: Wait,
    /// Watches held open at once.
    pub watches: usize,
    /// Repeats of what a backend could not do.
    pub retry: Retry,
    /// Callbacks: where they may go, and their delivery.
    pub callbacks: Callbacks,
    /// Calls to others.
    pub egress: opgate_egress::Settings,
    /// The orderly stop.
    pub drain: Drain,
    /// The log.
    pub log: Log,
    /// Who asked for what.
    pub audit: AuditSink,
    /// The parents that speak BuildGrid's profile.
    pub buildgrid: Vec<String>,
    /// Further protobuf types, as their files had them.
    pub descriptors: Vec<DescriptorSet>,
    /// OCI work requests.
    pub oci: Oci,
    /// The listener of AMQP.
    pub amqp: opgate_amqp::Settings,
    /// Its TLS; none: it has none.
    pub amqp_tls: Option<Tls>,
    /// Workers that come over it.
    pub amqp_work: opgate_amqp::queue::Settings,
    /// Backends by name.
    pub backends: BTreeMap<String, Backend>,
    /// Routes by name, without those switched off.
    pub routes: BTreeMap<String, Route>,
}

/// `[data]`.
#[derive(Clone, Debug)]
pub struct Storage {
    /// The directory.
    pub dir: PathBuf,
    /// When a change counts as kept.
    pub durability: Durability,
    /// Largest database, in bytes.
    pub max_bytes: u64,
    /// Operations held in memory.
    pub resident_operations: usize,
    /// Bodies held in memory, in bytes.
    pub body_bytes: usize,
    /// Operations that have not ended.
    pub live_operations: usize,
    /// Changes waiting to be written.
    pub queue: usize,
}

/// Where a listener listens.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// None: without TLS.
    pub tls: Option<Tls>,
}

/// `[http]`. Sizes in bytes.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "described in config/opgate.toml, key by key")]
pub struct Http {
    pub listen: SocketAddr,
    /// None: without TLS.
    pub tls: Option<Tls>,
    pub connections: usize,
    pub streams: u32,
    pub head_bytes: u32,
    pub head_timeout: Duration,
    pub body_bytes: usize,
    pub body_timeout: Duration,
    pub stream_window_bytes: u32,
    pub connection_window_bytes: u32,
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    pub stall_timeout: Duration,
    /// None: connections may grow old.
    pub connection_age: Option<Duration>,
}

/// `[wait]`.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// Longest wait of one request.
    pub max: Duration,
    /// Waits held open at once.
    pub open: usize,
}

/// `[retry]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// About the wait before the first repeat; each later one is twice as long.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Attempts in all.
    pub attempts: u32,
}

/// `[drain]`.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// How long connections are still accepted.
    pub notice: Duration,
    /// How long open requests then have.
    pub timeout: Duration,
}

/// `[audit]`: where it is kept who asked for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditSink {
    /// Nowhere.
    Off,
    /// On standard output.
    Stdout,
    /// In this file.
    File(PathBuf),
}

/// `[log]`.
#[derive(Clone, Debug)]
pub struct Log {
    /// The filter, in the syntax of `tracing_subscriber`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One object on a line.
    Json,
    /// For people.
    Text,
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// Longest retention: what is kept longer belongs into an archive.
const RETENTION_MAX: Duration = Duration::from_hours(24 * 365);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

impl Settings {
    /// Reads and checks all sources, and the files they name. Nothing is opened or bound.
    ///
    /// # Errors
    /// Every problem there is.
    pub fn load(sources: &Sources) -> Result<(Self, Effective), Problems> {
        let findings = Findings::default();
        let table = sources::merge(sources, &mut findings.problems.borrow_mut());
        let settings = Self::read(&Section::root(&findings, &table));
        let problems = findings.problems.into_inner();
        if problems.is_empty() {
            Ok((settings, Effective(table)))
        } else {
            Err(Problems::new(problems))
        }
    }

    /// Every key there is, as a dotted path with `NAME` for the names of backends, routes and
    /// receivers.
    pub fn keys() -> BTreeSet<String> {
        let findings = Findings::default();
        // None of these is there unless an operator has it.
        let named = [
            "callbacks.receivers.name.hosts=[\"h\"]",
            "http.tls.cert_file=x",
            "admin.tls.cert_file=x",
            "amqp.tls.cert_file=x",
            "audit.file=x",
            "oci.compartments.name.id=\"ocid1.x\"",
            "oci.tenancies.name.id=\"ocid1.x\"",
            "oci.users.name.id=\"ocid1.x\"",
            "oci.issuers.name.issuer=\"x\"",
            "amqp.users.name.password=\"x\"",
        ];
        let sources = Sources { set: named.map(str::to_owned).into(), ..Sources::default() };
        let table = sources::merge(&sources, &mut findings.problems.borrow_mut());
        Self::read(&Section::root(&findings, &table));
        findings.keys.into_inner()
    }

    fn read(root: &Section<'_>) -> Self {
        let data = root.section("data");
        let retention = data.duration("retention", SECOND..=RETENTION_MAX);
        let http = http(&root.section("http"));
        let listen = http.listen;
        let egress = callbacks::egress(&root.section("egress"));
        let retry = retry(&root.section("retry"));
        let backends = routes::backends(root, listen, egress.authorities.as_deref(), retry);
        let sections = root.named("routes");
        let routes = routes::routes(&sections, &backends, retention);
        let (amqp, amqp_tls) = amqp::amqp(&root.section("amqp"));
        let (admin, console) = admin(&root.section("admin"), &http);
        let settings = Self {
            data: storage(&data),
            http,
            admin,
            console,
            wait: wait(&root.section("wait")),
            watches: watches(&root.section("watch")),
            retry,
            callbacks: callbacks::callbacks(&root.section("callbacks")),
            egress,
            drain: drain(&root.section("drain")),
            log: log(&root.section("log")),
            audit: audit(&root.section("audit")),
            buildgrid: instances(&root.section("buildgrid")),
            descriptors: descriptors(&root.section("descriptors")),
            oci: oci::oci(&root.section("oci"), listen),
            amqp,
            amqp_tls,
            amqp_work: amqp::work(&root.section("amqp").section("work")),
            backends,
            routes,
        };
        root.finish();
        let (http, admin, amqp) =
            (settings.http.listen, settings.admin.listen, settings.amqp.listen);
        for (section, own, others) in [
            ("admin", admin, &[("http", http)][..]),
            ("amqp", amqp, &[("http", http), ("admin", admin)]),
        ] {
            let taken = others.iter().find(|(_, other)| *other == own && own.port() != 0);
            if let Some((other, _)) = taken {
                let reason = format!("is the address of {other}.listen already");
                root.section(section).refuse("listen", reason);
            }
        }
        doors::check(&settings, root, &sections);
        doors::check_calls(&settings, &sections);
        doors::check_templates(&settings, &sections);
        amqp_doors::check(&settings, &sections);
        longrunning_backend::check(&settings, &sections);
        settings
    }
}

fn storage(section: &Section<'_>) -> Storage {
    let storage = Storage {
        dir: PathBuf::from(section.text("dir")),
        durability: section
            .choice("durability", &[("fsync", Durability::Fsync), ("memory", Durability::Memory)]),
        max_bytes: section.size("max_size", 16 * MIB..=256 * TIB),
        resident_operations: section.count("resident_operations", 1..=100_000_000),
        body_bytes: bytes(section.size("body_memory", MIB..=TIB)),
        live_operations: section.count("live_operations", 1..=10_000_000),
        queue: section.count("queue", 1..=1_000_000),
    };
    section.finish();
    if storage.live_operations > storage.resident_operations {
        let reason = format!(
            "must be at most data.resident_operations, {}: what has not ended stays in memory",
            storage.resident_operations
        );
        section.refuse("live_operations", reason);
    }
    storage
}

fn http(section: &Section<'_>) -> Http {
    let Listener { listen, tls } = listener(section);
    let http = Http {
        listen,
        tls,
        connections: section.count("connections", 1..=1_000_000),
        streams: narrow(section.count("streams", 1..=1_000_000) as u64),
        head_bytes: narrow(section.size("head_size", 8 * KIB..=MIB)),
        head_timeout: section.duration("head_timeout", 10 * MS..=HOUR),
        // A payload is at most as large as the core takes it.
        body_bytes: bytes(section.size("body_size", KIB..=4 * 1024 * KIB)),
        body_timeout: section.duration("body_timeout", 10 * MS..=HOUR),
        stream_window_bytes: narrow(section.size("stream_window", 64 * KIB..=GIB)),
        connection_window_bytes: narrow(section.size("connection_window", 64 * KIB..=GIB)),
        ping_interval: section.duration("ping_interval", SECOND..=DAY),
        ping_timeout: section.duration("ping_timeout", 100 * MS..=HOUR),
        stall_timeout: section.duration("stall_timeout", 100 * MS..=HOUR),
        connection_age: section.optional("connection_age", |section, key| {
            section.duration(key, SECOND..=RETENTION_MAX)
        }),
    };
    section.finish();
    if http.stream_window_bytes > http.connection_window_bytes {
        section
            .refuse("stream_window", "must be at most http.connection_window, which it is part of");
    }
    http
}

fn admin(section: &Section<'_>, http: &Http) -> (Listener, Option<Console>) {
    let listener = listener(section);
    let console = console::console(&section.section("console"), &listener, http);
    section.finish();
    (listener, console)
}

/// `listen`, `allow_plaintext` and the table `tls`: beyond loopback it takes one of the latter two.
fn listener(section: &Section<'_>) -> Listener {
    let (listen, plaintext) = (section.address("listen"), section.flag("allow_plaintext"));
    if !is_loopback(listen) && !plaintext && !section.has("tls") {
        section.refuse(
            "listen",
            "is not a loopback address, and without TLS whoever is on the way reads and alters \
             everything: it needs a table tls with cert_file and key_file beside it or, if that is \
             wanted, allow_plaintext = true",
        );
    }
    Listener { listen, tls: tls::tls(section, plaintext) }
}

fn wait(section: &Section<'_>) -> Wait {
    let wait = Wait {
        max: section.duration("max", 10 * MS..=HOUR),
        open: section.count("open", 1..=10_000_000),
    };
    section.finish();
    wait
}

fn watches(section: &Section<'_>) -> usize {
    let open = section.count("open", 0..=1_000_000);
    section.finish();
    open
}

fn retry(section: &Section<'_>) -> Retry {
    let retry = Retry {
        first: section.duration("first", 10 * MS..=HOUR),
        longest: section.duration("longest", 10 * MS..=DAY),
        attempts: narrow(section.count("attempts", 1..=1000) as u64),
    };
    section.finish();
    if retry.first > retry.longest {
        section.refuse("first", "must be at most retry.longest");
    }
    retry
}

fn drain(section: &Section<'_>) -> Drain {
    let drain = Drain {
        notice: section.duration("notice", Duration::ZERO..=HOUR),
        timeout: section.duration("timeout", Duration::ZERO..=HOUR),
    };
    section.finish();
    drain
}

fn log(section: &Section<'_>) -> Log {
    let log = Log {
        level: section.text("level"),
        format: section.choice(
            "format",
            &[("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)],
        ),
    };
    section.finish();
    if !log.level.is_empty()
        && let Err(problem) = check_level(&log.level)
    {
        let reason = format!(
            "{problem}: must be off, error, warn, info, debug or trace, or these by part, such as \
             \"info,opgate_store=debug\""
        );
        section.refuse("level", reason);
    }
    log
}

fn audit(section: &Section<'_>) -> AuditSink {
    let file = section.optional("file", Section::text).map(PathBuf::from);
    let sinks = [("off", AuditKind::Off), ("stdout", AuditKind::Stdout), ("file", AuditKind::File)];
    let kind = section.choice("sink", &sinks);
    section.finish();
    match (kind, file) {
        (AuditKind::File, Some(file)) => AuditSink::File(file),
        (AuditKind::File, None) => {
            section.refuse("sink", "needs audit.file, the file that lines are appended to");
            AuditSink::Off
        }
        (AuditKind::Off | AuditKind::Stdout, Some(_)) => {
            section.refuse("file", "has no effect: it is for audit.sink = \"file\"");
            AuditSink::Off
        }
        (AuditKind::Off, None) => AuditSink::Off,
        (AuditKind::Stdout, None) => AuditSink::Stdout,
    }
}

/// The words of `audit.sink`.
#[derive(Clone, Copy, Debug)]
enum AuditKind {
    Off,
    Stdout,
    File,
}

/// Whether a log level is one. A lone word that is none would name a part of the daemon, and leave
/// the log of all others empty.
fn check_level(level: &str) -> Result<(), String> {
    for word in level.split(',') {
        if word != word.trim() {
            return Err(format!("{word:?} has spaces around it"));
        }
        if !word.contains(['=', '[']) && (word.is_empty() || word.parse::<LevelFilter>().is_err()) {
            return Err(format!("{word:?} is no level"));
        }
    }
    EnvFilter::builder().parse(level).map(drop).map_err(|error| error.to_string())
}

fn instances(section: &Section<'_>) -> Vec<String> {
    let instances = section.texts("instances");
    section.finish();
    instances
}

fn descriptors(section: &Section<'_>) -> Vec<DescriptorSet> {
    let mut sets = Vec::new();
    for origin in section.texts("files") {
        match std::fs::read(&origin) {
            Ok(bytes) => sets.push(DescriptorSet { origin, bytes }),
            Err(error) => section.refuse("files", format!("{origin}: {error}")),
        }
    }
    section.finish();
    sets
}

/// A size that fits the machine's memory: every bound of one that goes there does.
fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// A value whose upper bound fits.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
