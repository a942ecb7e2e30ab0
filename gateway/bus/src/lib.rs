//! The one door: whatever the protocol, an operation is started, read, listed, waited for, watched,
//! canceled and removed here, and here it is given to the backend that carries it out, or leased to
//! the worker that comes for it.
//!
//! This crate must never know a protocol, a socket or a configuration file: frontends and backends
//! know it. The one entry point is [`Bus`]; what carries operations out is a [`Backend`], or a
//! worker of a [`Pull`] backend.

mod abandon;
mod again;
mod audit;
mod backend;
mod backoff;
mod blame;
mod bus;
mod cancel;
mod carry;
mod deliver;
mod dispatch;
mod gate;
mod handles;
mod lease;
mod list;
mod news;
mod notify;
mod once;
mod pace;
mod pull;
mod reach;
mod ready;
mod recent;
mod repeat;
mod resources;
mod room;
mod router;
mod share;
mod sight;
mod standing;
mod start;
mod token;
mod wait;
mod watch;
mod work;

pub use audit::{Action, Auditor, Decided, Decision, Via};
pub use backend::{Admission, Backend, Offer};
pub use backoff::Backoff;
pub use blame::failure;
pub use bus::{Bus, Options, Subject};
pub use cancel::CancelAttempt;
pub use deliver::Callbacks;
pub use gate::{Breaking, Gate, Pass, Rate};
pub use handles::Handles;
pub use lease::{Hold, Lease};
pub use list::{Filter, List, Listing, PAGE_SIZE};
pub use news::{Line, Lines, changed_resources};
pub use notify::{Notice, Notifier, Told};
pub use once::{Once, outcome_unknown};
pub use opgate_core as core;
pub use opgate_store::{Durability, Health, Receipt, Rendered, Rendering, Snapshot};
pub use pull::{LEASE, Pull};
pub use recent::{News, Recent};
pub use router::{
    CONCURRENCY, IN_PROGRESS, Placing, Problem, QUEUE, ResourceRule, Route, Router, RouterBuilder,
};
pub use share::check_share;
pub use sight::{ORPHANED, Sight, is_orphaned, record_lost};
pub use standing::{Breaker, Standing};
pub use start::{Caller, DEDUPE_KEY_BYTES, RepeatKey, Start, WorksOn};
pub use wait::Until;
pub use watch::{Watch, Watching};
pub use work::{Ask, Held, LEASES, Leased, REST, WORKER_BYTES};
