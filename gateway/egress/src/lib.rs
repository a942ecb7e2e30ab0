//! Calls to other systems over HTTP: where they may go, TLS, kept connections, limits.
//!
//! It knows no protocol and no operation. A URL is either the operator's own ([`Trust::Configured`])
//! or came from a caller ([`Trust::Guarded`]): then a [`Guard`] decides, by name before anything is
//! looked up, and by address before anything is connected. Entry point: [`Client::send`], over
//! HTTP/1.1; [`Multiplexed`] is one connection over HTTP/2 to one of the operator's.

mod client;
mod connection;
mod credentials;
mod destination;
mod dial;
mod guard;
mod health;
mod multiplexed;
mod network;
mod passing;
mod pool;
mod problem;
mod renewable;
mod stream;
mod tls;

pub use client::{Client, Limits, Settings, Trust};
pub use credentials::Credentials;
pub use destination::{Destination, Host};
pub use guard::{Guard, Pattern, URL_BYTES};
pub use health::Health;
pub use ipnet::IpNet;
pub use multiplexed::{Answered, Multiplexed};
pub use network::{Network, Pending, System};
pub use passing::{Passing, may_pass};
pub use problem::{Problem, Refusal};
pub use renewable::Renewable;
pub use rustls::ClientConfig as TlsConfig;
pub use tls::{Shown, TlsError, connector, tls};
