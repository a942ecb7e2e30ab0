//! What one connection may have.

use std::time::Duration;

/// What a peer may send and have. What our own Open, Begin and Attach frames say binds it as well.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a frame, once the connection is open. Before that it is 512, by section 2.4.1 of the specification.
    pub frame: u32,
    /// Bytes of a SASL frame, and of an Open frame. Of one that has more than the 512 bytes which the crate reads,
    /// properties, capabilities and locales are left out.
    pub opening: u32,
    /// Bytes of a message on a link whose Attach frame names no limit.
    pub message: u64,
    /// Bytes in messages of which not all frames have come, of all links; one message is always taken.
    pub unfinished: u64,
    /// Sessions at a time.
    pub sessions: u16,
    /// The highest channel number.
    pub channel: u16,
    /// Links at a time, of all sessions.
    pub links: u32,
    /// The highest handle of a session.
    pub handle: u32,
    /// Values in one message: each costs the crate some hundred bytes, however short it is.
    pub items: u32,
    /// Values in the performative of one frame, which cost as much.
    pub fields: u32,
    /// The shortest idle time-out that a peer gets, in the pace of heartbeats: a shorter one is lengthened to it.
    pub idle: Duration,
    /// Whether our Open tells the peer half the idle time-out that the crate gives it, and keeps to: what is said
    /// should be that (section 2.4.5 of the specification), and the crate sees to it only as a client.
    pub announces_half: bool,
    /// Time for which a request to drain a link is kept back, so that what is ready is sent first.
    pub drain: Duration,
    /// The same, where the link's server says when all is sent ([`LinkWatch::drained`](super::LinkWatch::drained)),
    /// for one that never does.
    pub served_drain: Duration,
    /// Time in which a peer has to take something of what is written to it.
    pub stall: Duration,
    /// Time in which a peer has to answer our Close.
    pub closing: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame: 64 * 1024,
            opening: 8 * 1024,
            message: 1024 * 1024,
            unfinished: 16 * 1024 * 1024,
            sessions: 64,
            channel: 63,
            links: 1024,
            handle: 1023,
            items: 65_536,
            fields: 1000,
            idle: Duration::from_millis(200),
            announces_half: false,
            drain: Duration::from_millis(100),
            served_drain: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            closing: Duration::from_secs(5),
        }
    }
}
