//! gRPC over HTTP/2: one message in; one message, many, or one status out.
//!
//! Written by hand because the reply of the hot path is bytes that exist already: it is handed to
//! the server as one chunk and shared trailers, where a general gRPC stack encodes and boxes.

mod announced;
pub mod client;
mod compression;
mod frame;
mod percent;
mod reply;
mod request;
mod stream;
mod timeout;

/// The largest message a stock gRPC client takes.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

pub use compression::Compression;
pub use frame::{PREFIX_BYTES, frame, set_prefix};
pub use percent::decode as percent_decode;
pub use reply::{DURABILITY, Reply, not_grpc, ok, refused};
pub use request::{Call, NotGrpc, Unread, check, is_grpc};
pub use stream::{Next, stream};
pub use timeout::Deadline;
