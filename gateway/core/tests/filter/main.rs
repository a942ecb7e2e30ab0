//! List filters: the language, what it means on the canonical operation, and its laws.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod canonical;
mod language;
mod laws;
mod naive;
mod sample;
