//! The backend against a handler that does as the test says, on real sockets, over a real store.
#![cfg(test)]

mod cancel;
mod complete;
mod handler;
mod poll;
mod refuse;
mod restart;
mod side;
mod start;
