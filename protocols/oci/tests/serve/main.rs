//! The face as clients see it: a real bus behind a real listener, requests as bytes on the wire.
#![cfg(test)]

mod bad_starts;
mod callers;
mod cancel;
mod compartments;
mod entries;
mod errors;
mod gateway;
mod get;
mod lists;
mod repeats;
mod signed;
mod starts;
