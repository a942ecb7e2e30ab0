//! What the faces whose messages are protobuf share: gRPC calls over hyper, the
//! `google.rpc.Status` of errors and failures, and the transcoding between HTTP with JSON and
//! protobuf messages by the rules of `google.api.http`.
//!
//! This crate must never know a service or a method: the protocols bring those.

pub mod exact;
mod failures;
pub mod fields;
pub mod headers;
pub mod loss;
pub mod proto;
pub mod status;
pub mod transcode;
pub mod wire;

pub use failures::Failures;
