//! The profile of google.longrunning that BuildGrid and its clients speak, chosen by the parent: an
//! *instance* of remote execution (REAPI v2).
//!
//! What is different for an instance, as its command line and its server have it:
//!
//! | | Google | BuildGrid |
//! |---|---|---|
//! | name | `{parent}/operations/{id}` | `{instance}/{id}`; of the empty instance `/{id}` |
//! | metadata | as the method declares | `ExecuteOperationMetadata`, always |
//! | ended | `response` or `error` | `response` with an `ExecuteResponse`, which holds the status |
//!
//! Every operation of an instance takes these forms, whichever door it came through: a client that
//! lists an instance stops at the first one it does not know. Google's names are understood too.

mod instances;
mod messages;
mod request;
mod shown;
mod stage;

pub(crate) use instances::{Instances, Profile};
pub(crate) use messages::EXECUTE_METADATA;
pub(crate) use shown::{metadata, outcome};
