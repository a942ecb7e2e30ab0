//! The mappings alone, as bytes in and bytes out: for tests that hold several protocols against one another.

use bytes::Bytes;
use opgate_core::{Losses, Outcome, Payload};
use opgate_rpc::status;
use prost::Message as _;

use crate::map::{self, content};
use crate::proto::{Any, Status};
use crate::types::Types;

/// What the backend makes of a response, an encoded `google.protobuf.Any`.
pub fn read_result(types: &Types, any: Bytes) -> Option<Payload> {
    map::read(types, Any::decode(any).ok()?)
}

/// The response that the face makes of a result where no type is declared.
pub fn write_result(types: &Types, payload: Option<&Payload>) -> (Vec<u8>, Losses) {
    let any = content::within(usize::MAX, types, payload, None);
    let lost = content::lost(types, payload, &any);
    (any.encode_to_vec(), lost)
}

/// What the backend makes of an error, an encoded `google.rpc.Status`.
pub fn read_failure(error: Bytes) -> Option<(Outcome, Losses)> {
    let error = Status::decode(error).ok()?;
    Some((crate::backend::failed(&error), status::lost_of(&error)))
}

/// The error that the face makes of an end without a result.
pub fn write_failure(outcome: &Outcome) -> Option<(Vec<u8>, Losses)> {
    map::error_of(outcome, "", usize::MAX).map(|(status, lost)| (status.encode_to_vec(), lost))
}
