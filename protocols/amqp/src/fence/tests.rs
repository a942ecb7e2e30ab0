//! The fence with the crate behind it, and a peer that says what it likes.

mod bare;
mod cured;
mod fuzz;
mod past;
pub(super) mod peer;
mod refused;
mod settled;
mod unchanged;
