//! The backend against a node that does as the test says, on real sockets, over a real store.
#![cfg(test)]

mod link;
mod outcome;
mod poll;
mod restart;
mod side;
mod tls;
mod unknown;
mod upstream;
