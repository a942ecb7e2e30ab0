//! Why a connection was ended, in the protocol's words.

use super::Fault;

/// Why the fence ended a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The eight bytes that begin a connection are none of AMQP's.
    #[error("the protocol header is neither SASL's nor AMQP 1.0.0's")]
    Header,
    /// A frame that has no room for its own head.
    #[error("a frame of {size} bytes; it has at least 8")]
    FrameTooSmall {
        /// What the frame says.
        size: u32,
    },
    /// A frame of more bytes than we said we would take.
    #[error("a frame of {size} bytes; at most {limit} are allowed here")]
    FrameTooLarge {
        /// What the frame says.
        size: u32,
        /// What is allowed at this point.
        limit: u32,
    },
    /// A head that ends before it begins, or after the frame.
    #[error(
        "a data offset of {doff} words in a frame of {size} bytes; it is at least 2 and inside the frame"
    )]
    DataOffset {
        /// What the frame says, in words of four bytes.
        doff: u8,
        /// Of the frame.
        size: u32,
    },
    /// A frame of SASL's among AMQP's, or the reverse, or neither.
    #[error("a frame of type {found}; expected {expected}")]
    FrameType {
        /// What the frame says.
        found: u8,
        /// 0 is AMQP, 1 is SASL.
        expected: u8,
    },
    /// An encoding that is not one.
    #[error("a frame cannot be read: {0}")]
    Encoding(Fault),
    /// Well encoded, but no performative, or one whose fields are not its own.
    #[error("a frame cannot be read: {0}")]
    Performative(String),
    /// A message that is not well encoded.
    #[error("a message cannot be read: {0}")]
    Message(Fault),
    /// Anything before the Open frame, or a second one.
    #[error("expected exactly one open frame, and before all else")]
    Open,
    /// A channel number that we said we do not have.
    #[error("channel {channel} is above channel-max, {limit}")]
    Channel {
        /// Of the frame.
        channel: u16,
        /// What is allowed.
        limit: u16,
    },
    /// A Begin on a channel that has a session, or that answers none of ours.
    #[error("a begin frame on channel {channel}, where none is expected")]
    Begin {
        /// Of the frame.
        channel: u16,
    },
    /// A frame of a session that there is not.
    #[error("there is no session on channel {channel}")]
    NoSession {
        /// Of the frame.
        channel: u16,
    },
    /// Too many sessions.
    #[error("more than {limit} sessions")]
    Sessions {
        /// What is allowed.
        limit: u16,
    },
    /// A handle that we said we do not have.
    #[error("handle {handle} is above handle-max, {limit}")]
    Handle {
        /// Of the frame.
        handle: u32,
        /// What is allowed.
        limit: u32,
    },
    /// A second Attach under a handle.
    #[error("handle {handle} is attached already")]
    HandleInUse {
        /// Of the frame.
        handle: u32,
    },
    /// A frame of a link that there is not.
    #[error("no link is attached under handle {handle}")]
    Unattached {
        /// Of the frame.
        handle: u32,
    },
    /// Too many links.
    #[error("more than {limit} links")]
    Links {
        /// What is allowed.
        limit: u32,
    },
    /// A link name that is too long to be kept.
    #[error("a link name of {length} bytes; at most {limit} are allowed")]
    LinkName {
        /// In bytes.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// An Attach that is too long to be kept.
    #[error(
        "an attach frame of {size} bytes, counting what would be kept; at most {limit} are allowed"
    )]
    Attach {
        /// Of what would be kept.
        size: u32,
        /// What is allowed.
        limit: u32,
    },
    /// Flow frames without end for a link that is not attached by us yet.
    #[error("more than {limit} flow frames for links that are not attached yet")]
    Flows {
        /// What is allowed.
        limit: u32,
    },
    /// A disposition of more deliveries than anybody has.
    #[error("a disposition of {count} deliveries; at most {limit} are allowed in one")]
    Disposition {
        /// What the frame says.
        count: u64,
        /// What is allowed.
        limit: u64,
    },
    /// A transfer in the wrong direction.
    #[error("a transfer on a link where the peer is the receiver")]
    Direction,
    /// More deliveries than there was credit for.
    #[error("deliveries without credit")]
    Credit,
    /// A transfer that neither goes on with the delivery before it nor begins after it.
    #[error("a delivery begins before the one before it is done")]
    Interleaved,
    /// A message of more bytes than allowed, or cut into more frames than it has any use for.
    #[error("a message of more than {limit} bytes, or in too many frames")]
    MessageTooLarge {
        /// What is allowed.
        limit: u64,
    },
    /// Too much is begun and not finished.
    #[error("more than {limit} bytes in unfinished messages")]
    Unfinished {
        /// What is allowed.
        limit: u64,
    },
    /// Nothing came from the peer for as long as we had announced.
    #[error("nothing came within the idle time-out")]
    Idle,
    /// The crate could not read what the fence had let through.
    #[error("a frame or its place cannot be understood")]
    Unread,
    /// The peer took nothing for as long as it may.
    #[error("nothing of what was written was taken within the time allowed")]
    Stalled,
    /// The peer did not answer a Close frame.
    #[error("the close frame was not answered within the time allowed")]
    Unanswered,
}

impl Refusal {
    /// The error condition of the Close frame.
    pub fn condition(&self) -> &'static str {
        match self {
            Self::Header
            | Self::FrameTooSmall { .. }
            | Self::FrameTooLarge { .. }
            | Self::DataOffset { .. }
            | Self::FrameType { .. }
            | Self::Channel { .. }
            | Self::Handle { .. } => "amqp:connection:framing-error",
            Self::Encoding(Fault::Items)
            | Self::Message(Fault::Items)
            | Self::Sessions { .. }
            | Self::Links { .. }
            | Self::LinkName { .. }
            | Self::Attach { .. }
            | Self::Flows { .. }
            | Self::Disposition { .. }
            | Self::Unfinished { .. }
            | Self::Idle
            | Self::Stalled
            | Self::Unanswered => "amqp:resource-limit-exceeded",
            Self::Encoding(_) | Self::Performative(_) | Self::Message(_) | Self::Unread => {
                "amqp:decode-error"
            }
            Self::Open
            | Self::Begin { .. }
            | Self::NoSession { .. }
            | Self::Direction
            | Self::Interleaved => "amqp:not-allowed",
            Self::HandleInUse { .. } => "amqp:session:handle-in-use",
            Self::Unattached { .. } => "amqp:session:unattached-handle",
            Self::Credit => "amqp:link:transfer-limit-exceeded",
            Self::MessageTooLarge { .. } => "amqp:link:message-size-exceeded",
        }
    }

    /// The Close frame that tells the peer.
    pub(super) fn close(&self) -> Vec<u8> {
        let condition = sized(0xa3, 0xb3, self.condition().as_bytes());
        let description = sized(0xa1, 0xb1, self.to_string().as_bytes());
        // Section 2.8.14: an error is described by 0x1d; section 2.7.9: close by 0x18.
        let error = [&[0x00, 0x53, 0x1d][..], &list(&[&condition, &description])].concat();
        let body = [&[0x00, 0x53, 0x18][..], &list(&[&error])].concat();
        let size = u32::try_from(body.len() + 8).unwrap_or(u32::MAX);
        [&size.to_be_bytes()[..], &[2, 0, 0, 0], &body].concat()
    }
}

/// A string or symbol, by its two codes.
pub(super) fn sized(short: u8, long: u8, bytes: &[u8]) -> Vec<u8> {
    if let Ok(length) = u8::try_from(bytes.len()) {
        return [&[short, length][..], bytes].concat();
    }
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[long][..], &length, bytes].concat()
}

/// A list of encoded values.
pub(super) fn list(values: &[&[u8]]) -> Vec<u8> {
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
    list_of(count, &values.concat())
}

/// A list of `count` encoded values.
pub(super) fn list_of(count: u32, values: &[u8]) -> Vec<u8> {
    let size = u32::try_from(values.len() + 4).unwrap_or(u32::MAX);
    [&[0xd0][..], &size.to_be_bytes(), &count.to_be_bytes(), values].concat()
}
