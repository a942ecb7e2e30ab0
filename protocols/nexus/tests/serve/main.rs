//! Nexus as clients see it: a real bus behind a real listener, requests as bytes on the wire.
#![cfg(test)]

mod bad;
mod content;
mod gateway;
mod polls;
mod repeats;
mod starts;
mod tokens;
