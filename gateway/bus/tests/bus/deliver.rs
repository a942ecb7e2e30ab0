//! Callbacks: told at least once, whatever happens to the receiver, the process or the journal.

mod counts;
mod restart;
mod schedule;
mod support;
