//! Why a connection was ended, in the protocol's words.

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
    /// The peer took nothing for as long as it may.
    #[error("nothing of what was written was taken within the time allowed")]
    Stalled,
}

impl Refusal {
    /// The error condition of the Close frame.
    pub fn condition(&self) -> &'static str {
        match self {
            Self::Header
            | Self::FrameTooSmall { .. }
            | Self::FrameTooLarge { .. }
            | Self::DataOffset { .. }
            | Self::FrameType { .. } => "amqp:connection:framing-error",
            Self::Stalled => "amqp:resource-limit-exceeded",
        }
    }
}
