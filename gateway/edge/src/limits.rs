//! Limits of an HTTP listener, each with its default and the reason for it.

use std::time::Duration;

/// Bounds on what the peers of one listener can make it hold or wait for.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Open connections; one more is closed at once. Default 10,000: 180 MB of idle HTTP/2 connections at 18 KB.
    pub connections: usize,
    /// Concurrent HTTP/2 streams of one connection. Default 4,096: clients send all calls over one connection and a
    /// pending wait (3 KB) must not hold up the next call; more than that waits in the client.
    pub streams: u32,
    /// Size of a request head. Default 16 KiB. Larger ones are answered with 431.
    pub head_bytes: u32,
    /// Time for the first bytes of a connection and for each HTTP/1 request head; the time an HTTP/1 connection may
    /// idle between requests is the same. Default 30 s.
    pub head_timeout: Duration,
    /// Time between HTTP/2 pings to a peer. Default 60 s, within the idle limits of common load balancers.
    pub ping_interval: Duration,
    /// Time for the answer to a ping before the connection is closed. Default 20 s.
    pub ping_timeout: Duration,
    /// Time without a byte taken by a peer that has replies waiting. Default 30 s.
    pub stall_timeout: Duration,
    /// Request bytes of one HTTP/2 stream not yet read. Default 256 KiB.
    pub stream_window_bytes: u32,
    /// Request bytes of one HTTP/2 connection not yet read. Default 1 MiB.
    pub connection_window_bytes: u32,
    /// Age at which a connection is asked to leave (GOAWAY, `connection: close`), so that clients spread again over a
    /// changed set of servers. Requests on it finish. Default none.
    pub connection_age: Option<Duration>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            streams: 4_096,
            head_bytes: 16 * 1024,
            head_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_mins(1),
            ping_timeout: Duration::from_secs(20),
            stall_timeout: Duration::from_secs(30),
            stream_window_bytes: 256 * 1024,
            connection_window_bytes: 1024 * 1024,
            connection_age: None,
        }
    }
}

impl HttpLimits {
    /// For the admin listener: a scraper or two, a probe, operators with a few pages open each.
    pub fn admin() -> Self {
        Self {
            connections: 64,
            streams: 32,
            head_bytes: 8 * 1024,
            head_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(10),
            stream_window_bytes: 64 * 1024,
            connection_window_bytes: 64 * 1024,
            ..Self::default()
        }
    }
}
