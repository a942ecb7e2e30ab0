//! The profile of google.longrunning that BuildGrid and its clients speak, chosen by the parent: an
//! *instance* of remote execution (REAPI v2).
//!
//! What is different for an instance, as its command line and its server have it:
//!
//! | | Google | BuildGrid |
//! |---|---|---|
//! | name | `{parent}/operations/{id}` | `{instance}/{id}`; of the empty instance `/{id}` |
//! | a list of `{instance}` | the parent and what lies beneath it | the instance alone |
//! | its filter | AIP-160 | `key op value` joined by `&`, see `filter.rs` |
//! | without a filter | everything | what has not ended |
//! | metadata | as the method declares | `ExecuteOperationMetadata`, always |
//! | ended | `response` or `error` | `response` with an `ExecuteResponse`, which holds the status |
//!
//! Every operation of an instance takes these forms, whichever door it came through: a client that
//! lists an instance stops at the first one it does not know. Google's names are understood too, and
//! a list of `{instance}/operations` is Google's list of it. Over HTTP a list's path has `/operations`
//! behind that name: `GET /v1/{instance}/operations` is the instance's list.

mod filter;
mod instances;
mod messages;
mod request;
mod said;
mod shown;
mod stage;

pub(crate) use filter::Filter;
pub(crate) use filter::order::{Order, Place, WINDOW};
pub(crate) use instances::{Instances, Profile};
pub(crate) use messages::{EXECUTE_METADATA, EXECUTION};
pub(crate) use shown::{metadata, outcome};
