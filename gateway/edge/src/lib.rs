//! Sockets and operators: the one accept loop, the HTTP server, limits, drain, readiness, and the admin listener.
//!
//! A [`Frontend`] gets requests and gives responses; everything about bytes, connections, time limits, panics and
//! stopping happens here, the same for every protocol. This crate must never know what an operation is.
//!
//! Entry points: [`HttpListener`] for HTTP/1.1 and HTTP/2 on one port, [`Acceptor`] for any other protocol over TCP,
//! [`Admin`] for metrics and health, [`Tls`] for any of them.

mod admin;
mod body;
mod collect;
mod connection;
mod cork;
mod drain;
mod exporter;
mod frontend;
mod http;
mod limits;
mod listen;
mod opening;
mod readiness;
mod request_body;
mod steps;
pub mod tls;

pub use admin::{Admin, Beat, Page};
pub use body::{Body, BoxError};
pub use collect::{BodyError, collect_limited};
pub use drain::{Drain, DrainTrigger};
pub use exporter::{Exporter, ExporterError};
pub use frontend::{ClientCertificate, Frontend, Peer, PeerTls, ResponseFuture};
pub use http::{HttpListener, LimitsInForce};
pub use limits::HttpLimits;
pub use listen::{Accept, Acceptor, Most};
pub use readiness::{Condition, ConditionState, Readiness, ReadinessReport};
pub use request_body::RequestBody;
pub use steps::Step;
pub use tls::{Stream, Tls};
