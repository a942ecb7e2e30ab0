//! gRPC over HTTP/2 for unary calls: one message in, one message or one status out.
//!
//! Written by hand because the reply of the hot path is bytes that exist already: it is handed to
//! the server as one chunk and shared trailers, where a general gRPC stack encodes and boxes.

mod compression;
mod frame;
mod percent;
mod reply;
mod request;
mod timeout;

pub(crate) use compression::Compression;
pub(crate) use frame::{PREFIX_BYTES, frame, set_prefix};
pub(crate) use percent::decode as percent_decode;
pub(crate) use reply::{Reply, not_grpc, ok, refused};
pub(crate) use request::{Call, check};
pub(crate) use timeout::Deadline;
