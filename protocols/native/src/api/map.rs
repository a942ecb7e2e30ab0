//! Between the canonical operation and opgate.v1: pure and total, with nothing lost.

mod failure;
pub(super) mod name;
mod operation;
pub(super) mod request;
mod value;

pub(super) use operation::{View, leased, lost, operation, row, timestamp};
