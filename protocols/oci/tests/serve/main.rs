//! The face as clients see it: a real bus behind a real listener, requests as bytes on the wire.
#![cfg(test)]

mod errors;
mod gateway;
mod get;
