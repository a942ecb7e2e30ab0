//! The backend against a service that does as the test says, on real sockets, over a real store.
#![cfg(test)]

mod cancel;
mod end;
mod follow;
mod restart;
mod side;
mod start;
mod unknown;
mod upstream;
