//! The bounds of one operation record. What would exceed one is refused or dropped as stated, so
//! that no client can grow a record without end.

/// Longest tenant, parent, service, operation or resource name, in bytes. A longer name echoed into
/// an error would overflow the trailers a client accepts.
pub const NAME_BYTES: usize = 1024;
/// Segments of a parent: each one above it costs the lists an entry.
pub const PARENT_SEGMENTS: usize = 32;
/// Longest text in bytes. Words for people (a message, a log line, why it was canceled) are cut at a
/// character; what is worth nothing when cut (a URL, a code, an identifier) is refused.
pub const TEXT_BYTES: usize = 4096;
/// Log lines kept for one operation; the oldest leave first and are counted. One report with more
/// is refused.
pub const LOG_ENTRIES: usize = 256;
/// Resources one operation may name; more are refused.
pub const RESOURCES: usize = 256;
/// Links one operation may carry in each direction; more are refused.
pub const LINKS: usize = 64;
/// Callbacks one operation may have; more are refused.
pub const CALLBACKS: usize = 16;
/// Operations that may share one job; more are refused.
pub const INTERESTS: usize = 1024;
/// Headers kept with one operation, or with one of its callbacks; more are refused.
pub const HEADERS: usize = 128;
/// Sum of the bytes of all headers kept with an operation, and of those of all its callbacks; more
/// is refused.
pub const HEADER_BYTES: usize = 64 * 1024;
/// Longest `traceparent`, in bytes; longer is refused. Version 00 of W3C Trace Context has 55.
pub const TRACE_PARENT_BYTES: usize = 64;
/// Longest `tracestate`, in bytes; longer is refused. W3C Trace Context asks for this much at least.
pub const TRACE_STATE_BYTES: usize = 512;
/// Longest media type or content encoding, in bytes; longer is refused.
pub const MEDIA_TYPE_BYTES: usize = 1024;
/// Sections of one payload; more are refused.
pub const SECTIONS: usize = 1024;
/// Refused second outcomes remembered for the audit; later ones are only counted.
pub const CONFLICTS: usize = 8;
/// Details of one failure; more are refused.
pub const FAILURE_DETAILS: usize = 64;
/// Depth of a failure's cause chain; deeper causes are refused.
pub const FAILURE_DEPTH: usize = 16;
/// Longest backend reference (token, OCID, name) in bytes; longer is refused.
pub const NATIVE_REF_BYTES: usize = 4096;
/// Largest payload, in bytes. A stock gRPC client takes replies of 4 MiB; the rest is room for the
/// name, the metadata and the wrapping of the payload in such a reply.
pub const PAYLOAD_BYTES: usize = (4 * 1024 - 64) * 1024;

/// `text`, cut to at most [`TEXT_BYTES`] at a character boundary.
pub fn clip(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES)).unwrap_or(text)
}
