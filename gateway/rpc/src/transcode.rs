//! Between HTTP with JSON and protobuf messages, by the rules of `google.api.http` (AIP-127) and the
//! canonical JSON of protobuf, over descriptors.
//!
//! - [`Template`] is a path template, [`Rules`] many of them with what each leads to.
//! - [`Binding`] is one HTTP form of a method: it makes the request message.
//! - [`Json`] writes messages, [`from_json`] reads them.
//! - [`Mask`] is the `fields` parameter, [`Parameters`] all that Google calls system parameters.
//! - [`refused`] is the response of a request that could not be served.

mod binding;
mod encode;
mod errors;
mod mask;
mod parameters;
mod percent;
mod query;
mod reader;
mod rules;
mod scalar;
mod template;
#[cfg(test)]
mod testing;
mod writer;

pub use binding::{Binding, check_content_type, no_field, request_line};
pub use encode::encode;
pub use errors::{ErrorFormat, error_body, http_code, ok, ok_proto, refused, refused_with};
pub use mask::Mask;
pub use parameters::{Alt, Parameters, declared_types_only, method_override};
pub use percent::decode_path;
pub use query::pairs as query_pairs;
pub use reader::{DEPTH_MAX as READ_DEPTH_MAX, VALUES_MAX as READ_VALUES_MAX, from_json};
pub use rules::{Conflict, Found, Rules};
pub use scalar::is_wrapper;
pub use template::{Captured, Template};
pub use writer::{BYTES_MAX as JSON_BYTES_MAX, DEPTH_MAX as JSON_DEPTH_MAX, Json};
