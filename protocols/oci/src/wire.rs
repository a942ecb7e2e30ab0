//! What the face and the backend both speak: objects, errors, names and OCIDs of work
//! requests. Pure functions between the wire and the canonical types.
//!
//! Wire names and values are those of the official SDKs' models.

pub mod dialect;
pub mod error;
pub mod names;
pub mod ocid;
pub mod state;
pub mod work_request;
