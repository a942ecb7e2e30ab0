//! Tells the receivers of callbacks that their operations have ended: durably, and at least once.

mod schedule;

pub use schedule::Callbacks;
